//! The Merkle tree of RFC 6962, section 2.1, as far as whoever appends needs it.
//!
//! `audit/merkle.py` is the reference and has the proofs; tests compare the two.

use sha2::{Digest as _, Sha256};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// The hash of a leaf.
pub fn leaf(data: &[u8]) -> Hash {
    let mut hashed = Sha256::new();
    hashed.update([0]);
    hashed.update(data);
    hashed.finalize().into()
}

/// The hash of the node above two others.
pub fn node(left: &Hash, right: &Hash) -> Hash {
    let mut joined = [1u8; 65];
    if let Some(place) = joined.get_mut(1..33) {
        place.copy_from_slice(left);
    }
    if let Some(place) = joined.get_mut(33..) {
        place.copy_from_slice(right);
    }
    Sha256::digest(joined).into()
}

/// The right edge of a tree: the roots of its largest complete subtrees, from the left, one for each bit of its size. All that it takes to
/// append, which costs two hashes on average.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    peaks: Vec<Hash>,
}

impl Edge {
    /// `None` where so many hashes are not the edge of a tree of this size.
    pub fn new(size: u64, peaks: &[u8]) -> Option<Self> {
        let (hashes, rest) = peaks.as_chunks::<32>();
        let fits = rest.is_empty() && hashes.len() == size.count_ones() as usize;
        fits.then(|| Self {
            size,
            peaks: hashes.to_vec(),
        })
    }

    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Append the hash of a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = node(&left, &hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root; that of the empty tree is the hash of nothing.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else {
            return Sha256::digest([]).into();
        };
        peaks.fold(*last, |right, left| node(left, &right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6962, section 2.1, as it is written there.
    fn root_of(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [one] => *one,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                node(&root_of(left), &root_of(right))
            }
        }
    }

    #[test]
    fn an_edge_has_the_root_of_its_leaves_at_every_size_and_goes_on_from_its_bytes() {
        let leaves: Vec<Hash> = (0u8..130).map(|number| leaf(&[number])).collect();
        let mut edge = Edge::default();
        for (count, hash) in leaves.iter().enumerate() {
            assert_eq!(Some(edge.root()), leaves.get(..count).map(root_of));
            edge = Edge::new(edge.size(), edge.peaks().as_flattened()).expect("its own bytes");
            edge.push(*hash);
        }
    }

    #[test]
    fn hashes_that_are_no_edge_of_that_size_are_refused() {
        assert_eq!(Edge::new(3, &[0; 32]), None);
        assert_eq!(Edge::new(1, &[0; 33]), None);
        assert_eq!(Edge::new(0, &[0; 32]), None);
    }
}
