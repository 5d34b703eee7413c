//! A walk over the rows of a partition whose values may be others after changes.
//!
//! It begins where the first change may be felt and goes on until none can be any more: past the neighbours of the last
//! change, and past a mark at which all functions know what they knew before. Then it skips to the next change. It can stop
//! and go on between any two rows.

use super::emitted::{Emitted, Outcome, Runs};
use super::partition::{Found, Partition};
use super::running::Running;
use super::{Changes, Functions, Source};
use crate::expr::EvalError;
use crate::operators::ordered::{row_of, Entry};
use crate::plan::{WindowCall, WindowFunction};
use crate::value::RowBuilder;
use std::collections::VecDeque;
use std::ops::Bound::{Excluded, Included};

/// About so many rows are between two marks.
const ROWS_BETWEEN_MARKS: u32 = 64;

/// Where the walk is.
enum Position {
    From(Entry),
    After(Entry),
}

pub struct Sweep {
    /// Rows before are only walked over to know the functions' states.
    from: Entry,
    position: Position,
    /// Of [`Functions::rows`], then of [`Functions::peers`]: the latter are ahead of the others by the rest of the peers.
    states: Box<[Running]>,
    /// The order of the row that was visited last.
    group: Option<Entry>,
    group_length: u32,
    /// Up to which row the peers of the next one have been taken in.
    through: Option<Entry>,
    /// Whether the next row's changes and mark have been looked at.
    visited: bool,
    /// The whole partition is walked.
    everything: bool,
    /// Whether a change has been passed.
    reached: bool,
    /// Whether the functions' states are as they were.
    settled: bool,
    /// How many rows ago the last change was.
    since_change: u64,
    since_mark: u32,
    /// Copies of rows before the next one and after it, as many as functions look at.
    behind: Option<VecDeque<Found>>,
    ahead: VecDeque<Found>,
}

/// Whether the walk goes on.
#[derive(PartialEq)]
pub enum Step {
    On,
    Done,
}

impl Sweep {
    /// From a change on; or all rows.
    pub fn new(partition: &Partition, functions: &Functions, change: Option<&(Entry, u32)>) -> Self {
        let from: Entry = match change {
            None => [].into(),
            Some((entry, order)) => {
                let mut copies = 0;
                let back = partition.before(entry).take_while(|found| {
                    let wanted = copies < functions.ahead;
                    copies += found.copies;
                    wanted
                });
                let (first, order) = back.last().map_or((entry.clone(), *order), |found| (found.entry, found.order));
                if functions.peers.is_empty() {
                    first
                } else {
                    first[..order as usize].into()
                }
            }
        };
        let (position, states) = match partition.marks.range(..=from.clone()).next_back() {
            Some((entry, states)) => (entry.clone(), states.clone()),
            None if functions.is_running() => ([].into(), functions.states()),
            None => (from.clone(), functions.states()),
        };
        Sweep {
            from,
            position: Position::From(position),
            states,
            group: None,
            group_length: 0,
            through: None,
            visited: false,
            everything: change.is_none(),
            reached: false,
            settled: false,
            since_change: 0,
            since_mark: 0,
            behind: None,
            ahead: VecDeque::new(),
        }
    }

    /// Bytes that it takes up, about: neighbours are entries of the partition.
    pub fn bytes(&self) -> usize {
        (self.ahead.len() + self.behind.as_ref().map_or(0, VecDeque::len)) * size_of::<Found>()
    }

