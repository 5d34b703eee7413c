//! Rows as wholes: where a query refers to a row of a relation, not to its columns, the row is made of its columns.
//!
//! This is what the planner does with subqueries that it pulls up. A row that an outer join has padded is NULL, and not a
//! row of NULLs: whether it is there is asked by an attribute number of our own, [`PRESENT`]. The tableoid of a relation that
//! nothing inherits from is a constant.

use super::inheritance::{self, AsOf};
use super::node::{make, pointers};
use super::relation::TABLE_OID;
use pgrx::pg_sys;

/// Stands for whether there is a row at all, a boolean; below all attribute numbers of system columns.
pub const PRESENT: i16 = -100;

/// The query levels that a walk is in, outermost first.
type Levels = Vec<*mut pg_sys::Query>;

/// A copy of a query without references to whole rows.
///
/// # Safety
/// `query` is an analysed query in the current memory context, its relations locked.
pub(super) unsafe fn expanded(query: *mut pg_sys::Query) -> *mut pg_sys::Query {
    let mut levels = Levels::new();
    // SAFETY: `expand` gets back the pointer passed here, which outlives the call.
    unsafe { expand(query.cast(), (&raw mut levels).cast()).cast() }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn expand(node: *mut pg_sys::Node, context: *mut std::ffi::c_void) -> *mut pg_sys::Node {
    if node.is_null() {
        return node;
    }
    // SAFETY: `context` is the levels that `expanded` passed; the tag says what a node is; the mutators copy what they are
    // given and call us for what is below.
    unsafe {
        let levels = &mut *context.cast::<Levels>();
        match (*node).type_ {
            pg_sys::NodeTag::T_Query => {
                levels.push(node.cast());
                let copy = pg_sys::query_tree_mutator_impl(node.cast(), Some(expand), context, 0);
                levels.pop();
                copy.cast()
            }
            pg_sys::NodeTag::T_Var if matches!((*node.cast::<pg_sys::Var>()).varattno, 0 | TABLE_OID) => {
                row_of(&*node.cast::<pg_sys::Var>(), levels).unwrap_or(node)
            }
            pg_sys::NodeTag::T_FieldSelect => {
                let field = &*node.cast::<pg_sys::FieldSelect>();
                let row = field.arg.cast::<pg_sys::Var>();
                if (*row).xpr.type_ == pg_sys::NodeTag::T_Var && (*row).varattno == 0 {
                    return column_of(&*row, field).cast();
                }
                pg_sys::expression_tree_mutator_impl(node, Some(expand), context)
            }
            _ => pg_sys::expression_tree_mutator_impl(node, Some(expand), context),
        }
    }
}

/// A field of a whole row is a column, also where the row is NULL.
///
/// # Safety
/// The current context is the query's.
unsafe fn column_of(row: &pg_sys::Var, field: &pg_sys::FieldSelect) -> *mut pg_sys::Var {
    // SAFETY: makes a new node.
    unsafe {
        let column = pg_sys::makeVar(
            row.varno,
            field.fieldnum,
            field.resulttype,
            field.resulttypmod,
            field.resultcollid,
            row.varlevelsup,
        );
        (*column).varnullingrels = row.varnullingrels;
        column
    }
}

/// `ROW(columns…)`, or `CASE WHEN present THEN ROW(columns…) END` where an outer join may have padded it.
///
/// # Safety
/// `row` is a whole-row reference within the levels.
unsafe fn row_of(row: &pg_sys::Var, levels: &Levels) -> Option<*mut pg_sys::Node> {
    let level = levels.len().checked_sub(row.varlevelsup as usize + 1)?;
    // SAFETY: the range table is a list of entries, of which one is referred to; expandRTE makes new lists.
    unsafe {
        let entries = pointers::<pg_sys::RangeTblEntry>((*levels[level]).rtable);
        let entry = *entries.get(usize::try_from(row.varno).ok()?.checked_sub(1)?)?;
        if row.varattno == TABLE_OID {
            if (*entry).rtekind != pg_sys::RTEKind::RTE_RELATION {
                return None;
            }
            // Rows of what inherits from it tell where they are.
            if (*entry).inh && !inheritance::children((*entry).relid.to_u32(), AsOf::Now).is_empty() {
                return None;
            }
            let value = pg_sys::Datum::from((*entry).relid);
            let oid = pg_sys::makeConst(pg_sys::OIDOID, -1, pg_sys::InvalidOid, 4, value, false, true);
            return Some(where_present(row, oid.cast()));
        }
        let anonymous = row.vartype == pg_sys::RECORDOID;
        let (mut names, mut columns) = (std::ptr::null_mut(), std::ptr::null_mut());
        pg_sys::expandRTE(
            entry,
            row.varno,
            row.varlevelsup as i32,
            pg_sys::VarReturningType::VAR_RETURNING_DEFAULT,
            -1,
            !anonymous,
            &mut names,
            &mut columns,
        );
        let made = make::<pg_sys::RowExpr>(pg_sys::NodeTag::T_RowExpr);
        (*made).args = columns;
        (*made).row_typeid = row.vartype;
        (*made).row_format = pg_sys::CoercionForm::COERCE_IMPLICIT_CAST;
        (*made).colnames = if anonymous { names } else { std::ptr::null_mut() };
        (*made).location = -1;
        Some(where_present(row, made.cast()))
    }
}

/// What stands for a row or a part of it, NULL where the row is padded.
///
/// # Safety
/// The current context is the query's.
unsafe fn where_present(row: &pg_sys::Var, value: *mut pg_sys::Node) -> *mut pg_sys::Node {
    if row.varnullingrels.is_null() {
        return value;
    }
    // SAFETY: makes new nodes.
    unsafe {
        let when = make::<pg_sys::CaseWhen>(pg_sys::NodeTag::T_CaseWhen);
        let present = pg_sys::makeVar(row.varno, PRESENT, pg_sys::BOOLOID, -1, pg_sys::InvalidOid, row.varlevelsup);
        (*when).expr = present.cast();
        (*when).result = value.cast();
        (*when).location = -1;
        let case = make::<pg_sys::CaseExpr>(pg_sys::NodeTag::T_CaseExpr);
        (*case).casetype = row.vartype;
        (*case).args = pg_sys::lappend(std::ptr::null_mut(), when.cast());
        (*case).defresult = pg_sys::makeNullConst(row.vartype, -1, pg_sys::InvalidOid).cast();
        (*case).location = -1;
        case.cast()
    }
}
