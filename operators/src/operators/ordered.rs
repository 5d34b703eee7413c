//! Rows in an order: how they are written so that their bytes compare as they are sorted, and how the changes of a time are
//! gathered that will be applied in that order.

use super::border::Diff;
use super::consolidate;
use crate::expr::EvalError;
use crate::plan::OrderKey;
use crate::value::order::order_column;
use crate::value::{Kind, Row, RowRef};
use std::rc::Rc;

/// Order bytes, then the row's: the order of rows, with a stable choice among those that are equal in it.
pub type Entry = Rc<[u8]>;

/// A partition's key, a row in order, and how many of its bytes are the order's.
pub type Place = (Row, Entry, u32);

/// What an entry takes up in a map of `T`s: its bytes with their counters, the map's own, and what the allocator adds.
pub fn entry_weight<T>(entry: &[u8]) -> usize {
    entry.len() + size_of::<(Entry, T)>() + 48
}

/// The row that an entry is of.
pub fn row_of(entry: &[u8], order: u32) -> RowRef<'_> {
    RowRef::new(&entry[order as usize..])
}

/// The least bytes after everything that begins with `prefix`; none if there is no end.
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < u8::MAX {
            *last += 1;
            return Some(end);
        }
        end.pop();
    }
    None
}

/// Where an enum's value is in its order. One that the plan does not know was added after the plan was made: until the plan is
/// made anew nothing of it is shown, and the value has a place of its own after the others (HAZARDS E37).
fn place_of_label(labels: &[(u32, u32)], image: &[u8]) -> Result<[u8; 8], EvalError> {
    let label = image.try_into().map(u32::from_ne_bytes).map_err(|_| EvalError::malformed(Kind::Opaque))?;
    let place = match labels.binary_search_by_key(&label, |(label, _)| *label) {
        Ok(at) => i64::from(labels[at].1),
        Err(_) => i64::from(u32::MAX) + i64::from(label),
    };
    Ok(place.to_ne_bytes())
}

pub fn place(order: &[OrderKey], key: Row, row: RowRef<'_>) -> Result<Place, EvalError> {
    let mut entry = Vec::with_capacity(16 * order.len() + row.bytes().len());
    for OrderKey { column, kind, descending, nulls_first, labels } in order {
        let image = row.column(*column);
        if labels.is_empty() {
            order_column(*kind, image, *descending, *nulls_first, &mut entry)?;
        } else {
            let place = image.map(|image| place_of_label(labels, image)).transpose()?;
            order_column(Kind::Int8, place.as_ref().map(|place| &place[..]), *descending, *nulls_first, &mut entry)?;
        }
    }
    let length = entry.len() as u32;
    entry.extend_from_slice(row.bytes());
    Ok((key, entry.into(), length))
}

/// The changes of a time that is not complete.
#[derive(Default)]
pub struct Gathered {
    changes: Vec<(Place, Diff)>,
    /// How many of them are left of the last consolidation.
    consolidated: usize,
    bytes: Diff,
}

/// Below so many changes they are not consolidated before their time is complete.
const CONSOLIDATE_FROM: usize = 16 << 10;

/// What a change takes up while it waits.
fn weight((key, entry, _): &Place) -> Diff {
    (key.heap_bytes() + size_of::<(Place, Diff)>() + entry.len() + 32) as Diff
}

impl Gathered {
    /// Takes in a change; by how many bytes that has grown.
    pub fn add(&mut self, place: Place, diff: Diff) -> Diff {
        let more = weight(&place);
        self.bytes += more;
        self.changes.push((place, diff));
        if self.changes.len() > CONSOLIDATE_FROM.max(2 * self.consolidated) {
            return more + self.consolidate();
        }
        more
    }

    /// By how many bytes that is more.
    fn consolidate(&mut self) -> Diff {
        let before = self.bytes;
        consolidate(&mut self.changes);
        self.consolidated = self.changes.len();
        self.bytes = self.changes.iter().map(|(place, _)| weight(place)).sum();
        self.bytes - before
    }

    /// The changes by partition and order, each place once; and by how many bytes they are more than what was gathered.
    pub fn sorted(mut self) -> (Vec<(Place, Diff)>, Diff) {
        let more = self.consolidate();
        (self.changes, more)
    }
}
