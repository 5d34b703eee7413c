//! The frame of operators that keep a state for each key.
//!
//! Changes are gathered by time as they arrive. When the frontier passes a time it is worked off, one time after the other
//! and each within the budgets of as many activations as it takes; until nothing is left of it the right to emit at it is
//! held. What is gathered is counted as held until then.

use super::border::{Diff, ErrorRow, Time};
use super::context::{Budget, Context, OperatorContext};
use super::{bucket, Errors, Keyed, Rows};
use crate::expr::EvalError;
use crate::value::Row;
use std::collections::BTreeMap;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{OutputBuilder, OutputBuilderSession};
use timely::dataflow::operators::Capability;

/// An operator's state of all keys of a worker.
pub trait Stateful: 'static {
    /// The changes of a time that is not complete.
    type Changes;
    /// What is left of the time in work.
    type Work;

    fn no_changes(&self) -> Self::Changes;

    /// Takes in a change; by how many bytes what is gathered has grown.
    fn gather(&mut self, changes: &mut Self::Changes, key: Row, row: Row, diff: Diff) -> Result<Diff, EvalError>;

    /// The time is complete; by how many bytes the work is more than what was gathered.
    fn begin(&mut self, changes: Self::Changes) -> (Self::Work, Diff);

    fn proceed(&mut self, work: &mut Self::Work, budget: &mut Budget, out: &mut Output<'_, '_>) -> Progress;

    /// How many keys are in a state that no real input can have (HAZARDS E16).
    fn suspects(&self) -> usize;

    /// Lets go of all keys.
    fn clear(&mut self);
}

/// How far an activation has come with a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Done,
    /// The budget is.
    Spent,
    /// For a reply, which wakes the operator.
    Waits,
}

type Held = (Capability<Time>, Capability<Time>);
type Builder<T> = CapacityContainerBuilder<Vec<(T, Diff)>>;

/// Where an operator emits at the time in work.
pub struct Output<'a, 's> {
    pub operator: &'a OperatorContext,
    held: &'a Held,
    rows: &'a mut OutputBuilderSession<'s, Time, Builder<Row>>,
    errors: &'a mut OutputBuilderSession<'s, Time, Builder<ErrorRow>>,
}

impl Output<'_, '_> {
    pub fn row(&mut self, row: Row, diff: Diff) {
        self.operator.count_out(1);
        self.rows.session(&self.held.0).give((row, diff));
    }

    pub fn rows(&mut self, rows: &mut Vec<(Row, Diff)>) {
        self.operator.count_out(rows.len());
        self.rows.session(&self.held.0).give_iterator(rows.drain(..));
    }

    pub fn error(&mut self, error: ErrorRow, diff: Diff) {
        self.errors.session(&self.held.1).give((error, diff));
    }
}

/// The changes of a time, and their bytes.
struct Open<C> {
    held: Held,
    changes: C,
    bytes: Diff,
}

struct Frame<S: Stateful> {
    state: S,
    operator: OperatorContext,
    open: BTreeMap<Time, Open<S::Changes>>,
    work: Option<Open<S::Work>>,
    suspected: usize,
}

/// Runs the operator over keyed rows. `first` is what there is to do at a time before any change has come.
pub fn stateful<'s, S: Stateful>(
    name: &str,
    input: Keyed<'s>,
    context: &Context,
    first: Option<(Time, S::Changes)>,
    state: impl FnOnce(&OperatorContext) -> S + 'static,
) -> (Rows<'s>, Errors<'s>) {
    let scope = input.scope();
    let mut builder = OperatorBuilder::new(name.to_owned(), scope);
    let info = builder.operator_info();
    let operator = context.operator(name, scope.activator_for(info.address));
    let pact = Exchange::new(|(key, _, _): &(Row, Row, Diff)| bucket(key.as_ref()));
    let mut input = builder.new_input(input, pact);
    let (rows, row_stream) = builder.new_output();
    let mut rows = OutputBuilder::<_, Builder<Row>>::from(rows);
    let (errors, error_stream) = builder.new_output();
    let mut errors = OutputBuilder::<_, Builder<ErrorRow>>::from(errors);
    builder.build(move |mut capabilities| {
        let state = state(&operator);
        let mut frame = Frame { state, operator, open: BTreeMap::new(), work: None, suspected: 0 };
        if let (Some((time, changes)), Some(for_errors), Some(for_rows)) =
            (first, capabilities.pop(), capabilities.pop())
        {
            let held = (for_rows.delayed(&time), for_errors.delayed(&time));
            frame.open.insert(time, Open { held, changes, bytes: 0 });
        }
        move |frontiers| {
            let counters = std::sync::Arc::clone(&frame.operator.counters);
            let context = frame.operator.context().clone();
            let _running = frame.operator.enter_as(&counters);
            let halted = frame.operator.halted();
            input.for_each(|capability, data| {
                let Some(&time) = capability.least() else { return data.clear() };
                if halted {
                    return data.clear();
                }
                frame.operator.count_in(data.len());
                let state = &mut frame.state;
                let open = frame.open.entry(time).or_insert_with(|| Open {
                    held: (capability.delayed(&time, 0), capability.delayed(&time, 1)),
                    changes: state.no_changes(),
                    bytes: 0,
                });
                let mut grown = 0;
                for (key, row, diff) in data.drain(..) {
                    match state.gather(&mut open.changes, key, row, diff) {
                        Ok(more) => grown += more,
                        Err(error) => frame.operator.malformed(&error),
                    }
                }
                open.bytes += grown;
                frame.operator.hold(0, grown);
            });
            if halted {
                frame.open.clear();
                frame.work = None;
                frame.state.clear();
                frame.operator.holds(0, 0);
                return;
            }
            let frontier = frontiers[0].frontier().first().copied();
            frame.run(frontier, &mut rows.activate(), &mut errors.activate());
            context.control.check_memory();
        }
    });
    (row_stream, error_stream)
}

impl<S: Stateful> Frame<S> {
    fn run<'s>(
        &mut self,
        frontier: Option<Time>,
        rows: &mut OutputBuilderSession<'s, Time, Builder<Row>>,
        errors: &mut OutputBuilderSession<'s, Time, Builder<ErrorRow>>,
    ) {
        let mut budget = Budget::new(self.operator.context());
        loop {
            if self.work.is_none() {
                let Some(entry) = self.open.first_entry() else { return };
                if frontier.is_some_and(|frontier| *entry.key() >= frontier) {
                    return;
                }
                let Open { held, changes, bytes } = entry.remove();
                let (work, more) = self.state.begin(changes);
                self.operator.hold(0, more);
                self.work = Some(Open { held, changes: work, bytes: bytes + more });
            }
            let Some(Open { held, changes: work, bytes }) = &mut self.work else { return };
            let mut out = Output { operator: &self.operator, held, rows, errors };
            match self.state.proceed(work, &mut budget, &mut out) {
                Progress::Done => {}
                Progress::Spent => return self.operator.activator.activate(),
                Progress::Waits => return,
            }
            self.operator.hold(0, -*bytes);
            let suspects = self.state.suspects();
            if suspects != self.suspected {
                self.suspected = suspects;
                self.operator.context().suspicion.set(*held.0.time(), &self.operator.name, suspects);
            }
            self.work = None;
        }
    }
}
