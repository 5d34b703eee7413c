//! GROUP BY, DISTINCT and aggregates: all kinds side by side in one operator with its own state.
//!
//! Changes are gathered by group as they arrive. When the frontier passes a time, its groups are changed one by one: the
//! output that the group had is computed from its state before the change and retracted, the one it has now is emitted.
//! Groups whose aggregates PostgreSQL evaluates keep the output they emitted instead (HAZARDS E16, E19), and their time
//! stays open until the reply has come.

pub(super) mod state;

use super::border::{Diff, ErrorRow, EvaluationReply, StopReason, Time};
use super::context::{Budget, Context, OperatorContext};
use super::stateful::{stateful, Output as Out, Progress, Stateful};
use super::{bucket, weight, Errors, Keyed, Rows};
use crate::expr::EvalError;
use crate::plan::{Aggregate, Collected};
use crate::value::{Row, RowBuilder, RowRef};
use hashbrown::hash_map::{Entry, IntoIter};
use hashbrown::{HashMap, HashSet};
use state::{Delta, State};
use std::cell::RefCell;
use std::rc::Rc;

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

/// How many rows for PostgreSQL are put together before memory and the stop flag are looked at.
const ROWS_BETWEEN_CHECKS: usize = 16 << 10;

/// The time in work.
struct Work {
    changes: IntoIter<Row, GroupDelta>,
    /// Groups that wait for PostgreSQL, once all changes have been applied.
    asked: Vec<Row>,
    request: Option<u64>,
    /// What has been sent to PostgreSQL takes up.
    bytes: usize,
}

struct Reduce {
    specification: Specification,
    groups: HashMap<Row, Group>,
    replies: Rc<RefCell<Vec<EvaluationReply>>>,
    suspects: HashSet<Row>,
    builder: RowBuilder,
}

/// Reduces keyed rows by key.
pub fn reduce<'s>(input: Keyed<'s>, specification: Specification, context: &Context) -> (Rows<'s>, Errors<'s>) {
    let scope = input.scope();
    let owner = bucket(RowRef::default()) % scope.peers() as u64 == scope.index() as u64;
    let first = (specification.global && owner).then(|| {
        let nothing = specification.no_change();
        (specification.at, HashMap::from([(Row::default(), nothing)]))
    });
    stateful("reduce", input, context, first, move |_| Reduce {
        specification,
        groups: HashMap::new(),
        replies: Rc::default(),
        suspects: HashSet::new(),
        builder: RowBuilder::default(),
    })
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

impl Stateful for Reduce {
    type Changes = HashMap<Row, GroupDelta>;
    type Work = Work;

    fn no_changes(&self) -> Self::Changes {
        HashMap::new()
    }

    fn gather(&mut self, groups: &mut Self::Changes, key: Row, row: Row, diff: Diff) -> Result<Diff, EvalError> {
        let mut grown = 0;
        let change = groups.entry(key).or_insert_with_key(|key| {
            grown += self.specification.change_weight(key);
            self.specification.no_change()
        });
        grown += self.specification.gather(change, row.as_ref(), diff)?;
        Ok(grown as Diff)
    }

    fn begin(&mut self, changes: Self::Changes) -> (Work, Diff) {
        (Work { changes: changes.into_iter(), asked: Vec::new(), request: None, bytes: 0 }, 0)
    }

    fn proceed(&mut self, work: &mut Work, budget: &mut Budget, out: &mut Out<'_, '_>) -> Progress {
        while let Some((key, change)) = work.changes.next() {
            self.change(key, change, work, out);
            if !budget.spend() {
                return Progress::Spent;
            }
        }
        if work.asked.is_empty() {
            return Progress::Done;
        }
        let Some(request) = work.request else {
            let Some(batch) = self.content(&work.asked, &mut work.bytes, out.operator) else { return Progress::Spent };
            // Of groups that are gone there is nothing to ask; of the one that is always there, there is.
            if batch.is_empty() && !self.specification.global {
                self.answered(HashMap::new(), work, out);
                return Progress::Done;
            }
            work.request = self.ask(batch, out.operator);
            return Progress::Waits;
        };
        let reply = {
            let mut replies = self.replies.borrow_mut();
            let place = replies.iter().position(|reply| reply.id == request);
            place.map(|place| replies.swap_remove(place))
        };
        let Some(reply) = reply else { return Progress::Waits };
        self.answered(reply.results.into_iter().collect(), work, out);
        out.operator.hold(0, -(work.bytes as Diff));
        Progress::Done
    }

    fn suspects(&self) -> usize {
        self.suspects.len()
    }

    fn clear(&mut self) {
        self.groups = HashMap::new();
    }
}

impl Reduce {
    fn change(&mut self, key: Row, change: GroupDelta, work: &mut Work, out: &mut Out<'_, '_>) {
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
            out.operator.malformed(&error);
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
                self.emit(&key, old, -1, out);
                self.emit(&key, new, 1, out);
            }
        }
        let keep = specification.global || !group.is_empty() || specification.collected.is_some();
        let after = if keep { (group.entries() as Diff, group.bytes(&key) as Diff) } else { (0, 0) };
        let before = if is_new { (0, 0) } else { before };
        out.operator.hold(after.0 - before.0, after.1 - before.1);
        if keep {
            self.groups.insert(key, group);
        }
    }

    fn emit(&self, key: &Row, output: Option<Output>, diff: Diff, out: &mut Out<'_, '_>) {
        match output {
            None => {}
            Some(Ok(row)) => out.row(row, diff),
            Some(Err(error)) => {
                out.error(ErrorRow { site: self.specification.site, error, row: key.clone() }, diff);
            }
        }
    }

    /// The whole content of the groups, each group as one item; none if the graph is given up over it. A group has as many
    /// rows here as it has counts, however few its distinct rows are (HAZARDS E33).
    fn content(&self, keys: &[Row], held: &mut usize, operator: &OperatorContext) -> Option<Vec<(u64, Row)>> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        for (item, key) in keys.iter().enumerate() {
            let Some(group) = self.groups.get(key) else { continue };
            for (arguments, count) in &group.arguments.counts {
                for _ in 0..*count {
                    batch.push((item as u64, arguments.clone()));
                    bytes += weight(arguments);
                    if batch.len().is_multiple_of(ROWS_BETWEEN_CHECKS) {
                        operator.hold(0, bytes as Diff);
                        *held += std::mem::take(&mut bytes);
                        operator.context().control.check_memory();
                        if operator.halted() {
                            return None;
                        }
                    }
                }
            }
        }
        operator.hold(0, bytes as Diff);
        *held += bytes;
        Some(batch)
    }

    fn ask(&self, batch: Vec<(u64, Row)>, operator: &OperatorContext) -> Option<u64> {
        let collected = self.specification.collected.as_ref()?;
        Some(operator.evaluate(&self.replies, collected.fragment, batch))
    }

    fn answered(&mut self, results: HashMap<u64, Output>, work: &mut Work, out: &mut Out<'_, '_>) {
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
                        out.operator.context().control.give_up(StopReason::Inconsistent {
                            operator: out.operator.name.clone(),
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
                self.emit(&key, old, -1, out);
                self.emit(&key, new, 1, out);
            }
            let keep = self.specification.global || !group.is_empty();
            let after = if keep { (group.entries() as Diff, group.bytes(&key) as Diff) } else { (0, 0) };
            out.operator.hold(after.0 - before.0, after.1 - before.1);
            if keep {
                self.groups.insert(key, group);
            }
        }
    }
}
