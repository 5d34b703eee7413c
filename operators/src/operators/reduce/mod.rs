//! GROUP BY, DISTINCT and aggregates: all kinds side by side in one operator with its own state.
//!
//! Changes are gathered by group as they arrive. When the frontier passes a time, its groups are changed one by one: the
//! output that the group had is computed from its state before the change and retracted, the one it has now is emitted.
//! Groups whose aggregates PostgreSQL evaluates keep the output they emitted instead (HAZARDS E16, E19), and their time
//! stays open until the reply has come.

mod state;

use super::border::{Diff, ErrorRow, EvaluationReply, StopReason, Time};
use super::context::{Budget, Context, OperatorContext};
use super::{bucket, weight, Errors, Keyed, Rows};
use crate::expr::EvalError;
use crate::plan::{Aggregate, Collected};
use crate::value::{Row, RowBuilder, RowRef};
use hashbrown::hash_map::{Entry, IntoIter};
use hashbrown::{HashMap, HashSet};
use state::{Delta, State};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{OutputBuilder, OutputBuilderSession};
use timely::dataflow::operators::Capability;

/// What a reduce computes.
pub struct Specification {
    pub aggregates: Vec<Aggregate>,
    pub collected: Option<Collected>,
    /// One group that is always there, also over no input.
    pub global: bool,
    pub site: usize,
    /// The graph's first time.
    pub at: Time,
}

/// A group's content; what PostgreSQL evaluates over it, and the output that was emitted for that.
struct Group {
    rows: Diff,
    states: Vec<State>,
    arguments: Arguments,
    emitted: Option<Output>,
}

/// The multiset of rows that PostgreSQL evaluates over.
#[derive(Default)]
struct Arguments {
    counts: HashMap<Row, Diff>,
    negative: usize,
    bytes: usize,
}

impl Arguments {
    fn add(&mut self, row: Row, diff: Diff) {
        let bytes = weight(&row);
        match self.counts.entry(row) {
            Entry::Vacant(entry) if diff != 0 => {
                self.negative += usize::from(diff < 0);
                self.bytes += bytes;
                entry.insert(diff);
            }
            Entry::Vacant(_) => {}
            Entry::Occupied(mut entry) => {
                let count = entry.get_mut();
                self.negative -= usize::from(*count < 0);
                *count += diff;
                self.negative += usize::from(*count < 0);
                if *count == 0 {
                    entry.remove();
                    self.bytes -= bytes;
                }
            }
        }
    }
}

/// A change of a group.
struct GroupDelta {
    rows: Diff,
    deltas: Vec<Delta>,
    arguments: HashMap<Row, Diff>,
}

/// A group's row, or why it has none.
pub type Output = Result<Row, EvalError>;
type Held = (Capability<Time>, Capability<Time>);
type RowSession<'a> = OutputBuilderSession<'a, Time, CapacityContainerBuilder<Vec<(Row, Diff)>>>;
type ErrorSession<'a> = OutputBuilderSession<'a, Time, CapacityContainerBuilder<Vec<(ErrorRow, Diff)>>>;

/// How many rows for PostgreSQL are put together before memory and the stop flag are looked at.
const ROWS_BETWEEN_CHECKS: usize = 16 << 10;

/// The time in work.
struct Work {
    held: Held,
    changes: IntoIter<Row, GroupDelta>,
    /// What they took up when the time was complete, and what has been sent to PostgreSQL since.
    bytes: usize,
    /// Groups that wait for PostgreSQL, once all changes have been applied.
    asked: Vec<Row>,
    request: Option<u64>,
}

struct Reduce {
    specification: Specification,
    operator: OperatorContext,
    groups: HashMap<Row, Group>,
    open: BTreeMap<Time, (Held, HashMap<Row, GroupDelta>, usize)>,
    work: Option<Work>,
    replies: Rc<RefCell<Vec<EvaluationReply>>>,
    suspects: HashSet<Row>,
    suspected: usize,
    builder: RowBuilder,
}

