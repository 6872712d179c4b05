//! A cache of row groups in memory.
//!
//! Each group is read once while it is in use, by the first thread that needs it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ::parquet::data_type::ByteArray;

/// The images of a row group, or the reason why it cannot be read. A row without an image is `None`.
pub(super) type Pictures = Result<Vec<Option<ByteArray>>, String>;

/// A row group, which is empty until the first thread has read it.
type Slot = Arc<OnceLock<Pictures>>;

/// A cache of the most recently used row groups.
#[derive(Debug)]
pub(super) struct Cache {
    /// The slots with the numbers of their groups, least recently used first.
    slots: Mutex<VecDeque<(usize, Slot)>>,
    capacity: usize,
}

impl Cache {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            slots: Mutex::default(),
            capacity,
        }
    }

    /// Calls `look` with row group `group`, which is taken from memory or read with `load`.
    pub(super) fn with<T>(
        &self,
        group: usize,
        load: impl FnOnce() -> Pictures,
        look: impl FnOnce(&Pictures) -> T,
    ) -> T {
        // A thread waits for another one that is reading the same group, but not for other groups.
        let slot = self.slot(group);
        look(slot.get_or_init(load))
    }

    fn slot(&self, group: usize) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let known = slots.iter().position(|(number, _)| *number == group);
        let slot = match known.and_then(|place| slots.remove(place)) {
            Some((_, slot)) => slot,
            None => Slot::default(),
        };
        if slots.len() >= self.capacity {
            slots.pop_front();
        }
        slots.push_back((group, slot.clone()));
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_once_while_they_are_wanted() {
        let cache = Cache::new(2);
        let mut loads = Vec::new();
        for group in [1, 1, 2, 1, 3, 1, 2] {
            let rows = cache.with(
                group,
                || {
                    loads.push(group);
                    Ok(vec![None; group])
                },
                |pictures| pictures.as_ref().unwrap().len(),
            );
            assert_eq!(rows, group);
        }
        assert_eq!(loads, [1, 2, 3, 2], "2 made room for 3");
    }
}
