//! Installing, widening and removing capture: by the worker alone, in short transactions of its own (HAZARDS H15-H17).
//!
//! Both take ShareRowExclusiveLock on the source, under the worker's lock_timeout (which must be below
//! deadlock_timeout), so no user's transaction ever holds that lock, and every writer that was at work with the old
//! columns has ended. Removing takes AccessExclusiveLock and can wait for ever for its moment: until then the triggers
//! write change rows that nobody reads.

use crate::capture::layout::{Captured, Layout, LayoutId};
use crate::pg::inheritance;
use crate::pg::lock::{self, Holders, Mode};
use crate::pg::relation::{self, Attribute, Table};
use crate::pg::trigger::{self, Column, Definition, Event, Fires, Installed};
use crate::pg::txn::{self, Failure};
use std::fmt;

/// Why a table cannot be captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    Missing,
    NotATable,
    System,
    /// Its changes do not reach a standby or survive a crash.
    NotPermanent,
    /// A generated column that is not stored has no value in a change.
    Computed(String),
    NoSuchColumn(i16),
}

/// Why capture could not be installed now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// Others hold locks on the source. It may work later.
    Lock(Holders),
    /// It cannot work as the source is.
    Source(Reason),
    Failed(Failure),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Missing => write!(f, "The table does not exist."),
            Reason::NotATable => write!(f, "The relation is not an ordinary table."),
            Reason::System => write!(f, "The table is a system catalog."),
            Reason::NotPermanent => write!(f, "The table is temporary or unlogged."),
            Reason::Computed(column) => write!(f, "Column \"{column}\" is a virtual generated column."),
            Reason::NoSuchColumn(number) => write!(f, "The table has no column number {number}."),
        }
    }
}

impl From<Failure> for Blocked {
    fn from(failure: Failure) -> Self {
        Blocked::Failed(failure)
    }
}

/// Whether changes of this relation itself can be captured. The caller holds a lock on it, at least AccessShare.
pub fn capturable(source: u32) -> Result<(), Reason> {
    check(&relation::table(source).ok_or(Reason::Missing)?)
}

fn check(table: &Table) -> Result<(), Reason> {
    match table.kind {
        _ if table.can_be_captured() => Ok(()),
        _ if table.system => Err(Reason::System),
        b'r' | b'p' => Err(Reason::NotPermanent),
        _ => Err(Reason::NotATable),
    }
}

/// The triggers of a table. Statement triggers with transition tables are cheaper for many rows; but they fire only for the
/// table that a statement names, so in a tree of partitions or of inheritance each member has row triggers, which fire for
/// the table that holds the row, however it was reached (HAZARDS H20), and in every role. (A worker of logical replication that
/// applies into partitions logs "resource was not closed" for each of their rows with any row trigger: finish_edata() of
/// PostgreSQL 18 does not close what AfterTriggerEndQuery() has opened.)
fn definitions(in_tree: bool) -> Vec<Definition<'static>> {
    const ROWS: &[Event] = &[Event::Insert, Event::Update, Event::Delete];
    let statement = |name, events| Definition { name, events, each_row: false, fires: Fires::Origin };
    let row = |fires| Definition { name: c"pgtrickle_row", events: ROWS, each_row: true, fires };
    // TRUNCATE by logical replication fires only what is enabled for replicas (H21); that of a root fires each member's.
    let truncate =
        Definition { name: c"pgtrickle_truncate", events: &[Event::Truncate], each_row: false, fires: Fires::Always };
    if in_tree {
        return vec![truncate, row(Fires::Always)];
    }
    vec![
        statement(c"pgtrickle_insert", &[Event::Insert]),
        statement(c"pgtrickle_update", &[Event::Update]),
        statement(c"pgtrickle_delete", &[Event::Delete]),
        truncate,
        // Logical replication's apply fires row triggers only; all sessions fire either this or the ones above.
        row(Fires::Replica),
    ]
}

/// Makes sure that changes of the table `source` itself, not of what inherits from it, are captured with at least these columns, in the worker's transaction; what it
/// answers is the layout of every change row of transactions that are not finished when it commits. `every_change`: it is
/// to be heard of each, whatever column it is in.
///
/// Takes no lock beyond AccessShare if everything is there already.
pub fn ensure(source: u32, columns: &[i16], every_change: bool) -> Result<LayoutId, Blocked> {
    if !lock::try_lock(source, Mode::AccessShare) {
        return Err(Blocked::Lock(lock::conflicting(source, Mode::AccessShare)));
    }
    let function =
        trigger::function().ok_or_else(|| Failure::new(b"42883", "function pgtrickle.capture() does not exist"))?;
    if let Some(captured) = sufficient(source, function, columns, every_change)? {
        return Ok(captured.layout);
    }
    lock_source(source, Mode::ShareRowExclusive)?;
    // Everything is looked at again: it may have changed before the lock was granted.
    if let Some(captured) = sufficient(source, function, columns, every_change)? {
        return Ok(captured.layout);
    }
    let table = described(source, columns)?;
    let installed = trigger::installed(source, function);
    let every_change = every_change || installed.iter().filter_map(captured).any(|captured| captured.every_change);
    let mut wanted: Vec<i16> = columns.to_vec();
    for column in installed.iter().filter_map(captured).flat_map(|captured| captured.columns) {
        // A column that is gone, or became a generated one, is not wanted any more by anybody who still can be served.
        if attribute(&table, column.attnum).is_some_and(|attribute| !attribute.computed) {
            wanted.push(column.attnum);
        }
    }
    wanted.sort_unstable();
    wanted.dedup();
    let attributes: Vec<&Attribute> = wanted.iter().filter_map(|attnum| attribute(&table, *attnum)).collect();
    let layout = match attributes.is_empty() {
        true => 0,
        false => Layout::create(source, &attributes)?,
    };
    let columns =
        attributes.iter().map(|attribute| Column { attnum: attribute.attnum, ty: attribute.ty.oid }).collect();
    let arguments = Captured { layout, columns, every_change }.arguments();
    // Under the lock nobody can become its parent or its child.
    let in_tree = inheritance::takes_part(source);
    if complete(&installed, in_tree) {
        trigger::set_arguments(source, function, &arguments);
    } else {
        for old in &installed {
            trigger::drop_trigger(old.oid);
        }
        make_triggers(source, function, in_tree, &arguments);
    }
    Ok(layout)
}

