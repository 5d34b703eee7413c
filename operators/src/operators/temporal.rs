//! Temporal filters: conditions over a row and the clock.
//!
//! The algebra: a row's condition is a step function of the clock, which this operator can compute for any row and any
//! reading. Its output at clock `c` is the rows whose condition is true at `c`, with their counts. A change of the input is
//! let through if its row's condition is true now; when the clock moves from `c` to `d`, each row whose condition differs
//! between the two enters or leaves with the count that it has.
//!
//! The state is therefore only rows that the clock can still change, ordered by the next instant at which it does, with
//! their counts. Deleting a row that waits cancels it; a row that will never change again is not kept, and deleting it finds
//! by its condition alone whether it had been let through. Counts below zero are no different from others.
//!
//! One change costs O(log n), and one reading of the clock O(log n) for each row that it moves. At one time, first the clock
//! moves, then the changes of the input are seen with its new reading: the same as the other way round, without keeping what
//! would be moved at once.
//!
//! Checkpoint form: the rows that wait with their counts, and the clock; their instants follow.

use super::border::{Diff, Time};
use super::context::{Budget, Context, OperatorContext};
use super::{bucket, consolidate, scalar, weight, Rows};
use crate::expr::clock::{ClockComparison, Instant};
use crate::expr::{EvalError, Expr};
use crate::plan::ClockTest;
use crate::value::{read, Kind, Row, RowBuilder, RowRef};
use hashbrown::hash_map::Entry;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::vec::IntoIter;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{OutputBuilder, OutputBuilderSession};
use timely::dataflow::operators::Capability;

/// Bytes of an instant's own in the map of those that wait.
const INSTANT_WEIGHT: usize = 128;

/// The condition of a row as a function of the clock.
struct Condition {
    tests: Vec<ClockTest>,
    expression: Expr,
    builder: RowBuilder,
}

/// A row's readings of its tests: what each compares, `None` for NULL.
type Values = Vec<Option<Reading>>;

/// What a test compares with the clock.
enum Reading {
    Instant(i64),
    /// Of a multirange.
    Instants(Vec<i64>),
}

impl Reading {
    fn instants(&self) -> &[i64] {
        match self {
            Reading::Instant(instant) => std::slice::from_ref(instant),
            Reading::Instants(instants) => instants,
        }
    }
}

impl Condition {
    fn values(&self, row: RowRef<'_>) -> Result<Values, EvalError> {
        let value = |test: &ClockTest| match row.column(test.value) {
            None => Ok(None),
            Some(image) if test.comparison == ClockComparison::Within => instants(image).map(Some),
            Some(image) => value(test.kind, image).map(|value| Some(Reading::Instant(value))),
        };
        self.tests.iter().map(value).collect()
    }

    /// Whether the row's condition is true when the clock shows `clock`.
    fn holds(&mut self, row: RowRef<'_>, values: &Values, clock: Instant) -> Result<bool, EvalError> {
        self.builder.clear();
        self.builder.extend(row);
        for (test, value) in self.tests.iter().zip(values) {
            let holds = value
                .as_ref()
                .map(|value| [u8::from(test.comparison.holds_for(value.instants(), test.clock.at(clock)))]);
            self.builder.push(holds.as_ref().map(|image| &image[..]));
        }
        let extended = self.builder.finish();
        scalar::is_true(&self.expression, extended.as_ref())
    }

    /// Whether the row's condition is true at `clock`, and when after that it changes for the first time.
    fn at(&mut self, row: RowRef<'_>, clock: Instant) -> Result<(bool, Option<Instant>), EvalError> {
        let values = self.values(row)?;
        let holds = self.holds(row, &values, clock)?;
        let mut turns: Vec<Instant> = Vec::new();
        for (test, value) in self.tests.iter().zip(&values) {
            let (reached, passed) = test.comparison.turns();
            for value in value.iter().flat_map(Reading::instants) {
                turns.extend(reached.then(|| test.clock.reaches(*value, false)).flatten());
                turns.extend(passed.then(|| test.clock.reaches(*value, true)).flatten());
            }
        }
        turns.retain(|instant| *instant > clock);
        turns.sort_unstable();
        for instant in turns {
            if self.holds(row, &values, instant)? != holds {
                return Ok((holds, Some(instant)));
            }
        }
        Ok((holds, None))
    }
}

/// A date's days or a timestamp's microseconds; the infinities are the least and the greatest number.
fn value(kind: Kind, image: &[u8]) -> Result<i64, EvalError> {
    match kind {
        Kind::Date => Ok(match read::int4(kind, image)? {
            i32::MIN => i64::MIN,
            i32::MAX => i64::MAX,
            days => days.into(),
        }),
        _ => read::int8(kind, image),
    }
}

