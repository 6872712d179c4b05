//! The keys of the dropout masks of one forward pass.

use cropmae_config::{Seed, Stream};
use cropmae_kernels::Dropout;
use rand::RngCore;

/// Gives each call site of a forward pass its own dropout mask, independent of the order of evaluation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DropoutStream(Dropout);

/// A place in a decoder layer where dropout is applied. The discriminants affect every result and must never change.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Site {
    CrossAttention = 0,
    CrossResidual = 1,
    FeedForward = 2,
    FeedForwardResidual = 3,
    SelfAttention = 4,
    SelfResidual = 5,
}

impl DropoutStream {
    /// Creates the stream of one forward pass with the dropout probability `p`, or returns `None` if `p` is 0.
    ///
    /// `step` is the number of the update. `part` tells the micro-batches and ranks of an update apart, so that no two
    /// samples share a mask.
    #[must_use]
    pub fn new(p: f64, seed: Seed, step: u64, part: u64) -> Option<Self> {
        (p > 0.0).then(|| {
            Self(Dropout {
                p: p as f32,
                key: seed.rng(Stream::Dropout, step, part).next_u64(),
            })
        })
    }

    /// Returns the dropout of one call site in decoder layer `layer`.
    pub(crate) fn site(self, layer: usize, site: Site) -> Dropout {
        self.0.derive(layer as u64 * 6 + site as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_call_sites_share_a_mask() {
        let sites = [
            Site::CrossAttention,
            Site::CrossResidual,
            Site::FeedForward,
            Site::FeedForwardResidual,
            Site::SelfAttention,
            Site::SelfResidual,
        ];
        let mut keys = std::collections::BTreeSet::new();
        for step in 0..3 {
            for part in 0..2 {
                let stream = DropoutStream::new(0.1, Seed(0), step, part).unwrap();
                for layer in 0..12 {
                    keys.extend(sites.map(|site| stream.site(layer, site).key));
                }
            }
        }
        assert_eq!(keys.len(), 3 * 2 * 12 * sites.len());
        assert_eq!(DropoutStream::new(0.0, Seed(0), 0, 0), None);
    }
}
