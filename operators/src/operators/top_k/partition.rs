//! The rows of one partition in order, and the cuts between those that are shown and those that are not.
//!
//! An own ordered map, not an arrangement (HAZARDS E18, second form): it is walked in both directions, and what has been
//! deleted leaves nothing behind to be walked over. A [`Cut`] remembers the last row before it, so a change moves it by as
//! many rows as were added or taken away, wherever it is: the cost is O(log n) for each changed row, however large OFFSET
//! and LIMIT are. What is shown is a function of the rows, so no output is kept beside them (HAZARDS E19).

use crate::operators::border::Diff;
use crate::operators::ordered::{self, after_prefix, entry_weight, Entry};
use crate::value::Row;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound::{self, Excluded, Included, Unbounded};

/// Which rows are shown.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub offset: u64,
    pub limit: Option<u64>,
    /// Rows that are equal to the last in the order are shown too.
    pub with_ties: bool,
}

#[derive(Clone, Copy)]
struct Stored {
    count: Diff,
    /// How many of the entry's bytes are the order's.
    order: u32,
}

/// The first `wanted` rows: all entries before `last`, and `part` of the rows that `last` is.
struct Cut {
    wanted: u64,
    size: u64,
    last: Option<(Entry, u64)>,
}

type Rows = BTreeMap<Entry, Stored>;
type Emit<'a> = &'a mut dyn FnMut(&[u8], u32, Diff);

pub struct Partition {
    rows: Rows,
    negative: usize,
    bytes: usize,
    skip: Option<Cut>,
    take: Option<Cut>,
    /// With ties: the order bytes up to which rows are shown.
    through: Option<Option<Box<[u8]>>>,
}

/// Rows that count: between reported times a deletion may come before its insertion (HAZARDS E6).
fn present(count: Diff) -> u64 {
    count.max(0) as u64
}

fn row_of(entry: &[u8], order: u32) -> Row {
    ordered::row_of(entry, order).to_owned()
}

impl Cut {
    fn new(wanted: u64) -> Self {
        Cut { wanted, size: 0, last: None }
    }

    /// An entry's count changes: what that changes before the cut, the cut itself staying where it is. `rows` may be those
    /// from before the change.
    fn change(&mut self, rows: &Rows, entry: &[u8], order: u32, old: u64, new: u64, emit: Emit<'_>) {
        let Some((last, part)) = &mut self.last else { return };
        match entry.cmp(&**last) {
            Ordering::Greater => {}
            Ordering::Less => {
                let diff = new as Diff - old as Diff;
                self.size = self.size.wrapping_add_signed(diff);
                emit(entry, order, diff);
            }
            Ordering::Equal => {
                let gone = part.saturating_sub(new);
                if gone > 0 {
                    *part -= gone;
                    self.size -= gone;
                    emit(entry, order, -(gone as Diff));
                    if *part == 0 {
                        self.step_back(rows);
                    }
                }
            }
        }
    }

    /// `last` has no row before the cut any more: the entry before it, all of which is.
    fn step_back(&mut self, rows: &Rows) {
        let Some((last, _)) = self.last.take() else { return };
        let before = rows.range::<[u8], _>((Unbounded, Excluded(&*last))).rev();
        let found = before.map(|(entry, stored)| (entry, present(stored.count))).find(|(_, count)| *count > 0);
        self.last = found.map(|(entry, count)| (entry.clone(), count));
    }

    /// Moves the cut to where it belongs.
    fn settle(&mut self, rows: &Rows, emit: Emit<'_>) {
        while self.size > self.wanted {
            let Some((last, part)) = &mut self.last else { return };
            let gone = (*part).min(self.size - self.wanted);
            *part -= gone;
            self.size -= gone;
            emit(last, rows[last].order, -(gone as Diff));
            if *part == 0 {
                self.step_back(rows);
            }
        }
        if self.size == self.wanted {
            return;
        }
        let (from, mut part) = match self.last.take() {
            Some((last, part)) => (Included(last), part),
            None => (Unbounded, 0),
        };
        for (entry, stored) in rows.range((from, Unbounded)) {
            let more = present(stored.count).saturating_sub(part).min(self.wanted - self.size);
            if more > 0 {
                self.size += more;
                emit(entry, stored.order, more as Diff);
            }
            if part + more > 0 {
                self.last = Some((entry.clone(), part + more));
            }
            part = 0;
            if self.size == self.wanted {
                return;
            }
        }
    }
}

