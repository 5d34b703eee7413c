//! The queries of fragments: expressions over one ephemeral relation `batch`, as trees that PostgreSQL plans and runs.
//!
//! The relation's columns are `item`, then the arguments; the expressions refer to arguments as columns 2, 3, … of
//! range table entry 1. What is built here is what parse analysis would have built, less the source locations.

use super::node::{make, Arena, Node};
use super::query::{select_from, text, RangeEntry};
use pgrx::pg_sys;
use std::ffi::{CStr, CString};
use trickle_operators::value::ColumnType;

/// The name of the ephemeral relation.
pub const BATCH: &CStr = c"batch";

/// How the results come from the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One result row a row.
    Scalar,
    /// One result row an item: the expressions are aggregates.
    Grouped,
    /// One result row with item 0, also over no rows: the expressions are aggregates.
    Global,
}

/// `SELECT item, results… FROM batch [GROUP BY item]`, or `SELECT 0, results… FROM batch`, as nodeToString() writes it.
pub fn build(arena: &Arena, shape: Shape, arguments: &[ColumnType], results: &[Node<'_>]) -> String {
    let _ = arena;
    // SAFETY: everything is allocated in the arena (the current context); nodes in it outlive the call; nodeToString copies.
    unsafe {
        let entry = named_tuplestore(arguments);
        let query = select_from(entry);
        let item = set_targets(query, shape == Shape::Global, results);
        (*query).hasAggs = shape != Shape::Scalar;
        if shape == Shape::Grouped {
            (*item).ressortgroupref = 1;
            let clause = make::<pg_sys::SortGroupClause>(pg_sys::NodeTag::T_SortGroupClause);
            (*clause).tleSortGroupRef = 1;
            (*clause).eqop = pg_sys::Oid::from(INT8_EQUAL_OPERATOR);
            (*clause).sortop = pg_sys::Oid::from(pg_sys::Int8LessOperator);
            (*clause).hashable = true;
            (*query).groupClause = pg_sys::lappend(std::ptr::null_mut(), clause.cast());
        }
        text(pg_sys::nodeToString(query.cast()))
    }
}

/// `SELECT item, results… FROM batch, LATERAL calls WHERE condition`, in which the calls' columns are those of entry 2; or
/// `SELECT item, results… FROM batch` with set-returning functions in the results.
pub fn build_expansion(
    arena: &Arena,
    arguments: &[ColumnType],
    calls: Option<(RangeEntry<'_>, Node<'_>)>,
    condition: &[Node<'_>],
    results: &[Node<'_>],
) -> String {
    // SAFETY: as above. The entry is copied before its calls are replaced, by a tree of the same kind.
    unsafe {
        let query = select_from(named_tuplestore(arguments));
        set_targets(query, false, results);
        (*query).hasTargetSRFs = results.iter().any(|result| result.returns_set());
        if let Some((entry, calls)) = calls {
            let entry = pg_sys::copyObjectImpl(entry.raw().cast()).cast::<pg_sys::RangeTblEntry>();
            match (*entry).rtekind {
                pg_sys::RTEKind::RTE_TABLEFUNC => (*entry).tablefunc = calls.raw().cast(),
                _ => (*entry).functions = calls.raw().cast(),
            }
            (*entry).lateral = true;
            (*query).rtable = pg_sys::lappend((*query).rtable, entry.cast());
            let reference = make::<pg_sys::RangeTblRef>(pg_sys::NodeTag::T_RangeTblRef);
            (*reference).rtindex = 2;
            let tree = (*query).jointree;
            (*tree).fromlist = pg_sys::lappend((*tree).fromlist, reference.cast());
            if !condition.is_empty() {
                (*tree).quals = arena.and(condition).raw();
            }
        }
        text(pg_sys::nodeToString(query.cast()))
    }
}

/// Gives a query its target list, of which the first is the item.
///
/// # Safety
/// The query is one of [`select_from`]; the current context is the arena's.
unsafe fn set_targets(query: *mut pg_sys::Query, one_item: bool, results: &[Node<'_>]) -> *mut pg_sys::TargetEntry {
    // SAFETY: makes new nodes, and puts nodes of the arena into them.
    unsafe {
        let item: *mut pg_sys::Expr = if one_item {
            let zero = pg_sys::Datum::from(0i64);
            pg_sys::makeConst(pg_sys::INT8OID, -1, pg_sys::InvalidOid, 8, zero, false, true).cast()
        } else {
            pg_sys::makeVar(1, 1, pg_sys::INT8OID, -1, pg_sys::InvalidOid, 0).cast()
        };
        let item = pg_sys::makeTargetEntry(item, 1, pg_sys::pstrdup(c"item".as_ptr()), false);
        let mut targets = pg_sys::lappend(std::ptr::null_mut(), item.cast());
        for (at, result) in results.iter().enumerate() {
            let name = CString::new(format!("r{}", at + 1)).expect("no null byte in a number");
            let name = pg_sys::pstrdup(name.as_ptr());
            let target = pg_sys::makeTargetEntry(result.raw().cast(), at as i16 + 2, name, false);
            targets = pg_sys::lappend(targets, target.cast());
        }
        (*query).targetList = targets;
        item
    }
}

/// `int8 = int8`, fixed by pg_operator.dat.
pub(super) const INT8_EQUAL_OPERATOR: u32 = 410;

/// # Safety
/// The current context is the arena's.
pub(super) unsafe fn named_tuplestore(arguments: &[ColumnType]) -> *mut pg_sys::RangeTblEntry {
    // SAFETY: lists and names are allocated in the current context; the struct is complete as
    // addRangeTableEntryForENR() leaves it.
    unsafe {
        let entry = make::<pg_sys::RangeTblEntry>(pg_sys::NodeTag::T_RangeTblEntry);
        (*entry).rtekind = pg_sys::RTEKind::RTE_NAMEDTUPLESTORE;
        (*entry).enrname = pg_sys::pstrdup(BATCH.as_ptr());
        (*entry).enrtuples = 1000.0;
        let mut names = name_list(std::ptr::null_mut(), c"item");
        let mut types = pg_sys::lappend_oid(std::ptr::null_mut(), pg_sys::INT8OID);
        let mut typmods = pg_sys::lappend_int(std::ptr::null_mut(), -1);
        let mut collations = pg_sys::lappend_oid(std::ptr::null_mut(), pg_sys::InvalidOid);
        for (at, ty) in arguments.iter().enumerate() {
            let name = CString::new(format!("a{}", at + 1)).expect("no null byte in a number");
            names = name_list(names, &name);
            types = pg_sys::lappend_oid(types, pg_sys::Oid::from(ty.oid));
            typmods = pg_sys::lappend_int(typmods, ty.typmod);
            collations = pg_sys::lappend_oid(collations, pg_sys::Oid::from(ty.collation));
        }
        (*entry).coltypes = types;
        (*entry).coltypmods = typmods;
        (*entry).colcollations = collations;
        (*entry).eref = pg_sys::makeAlias(BATCH.as_ptr(), names);
        (*entry).inFromCl = true;
        entry
    }
}

/// # Safety
/// The current context is the arena's.
unsafe fn name_list(names: *mut pg_sys::List, name: &CStr) -> *mut pg_sys::List {
    // SAFETY: both allocate in the current context.
    unsafe { pg_sys::lappend(names, pg_sys::makeString(pg_sys::pstrdup(name.as_ptr())).cast()) }
}

/// An entry whose columns are called by `names`, to be read by people.
///
/// # Safety
/// The current context is the arena's.
pub(super) unsafe fn named_columns(names: &[String]) -> *mut pg_sys::RangeTblEntry {
    // SAFETY: a fresh struct. A CTE reference is the one kind of entry that ruleutils prints by name alone, without asking
    // a catalog.
    unsafe {
        let entry = make::<pg_sys::RangeTblEntry>(pg_sys::NodeTag::T_RangeTblEntry);
        (*entry).rtekind = pg_sys::RTEKind::RTE_CTE;
        (*entry).ctename = pg_sys::pstrdup(BATCH.as_ptr());
        let columns = names.iter().fold(std::ptr::null_mut(), |list, name| {
            let name = CString::new(name.replace('\0', "")).expect("null bytes are replaced");
            name_list(list, &name)
        });
        (*entry).eref = pg_sys::makeAlias(BATCH.as_ptr(), columns);
        (*entry).inFromCl = true;
        entry
    }
}

/// An expression as a person would write it; columns of entry 1 are called by `names`.
pub fn deparse<'t>(arena: &'t Arena, expression: Node<'t>, names: &[String]) -> String {
    // SAFETY: the query is made of fresh structs and of nodes of the arena, which ruleutils only reads.
    let written = unsafe {
        let entry = named_columns(names);
        let query = select_from(entry);
        (*(*query).jointree).fromlist = std::ptr::null_mut();
        let target = pg_sys::makeTargetEntry(expression.raw().cast(), 1, pg_sys::pstrdup(c"?column?".as_ptr()), false);
        (*query).targetList = pg_sys::lappend(std::ptr::null_mut(), target.cast());
        (*query).hasAggs = true;
        text(pg_sys::pg_get_querydef(query, true))
    };
    let _ = arena;
    let written = written.trim().trim_end_matches(';').trim();
    let written = written.strip_prefix("SELECT").unwrap_or(written).trim();
    // A column keeps its name as the result's name, everything else has "?column?".
    let written = written.strip_suffix(" AS \"?column?\"").unwrap_or(written);
    written.split_whitespace().collect::<Vec<_>>().join(" ")
}
