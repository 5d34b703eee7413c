//! Into the loop.

use super::{Changes, Count};
use crate::operators::border::{Diff, Time};
use crate::operators::context::Context;
use crate::operators::{consolidate, weight, Rows};
use crate::value::Row;
use differential_dataflow::collection::AsCollection;
use std::num::Wrapping;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::Capability;

/// Rows with their times written out.
///
/// While the graph hydrates they are held back, and let in at the time at which all that it reads has been fed: what a loop comes
/// to, and whether it ends, is a matter of all of its inputs together. Until then the capability of the first change is
/// held, which keeps everybody after it from taking anything for complete.
pub fn enter<'s>(rows: Rows<'s>, context: &Context) -> Changes<'s, Time> {
    let scope = rows.scope();
    let context = context.clone();
    rows.unary::<CapacityContainerBuilder<Vec<(Row, Time, Count)>>, _, _, _>(Pipeline, "Enter", move |_, info| {
        let operator = context.operator("enter recursion", scope.activator_for(info.address));
        let mut waiting = Waiting::default();
        move |input, output| {
            let _running = operator.enter();
            let halted = operator.halted();
            let complete = context.complete();
            input.for_each(|capability, data| {
                let Some(&time) = capability.least().filter(|_| !halted) else { return data.clear() };
                operator.count_in(data.len());
                match complete {
                    Some(complete) => {
                        let time = time.max(complete);
                        let held = capability.delayed(&time, 0);
                        let mut session = output.session(&held);
                        session.give_iterator(data.drain(..).map(|(row, diff)| (row, time, Wrapping(diff))));
                    }
                    None => waiting.add(|| capability.delayed(&time, 0), data),
                }
            });
            if halted {
                waiting = Waiting::default();
            }
            if let (Some(complete), Some(capability)) = (complete, &waiting.capability) {
                let held = capability.delayed(&complete);
                let rows = std::mem::take(&mut waiting).finish();
                output
                    .session(&held)
                    .give_iterator(rows.into_iter().map(|(row, diff)| (row, complete, Wrapping(diff))));
            }
            operator.holds(waiting.rows.len(), waiting.bytes);
            context.control.check_memory();
        }
    })
    .as_collection()
}

/// What has come before all was there.
#[derive(Default)]
struct Waiting {
    capability: Option<Capability<Time>>,
    rows: Vec<(Row, Diff)>,
    bytes: usize,
    /// Rows at the last consolidation.
    consolidated: usize,
}

impl Waiting {
    fn add(&mut self, capability: impl FnOnce() -> Capability<Time>, data: &mut Vec<(Row, Diff)>) {
        let new = capability();
        // A bridge may bring an earlier time after a later one has come from a table.
        if self.capability.as_ref().is_none_or(|known| new.time() < known.time()) {
            self.capability = Some(new);
        }
        self.bytes += data.iter().map(|(row, _)| weight(row)).sum::<usize>();
        self.rows.append(data);
        if self.rows.len() > 2 * self.consolidated + 1024 {
            self.consolidate();
        }
    }

    fn consolidate(&mut self) {
        consolidate(&mut self.rows);
        self.consolidated = self.rows.len();
        self.bytes = self.rows.iter().map(|(row, _)| weight(row)).sum();
    }

    fn finish(mut self) -> Vec<(Row, Diff)> {
        self.consolidate();
        self.rows
    }
}
