//! Changes by round, until no more of it can come: what every operator of a loop has in front that must see a round whole.
//!
//! A round's capabilities are held from its first change on. What gathers of one round is consolidated whenever it has
//! doubled, so that rows that cancel, or that come over many ways, do not add up; it counts as held by the operator.

use super::{Count, LoopTime};
use crate::operators::border::Diff;
use crate::operators::context::OperatorContext;
use crate::operators::weight;
use crate::value::Row;
use differential_dataflow::consolidation::consolidate;
use std::collections::BTreeMap;
use timely::dataflow::operators::{Capability, InputCapability};
use timely::progress::frontier::MutableAntichain;

/// A round's capabilities for an operator's two outputs.
pub type Held = (Capability<LoopTime>, Capability<LoopTime>);

#[derive(Default)]
pub struct Rounds {
    open: BTreeMap<LoopTime, Round>,
}

struct Round {
    held: Held,
    rows: Vec<(Row, Count)>,
    bytes: usize,
    /// Rows at the last consolidation: twice as many, and it is worth doing again.
    consolidated: usize,
}

/// A round of which everything has come: nothing in it cancels.
pub struct Complete {
    pub time: LoopTime,
    pub held: Held,
    pub rows: Vec<(Row, Count)>,
}

impl Rounds {
    /// Takes a message.
    pub fn add(
        &mut self,
        operator: &OperatorContext,
        capability: &InputCapability<LoopTime>,
        data: &mut Vec<(Row, LoopTime, Count)>,
    ) {
        operator.count_in(data.len());
        // Before anything of it is consolidated away.
        let bytes: usize = data.iter().map(|(row, _, _)| weight(row)).sum();
        operator.hold(data.len() as Diff, bytes as Diff);
        for (row, time, count) in data.drain(..) {
            let round = self.open.entry(time).or_insert_with(|| Round {
                held: (capability.delayed(&time, 0), capability.delayed(&time, 1)),
                rows: Vec::new(),
                bytes: 0,
                consolidated: 0,
            });
            round.bytes += weight(&row);
            round.rows.push((row, count));
            if round.rows.len() > 2 * round.consolidated + 1024 {
                round.consolidate(operator);
            }
        }
    }

    /// The rounds that are before `frontier`, in order; those in which everything has cancelled are nothing.
    pub fn complete(&mut self, operator: &OperatorContext, frontier: &MutableAntichain<LoopTime>) -> Vec<Complete> {
        let times: Vec<LoopTime> = self.open.keys().filter(|time| !frontier.less_equal(*time)).copied().collect();
        let mut all = Vec::with_capacity(times.len());
        for time in times {
            let Some(mut round) = self.open.remove(&time) else { continue };
            round.consolidate(operator);
            operator.hold(-(round.rows.len() as Diff), -(round.bytes as Diff));
            if !round.rows.is_empty() {
                all.push(Complete { time, held: round.held, rows: round.rows });
            }
        }
        all
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.open.clear();
    }
}

impl Round {
    fn consolidate(&mut self, operator: &OperatorContext) {
        let before = (self.rows.len(), self.bytes);
        consolidate(&mut self.rows);
        self.consolidated = self.rows.len();
        self.bytes = self.rows.iter().map(|(row, _)| weight(row)).sum();
        operator.hold(self.rows.len() as Diff - before.0 as Diff, self.bytes as Diff - before.1 as Diff);
    }
}