impl Partition {
    pub fn new(limits: &Limits) -> Self {
        Partition {
            rows: BTreeMap::new(),
            negative: 0,
            bytes: size_of::<Partition>(),
            skip: (limits.offset > 0).then(|| Cut::new(limits.offset)),
            take: limits.limit.map(|limit| Cut::new(limits.offset.saturating_add(limit))),
            through: (limits.with_ties && limits.limit.is_some()).then_some(None),
        }
    }

    /// `diff` times an entry: what that changes of the rows shown, all cuts staying where they are.
    pub fn change(&mut self, entry: Entry, order: u32, diff: Diff, out: &mut Vec<(Row, Diff)>) {
        let old = self.rows.get(&entry).map_or(0, |stored| stored.count);
        let new = old + diff;
        self.negative = self.negative + usize::from(new < 0) - usize::from(old < 0);
        if present(old) != present(new) {
            self.show(&entry, order, present(old), present(new), out);
        }
        match (old, new) {
            (0, 0) => {}
            (_, 0) => {
                self.rows.remove(&entry);
                self.bytes -= entry_weight::<Stored>(&entry);
            }
            (0, _) => {
                self.bytes += entry_weight::<Stored>(&entry);
                self.rows.insert(entry, Stored { count: new, order });
            }
            _ => {
                if let Some(stored) = self.rows.get_mut(&entry) {
                    stored.count = new;
                }
            }
        }
    }

    fn show(&mut self, entry: &[u8], order: u32, old: u64, new: u64, out: &mut Vec<(Row, Diff)>) {
        if let Some(cut) = &mut self.skip {
            cut.change(&self.rows, entry, order, old, new, &mut |entry, order, diff| {
                out.push((row_of(entry, order), -diff));
            });
        }
        let mut show = |entry: &[u8], order: u32, diff: Diff| out.push((row_of(entry, order), diff));
        let diff = new as Diff - old as Diff;
        match (&mut self.take, &self.through) {
            (None, _) => show(entry, order, diff),
            (Some(cut), None) => cut.change(&self.rows, entry, order, old, new, &mut show),
            (Some(cut), Some(through)) => {
                cut.change(&self.rows, entry, order, old, new, &mut |_, _, _| {});
                if through.as_ref().is_some_and(|through| entry[..order as usize] <= **through) {
                    show(entry, order, diff);
                }
            }
        }
    }

