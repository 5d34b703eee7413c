//! Window functions, evaluated by PostgreSQL over whole partitions.
//!
//! Two-phase, as [`super::pg_map`] is: when a time is complete its partitions are changed, and all rows of those that are
//! not what they were are sent, some partitions at a time; the time stays open until the replies have come. What a partition
//! had emitted is kept, and what has changed of it is emitted (HAZARDS E16, E19): of a row whose values are as before,
//! nothing. State: the rows of every partition, and the output that was emitted for them; a checkpoint needs both, since
//! PostgreSQL may not choose the same order among equal rows again.

use super::border::{Diff, ErrorRow, EvaluationReply, StopReason, Time};
use super::context::{Budget, Context, OperatorContext};
use super::{bucket, consolidate, Errors, Keyed, Rows};
use crate::expr::EvalError;
use crate::value::{Row, RowBuilder};
use hashbrown::hash_map::IntoIter;
use hashbrown::{HashMap, HashSet};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{OutputBuilder, OutputBuilderSession};
use timely::dataflow::operators::Capability;

/// What is evaluated.
pub struct Specification {
    /// A window fragment: see [`crate::plan::Fragment`].
    pub fragment: usize,
    /// Columns of the rows that its arguments are, after the row's number.
    pub arguments: Vec<usize>,
    pub site: usize,
}

type Held = (Capability<Time>, Capability<Time>);
type RowSession<'a> = OutputBuilderSession<'a, Time, CapacityContainerBuilder<Vec<(Row, Diff)>>>;
type ErrorSession<'a> = OutputBuilderSession<'a, Time, CapacityContainerBuilder<Vec<(ErrorRow, Diff)>>>;
type Changes = HashMap<Row, HashMap<Row, Diff>>;

/// Partitions are sent together until they have so many rows.
const ROWS_TOGETHER: usize = 64 << 10;

#[derive(Default)]
struct Partition {
    /// In the order in which they are sent, so that the choice among rows that are equal in a window's order is stable.
    rows: BTreeMap<Row, Diff>,
    negative: usize,
    bytes: usize,
    emitted: Emitted,
}

/// What was emitted for a partition.
enum Emitted {
    Rows(Vec<(Row, Diff)>),
    Error(EvalError),
}

/// The time in work.
struct Work {
    held: Held,
    changes: IntoIter<Row, HashMap<Row, Diff>>,
    bytes: usize,
    /// Partitions that have changed and not been sent.
    changed: VecDeque<Row>,
    asked: Option<Asked>,
}

/// Partitions that wait for PostgreSQL, each the item of its place.
struct Asked {
    request: u64,
    partitions: Vec<Row>,
    bytes: usize,
}

struct Window {
    specification: Specification,
    operator: OperatorContext,
    partitions: HashMap<Row, Partition>,
    open: BTreeMap<Time, (Held, Changes, usize)>,
    work: Option<Work>,
    replies: Rc<RefCell<Vec<EvaluationReply>>>,
    suspects: HashSet<Row>,
    suspected: usize,
    builder: RowBuilder,
}

/// Appends to every row the values of window functions over the rows of its key.
pub fn window<'s>(input: Keyed<'s>, specification: Specification, context: &Context) -> (Rows<'s>, Errors<'s>) {
    let scope = input.scope();
    let mut builder = OperatorBuilder::new("Window".to_owned(), scope);
    let info = builder.operator_info();
    let operator = context.operator("window", scope.activator_for(info.address));
    let pact = Exchange::new(|(key, _, _): &(Row, Row, Diff)| bucket(key.as_ref()));
    let mut input = builder.new_input(input, pact);
    let (rows, row_stream) = builder.new_output();
    let mut rows = OutputBuilder::<_, CapacityContainerBuilder<Vec<(Row, Diff)>>>::from(rows);
    let (errors, error_stream) = builder.new_output();
    let mut errors = OutputBuilder::<_, CapacityContainerBuilder<Vec<(ErrorRow, Diff)>>>::from(errors);
    builder.build(move |_| {
        let mut window = Window {
            specification,
            operator,
            partitions: HashMap::new(),
            open: BTreeMap::new(),
            work: None,
            replies: Rc::default(),
            suspects: HashSet::new(),
            suspected: 0,
            builder: RowBuilder::default(),
        };
        move |frontiers| {
            let counters = std::sync::Arc::clone(&window.operator.counters);
            let context = window.operator.context().clone();
            let _running = window.operator.enter_as(&counters);
            let halted = window.operator.halted();
            input.for_each(|capability, data| {
                let Some(&time) = capability.least() else { return data.clear() };
                if halted {
                    return data.clear();
                }
                window.operator.count_in(data.len());
                let (_, changes, bytes) = window.open.entry(time).or_insert_with(|| {
                    ((capability.delayed(&time, 0), capability.delayed(&time, 1)), HashMap::new(), 0)
                });
                let mut grown = 0;
                for (key, row, diff) in data.drain(..) {
                    let rows = changes.entry(key).or_insert_with_key(|key| {
                        grown += weight(key);
                        HashMap::new()
                    });
                    *rows.entry(row).or_insert_with_key(|row| {
                        grown += weight(row);
                        0
                    }) += diff;
                }
                *bytes += grown;
                window.operator.hold(0, grown as Diff);
            });
            if halted {
                window.open.clear();
                window.partitions = HashMap::new();
                window.work = None;
                window.operator.holds(0, 0);
                return;
            }
            let frontier = frontiers[0].frontier().first().copied();
            window.run(frontier, &mut rows.activate(), &mut errors.activate());
            context.control.check_memory();
        }
    });
    (row_stream, error_stream)
}

