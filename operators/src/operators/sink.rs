//! The end of a graph: net changes by finished time, for the main thread and for the bridges to other graphs.

use super::border::{Diff, ErrorRow, Time};
use super::bridge::BridgeWriter;
use super::context::Context;
use super::{consolidate, Collection};
use crate::value::Row;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::core::Concatenate;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::Scope;

/// What has been finished and not yet reported.
#[derive(Default)]
pub struct Finished {
    rows: Vec<(Row, Diff)>,
    errors: Vec<(ErrorRow, Diff)>,
    /// Rows at the last consolidation: twice as many, and it is worth doing again.
    consolidated: usize,
}

struct State {
    open: BTreeMap<Time, (Vec<(Row, Diff)>, Vec<(ErrorRow, Diff)>)>,
    finished: BTreeMap<Time, (Rc<Vec<(Row, Diff)>>, Vec<(ErrorRow, Diff)>)>,
    frontier: Option<Time>,
}

/// The worker's handle to what a graph's sink has collected.
#[derive(Clone)]
pub struct SinkHandle {
    state: Rc<RefCell<State>>,
    pub bridges: BridgeWriter,
}

impl SinkHandle {
    /// Through which time the output is finished on this worker; `None`: for ever.
    pub fn frontier(&self) -> Option<Time> {
        self.state.borrow().frontier
    }

    /// Takes the net change of all finished times up to and with `time` into `into`.
    pub fn take(&self, time: Time, into: &mut Finished) {
        let mut state = self.state.borrow_mut();
        let later = match time.checked_add(1) {
            Some(next) => state.finished.split_off(&next),
            None => BTreeMap::new(),
        };
        for (rows, errors) in std::mem::replace(&mut state.finished, later).into_values() {
            into.rows.extend(Rc::unwrap_or_clone(rows));
            into.errors.extend(errors);
        }
        if into.rows.len() > 2 * into.consolidated + 1024 {
            into.consolidate();
        }
    }
}

impl Finished {
    fn consolidate(&mut self) {
        consolidate(&mut self.rows);
        consolidate(&mut self.errors);
        self.consolidated = self.rows.len();
    }

    /// The consolidated content; leaves nothing.
    pub fn report(&mut self) -> (Vec<(Row, Diff)>, Vec<(ErrorRow, Diff)>) {
        self.consolidate();
        self.consolidated = 0;
        (std::mem::take(&mut self.rows), std::mem::take(&mut self.errors))
    }
}

/// Ends `output`.
pub fn sink<'s>(scope: Scope<'s, Time>, output: Collection<'s>, name: &str, context: &Context) -> SinkHandle {
    let context = context.clone();
    let state = Rc::new(RefCell::new(State { open: BTreeMap::new(), finished: BTreeMap::new(), frontier: Some(0) }));
    let bridges = BridgeWriter::default();
    let handle = SinkHandle { state: Rc::clone(&state), bridges: bridges.clone() };
    let mut builder = OperatorBuilder::new(name.to_owned(), scope);
    let info = builder.operator_info();
    let operator = context.operator("output", scope.activator_for(info.address));
    let mut rows = builder.new_input(output.rows, Pipeline);
    let mut errors = if output.errors.is_empty() {
        None
    } else {
        Some(builder.new_input(scope.concatenate(output.errors), Pipeline))
    };
    builder.build(move |_| {
        move |frontiers| {
            let _running = operator.enter();
            let halted = operator.halted();
            let mut state = state.borrow_mut();
            rows.for_each(|capability, data| {
                if let (Some(time), false) = (capability.least(), halted) {
                    operator.count_in(data.len());
                    state.open.entry(*time).or_default().0.append(data);
                } else {
                    data.clear();
                }
            });
            if let Some(errors) = &mut errors {
                errors.for_each(|capability, data| {
                    if let (Some(time), false) = (capability.least(), halted) {
                        state.open.entry(*time).or_default().1.append(data);
                    } else {
                        data.clear();
                    }
                });
            }
            if halted {
                state.open.clear();
                state.finished.clear();
                return;
            }
            let frontier = frontiers.iter().filter_map(|frontier| frontier.frontier().first().copied()).min();
            while let Some(entry) = state.open.first_entry() {
                if frontier.is_some_and(|frontier| *entry.key() >= frontier) {
                    break;
                }
                let (time, (mut rows, mut errors)) = entry.remove_entry();
                consolidate(&mut rows);
                consolidate(&mut errors);
                operator.count_out(rows.len());
                let rows = Rc::new(rows);
                if !rows.is_empty() {
                    bridges.send(time, &rows);
                }
                if !(rows.is_empty() && errors.is_empty()) {
                    state.finished.insert(time, (rows, errors));
                }
            }
            if frontier != state.frontier {
                state.frontier = frontier;
                bridges.advance(frontier);
            }
        }
    });
    handle
}
