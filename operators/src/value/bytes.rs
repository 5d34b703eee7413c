//! [`Bytes`]: an immutable byte string, kept in place where it is short.
//!
//! Keys, groups and the values that aggregates keep are a few bytes each. In place they need no allocation, and a search
//! among them looks at no memory but the map's own: once that is larger than the processor's caches, this is what a search
//! costs.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

/// The longest that is kept in place: what makes a value as large as a vector is.
const SHORT: usize = 22;

#[derive(Clone)]
enum Place {
    Here(u8, [u8; SHORT]),
    Heap(Box<[u8]>),
}

#[derive(Clone)]
pub struct Bytes(Place);

impl Bytes {
    /// Bytes that this holds elsewhere.
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Place::Here(..) => 0,
            Place::Heap(bytes) => bytes.len(),
        }
    }

    fn short(bytes: &[u8]) -> Option<Self> {
        let mut here = [0; SHORT];
        here.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Bytes(Place::Here(bytes.len() as u8, here)))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Place::Here(length, bytes) => &bytes[..usize::from(*length)],
            Place::Heap(bytes) => bytes,
        }
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Bytes::short(bytes).unwrap_or_else(|| Bytes(Place::Heap(bytes.into())))
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::short(&bytes).unwrap_or_else(|| Bytes(Place::Heap(bytes.into_boxed_slice())))
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Bytes(Place::Here(0, [0; SHORT]))
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Bytes {}

impl PartialOrd for Bytes {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bytes {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl Hash for Bytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_bytes_are_alike() {
        assert_eq!(size_of::<Bytes>(), size_of::<Vec<u8>>());
        let all: Vec<Vec<u8>> = (0..60).map(|length| (0..length).map(|at| at * 3).collect()).collect();
        for one in &all {
            let (copied, moved) = (Bytes::from(&one[..]), Bytes::from(one.clone()));
            assert_eq!(*copied, one[..]);
            assert_eq!(copied, moved);
            assert_eq!(copied.heap_bytes(), if one.len() > SHORT { one.len() } else { 0 });
            for other in &all {
                assert_eq!(copied.cmp(&Bytes::from(&other[..])), one.cmp(other));
            }
        }
        assert!(Bytes::default().is_empty());
    }
}
