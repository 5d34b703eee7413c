//! What the engine tells: outputs, evaluations that it wants from PostgreSQL, graphs that gave up, panics.

use crate::pg::executor::PreparedFragment;
use crate::pg::txn::{self, Failure};
use crate::pg::{log, owner, process, time_limit};
use crate::shm;
use crate::shm::status::State;
use crate::worker::database::Database;
use crate::worker::table::Mode;
use hashbrown::HashSet;
use std::time::{Duration, Instant};
use trickle_operators::engine::api::{EvaluationReply, EvaluationRequest, Event, StopReason};
use trickle_operators::expr::EvalError;
use trickle_operators::value::Row;

/// How long events are taken without looking at anything else.
const MOMENT: Duration = Duration::from_millis(100);

impl Database {
    /// Takes the events that are there; as a recursion may ask for evaluations for ever, no longer than for a moment.
    /// Evaluations run in the transaction that is open; a failure that is not a row's fault comes back as an error, because it
    /// means that this transaction is to end (cancelled, out of memory, …).
    pub fn drain_events(&mut self) -> Result<(), Failure> {
        let began = Instant::now();
        while began.elapsed() < MOMENT {
            let Some(event) = self.engine.poll() else { break };
            match event {
                Event::Output { graph, time, rows, errors, complete } => {
                    self.reported.insert(graph, time);
                    self.late.remove(&graph);
                    if complete {
                        self.complete.insert(graph);
                    }
                    if let Some(table) = self.tables.get_mut(&graph) {
                        for (row, diff) in rows {
                            table.pending.add(row, diff);
                        }
                        table.add_errors(errors);
                    }
                }
                Event::Evaluate(request) => {
                    let graph = request.graph;
                    match self.evaluate(request) {
                        Ok(Some(reply)) => self.engine.reply(reply),
                        Ok(None) => {}
                        Err(failure) => {
                            self.evaluation_failed(graph, &failure);
                            return Err(failure);
                        }
                    }
                }
                Event::Stopped { graph, reason } => self.graph_stopped(graph, reason),
                Event::Panicked { graph, operator, message } => self.engine_panicked(graph, &operator, &message),
            }
        }
        Ok(())
    }

    /// Serves one request; `None` if its graph is gone.
    fn evaluate(&mut self, request: EvaluationRequest) -> Result<Option<EvaluationReply>, Failure> {
        let EvaluationRequest { id, worker, graph, fragment, rows } = request;
        let Some(table) = self.tables.get_mut(&graph) else { return Ok(None) };
        let (owner, settings) = (table.definition.owner, table.definition.settings.clone());
        let Mode::Incremental(attached) = &mut table.mode else { return Ok(None) };
        let prepared = &mut attached.fragments[fragment];
        if prepared.is_none() {
            let fragment = &attached.plan.fragments[fragment];
            // As the owner: the planner runs functions of constants.
            let planned = || owner::as_owner(owner, &settings, || PreparedFragment::new(fragment));
            *prepared = Some(time_limit::within(|| txn::subtransaction(planned))?);
        }
        let prepared = prepared.as_ref().expect("just prepared");
        let mut results = Vec::with_capacity(rows.len());
        bisect(prepared, owner, &settings, &rows, &mut results)?;
        Ok(Some(EvaluationReply { id, worker, graph, results }))
    }

    /// The answer will never come, and the graph would wait for it, as everybody would wait for the graph: it is built anew
    /// when its table has rested.
    fn evaluation_failed(&mut self, graph: u32, failure: &Failure) {
        // Whatever was just being attached has not failed, but it is not whole either.
        let attaching = |oid: &u32| *oid != graph && self.tables.get(oid).is_some_and(|state| !state.attached);
        let interrupted = self.culprit.take().filter(attaching);
        for table in interrupted.into_iter().chain([graph]) {
            self.detach_and_forget(table);
        }
        self.failed_evaluation = Some(graph);
        if let Some(state) = self.tables.get_mut(&graph) {
            log::log(&format!("could not evaluate for stream table {}: {failure}", state.definition.name));
            state.fail(failure.clone(), process::now());
        }
        self.publish_status();
    }