    /// Goes on by a row, or by one of its peers. `next` is the first of the changes that has not been passed.
    pub fn step(
        &mut self,
        partition: &mut Partition,
        functions: &Functions,
        changed: &[(Entry, u32)],
        next: &mut usize,
        changes: &mut Changes,
    ) -> Result<Step, EvalError> {
        let from = match &self.position {
            Position::From(entry) => Included(&**entry),
            Position::After(entry) => Excluded(&**entry),
        };
        let Some(found) = partition.next(from) else {
            *next = changed.len();
            return Ok(Step::Done);
        };
        if found.entry < self.from {
            for (state, call) in self.states.iter_mut().zip(functions.running()) {
                let row = row_of(&found.entry, found.order);
                state.advance(&functions.calls[call].function, found.order(), row, found.copies)?;
            }
            self.leave(found);
            return Ok(Step::On);
        }
        let first_of_peers =
            self.group.as_ref().is_none_or(|group| group[..self.group_length as usize] != *found.order());
        if !self.visited {
            self.visited = true;
            if self.visit(partition, functions, changed, next, &found, first_of_peers) == Step::Done {
                return Ok(Step::Done);
            }
        }
        if !functions.peers.is_empty() && first_of_peers {
            let after = self.through.as_ref().map_or(Included(&*found.entry), |through| Excluded(&**through));
            if let Some(peer) = partition.next(after).filter(|peer| peer.order() == found.order()) {
                let states = self.states[functions.rows.len()..].iter_mut();
                for (state, call) in states.zip(&functions.peers) {
                    let row = row_of(&peer.entry, peer.order);
                    state.advance(&functions.calls[*call].function, peer.order(), row, peer.copies)?;
                }
                self.through = Some(peer.entry);
                return Ok(Step::On);
            }
        }
        self.look_around(partition, functions, &found);
        let emitted = self.outcomes(partition, functions, &found)?;
        partition.show(&found.entry, emitted, changes);
        if let Some(behind) = self.behind.as_mut().filter(|_| functions.behind > 0) {
            behind.extend(std::iter::repeat_n(found.clone(), found.copies.min(functions.behind) as usize));
            while behind.len() as u64 > functions.behind {
                behind.pop_front();
            }
        }
        let is_changed = next.checked_sub(1).is_some_and(|last| changed[last].0 == found.entry);
        self.since_change = if is_changed { 0 } else { self.since_change.saturating_add(found.copies) };
        self.leave(found);
        Ok(Step::On)
    }

    fn leave(&mut self, found: Found) {
        self.visited = false;
        self.through = None;
        self.since_mark += 1;
        self.group_length = found.order;
        self.group = Some(found.entry.clone());
        self.position = Position::After(found.entry);
    }

    /// Passes changes up to a row, looks at its mark, and decides whether the row and what follows it are as they were.
    fn visit(
        &mut self,
        partition: &mut Partition,
        functions: &Functions,
        changed: &[(Entry, u32)],
        next: &mut usize,
        found: &Found,
        first_of_peers: bool,
    ) -> Step {
        while changed.get(*next).is_some_and(|(entry, _)| *entry < found.entry) {
            self.pass(functions, next);
        }
        if functions.is_running() {
            self.look_at_mark(partition, functions, found, first_of_peers);
        }
        if changed.get(*next).is_some_and(|(entry, _)| *entry == found.entry) {
            self.pass(functions, next);
            return Step::On;
        }
        let over = self.reached && self.settled && self.since_change >= functions.behind && !self.everything;
        if over {
            Step::Done
        } else {
            Step::On
        }
    }

    fn pass(&mut self, functions: &Functions, next: &mut usize) {
        *next += 1;
        self.reached = true;
        self.settled = !functions.is_running();
        self.since_change = 0;
    }

    /// Marks are only where no peers have been taken in.
    fn look_at_mark(&mut self, partition: &mut Partition, functions: &Functions, found: &Found, first_of_peers: bool) {
        let allowed = functions.peers.is_empty() || first_of_peers;
        match partition.marks.get(&found.entry) {
            Some(_) if !allowed => partition.unmark(&found.entry),
            Some(mark) if *mark == self.states => {
                self.settled |= self.reached;
                self.since_mark = 0;
            }
            Some(_) if self.since_mark > 0 && self.since_mark < ROWS_BETWEEN_MARKS / 4 => {
                partition.unmark(&found.entry)
            }
            Some(_) => {
                partition.mark(&found.entry, self.states.clone());
                self.since_mark = 0;
            }
            None if allowed && self.since_mark >= ROWS_BETWEEN_MARKS => {
                partition.mark(&found.entry, self.states.clone());
                self.since_mark = 0;
            }
            None => {}
        }
    }

