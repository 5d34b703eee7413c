//! [`Row`]: a row of images, packed into one byte string; [`RowRef`]: the same, borrowed.
//!
//! Encoding: for each column a LEB128 varint, then bytes. The varint is 0 for NULL, and the image's length + 1 otherwise.
//! The encoding is type-free and canonical, so byte equality of rows is image equality of all columns. The order of rows
//! is the order of those bytes: total and stable, but of no meaning in SQL.

use super::bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cell::Cell;

/// An owned packed row.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row(Bytes);

/// A borrowed packed row.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowRef<'a>(&'a [u8]);

/// The columns of a row, in order; `None` is NULL.
#[derive(Clone)]
pub struct Columns<'a>(&'a [u8]);

/// Appends columns to a row under construction. Its buffer serves for all rows that are built with it.
#[derive(Clone, Default)]
pub struct RowBuilder(Vec<u8>);

/// A buffer that has grown larger than this is given back.
const KEPT: usize = 64 << 10;

thread_local! {
    /// The buffer of [`Row::from_columns`].
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Row {
    /// A row from bytes in the encoding of this module, which the caller vouches for.
    pub fn from_encoded(bytes: Vec<u8>) -> Self {
        Row(bytes.into())
    }

    /// A row of the given columns.
    pub fn from_columns<'a>(columns: impl IntoIterator<Item = Option<&'a [u8]>>) -> Self {
        let mut builder = RowBuilder(BUFFER.take());
        for column in columns {
            builder.push(column);
        }
        let row = builder.finish();
        if builder.0.capacity() <= KEPT {
            BUFFER.set(builder.0);
        }
        row
    }

    pub fn as_ref(&self) -> RowRef<'_> {
        RowRef(&self.0)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn columns(&self) -> Columns<'_> {
        Columns(&self.0)
    }

    /// Column `index`, `None` if it is NULL. Panics if the row is shorter.
    pub fn column(&self, index: usize) -> Option<&[u8]> {
        self.as_ref().column(index)
    }

    /// Bytes this row holds on the heap, to be counted against limits.
    pub fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }
}

impl<'a> RowRef<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        RowRef(bytes)
    }

    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    pub fn columns(self) -> Columns<'a> {
        Columns(self.0)
    }

    /// Column `index`, `None` if it is NULL. Panics if the row is shorter.
    pub fn column(self, index: usize) -> Option<&'a [u8]> {
        self.columns().nth(index).expect("row has fewer columns than its plan says")
    }

    pub fn to_owned(self) -> Row {
        Row(self.0.into())
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.bytes().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Row::from_encoded)
    }
}

impl PartialEq<&Row> for RowRef<'_> {
    fn eq(&self, other: &&Row) -> bool {
        *self == other.as_ref()
    }
}

impl<'a> Iterator for Columns<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let (mut length, mut shift, mut at) = (0usize, 0, 0);
        loop {
            let byte = self.0[at];
            at += 1;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
        }
        let rest = &self.0[at..];
        if length == 0 {
            self.0 = rest;
            return Some(None);
        }
        let (image, rest) = rest.split_at(length - 1);
        self.0 = rest;
        Some(Some(image))
    }
}

impl RowBuilder {
    pub fn push(&mut self, column: Option<&[u8]>) {
        match column {
            None => self.0.push(0),
            Some(image) => {
                let mut length = image.len() + 1;
                while length >= 0x80 {
                    self.0.push(length as u8 | 0x80);
                    length >>= 7;
                }
                self.0.push(length as u8);
                self.0.extend_from_slice(image);
            }
        }
    }

    /// Appends all columns of `row`.
    pub fn extend(&mut self, row: RowRef<'_>) {
        self.0.extend_from_slice(row.0);
    }

    /// Takes the row built so far and leaves an empty builder.
    pub fn finish(&mut self) -> Row {
        let row = self.as_ref().to_owned();
        self.0.clear();
        row
    }

    pub fn as_ref(&self) -> RowRef<'_> {
        RowRef(&self.0)
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

fn show(bytes: &[u8], f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    f.debug_list().entries(Columns(bytes).map(|c| c.map(|image| image.escape_ascii().to_string()))).finish()
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        show(&self.0, f)
    }
}

impl std::fmt::Debug for RowRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        show(self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_come_back_as_they_went_in() {
        let long = vec![7u8; 40_000];
        let columns: Vec<Option<&[u8]>> = vec![None, Some(b""), Some(b"abc"), Some(&long), None];
        let row = Row::from_columns(columns.iter().copied());
        assert_eq!(row.columns().collect::<Vec<_>>(), columns);
        assert_eq!(row.column(3), Some(&long[..]));
        assert_eq!(Row::from_columns([]).columns().count(), 0);
    }
}