    fn graph_stopped(&mut self, graph: u32, reason: StopReason) {
        let mut gone: Vec<u32> = self.readers_of(&HashSet::from([graph])).into_iter().collect();
        gone.push(graph);
        self.end_filling(&gone);
        self.forget(&gone);
        for graph in &gone {
            self.filled.remove(graph);
            self.late.remove(graph);
        }
        let Some(table) = self.tables.get_mut(&graph) else { return };
        let name = &table.definition.name;
        match reason {
            StopReason::MemoryLimit { used, limit, held } => {
                let failure = Failure {
                    detail: Some(format!(
                        "The engine uses {} MB, {} MB of them for this stream table; the limit is {} MB.",
                        used >> 20,
                        held >> 20,
                        limit >> 20
                    )),
                    hint: Some("Increase \"pg_trickle.memory_limit_mb\", or use refresh_mode => 'full'.".into()),
                    ..Failure::new(b"53200", format!("stream table {name} needs more memory than it may use"))
                };
                log::log(&format!("stream table {name} is suspended: {failure}"));
                // Only a changed limit or definition can help: not retried by the clock.
                table.give_up(failure, false);
            }
            StopReason::Inconsistent { operator, detail } => {
                log::log(&format!("stream table {name} is rebuilt: operator {operator} found {detail}"));
                let message = format!("stream table {name} was found to be inconsistent and is rebuilt");
                let detail = format!("Operator {operator} found {detail}.");
                table.rebuild(Failure { detail: Some(detail), ..Failure::new(b"XX001", message) }, process::now());
            }
            StopReason::TooMany { operator } => {
                let failure = Failure {
                    detail: Some(format!("Operator {operator} gave up.")),
                    hint: Some("Rows multiply in a join or a recursion: change the data or the query.".into()),
                    ..Failure::new(b"54000", format!("stream table {name} comes to more rows than can be counted"))
                };
                log::log(&format!("stream table {name} is in error: {failure}"));
                // The data may be others by then.
                table.fail(failure, process::now());
            }
            StopReason::Malformed { operator, error } => {
                let failure = Failure {
                    detail: Some(format!("Operator {operator}: {error}.")),
                    hint: Some("Check the source tables for corruption, then rebuild the stream table.".into()),
                    ..Failure::new(b"XX001", format!("stream table {name} read a value that its type does not allow"))
                };
                log::log(&format!("stream table {name} is suspended: {failure}"));
                // Read again, it would be the same.
                table.give_up(failure, false);
            }
            // Said of the one that it reads.
            StopReason::Upstream { .. } => {}
        }
    }

    /// The engine is lost: this process ends, the next one attaches everything anew, but for the graph that is to blame,
    /// which is marked where the next process finds it (HAZARDS E34).
    fn engine_panicked(&mut self, graph: Option<u32>, operator: &str, message: &str) -> ! {
        let culprit = graph.and_then(|graph| Some((graph, self.tables.get(&graph)?.definition.name.clone())));
        let text = format!("engine failed in operator \"{operator}\": {message}");
        let Some((graph, name)) = culprit else { log::fatal(&format!("pg_trickle {text}")) };
        if let Some(entry) = shm::shared().and_then(|shared| shared.statuses.claim(self.oid, graph)) {
            entry.set_state(State::Quarantined, &text);
        }
        log::fatal(&format!("pg_trickle {text}; stream table {name} is quarantined"))
    }

    /// Whether a predecessor of this process was lost to the graph of `table`: then it is left alone.
    pub fn quarantine(&mut self, table: u32) {
        let entry = shm::shared().and_then(|shared| shared.statuses.find(self.oid, table));
        let Some(entry) = entry.filter(|entry| entry.state() == State::Quarantined) else { return };
        let Some(state) = self.tables.get_mut(&table) else { return };
        let hint = "Report this; use pgtrickle.rebuild() to try again, or refresh_mode => 'full'.";
        state.give_up(Failure::new(b"XX000", entry.text()).hint(hint), true);
    }
}

/// Evaluates `rows`; if that fails, halves of them, down to the items that fail, whose errors become data. Rows of one item
/// stay together.
fn bisect(
    prepared: &PreparedFragment,
    owner: u32,
    settings: &[(String, String)],
    rows: &[(u64, Row)],
    results: &mut Vec<(u64, Result<Row, EvalError>)>,
) -> Result<(), Failure> {
    let outcome =
        time_limit::within(|| txn::subtransaction(|| owner::as_owner(owner, settings, || prepared.run(rows))));
    let failure = match outcome {
        Ok(evaluated) => {
            results.extend(evaluated.into_iter().map(|(item, row)| (item, Ok(row))));
            return Ok(());
        }
        Err(failure) => failure,
    };
    // What only reads one snapshot is never serialized against others: a function says so of its own accord.
    let raised = failure.sqlstate == *b"40001";
    if failure.transient() && !raised || failure.sqlstate.starts_with(b"XX") {
        return Err(failure);
    }
    // No rows at all: the aggregates of a query without GROUP BY, over nothing, which are item 0.
    let first = rows.first().map_or(0, |(item, _)| *item);
    let middle = rows.get(rows.len() / 2).map_or(0, |(item, _)| *item);
    // The cut falls on the border of an item; items are numbered in ascending order.
    let mut border = rows.partition_point(|(item, _)| *item < middle);
    if border == 0 {
        border = rows.partition_point(|(item, _)| *item <= middle);
    }
    if border == rows.len() {
        results.push((first, Err(EvalError { sqlstate: failure.sqlstate, message: failure.message })));
        return Ok(());
    }
    bisect(prepared, owner, settings, &rows[..border], results)?;
    bisect(prepared, owner, settings, &rows[border..], results)
}