/// The instants of a multirange, as `multirange_instants` writes them.
fn instants(image: &[u8]) -> Result<Reading, EvalError> {
    let parts = image.chunks(8).map(|part| read::int8(Kind::TimestampTz, part));
    parts.collect::<Result<_, _>>().map(Reading::Instants)
}

/// What has arrived of a time that is not complete.
struct Open {
    capability: Capability<Time>,
    rows: Vec<(Row, Diff)>,
    bytes: usize,
    clock: Option<Instant>,
}

/// The time in work.
struct Work {
    capability: Capability<Time>,
    /// What the clock showed before.
    from: Option<Instant>,
    moved: Option<IntoIter<(Row, Diff)>>,
    rows: IntoIter<(Row, Diff)>,
    bytes: usize,
}

struct Temporal {
    condition: Condition,
    operator: OperatorContext,
    /// What the clock shows; nothing before its first reading, and until then no row is let through.
    clock: Option<Instant>,
    /// Rows that the clock will change, by the next instant at which it does.
    waiting: BTreeMap<Instant, HashMap<Row, Diff>>,
    open: BTreeMap<Time, Open>,
    work: Option<Work>,
}

type Session<'a> = OutputBuilderSession<'a, Time, CapacityContainerBuilder<Vec<(Row, Diff)>>>;

/// The rows whose condition is true when the clock shows what it does. `clock` brings the same readings to every worker.
pub fn temporal<'s>(
    input: Rows<'s>,
    clock: Rows<'s>,
    tests: Vec<ClockTest>,
    condition: Expr,
    context: &Context,
) -> Rows<'s> {
    let scope = input.scope();
    let mut builder = OperatorBuilder::new("Temporal".to_owned(), scope);
    let info = builder.operator_info();
    let operator = context.operator("temporal filter", scope.activator_for(info.address));
    let pact = Exchange::new(|(row, _): &(Row, Diff)| bucket(row.as_ref()));
    let mut input = builder.new_input(input, pact);
    let mut clock = builder.new_input(clock, Pipeline);
    let (output, stream) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<(Row, Diff)>>>::from(output);
    builder.build(move |_| {
        let condition = Condition { tests, expression: condition, builder: RowBuilder::default() };
        let mut temporal =
            Temporal { condition, operator, clock: None, waiting: BTreeMap::new(), open: BTreeMap::new(), work: None };
        move |frontiers| {
            let counters = std::sync::Arc::clone(&temporal.operator.counters);
            let operator = &temporal.operator;
            let _running = operator.enter_as(&counters);
            let halted = operator.halted();
            clock.for_each(|capability, data| {
                if let (Some(&time), false) = (capability.least(), halted) {
                    let readings = data.iter().filter_map(|(row, _)| row.column(0));
                    let latest = readings.filter_map(|image| read::int8(Kind::TimestampTz, image).ok()).max();
                    let open = temporal.open.entry(time).or_insert_with(|| Open::new(capability.delayed(&time, 0)));
                    open.clock = open.clock.max(latest);
                }
                data.clear();
            });
            input.for_each(|capability, data| {
                let Some(&time) = capability.least() else { return data.clear() };
                if halted {
                    return data.clear();
                }
                temporal.operator.count_in(data.len());
                let open = temporal.open.entry(time).or_insert_with(|| Open::new(capability.delayed(&time, 0)));
                let bytes = data.iter().map(|(row, _)| weight(row)).sum::<usize>();
                temporal.operator.hold(data.len() as Diff, bytes as Diff);
                open.bytes += bytes;
                open.rows.append(data);
            });
            if halted {
                temporal.open.clear();
                temporal.waiting = BTreeMap::new();
                temporal.work = None;
                temporal.operator.holds(0, 0);
                return;
            }
            let frontier = frontiers.iter().filter_map(|frontier| frontier.frontier().first().copied()).min();
            temporal.run(frontier, &mut output.activate());
            temporal.operator.context().control.check_memory();
        }
    });
    stream
}

impl Open {
    fn new(capability: Capability<Time>) -> Self {
        Open { capability, rows: Vec::new(), bytes: 0, clock: None }
    }
}