/// Makes the triggers of a table, which the caller has locked in ShareRowExclusive mode at least.
pub fn make_triggers(table: u32, function: u32, in_tree: bool, arguments: &[String]) {
    for definition in definitions(in_tree) {
        trigger::create(table, function, &definition, arguments);
    }
}

/// What is captured of a member of a tree, if it has exactly the triggers of one.
pub fn captured_in_tree(member: u32, function: u32) -> Option<Captured> {
    let installed = trigger::installed(member, function);
    if !complete(&installed, true) {
        return None;
    }
    let first = installed.first().and_then(captured)?;
    installed.iter().all(|trigger| captured(trigger).as_ref() == Some(&first)).then_some(first)
}

/// The tables of this database that have capture triggers.
pub fn captured_tables() -> Vec<u32> {
    trigger::function().map_or_else(Vec::new, trigger::tables_of)
}

/// Removes capture from a source, in the worker's transaction.
pub fn remove(source: u32) -> Result<(), Blocked> {
    lock_source(source, Mode::AccessExclusive)?;
    if relation::table(source).is_none() {
        return Ok(());
    }
    if let Some(function) = trigger::function() {
        for old in trigger::installed(source, function) {
            trigger::drop_trigger(old.oid);
        }
    }
    Ok(())
}

/// Takes a lock, waiting no longer than lock_timeout; if that was not enough, says who was in the way.
fn lock_source(source: u32, mode: Mode) -> Result<(), Blocked> {
    if lock::try_lock(source, mode) {
        return Ok(());
    }
    let holders = lock::conflicting(source, mode);
    // Without waiting in the queue it would never come to its turn on a busy table.
    match txn::subtransaction(|| {
        lock::lock(source, mode);
        Ok(())
    }) {
        Ok(()) => Ok(()),
        Err(failure) if failure.sqlstate == *b"55P03" => Err(Blocked::Lock(holders)),
        Err(failure) => Err(Blocked::Failed(failure)),
    }
}

/// The table with a check of the columns.
fn described(source: u32, columns: &[i16]) -> Result<Table, Blocked> {
    let table = relation::table(source).ok_or(Blocked::Source(Reason::Missing))?;
    check(&table).map_err(Blocked::Source)?;
    for attnum in columns {
        match attribute(&table, *attnum) {
            None => return Err(Blocked::Source(Reason::NoSuchColumn(*attnum))),
            Some(attribute) if attribute.computed => {
                return Err(Blocked::Source(Reason::Computed(attribute.name.clone())));
            }
            Some(_) => {}
        }
    }
    Ok(table)
}

fn attribute(table: &Table, attnum: i16) -> Option<&Attribute> {
    table.attributes.iter().find(|attribute| attribute.attnum == attnum)
}

fn captured(installed: &Installed) -> Option<Captured> {
    Captured::parse(installed.arguments.iter().map(String::as_str))
}

/// Whether exactly our triggers are there, enabled as we made them.
fn complete(installed: &[Installed], in_tree: bool) -> bool {
    let mut present: Vec<(i16, u8)> = installed.iter().map(|trigger| (trigger.ty, trigger.enabled)).collect();
    let mut expected: Vec<(i16, u8)> =
        definitions(in_tree).iter().map(|definition| (definition.ty(), definition.fires as u8)).collect();
    present.sort_unstable();
    expected.sort_unstable();
    present == expected
}

/// What is captured now, if it is enough.
fn sufficient(source: u32, function: u32, columns: &[i16], every_change: bool) -> Result<Option<Captured>, Blocked> {
    let table = described(source, columns)?;
    let installed = trigger::installed(source, function);
    if !complete(&installed, inheritance::takes_part(source)) {
        return Ok(None);
    }
    let Some(first) = installed.first().and_then(captured) else { return Ok(None) };
    let same = installed.iter().all(|trigger| captured(trigger).as_ref() == Some(&first));
    let current = first
        .columns
        .iter()
        .all(|column| attribute(&table, column.attnum).is_some_and(|attribute| attribute.ty.oid == column.ty));
    let enough = columns.iter().all(|attnum| first.columns.iter().any(|column| column.attnum == *attnum));
    let told = first.every_change || !every_change;
    Ok((same && current && enough && told).then_some(first))
}
