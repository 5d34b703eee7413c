//! The one batch layout: keys and values as concatenated bytes with offsets, read back as [`RowRef`] (HAZARDS E35).

use super::border::{Diff, Time};
use crate::value::{Row, RowRef};
use differential_dataflow::trace::implementations::{BatchContainer, Layout, OffsetList};
use timely::container::PushInto;

/// Rows one after the other in a single allocation.
pub struct RowContainer {
    bytes: Vec<u8>,
    /// Where each row starts, and the end of the last.
    offsets: OffsetList,
}

impl RowContainer {
    fn with_capacities(rows: usize, bytes: usize) -> Self {
        let mut offsets = OffsetList::with_capacity(rows + 1);
        offsets.push(0);
        RowContainer { bytes: Vec::with_capacity(bytes), offsets }
    }

    pub fn push(&mut self, row: RowRef<'_>) {
        self.bytes.extend_from_slice(row.bytes());
        self.offsets.push(self.bytes.len());
    }

    /// Bytes held on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.offsets.smol.capacity() * 4 + self.offsets.chonk.capacity() * 8
    }
}

impl BatchContainer for RowContainer {
    type Owned = Row;
    type ReadItem<'a> = RowRef<'a>;

    fn into_owned(item: RowRef<'_>) -> Row {
        item.to_owned()
    }

    fn push_ref(&mut self, item: RowRef<'_>) {
        self.push(item);
    }

    fn push_own(&mut self, item: &Row) {
        self.push(item.as_ref());
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.offsets.clear();
        self.offsets.push(0);
    }

    fn with_capacity(size: usize) -> Self {
        RowContainer::with_capacities(size, 0)
    }

    fn merge_capacity(one: &Self, other: &Self) -> Self {
        RowContainer::with_capacities(one.len() + other.len(), one.bytes.len() + other.bytes.len())
    }

    fn reborrow<'b, 'a: 'b>(item: RowRef<'a>) -> RowRef<'b> {
        item
    }

    fn index(&self, index: usize) -> RowRef<'_> {
        RowRef::new(&self.bytes[self.offsets.index(index)..self.offsets.index(index + 1)])
    }

    fn len(&self) -> usize {
        self.offsets.len() - 1
    }
}

impl PushInto<Row> for RowContainer {
    fn push_into(&mut self, row: Row) {
        self.push(row.as_ref());
    }
}

impl PushInto<RowRef<'_>> for RowContainer {
    fn push_into(&mut self, row: RowRef<'_>) {
        self.push(row);
    }
}

/// Row keys, row values, [`Time`], [`Diff`].
pub struct RowLayout;

impl Layout for RowLayout {
    type KeyContainer = RowContainer;
    type ValContainer = RowContainer;
    type TimeContainer = Vec<Time>;
    type DiffContainer = Vec<Diff>;
    type OffsetContainer = OffsetList;
}