    /// Moves the cuts to where they belong after changes, and says what that changes of the rows shown.
    pub fn settle(&mut self, out: &mut Vec<(Row, Diff)>) {
        if let Some(cut) = &mut self.skip {
            cut.settle(&self.rows, &mut |entry, order, diff| out.push((row_of(entry, order), -diff)));
        }
        let Some(cut) = &mut self.take else { return };
        let Some(through) = &mut self.through else {
            cut.settle(&self.rows, &mut |entry, order, diff| out.push((row_of(entry, order), diff)));
            return;
        };
        cut.settle(&self.rows, &mut |_, _, _| {});
        let now: Option<Box<[u8]>> = cut.last.as_ref().map(|(last, _)| last[..self.rows[last].order as usize].into());
        let before = std::mem::replace(through, now.clone());
        let (low, high, sign) = match before.cmp(&now) {
            Ordering::Equal => return,
            Ordering::Less => (before, now, 1),
            Ordering::Greater => (now, before, -1),
        };
        let end = |prefix: Option<Box<[u8]>>| prefix.map(|prefix| after_prefix(&prefix));
        let low: Bound<Entry> = match end(low) {
            None => Unbounded,
            Some(None) => return,
            Some(Some(low)) => Included(low.into()),
        };
        let high: Bound<Entry> = match end(high) {
            Some(Some(high)) => Excluded(high.into()),
            _ => Unbounded,
        };
        for (entry, stored) in self.rows.range((low, high)) {
            if stored.count > 0 {
                out.push((row_of(entry, stored.order), sign * stored.count));
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether no count is below zero.
    pub fn is_sound(&self) -> bool {
        self.negative == 0
    }

    /// Distinct rows kept.
    pub fn entries(&self) -> usize {
        self.rows.len()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(order: u8, row: u8) -> (Entry, u32) {
        let row = Row::from_columns([Some(&[order, row][..])]);
        ([&[1, order][..], row.bytes()].concat().into(), 2)
    }

    fn expected(rows: &BTreeMap<(u8, u8), Diff>, limits: &Limits) -> BTreeMap<Row, Diff> {
        let mut shown = BTreeMap::new();
        let all: Vec<(u8, u8)> =
            rows.iter().flat_map(|(row, count)| std::iter::repeat_n(*row, (*count).max(0) as usize)).collect();
        let end = limits.limit.map_or(u64::MAX, |limit| limits.offset.saturating_add(limit));
        let last = all.get(end.min(all.len() as u64) as usize - usize::from(!all.is_empty() && end > 0));
        for (at, row) in all.iter().enumerate() {
            let tied = limits.with_ties && last.is_some_and(|last| last.0 == row.0);
            if at as u64 >= limits.offset && ((at as u64) < end || tied) {
                let (entry, order) = entry(row.0, row.1);
                *shown.entry(row_of(&entry, order)).or_insert(0) += 1;
            }
        }
        shown
    }

    /// Random changes, counts below zero among them, against sorting everything.
    #[test]
    fn what_is_shown_is_what_sorting_shows() {
        let mut state = 7u64;
        let mut below = |n: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % n
        };
        for round in 0..600 {
            let limits = Limits {
                offset: [0, 0, 1, 3, 10][below(5) as usize],
                limit: [None, Some(1), Some(2), Some(5), Some(30)][below(5) as usize],
                with_ties: below(2) == 0,
            };
            let mut partition = Partition::new(&limits);
            let mut rows: BTreeMap<(u8, u8), Diff> = BTreeMap::new();
            let mut shown: BTreeMap<Row, Diff> = BTreeMap::new();
            for _ in 0..30 {
                let mut out = Vec::new();
                for _ in 0..=below(4) {
                    let row = (below(6) as u8, below(3) as u8);
                    let mut diff = 1 + below(3) as Diff;
                    if below(2) == 0 {
                        diff = if below(8) == 0 { -diff } else { -rows.get(&row).copied().unwrap_or(0) };
                    }
                    *rows.entry(row).or_insert(0) += diff;
                    let (entry, order) = entry(row.0, row.1);
                    partition.change(entry, order, diff, &mut out);
                }
                partition.settle(&mut out);
                for (row, diff) in out {
                    let count = shown.entry(row).or_insert(0);
                    *count += diff;
                }
                shown.retain(|_, count| *count != 0);
                assert_eq!(shown, expected(&rows, &limits), "round {round}, {limits:?}, {rows:?}");
            }
            assert_eq!(partition.is_sound(), rows.values().all(|count| *count >= 0));
        }
    }

    /// E18: rows come at one end and go at the other; a change costs the same after any number of them, also far inside.
    #[test]
    fn e18_a_window_over_time_leaves_no_tombstones() {
        let limits = Limits { offset: 400, limit: Some(10), with_ties: false };
        let mut partition = Partition::new(&limits);
        let key = |number: u32| -> (Entry, u32) {
            let row = Row::from_columns([Some(&number.to_be_bytes()[..])]);
            ([&number.to_be_bytes()[..], row.bytes()].concat().into(), 4)
        };
        let mut most = 0;
        for number in 0..20_000u32 {
            let mut out = Vec::new();
            let (entry, order) = key(number);
            partition.change(entry, order, 1, &mut out);
            if number >= 1000 {
                let (entry, order) = key(number - 1000);
                partition.change(entry, order, -1, &mut out);
            }
            partition.settle(&mut out);
            most = most.max(out.len());
        }
        assert_eq!(partition.entries(), 1000);
        // One row leaves what is skipped, one enters what is shown and one leaves it: not the 400 that are skipped.
        assert!(most <= 8, "a change moved {most} rows");
    }
}