    /// Gathers the rows around the next one that functions look at.
    fn look_around(&mut self, partition: &Partition, functions: &Functions, found: &Found) {
        if self.behind.is_none() {
            let mut behind = VecDeque::new();
            let mut missing = functions.behind;
            let mut before = partition.before(&found.entry);
            while missing > 0 {
                let Some(other) = before.next() else { break };
                let copies = other.copies.min(missing);
                missing -= copies;
                (0..copies).for_each(|_| behind.push_front(other.clone()));
            }
            self.behind = Some(behind);
        }
        if functions.ahead == 0 {
            return;
        }
        while self.ahead.front().is_some_and(|other| other.entry <= found.entry) {
            self.ahead.pop_front();
        }
        while (self.ahead.len() as u64) < functions.ahead {
            let last = self.ahead.back().map_or(&found.entry, |last| &last.entry);
            let Some(other) = partition.next(Excluded(last)) else { break };
            let copies = other.copies.min(functions.ahead) as usize;
            self.ahead.extend(std::iter::repeat_n(other, copies));
        }
    }

    /// What the functions come to for a row.
    fn outcomes(&mut self, partition: &Partition, functions: &Functions, found: &Found) -> Result<Emitted, EvalError> {
        let mut runs = Runs::default();
        let row = row_of(&found.entry, found.order);
        let together = if functions.per_copy { 1 } else { found.copies };
        for copy in 0..found.copies / together {
            let states = self.states[..functions.rows.len()].iter_mut();
            for (state, call) in states.zip(&functions.rows) {
                state.advance(&functions.calls[*call].function, found.order(), row, together)?;
            }
            runs.push(self.values(partition, functions, found, copy), together);
        }
        Ok(runs.finish())
    }

    /// The values for one copy of a row.
    fn values(&self, partition: &Partition, functions: &Functions, found: &Found, copy: u64) -> Outcome {
        let mut values = RowBuilder::default();
        let mut whole = match &partition.values {
            Ok(values) => values.columns(),
            Err(error) => return Err(error.clone()),
        };
        for (call, source) in functions.calls.iter().zip(&functions.sources) {
            match source {
                Source::State(at) => self.states[*at].value(&call.function, &mut values)?,
                Source::Whole => values.push(whole.next().flatten()),
                Source::Neighbour => self.neighbour(call, found, copy, &mut values)?,
            }
        }
        Ok(values.finish())
    }

    fn neighbour(&self, call: &WindowCall, found: &Found, copy: u64, values: &mut RowBuilder) -> Result<(), EvalError> {
        match (&call.function, call.neighbours()) {
            (WindowFunction::Neighbour { argument, default, .. }, Some((at, _))) => {
                match (self.beside(found, copy, at), default) {
                    (Some(other), _) => values.push(row_of(&other.entry, other.order).column(*argument)),
                    (None, None) => values.push(None),
                    (None, Some(default)) => {
                        values.push(default.eval(row_of(&found.entry, found.order))?.as_deref());
                    }
                }
            }
            (function, Some((from, to))) => {
                let mut state = Running::new(function);
                for other in (from..=to).filter_map(|at| self.beside(found, copy, at)) {
                    state.advance(function, other.order(), row_of(&other.entry, other.order), 1)?;
                }
                state.value(function, values)?;
            }
            (_, None) => values.push(None),
        }
        Ok(())
    }

    /// The row that is so many after a copy of a row, or before it if that is below zero.
    fn beside<'a>(&'a self, found: &'a Found, copy: u64, at: i64) -> Option<&'a Found> {
        let by = at.unsigned_abs();
        let within = if at < 0 { copy } else { found.copies - 1 - copy };
        if by <= within {
            return Some(found);
        }
        let beyond = by - within;
        if at > 0 {
            return self.ahead.get(beyond as usize - 1);
        }
        let behind = self.behind.as_ref()?;
        behind.get((behind.len() as u64).checked_sub(beyond)? as usize)
    }
}
