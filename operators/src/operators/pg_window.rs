//! Window functions, evaluated by PostgreSQL over whole partitions.
//!
//! Two-phase, as [`super::pg_map`] is: when a time is complete its partitions are changed, and all rows of those that are
//! not what they were are sent, some partitions at a time; the time stays open until the replies have come. What a partition
//! had emitted is kept, and what has changed of it is emitted (HAZARDS E16, E19): of a row whose values are as before,
//! nothing. State: the rows of every partition, and the output that was emitted for them; a checkpoint needs both, since
//! PostgreSQL may not choose the same order among equal rows again.

use super::border::{Diff, ErrorRow, EvaluationReply, StopReason};
use super::context::{Budget, Context};
use super::stateful::{stateful, Output, Progress, Stateful};
use super::{consolidate, weight, Errors, Keyed, Rows};
use crate::expr::EvalError;
use crate::value::{Row, RowBuilder};
use hashbrown::hash_map::IntoIter;
use hashbrown::{HashMap, HashSet};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// What is evaluated.
pub struct Specification {
    /// A window fragment: see [`crate::plan::Fragment`].
    pub fragment: usize,
    /// Columns of the rows that its arguments are, after the row's number.
    pub arguments: Vec<usize>,
    pub site: usize,
}

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
    changes: IntoIter<Row, HashMap<Row, Diff>>,
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
    partitions: HashMap<Row, Partition>,
    replies: Rc<RefCell<Vec<EvaluationReply>>>,
    suspects: HashSet<Row>,
    builder: RowBuilder,
}

/// Appends to every row the values of window functions over the rows of its key.
pub fn pg_window<'s>(input: Keyed<'s>, specification: Specification, context: &Context) -> (Rows<'s>, Errors<'s>) {
    stateful("window by PostgreSQL", input, context, None, move |_| Window {
        specification,
        partitions: HashMap::new(),
        replies: Rc::default(),
        suspects: HashSet::new(),
        builder: RowBuilder::default(),
    })
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

impl Stateful for Window {
    type Changes = Changes;
    type Work = Work;

    fn no_changes(&self) -> Changes {
        Changes::new()
    }

    fn gather(&mut self, changes: &mut Changes, key: Row, row: Row, diff: Diff) -> Result<Diff, EvalError> {
        let mut grown = 0;
        let rows = changes.entry(key).or_insert_with_key(|key| {
            grown += weight(key) as Diff;
            HashMap::new()
        });
        *rows.entry(row).or_insert_with_key(|row| {
            grown += weight(row) as Diff;
            0
        }) += diff;
        Ok(grown)
    }

    fn begin(&mut self, changes: Changes) -> (Work, Diff) {
        (Work { changes: changes.into_iter(), changed: VecDeque::new(), asked: None }, 0)
    }

    fn proceed(&mut self, work: &mut Work, budget: &mut Budget, out: &mut Output<'_, '_>) -> Progress {
        while let Some((key, changes)) = work.changes.next() {
            self.change(key, changes, work, out);
            if !budget.spend() {
                return Progress::Spent;
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
                    return Progress::Waits;
                };
                out.operator.hold(0, -(asked.bytes as Diff));
                self.answered(asked.partitions, reply, out);
            }
            if work.changed.is_empty() {
                return Progress::Done;
            }
            if out.operator.halted() {
                return Progress::Spent;
            }
            work.asked = self.ask(&mut work.changed, out);
        }
    }

    fn suspects(&self) -> usize {
        self.suspects.len()
    }

    fn clear(&mut self) {
        self.partitions = HashMap::new();
    }
}

impl Window {
    fn change(&mut self, key: Row, changes: HashMap<Row, Diff>, work: &mut Work, out: &Output<'_, '_>) {
        let known = self.partitions.contains_key(&key);
        let partition = self.partitions.entry(key.clone()).or_default();
        let before = (partition.rows.len() as Diff, partition.bytes as Diff);
        let changed = partition.apply(changes);
        let after = (partition.rows.len() as Diff, partition.bytes as Diff);
        let new = if known { 0 } else { (weight(&key) + size_of::<Partition>()) as Diff };
        out.operator.hold(after.0 - before.0, after.1 - before.1 + new);
        if partition.negative == 0 {
            self.suspects.remove(&key);
        } else {
            self.suspects.insert(key.clone());
        }
        if changed {
            work.changed.push_back(key);
        } else if !known {
            self.drop_if_empty(&key, out);
        }
    }

    fn drop_if_empty(&mut self, key: &Row, out: &Output<'_, '_>) {
        if self.partitions.get(key).is_some_and(|partition| partition.rows.is_empty()) {
            self.partitions.remove(key);
            out.operator.hold(0, -((weight(key) + size_of::<Partition>()) as Diff));
        }
    }

    /// Sends the next partitions, but those that have no rows: of them there is nothing to ask. None if that are all.
    fn ask(&mut self, changed: &mut VecDeque<Row>, out: &mut Output<'_, '_>) -> Option<Asked> {
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
                self.emit(&key, Emitted::default(), out);
            } else {
                partitions.push(key);
            }
        }
        if batch.is_empty() {
            return None;
        }
        out.operator.hold(0, bytes as Diff);
        out.operator.context().control.check_memory();
        let request = out.operator.evaluate(&self.replies, self.specification.fragment, batch);
        Some(Asked { request, partitions, bytes })
    }

    fn answered(&mut self, partitions: Vec<Row>, reply: EvaluationReply, out: &mut Output<'_, '_>) {
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
                out.operator.context().control.give_up(StopReason::Inconsistent {
                    operator: out.operator.name.clone(),
                    detail: "a row for which PostgreSQL returned no values".to_owned(),
                });
                return;
            }
            self.emit(&key, emitted, out);
        }
    }

    /// Replaces what was emitted for a partition.
    fn emit(&mut self, key: &Row, new: Emitted, out: &mut Output<'_, '_>) {
        let Some(partition) = self.partitions.get_mut(key) else { return };
        let bytes = new.bytes() as Diff - partition.emitted.bytes() as Diff;
        let old = std::mem::replace(&mut partition.emitted, new);
        let mut changes = Vec::new();
        for (emitted, sign) in [(&old, -1), (&partition.emitted, 1)] {
            match emitted {
                Emitted::Rows(rows) => changes.extend(rows.iter().map(|(row, count)| (row.clone(), sign * count))),
                Emitted::Error(error) => {
                    let error = ErrorRow { site: self.specification.site, error: error.clone(), row: key.clone() };
                    out.error(error, sign);
                }
            }
        }
        consolidate(&mut changes);
        out.rows(&mut changes);
        out.operator.hold(0, bytes);
        self.drop_if_empty(key, out);
    }
}