/// What a row takes up: its length counts, not its capacity, so that what is added for one copy of it can be taken away for
/// another.
fn weight(row: &Row) -> usize {
    row.bytes().len() + size_of::<(Row, Diff)>() + 32
}

impl Default for Emitted {
    fn default() -> Self {
        Emitted::Rows(Vec::new())
    }
}

impl Emitted {
    fn bytes(&self) -> usize {
        match self {
            Emitted::Rows(rows) => rows.iter().map(|(row, _)| weight(row)).sum(),
            Emitted::Error(error) => error.message.len(),
        }
    }
}

impl Partition {
    /// Whether anything has changed.
    fn apply(&mut self, changes: HashMap<Row, Diff>) -> bool {
        let mut changed = false;
        for (row, diff) in changes.into_iter().filter(|(_, diff)| *diff != 0) {
            changed = true;
            let bytes = weight(&row);
            let count = self.rows.entry(row.clone()).or_insert_with(|| {
                self.bytes += bytes;
                0
            });
            self.negative -= usize::from(*count < 0);
            *count += diff;
            self.negative += usize::from(*count < 0);
            if *count == 0 {
                self.rows.remove(&row);
                self.bytes -= bytes;
            }
        }
        changed
    }

    /// Each row as often as it occurs, in the order in which they are numbered.
    fn each(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().flat_map(|(row, count)| std::iter::repeat_n(row, (*count).max(0) as usize))
    }
}

impl Window {
    fn run(&mut self, frontier: Option<Time>, rows: &mut RowSession<'_>, errors: &mut ErrorSession<'_>) {
        let mut budget = Budget::new(self.operator.context());
        loop {
            if self.work.is_none() {
                let Some(entry) = self.open.first_entry() else { break };
                if frontier.is_some_and(|frontier| *entry.key() >= frontier) {
                    break;
                }
                let (held, changes, bytes) = entry.remove();
                let changes = changes.into_iter();
                self.work = Some(Work { held, changes, bytes, changed: VecDeque::new(), asked: None });
            }
            let Some(mut work) = self.work.take() else { break };
            if self.proceed(&mut work, &mut budget, rows, errors) {
                self.operator.hold(0, -(work.bytes as Diff));
                if self.suspects.len() != self.suspected {
                    self.suspected = self.suspects.len();
                    let suspicion = &self.operator.context().suspicion;
                    suspicion.set(*work.held.0.time(), &self.operator.name, self.suspected);
                }
                continue;
            }
            // Who waits for a reply is woken by it.
            if work.asked.is_none() {
                self.operator.activator.activate();
            }
            self.work = Some(work);
            break;
        }
    }

    /// Goes on with a time: true once nothing is left of it.
    fn proceed(
        &mut self,
        work: &mut Work,
        budget: &mut Budget,
        rows: &mut RowSession<'_>,
        errors: &mut ErrorSession<'_>,
    ) -> bool {
        while let Some((key, changes)) = work.changes.next() {
            self.change(key, changes, work);
            if !budget.spend() {
                return false;
            }
        }
        loop {
            if let Some(asked) = work.asked.take() {
                let reply = {
                    let mut replies = self.replies.borrow_mut();
                    let place = replies.iter().position(|reply| reply.id == asked.request);
                    place.map(|place| replies.swap_remove(place))
                };
                let Some(reply) = reply else {
                    work.asked = Some(asked);
                    return false;
                };
                self.operator.hold(0, -(asked.bytes as Diff));
                self.answered(asked.partitions, reply, &work.held, rows, errors);
            }
            if work.changed.is_empty() {
                return true;
            }
            if self.operator.halted() {
                return false;
            }
            work.asked = self.ask(&mut work.changed, &work.held, rows, errors);
        }
    }

    fn change(&mut self, key: Row, changes: HashMap<Row, Diff>, work: &mut Work) {
        let known = self.partitions.contains_key(&key);
        let partition = self.partitions.entry(key.clone()).or_default();
        let before = (partition.rows.len() as Diff, partition.bytes as Diff);
        let changed = partition.apply(changes);
        let after = (partition.rows.len() as Diff, partition.bytes as Diff);
        let new = if known { 0 } else { (weight(&key) + size_of::<Partition>()) as Diff };
        self.operator.hold(after.0 - before.0, after.1 - before.1 + new);
        if partition.negative == 0 {
            self.suspects.remove(&key);
        } else {
            self.suspects.insert(key.clone());
        }
        if changed {
            work.changed.push_back(key);
        } else if !known {
            self.drop_if_empty(&key);
        }
    }