/// Reduces keyed rows by key.
pub fn reduce<'s>(input: Keyed<'s>, specification: Specification, context: &Context) -> (Rows<'s>, Errors<'s>) {
    let scope = input.scope();
    let mut builder = OperatorBuilder::new("Reduce".to_owned(), scope);
    let info = builder.operator_info();
    let operator = context.operator("reduce", scope.activator_for(info.address));
    let pact = Exchange::new(|(key, _, _): &(Row, Row, Diff)| bucket(key.as_ref()));
    let mut input = builder.new_input(input, pact);
    let (rows, row_stream) = builder.new_output();
    let mut rows = OutputBuilder::<_, CapacityContainerBuilder<Vec<(Row, Diff)>>>::from(rows);
    let (errors, error_stream) = builder.new_output();
    let mut errors = OutputBuilder::<_, CapacityContainerBuilder<Vec<(ErrorRow, Diff)>>>::from(errors);
    let owner = bucket(RowRef::default()) % scope.peers() as u64 == scope.index() as u64;
    builder.build(move |mut capabilities| {
        let mut reduce = Reduce {
            specification,
            operator,
            groups: HashMap::new(),
            open: BTreeMap::new(),
            work: None,
            replies: Rc::default(),
            suspects: HashSet::new(),
            suspected: 0,
            builder: RowBuilder::default(),
        };
        if let (true, true, Some(for_errors), Some(for_rows)) =
            (reduce.specification.global, owner, capabilities.pop(), capabilities.pop())
        {
            let at = reduce.specification.at;
            let held = (for_rows.delayed(&at), for_errors.delayed(&at));
            let nothing = reduce.specification.no_change();
            reduce.open.insert(at, (held, HashMap::from([(Row::default(), nothing)]), 0));
        }
        move |frontiers| {
            let operator = &reduce.operator;
            let counters = std::sync::Arc::clone(&operator.counters);
            let _running = operator.enter_as(&counters);
            let halted = operator.halted();
            input.for_each(|capability, data| {
                let Some(&time) = capability.least() else { return data.clear() };
                if halted {
                    return data.clear();
                }
                reduce.operator.count_in(data.len());
                let (_, groups, bytes) = reduce.open.entry(time).or_insert_with(|| {
                    ((capability.delayed(&time, 0), capability.delayed(&time, 1)), HashMap::new(), 0)
                });
                let mut grown = 0;
                for (key, row, diff) in data.drain(..) {
                    let change = groups.entry(key).or_insert_with_key(|key| {
                        grown += reduce.specification.change_weight(key);
                        reduce.specification.no_change()
                    });
                    match reduce.specification.gather(change, row.as_ref(), diff) {
                        Ok(more) => grown += more,
                        Err(error) => reduce.operator.malformed(&error),
                    }
                }
                *bytes += grown;
                reduce.operator.hold(0, grown as Diff);
            });
            if halted {
                reduce.open.clear();
                reduce.groups = HashMap::new();
                reduce.work = None;
                reduce.operator.holds(0, 0);
                return;
            }
            let frontier = frontiers[0].frontier().first().copied();
            reduce.run(frontier, &mut rows.activate(), &mut errors.activate());
            reduce.operator.context().control.check_memory();
        }
    });
    (row_stream, error_stream)
}

/// The sum of two counts.
fn added(count: Diff, more: Diff) -> Result<Diff, EvalError> {
    count.checked_add(more).ok_or_else(EvalError::count)
}

impl Specification {
    fn no_change(&self) -> GroupDelta {
        GroupDelta { rows: 0, deltas: self.aggregates.iter().map(Delta::new).collect(), arguments: HashMap::new() }
    }

    fn no_rows(&self) -> Group {
        Group {
            rows: 0,
            states: self.aggregates.iter().map(State::new).collect(),
            arguments: Arguments::default(),
            emitted: None,
        }
    }

    /// Takes a row into a change; by how many bytes that has grown.
    fn gather(&self, change: &mut GroupDelta, row: RowRef<'_>, diff: Diff) -> Result<usize, EvalError> {
        change.rows = added(change.rows, diff)?;
        let mut grown = 0;
        for (aggregate, delta) in self.aggregates.iter().zip(&mut change.deltas) {
            grown += delta.add(aggregate, row, diff)?;
        }
        if let Some(collected) = &self.collected {
            let arguments = Row::from_columns(collected.arguments.iter().map(|&column| row.column(column)));
            *change.arguments.entry(arguments).or_insert_with_key(|arguments| {
                grown += weight(arguments);
                0
            }) += diff;
        }
        Ok(grown)
    }

    /// The output of a group with exactly these rows; nothing of it is kept.
    pub fn whole<'a>(
        &self,
        key: RowRef<'_>,
        rows: impl Iterator<Item = (RowRef<'a>, Diff)>,
        builder: &mut RowBuilder,
    ) -> Result<Option<Output>, EvalError> {
        let mut content = self.no_change();
        for (row, count) in rows {
            self.gather(&mut content, row, count)?;
        }
        let mut group = self.no_rows();
        group.apply(content)?;
        Ok(self.output(key, &group, builder))
    }

