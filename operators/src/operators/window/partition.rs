//! The rows of one partition in order, each with what was emitted for it, and what functions know at some of them.
//!
//! An own ordered map, not an arrangement (HAZARDS E18, second form): it is walked in both directions, and what has been
//! deleted leaves nothing behind. Every so many rows a [`Mark`](Partition::marks) keeps the states of the functions from
//! before that row, so that a change anywhere is computed from the mark before it on; where the states at a mark come out
//! as they were, everything after it is as it was.

use super::emitted::Emitted;
use super::running::Running;
use super::{Changes, Functions};
use crate::expr::EvalError;
use crate::operators::border::Diff;
use crate::operators::ordered::{entry_weight, row_of, Entry};
use crate::operators::reduce::state::State;
use crate::plan::WindowFunction;
use crate::value::{Row, RowBuilder};
use std::collections::BTreeMap;
use std::ops::Bound::{self, Unbounded};

pub struct Stored {
    pub count: Diff,
    /// How many of the entry's bytes are the order's.
    pub order: u32,
    pub emitted: Emitted,
}

/// A row that counts: between reported times a deletion may come before its insertion (HAZARDS E6).
#[derive(Clone)]
pub struct Found {
    pub entry: Entry,
    pub order: u32,
    pub copies: u64,
}

impl Found {
    pub fn order(&self) -> &[u8] {
        &self.entry[..self.order as usize]
    }

    fn of((entry, stored): (&Entry, &Stored)) -> Option<Found> {
        let copies = u64::try_from(stored.count).ok().filter(|copies| *copies > 0)?;
        Some(Found { entry: entry.clone(), order: stored.order, copies })
    }
}

pub struct Partition {
    rows: BTreeMap<Entry, Stored>,
    /// The states of the functions before a row.
    pub marks: BTreeMap<Entry, Box<[Running]>>,
    /// Of the aggregates over the whole partition.
    whole: Vec<State>,
    /// The values of the functions over the whole partition, when they were last looked at.
    pub values: Result<Row, EvalError>,
    negative: usize,
    bytes: usize,
}

/// What a mark takes up.
fn mark_weight(entry: &[u8], mark: &[Running]) -> usize {
    let states: usize = mark.iter().map(|state| size_of::<Running>() + state.bytes()).sum();
    size_of::<(Entry, Box<[Running]>)>() + states + entry.len().min(32)
}

impl Partition {
    pub fn new(functions: &Functions) -> Self {
        let state = |call: &usize| match &functions.calls[*call].function {
            WindowFunction::Aggregate(aggregate) => Some(State::new(aggregate)),
            _ => None,
        };
        Partition {
            rows: BTreeMap::new(),
            marks: BTreeMap::new(),
            whole: functions.whole.iter().filter_map(state).collect(),
            values: Ok(Row::default()),
            negative: 0,
            bytes: size_of::<Partition>(),
        }
    }

    /// `diff` times an entry. What was emitted for it is taken back if it does not count any more; all else is for later.
    pub fn change(
        &mut self,
        functions: &Functions,
        entry: &Entry,
        order: u32,
        diff: Diff,
        changes: &mut Changes,
    ) -> Result<(), EvalError> {
        let row = row_of(entry, order);
        let aggregates = functions.whole.iter().filter_map(|call| match &functions.calls[*call].function {
            WindowFunction::Aggregate(aggregate) => Some(aggregate),
            _ => None,
        });
        for (state, aggregate) in self.whole.iter_mut().zip(aggregates) {
            state.add(aggregate, row, diff)?;
        }
        let stored = self.rows.entry(entry.clone()).or_insert_with(|| {
            self.bytes += entry_weight::<Stored>(entry);
            Stored { count: 0, order, emitted: Emitted::default() }
        });
        self.negative -= usize::from(stored.count < 0);
        stored.count += diff;
        self.negative += usize::from(stored.count < 0);
        let count = stored.count;
        if count <= 0 {
            self.show(entry, Emitted::default(), changes);
            self.unmark(entry);
        }
        if count == 0 {
            self.rows.remove(entry);
            self.bytes -= entry_weight::<Stored>(entry);
        }
        Ok(())
    }

    /// Computes the functions over the whole partition; true if one of them has another value than before.
    pub fn settle(&mut self, functions: &Functions) -> bool {
        if functions.whole.is_empty() {
            return false;
        }
        let values = self.compute(functions);
        let before = std::mem::replace(&mut self.values, values);
        self.values != before
    }

    fn compute(&self, functions: &Functions) -> Result<Row, EvalError> {
        let mut values = RowBuilder::default();
        let mut states = self.whole.iter();
        for call in &functions.whole {
            match &functions.calls[*call].function {
                WindowFunction::Aggregate(aggregate) => match states.next() {
                    Some(state) => state.result(aggregate.function, &mut values)?,
                    None => values.push(None),
                },
                WindowFunction::FirstValue(column) => {
                    let first = self.rows.iter().find(|(_, stored)| stored.count > 0);
                    values.push(first.and_then(|(entry, stored)| row_of(entry, stored.order).column(*column)));
                }
                WindowFunction::LastValue(column) => {
                    let last = self.rows.iter().rev().find(|(_, stored)| stored.count > 0);
                    values.push(last.and_then(|(entry, stored)| row_of(entry, stored.order).column(*column)));
                }
                _ => values.push(None),
            }
        }
        Ok(values.finish())
    }

    /// The first row from a bound on.
    pub fn next(&self, from: Bound<&[u8]>) -> Option<Found> {
        self.rows.range::<[u8], _>((from, Unbounded)).find_map(Found::of)
    }

    /// The rows before a place, the nearest first.
    pub fn before<'a>(&'a self, place: &[u8]) -> impl Iterator<Item = Found> + use<'a> {
        self.rows.range::<[u8], _>((Unbounded, Bound::Excluded(place))).rev().filter_map(Found::of)
    }

    /// Puts `new` in place of what was emitted for an entry.
    pub fn show(&mut self, entry: &Entry, new: Emitted, changes: &mut Changes) {
        if let Some(stored) = self.rows.get_mut(entry) {
            stored.emitted.replaced(&new, row_of(entry, stored.order), changes);
            self.bytes = self.bytes + new.len() - stored.emitted.len();
            stored.emitted = new;
        }
    }

    pub fn mark(&mut self, entry: &Entry, states: Box<[Running]>) {
        self.unmark(entry);
        self.bytes += mark_weight(entry, &states);
        self.marks.insert(entry.clone(), states);
    }

    pub fn unmark(&mut self, entry: &Entry) {
        if let Some(states) = self.marks.remove(entry) {
            self.bytes -= mark_weight(entry, &states);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether it is a state that a real input can have.
    pub fn is_sound(&self) -> bool {
        self.negative == 0 && self.whole.iter().all(State::is_sound)
    }

    /// Distinct rows kept.
    pub fn entries(&self) -> usize {
        self.rows.len()
    }

    pub fn bytes(&self) -> usize {
        self.bytes + self.whole.iter().map(|state| size_of::<State>() + state.bytes()).sum::<usize>()
    }
}