    fn drop_if_empty(&mut self, key: &Row) {
        if self.partitions.get(key).is_some_and(|partition| partition.rows.is_empty()) {
            self.partitions.remove(key);
            self.operator.hold(0, -((weight(key) + size_of::<Partition>()) as Diff));
        }
    }

    /// Sends the next partitions, but those that have no rows: of them there is nothing to ask. None if that are all.
    fn ask(
        &mut self,
        changed: &mut VecDeque<Row>,
        held: &Held,
        rows: &mut RowSession<'_>,
        errors: &mut ErrorSession<'_>,
    ) -> Option<Asked> {
        let mut partitions = Vec::new();
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < ROWS_TOGETHER {
            let Some(key) = changed.pop_front() else { break };
            let item = partitions.len() as u64;
            let before = batch.len();
            if let Some(partition) = self.partitions.get(&key) {
                for (number, row) in partition.each().enumerate() {
                    self.builder.push(Some(&(number as i64).to_ne_bytes()));
                    self.specification.arguments.iter().for_each(|column| self.builder.push(row.column(*column)));
                    let arguments = self.builder.finish();
                    bytes += weight(&arguments);
                    batch.push((item, arguments));
                }
            }
            if batch.len() == before {
                self.emit(&key, Emitted::default(), held, rows, errors);
            } else {
                partitions.push(key);
            }
        }
        if batch.is_empty() {
            return None;
        }
        self.operator.hold(0, bytes as Diff);
        self.operator.context().control.check_memory();
        let request = self.operator.evaluate(&self.replies, self.specification.fragment, batch);
        Some(Asked { request, partitions, bytes })
    }

    fn answered(
        &mut self,
        partitions: Vec<Row>,
        reply: EvaluationReply,
        held: &Held,
        rows: &mut RowSession<'_>,
        errors: &mut ErrorSession<'_>,
    ) {
        let mut results: Vec<Result<Vec<Option<Row>>, EvalError>> = Vec::with_capacity(partitions.len());
        for key in &partitions {
            let count = self.partitions.get(key).map_or(0, |partition| partition.each().count());
            results.push(Ok(vec![None; count]));
        }
        let mut strange = false;
        for (item, result) in reply.results {
            let Some(of) = results.get_mut(item as usize) else {
                strange = true;
                continue;
            };
            match (result, &mut *of) {
                (Err(error), _) => *of = Err(error),
                (Ok(_), Err(_)) => {}
                (Ok(row), Ok(places)) => {
                    let mut columns = row.columns();
                    let number = columns.next().flatten().and_then(|image| image.try_into().ok());
                    let place = number.map(i64::from_ne_bytes).and_then(|number| places.get_mut(number as usize));
                    match place {
                        Some(place) => *place = Some(Row::from_columns(columns)),
                        None => strange = true,
                    }
                }
            }
        }
        for (key, results) in partitions.into_iter().zip(results) {
            let Some(partition) = self.partitions.get(&key) else { continue };
            let emitted = match results {
                Err(error) => Emitted::Error(error),
                Ok(places) => {
                    let mut output = Vec::with_capacity(places.len());
                    for (row, more) in partition.each().zip(places) {
                        let Some(more) = more else {
                            strange = true;
                            break;
                        };
                        self.builder.extend(row.as_ref());
                        self.builder.extend(more.as_ref());
                        output.push((self.builder.finish(), 1));
                    }
                    consolidate(&mut output);
                    Emitted::Rows(output)
                }
            };
            if strange {
                self.operator.context().control.give_up(StopReason::Inconsistent {
                    operator: self.operator.name.clone(),
                    detail: "a row for which PostgreSQL returned no values".to_owned(),
                });
                return;
            }
            self.emit(&key, emitted, held, rows, errors);
        }
    }

    /// Replaces what was emitted for a partition.
    fn emit(&mut self, key: &Row, new: Emitted, held: &Held, rows: &mut RowSession<'_>, errors: &mut ErrorSession<'_>) {
        let Some(partition) = self.partitions.get_mut(key) else { return };
        let bytes = new.bytes() as Diff - partition.emitted.bytes() as Diff;
        let old = std::mem::replace(&mut partition.emitted, new);
        let mut changes = Vec::new();
        for (emitted, sign) in [(&old, -1), (&partition.emitted, 1)] {
            match emitted {
                Emitted::Rows(rows) => changes.extend(rows.iter().map(|(row, count)| (row.clone(), sign * count))),
                Emitted::Error(error) => {
                    let error = ErrorRow { site: self.specification.site, error: error.clone(), row: key.clone() };
                    errors.session(&held.1).give((error, sign));
                }
            }
        }
        consolidate(&mut changes);
        self.operator.count_out(changes.len());
        rows.session(&held.0).give_iterator(changes.into_iter());
        self.operator.hold(0, bytes);
        self.drop_if_empty(key);
    }
}