    /// What the change of one more group takes up at the least.
    fn change_weight(&self, key: &Row) -> usize {
        weight(key) + size_of::<GroupDelta>() + self.aggregates.len() * size_of::<Delta>()
    }

    /// The group's output without what PostgreSQL evaluates; none if there is no such group.
    fn output(&self, key: RowRef<'_>, group: &Group, builder: &mut RowBuilder) -> Option<Output> {
        if group.rows <= 0 && !self.global {
            return None;
        }
        builder.clear();
        builder.extend(key);
        for (aggregate, state) in self.aggregates.iter().zip(&group.states) {
            if let Err(error) = state.result(aggregate.function, builder) {
                builder.clear();
                return Some(Err(error));
            }
        }
        Some(Ok(builder.finish()))
    }
}

impl Group {
    fn apply(&mut self, change: GroupDelta) -> Result<(), EvalError> {
        self.rows = added(self.rows, change.rows)?;
        for (state, delta) in self.states.iter_mut().zip(&change.deltas) {
            state.apply(delta)?;
        }
        change.arguments.into_iter().for_each(|(arguments, diff)| self.arguments.add(arguments, diff));
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.rows == 0 && self.arguments.counts.is_empty() && self.states.iter().all(State::is_zero)
    }

    fn is_sound(&self) -> bool {
        self.rows >= 0
            && (self.rows > 0 || self.is_empty())
            && self.states.iter().all(State::is_sound)
            && self.arguments.negative == 0
    }

    fn entries(&self) -> usize {
        1 + self.arguments.counts.len() + self.states.iter().map(State::entries).sum::<usize>()
    }

    fn bytes(&self, key: &Row) -> usize {
        let emitted = match &self.emitted {
            Some(Ok(row)) => row.heap_bytes(),
            Some(Err(error)) => error.message.len(),
            None => 0,
        };
        let states = self.states.len() * size_of::<State>() + self.states.iter().map(State::bytes).sum::<usize>();
        weight(key) + size_of::<Group>() + states + self.arguments.bytes + emitted
    }
}

