//! From a net change of a bag of rows to the writes that bring it about.

use crate::pg::sink::Delta;
use hashbrown::hash_map::Entry;
use hashbrown::HashMap;
use trickle_operators::value::{Row, RowBuilder};

/// Net change of a stream table that has not been written yet: row -> multiplicity, never zero; bytes are counted.
#[derive(Default, Debug)]
pub struct Pending {
    rows: HashMap<Row, i64>,
    bytes: usize,
}

/// What a map entry costs beside the row's own bytes.
const ENTRY_BYTES: usize = 48;

impl Pending {
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn add(&mut self, row: Row, diff: i64) {
        if diff == 0 {
            return;
        }
        let size = row.heap_bytes() + ENTRY_BYTES;
        match self.rows.entry(row) {
            Entry::Occupied(mut entry) => {
                *entry.get_mut() += diff;
                if *entry.get() == 0 {
                    let (row, _) = entry.remove_entry();
                    self.bytes = self.bytes.saturating_sub(row.heap_bytes() + ENTRY_BYTES);
                }
            }
            Entry::Vacant(entry) => {
                entry.insert(diff);
                self.bytes += size;
            }
        }
    }

    pub fn clear(&mut self) {
        *self = Pending::default();
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Row, i64)> {
        self.rows.iter().map(|(row, diff)| (row, *diff))
    }

    /// The writes. With a key, a row that goes and one that comes with the same key are one update; at most one row a key
    /// may come, or the key is none: then the key's columns are named in the error.
    pub fn to_delta(&self, key: Option<&[usize]>) -> Result<Delta, String> {
        let mut delta = Delta::default();
        let Some(key) = key else {
            for (row, diff) in self.iter() {
                let side = if diff > 0 { &mut delta.inserts } else { &mut delta.deletes };
                side.extend(std::iter::repeat_n(row, diff.unsigned_abs() as usize).cloned());
            }
            return Ok(delta);
        };
        let mut going: HashMap<Row, &Row> = HashMap::with_capacity(self.rows.len());
        let mut coming: Vec<(Row, &Row)> = Vec::new();
        let mut builder = RowBuilder::default();
        for (row, diff) in self.iter() {
            for &column in key {
                builder.push(row.column(column));
            }
            let key = builder.finish();
            match diff {
                -1 => {
                    if going.insert(key, row).is_some() {
                        return Err("two published rows have the same key".into());
                    }
                }
                1 => coming.push((key, row)),
                _ => return Err(format!("a row with a unique key changed its multiplicity by {diff}")),
            }
        }
        for (key, row) in coming {
            match going.remove(&key) {
                Some(old) => delta.updates.push((old.clone(), row.clone())),
                None => delta.inserts.push(row.clone()),
            }
        }
        delta.deletes.extend(going.into_values().cloned());
        Ok(delta)
    }
}
