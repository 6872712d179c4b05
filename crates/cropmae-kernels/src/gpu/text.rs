//! The kernels' text as vendors' compilers take it: one string without includes.

/// The kernels in the order of kernels.h, after the fragments of matrix products.
#[cfg(any(test, feature = "cuda"))]
const KERNELS: &[(&str, &str)] = &[
    ("fragments.h", include_str!("text/fragments.h")),
    ("dropout.h", include_str!("text/dropout.h")),
    ("columns.h", include_str!("text/columns.h")),
    ("cast.h", include_str!("text/cast.h")),
    ("sum.h", include_str!("text/sum.h")),
    ("layer_norm.h", include_str!("text/layer_norm.h")),
    ("gelu.h", include_str!("text/gelu.h")),
    ("attention.h", include_str!("text/attention.h")),
    ("pixels.h", include_str!("text/pixels.h")),
    ("patch_embed.h", include_str!("text/patch_embed.h")),
    ("pixel_loss.h", include_str!("text/pixel_loss.h")),
    ("propagate.h", include_str!("text/propagate.h")),
    ("optimizer.h", include_str!("text/optimizer.h")),
];

/// The text for CUDA.
#[cfg(feature = "cuda")]
pub(super) fn cuda() -> String {
    join(include_str!("text/cuda.h"))
}

/// A prelude and all kernels.
#[cfg(any(test, feature = "cuda"))]
fn join(prelude: &str) -> String {
    let texts = KERNELS.iter().map(|(_, text)| *text);
    let lines = std::iter::once(prelude).chain(texts).flat_map(str::lines);
    let lines =
        lines.filter(|line| !line.starts_with("#include \"") && !line.starts_with("#pragma once"));
    lines.map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The emulator includes what devices get.
    #[test]
    fn all_files_are_there_in_the_order_of_their_includes() {
        let included = include_str!("text/kernels.h").lines();
        let included =
            included.filter_map(|line| line.strip_prefix("#include \"")?.strip_suffix('"'));
        let listed = KERNELS.iter().map(|(name, _)| *name).skip(1);
        assert!(included.eq(listed));
        let text = join("prelude");
        assert!(text.starts_with("prelude\n") && !text.contains("#include"));
        assert!(text.contains("KERNEL(layer_norm,"));
    }
}