impl Temporal {
    fn run(&mut self, frontier: Option<Time>, output: &mut Session<'_>) {
        let mut budget = Budget::new(self.operator.context());
        loop {
            if self.work.is_none() {
                let Some(entry) = self.open.first_entry() else { break };
                if frontier.is_some_and(|frontier| *entry.key() >= frontier) {
                    break;
                }
                self.begin();
            }
            let Some(mut work) = self.work.take() else { break };
            match self.proceed(&mut work, &mut budget, output) {
                Ok(true) => self.operator.hold(0, -(work.bytes as Diff)),
                Ok(false) => {
                    self.work = Some(work);
                    self.operator.activator.activate();
                    return;
                }
                Err(error) => return self.operator.malformed(&error),
            }
        }
        self.operator.changes_at(self.waiting.keys().next().copied());
    }

    /// Takes the first time that is complete into work, and moves the clock.
    fn begin(&mut self) {
        let Some((_, open)) = self.open.pop_first() else { return };
        let Open { capability, mut rows, bytes, clock } = open;
        let before = rows.len();
        consolidate(&mut rows);
        self.operator.hold(rows.len() as Diff - before as Diff, 0);
        let from = self.clock;
        // It never goes back, whatever it is told.
        self.clock = self.clock.max(clock);
        self.work = Some(Work { capability, from, moved: None, rows: rows.into_iter(), bytes });
    }

    /// Goes on with a time: true once nothing is left of it.
    fn proceed(&mut self, work: &mut Work, budget: &mut Budget, output: &mut Session<'_>) -> Result<bool, EvalError> {
        let capability = &work.capability;
        loop {
            if let Some((row, diff)) = work.moved.as_mut().and_then(Iterator::next) {
                self.operator.hold(-1, -(weight(&row) as Diff));
                self.moved(row, diff, work.from, capability, output)?;
                if !budget.spend() {
                    return Ok(false);
                }
                continue;
            }
            let Some(entry) = self.waiting.first_entry() else { break };
            if self.clock.is_none_or(|clock| *entry.key() > clock) {
                break;
            }
            self.operator.hold(0, -(INSTANT_WEIGHT as Diff));
            // In an order that is the same at every run.
            let mut rows: Vec<(Row, Diff)> = entry.remove().into_iter().collect();
            rows.sort_unstable();
            work.moved = Some(rows.into_iter());
        }
        for (row, diff) in work.rows.by_ref() {
            self.operator.hold(-1, 0);
            let Some(clock) = self.clock else {
                // At the least instant, so that the first reading moves it.
                wait(&mut self.waiting, &self.operator, Instant::MIN, row, diff);
                continue;
            };
            let (holds, next) = self.condition.at(row.as_ref(), clock)?;
            if let Some(next) = next {
                wait(&mut self.waiting, &self.operator, next, row.clone(), diff);
            }
            if holds {
                self.operator.count_out(1);
                output.session(capability).give((row, diff));
            }
            if !budget.spend() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The clock has passed an instant at which the row's condition changes.
    fn moved(
        &mut self,
        row: Row,
        diff: Diff,
        from: Option<Instant>,
        capability: &Capability<Time>,
        output: &mut Session<'_>,
    ) -> Result<(), EvalError> {
        let Some(clock) = self.clock else { return Ok(()) };
        let before = match from {
            Some(from) => {
                let values = self.condition.values(row.as_ref())?;
                self.condition.holds(row.as_ref(), &values, from)?
            }
            None => false,
        };
        let (holds, next) = self.condition.at(row.as_ref(), clock)?;
        if let Some(next) = next {
            wait(&mut self.waiting, &self.operator, next, row.clone(), diff);
        }
        if holds != before {
            self.operator.count_out(1);
            output.session(capability).give((row, if holds { diff } else { -diff }));
        }
        Ok(())
    }
}

/// Adds to the count with which a row waits for an instant; at zero it waits no more.
fn wait(
    waiting: &mut BTreeMap<Instant, HashMap<Row, Diff>>,
    operator: &OperatorContext,
    instant: Instant,
    row: Row,
    diff: Diff,
) {
    let rows = waiting.entry(instant).or_insert_with(|| {
        operator.hold(0, INSTANT_WEIGHT as Diff);
        HashMap::new()
    });
    let bytes = weight(&row) as Diff;
    match rows.entry(row) {
        Entry::Vacant(entry) => {
            entry.insert(diff);
            operator.hold(1, bytes);
        }
        Entry::Occupied(mut entry) => {
            *entry.get_mut() += diff;
            if *entry.get() == 0 {
                entry.remove();
                operator.hold(-1, -bytes);
            }
        }
    }
    if rows.is_empty() {
        waiting.remove(&instant);
        operator.hold(0, -(INSTANT_WEIGHT as Diff));
    }
}
