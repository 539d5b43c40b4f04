//! A cache of the most recently used row groups.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::Result;

/// The most recently used decoded row groups.
pub(crate) struct Recent<T> {
    most: usize,
    /// In order of use, the most recent last.
    held: VecDeque<(usize, Arc<T>)>,
}

impl<T> Recent<T> {
    pub fn new(most: usize) -> Self {
        Self { most, held: VecDeque::new() }
    }

    pub fn get(&mut self, group: usize, decode: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let item = match self.held.iter().position(|(held, _)| *held == group) {
            Some(place) => self.held.remove(place),
            None => None,
        };
        let item = match item {
            Some(item) => item,
            None => {
                // Evict before decoding, so that no more than `most` groups are in memory at once.
                while self.held.len() >= self.most {
                    self.held.pop_front();
                }
                (group, Arc::new(decode()?))
            }
        };
        let found = Arc::clone(&item.1);
        self.held.push_back(item);
        Ok(found)
    }
}