impl Reduce {
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
                self.work = Some(Work { held, changes, bytes, asked: Vec::new(), request: None });
            }
            let Some(mut work) = self.work.take() else { break };
            let done = self.proceed(&mut work, &mut budget, rows, errors);
            if done {
                let time = *work.held.0.time();
                self.operator.hold(0, -(work.bytes as Diff));
                if self.suspects.len() != self.suspected {
                    self.suspected = self.suspects.len();
                    let suspicion = &self.operator.context().suspicion;
                    suspicion.set(time, &self.operator.name, self.suspected);
                }
                continue;
            }
            let waits = work.request.is_some();
            self.work = Some(work);
            if !waits {
                self.operator.activator.activate();
            }
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
        while let Some((key, change)) = work.changes.next() {
            self.change(key, change, work, rows, errors);
            if !budget.spend() {
                return false;
            }
        }
        if work.asked.is_empty() {
            return true;
        }
        let Some(request) = work.request else {
            let Some(batch) = self.content(&work.asked, &mut work.bytes) else { return false };
            // Of groups that are gone there is nothing to ask; of the one that is always there, there is.
            if batch.is_empty() && !self.specification.global {
                self.answered(HashMap::new(), work, rows, errors);
                return true;
            }
            work.request = self.ask(batch);
            return false;
        };
        let reply = {
            let mut replies = self.replies.borrow_mut();
            let place = replies.iter().position(|reply| reply.id == request);
            place.map(|place| replies.swap_remove(place))
        };
        let Some(reply) = reply else { return false };
        self.answered(reply.results.into_iter().collect(), work, rows, errors);
        true
    }

    fn change(
        &mut self,
        key: Row,
        change: GroupDelta,
        work: &mut Work,
        rows: &mut RowSession<'_>,
        errors: &mut ErrorSession<'_>,
    ) {
        let specification = &self.specification;
        let (mut group, old, is_new) = match self.groups.remove(&key) {
            None => (specification.no_rows(), None, true),
            Some(group) => {
                let old = match specification.collected {
                    Some(_) => None,
                    None => specification.output(key.as_ref(), &group, &mut self.builder),
                };
                (group, old, false)
            }
        };
        let before = (group.entries() as Diff, group.bytes(&key) as Diff);
        if let Err(error) = group.apply(change) {
            self.operator.malformed(&error);
        }
        let sound = if specification.global { group.rows >= 0 && group.is_sound() } else { group.is_sound() };
        if sound {
            self.suspects.remove(&key);
        } else {
            self.suspects.insert(key.clone());
        }
        if specification.collected.is_some() {
            work.asked.push(key.clone());
        } else {
            let new = specification.output(key.as_ref(), &group, &mut self.builder);
            if new != old {
                self.emit(&key, old, -1, &work.held, rows, errors);
                self.emit(&key, new, 1, &work.held, rows, errors);
            }
        }
        let keep = specification.global || !group.is_empty() || specification.collected.is_some();
        let after = if keep { (group.entries() as Diff, group.bytes(&key) as Diff) } else { (0, 0) };
        let before = if is_new { (0, 0) } else { before };
        self.operator.hold(after.0 - before.0, after.1 - before.1);
        if keep {
            self.groups.insert(key, group);
        }
    }

    fn emit(
        &self,
        key: &Row,
        output: Option<Output>,
        diff: Diff,
        held: &Held,
        rows: &mut RowSession<'_>,
        errors: &mut ErrorSession<'_>,
    ) {
        match output {
            None => {}
            Some(Ok(row)) => {
                self.operator.count_out(1);
                rows.session(&held.0).give((row, diff));
            }
            Some(Err(error)) => {
                let error = ErrorRow { site: self.specification.site, error, row: key.clone() };
                errors.session(&held.1).give((error, diff));
            }
        }
    }

    /// The whole content of the groups, each group as one item; none if the graph is given up over it. A group has as many
    /// rows here as it has counts, however few its distinct rows are (HAZARDS E33).
    fn content(&self, keys: &[Row], held: &mut usize) -> Option<Vec<(u64, Row)>> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        for (item, key) in keys.iter().enumerate() {
            let Some(group) = self.groups.get(key) else { continue };
            for (arguments, count) in &group.arguments.counts {
                for _ in 0..*count {
                    batch.push((item as u64, arguments.clone()));
                    bytes += weight(arguments);
                    if batch.len().is_multiple_of(ROWS_BETWEEN_CHECKS) {
                        self.operator.hold(0, bytes as Diff);
                        *held += std::mem::take(&mut bytes);
                        self.operator.context().control.check_memory();
                        if self.operator.halted() {
                            return None;
                        }
                    }
                }
            }
        }
        self.operator.hold(0, bytes as Diff);
        *held += bytes;
        Some(batch)
    }

    fn ask(&self, batch: Vec<(u64, Row)>) -> Option<u64> {
        let collected = self.specification.collected.as_ref()?;
        Some(self.operator.evaluate(&self.replies, collected.fragment, batch))
    }

    fn answered(
        &mut self,
        results: HashMap<u64, Output>,
        work: &mut Work,
        rows: &mut RowSession<'_>,
        errors: &mut ErrorSession<'_>,
    ) {
        for (item, key) in std::mem::take(&mut work.asked).into_iter().enumerate() {
            let Some(mut group) = self.groups.remove(&key) else { continue };
            let new = match self.specification.output(key.as_ref(), &group, &mut self.builder) {
                Some(Ok(native)) => match results.get(&(item as u64)) {
                    Some(Ok(more)) => {
                        self.builder.extend(native.as_ref());
                        self.builder.extend(more.as_ref());
                        Some(Ok(self.builder.finish()))
                    }
                    Some(Err(error)) => Some(Err(error.clone())),
                    None => {
                        self.operator.context().control.give_up(StopReason::Inconsistent {
                            operator: self.operator.name.clone(),
                            detail: "a group for which PostgreSQL returned no row".to_owned(),
                        });
                        return;
                    }
                },
                other => other,
            };
            let before = (group.entries() as Diff, group.bytes(&key) as Diff);
            let old = std::mem::replace(&mut group.emitted, new.clone());
            if new != old {
                self.emit(&key, old, -1, &work.held, rows, errors);
                self.emit(&key, new, 1, &work.held, rows, errors);
            }
            let keep = self.specification.global || !group.is_empty();
            let after = if keep { (group.entries() as Diff, group.bytes(&key) as Diff) } else { (0, 0) };
            self.operator.hold(after.0 - before.0, after.1 - before.1);
            if keep {
                self.groups.insert(key, group);
            }
        }
    }
}
