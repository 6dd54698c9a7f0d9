//! The bytes of packed weights, each distinct block once, 64-byte aligned.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

/// Packed weights as they will lie in read-only memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WeightImage {
    bytes: Vec<u8>,
    blocks: HashMap<u64, Vec<(usize, usize)>>,
}

impl WeightImage {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// First byte and length of each block, in order.
    pub fn blocks(&self) -> Vec<(usize, usize)> {
        let mut all: Vec<_> = self.blocks.values().flatten().copied().collect();
        all.sort_unstable();
        all
    }

    /// Adds a block, or finds the same one, and gives its first byte.
    pub fn add(&mut self, block: &[u8]) -> usize {
        let mut hasher = DefaultHasher::new();
        block.hash(&mut hasher);
        let same = self.blocks.entry(hasher.finish()).or_default();
        if let Some((at, _)) = same.iter().find(|(at, len)| &self.bytes[*at..at + len] == block) {
            return *at;
        }
        let at = self.bytes.len().next_multiple_of(super::memory::ALIGN);
        same.push((at, block.len()));
        self.bytes.resize(at, 0);
        self.bytes.extend(block);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_blocks_are_stored_once() {
        let mut w = WeightImage::default();
        assert_eq!((w.add(&[1, 2]), w.add(&[3]), w.add(&[1, 2])), (0, 64, 0));
        assert_eq!(w.bytes().len(), 65);
    }
}
