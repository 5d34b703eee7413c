//! Whether a definition is maintained incrementally or refreshed in full, and what is said about it.

use super::create::run_as_owner;
use crate::capture;
use crate::catalog::{self, capture_grant, Mode, RefreshMode};
use crate::compile::{self, CompileError, Compiled, Options, StreamMode};
use crate::pg::definition::qualified_name;
use crate::pg::txn::Failure;
use hashbrown::HashMap;
use std::collections::BTreeSet;
use trickle_operators::plan::Plan;

/// How a stream table will be maintained.
pub struct Judgement {
    pub mode: Mode,
    /// Positions of the columns that are unique together, and whether none of them can be NULL.
    pub key: Option<(Vec<usize>, bool)>,
    /// Why it is refreshed in full, though that was not asked for.
    pub reason: Option<Reason>,
}

/// Why a query is not maintained incrementally.
pub struct Reason {
    pub construct: String,
    /// A full sentence.
    pub detail: String,
    pub hint: Option<String>,
}

impl Reason {
    pub fn text(&self) -> String {
        self.detail.clone()
    }
}

/// Refuses a definition whose rows depend, by row-level security, on more than who its owner is. Before anything of the
/// query is run, if only by the planner. Who may not read at all is told so later.
pub fn refuse_unsteady(view: u32, name: &str, owner: u32) {
    let mut access = compile::Access::default();
    run_as_owner(owner, &[], || access = compile::access(view));
    if let (None, Some(reason)) = (access.denied, access.unsteady) {
        Failure::new(b"0A000", format!("cannot maintain stream table \"{name}\""))
            .detail(reason)
            .hint("Policies may use immutable functions and current_user, or may exempt the stream table's owner.")
            .raise();
    }
}

/// Decides for the definition `view` of the stream table `name`, for `owner`. An ERROR if it must be incremental and cannot.
pub fn judge(view: u32, name: &str, refresh_mode: RefreshMode, owner: u32) -> Judgement {
    if refresh_mode == RefreshMode::Full {
        return Judgement { mode: Mode::Full, key: None, reason: None };
    }
    let reason = match incremental(view, owner) {
        Ok(key) => return Judgement { mode: Mode::Differential, key, reason: None },
        Err(reason) => reason,
    };
    if refresh_mode == RefreshMode::Differential {
        Failure::new(b"0A000", format!("cannot maintain stream table \"{name}\" incrementally"))
            .detail(reason.detail)
            .hint(reason.hint.unwrap_or_else(|| "Use refresh_mode => 'full', or change the query.".into()))
            .raise();
    }
    let notice =
        Failure::new(b"00000", format!("stream table \"{name}\" will be refreshed in full")).detail(reason.text());
    match &reason.hint {
        Some(hint) => notice.hint(hint.as_str()).notice(),
        None => notice.notice(),
    }
    Judgement { mode: Mode::Full, key: None, reason: Some(reason) }
}

/// The key of the result, if the query can be maintained incrementally for `owner`.
fn incremental(view: u32, owner: u32) -> Result<Option<(Vec<usize>, bool)>, Reason> {
    with_options(|options| verdict(compile::compile_view(view, options), owner)).map(key_of)
}

fn key_of(plan: Plan) -> Option<(Vec<usize>, bool)> {
    plan.key.map(|key| {
        let not_null = key.iter().all(|column| !plan.columns[*column].nullable);
        (key, not_null)
    })
}

/// The key that a query text's result would have for `owner`, before there is a view of it.
pub fn key(query: &str, refresh_mode: RefreshMode, owner: u32) -> Option<(Vec<usize>, bool)> {
    if refresh_mode == RefreshMode::Full {
        return None;
    }
    with_options(|options| verdict(compile::compile_query(query, options), owner)).ok().and_then(key_of)
}

/// How the stream tables of the database are followed by their readers.
pub fn modes() -> HashMap<u32, StreamMode> {
    let mode = |mode: Mode| if mode == Mode::Full { StreamMode::Full } else { StreamMode::Incremental };
    catalog::definition::all().into_iter().map(|definition| (definition.table, mode(definition.mode))).collect()
}

fn verdict(compiled: Result<Compiled, CompileError>, owner: u32) -> Result<Plan, Reason> {
    let compiled = compiled.unwrap_or_else(|error| Failure::new(&error.sqlstate, error.message).raise());
    let plan = compiled.plan.map_err(|not| Reason { construct: not.reason, detail: not.detail, hint: None })?;
    for source in compiled.sources.iter().filter(|source| source.stream.is_none()) {
        check_capture(source.relation, owner)?;
    }
    Ok(plan)
}

/// Whether changes of a base table can and may be captured for `owner` (HAZARDS H49).
pub fn check_capture(table: u32, owner: u32) -> Result<(), Reason> {
    let name = qualified_name(table).unwrap_or_else(|| table.to_string());
    if let Err(reason) = capture::install::capturable(table) {
        return Err(Reason {
            construct: format!("table {name}"),
            detail: format!("Changes of table {name} cannot be captured. {reason}"),
            hint: None,
        });
    }
    if !capture_grant::may_capture(owner, table) {
        return Err(Reason {
            construct: format!("table {name}"),
            detail: format!("The owner of the stream table has no right to have changes of table {name} captured."),
            hint: Some(format!(
                "Grant TRIGGER or MAINTAIN on {name}, or have its owner call pgtrickle.allow_capture('{}').",
                name.replace('\'', "''")
            )),
        });
    }
    Ok(())
}

/// The plan of a query text for the current user, or why there is none. An ERROR if no stream table could follow it, or if the
/// user may not read what it reads.
pub fn incremental_plan(query: &str) -> Result<Plan, Reason> {
    crate::pg::definition::Definition::analyse(query);
    compile::require_permitted(query);
    with_options(|options| verdict(compile::compile_query(query, options), crate::pg::role::current()))
}

/// The relations that a query text reads if it is read now by the current user, as a set.
pub fn relations(query: &str) -> BTreeSet<u32> {
    crate::pg::definition::Definition::analyse(query);
    with_options(|options| set(compile::compile_query(query, options)))
}

/// The relations that a definition reads.
pub fn relations_of(view: u32) -> BTreeSet<u32> {
    with_options(|options| set(compile::compile_view(view, options)))
}

fn set(compiled: Result<Compiled, CompileError>) -> BTreeSet<u32> {
    let compiled = compiled.unwrap_or_else(|error| Failure::new(&error.sqlstate, error.message).raise());
    compiled.sources.iter().map(|source| source.relation).collect()
}

fn with_options<T>(body: impl FnOnce(&Options<'_>) -> T) -> T {
    let modes = modes();
    let kind = |relation: u32| modes.get(&relation).copied();
    body(&Options::new(&kind))
}
