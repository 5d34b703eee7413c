//! Aggregates over a sorted subquery: `SELECT string_agg(x, ',') FROM (SELECT x FROM t ORDER BY x)`.
//!
//! Rows of a relation have no order, but PostgreSQL gives those of a sorted subquery to the aggregates of the query around it
//! as they come, and its manual recommends to rely on it. So such an aggregate is what it is with the subquery's ORDER BY as
//! its own. JSON_ARRAY(SELECT …) is one too.

use super::node::{make, pointers, Arena};
use super::query::Query;
use super::view::{Aggregate, View, SORTED_INPUT};
use pgrx::pg_sys;

struct Walk<'a> {
    sensitive: &'a dyn Fn(&Aggregate<'_>) -> bool,
    arena: &'a Arena,
}

impl Arena {
    /// The query with the order of sorted subqueries given to the aggregates over them for which `sensitive` holds: those whose
    /// values depend on the order of their input.
    pub fn with_sorted_input<'t>(&'t self, query: Query<'t>, sensitive: &dyn Fn(&Aggregate<'_>) -> bool) -> Query<'t> {
        let mut walk = Walk { sensitive, arena: self };
        // SAFETY: the copy is this function's alone until it is handed out; `visit` gets back the pointer passed here.
        unsafe {
            let copy = pg_sys::copyObjectImpl(query.node().raw() as *const _) as *mut pg_sys::Node;
            visit(copy, (&raw mut walk).cast());
            Query::from_node(self.some(copy)).unwrap_or(query)
        }
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn visit(node: *mut pg_sys::Node, context: *mut std::ffi::c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: `context` is what `with_sorted_input` passed; the walkers call us for children.
    unsafe {
        if (*node).type_ == pg_sys::NodeTag::T_Query {
            sort_input(&mut *node.cast(), &*context.cast::<Walk<'_>>());
            return pg_sys::query_tree_walker_impl(node.cast(), Some(visit), context, 0);
        }
        pg_sys::expression_tree_walker_impl(node, Some(visit), context)
    }
}

/// # Safety
/// `query` is an analysed query that may be changed; the current context is the arena's.
unsafe fn sort_input(query: &mut pg_sys::Query, walk: &Walk<'_>) {
    // SAFETY: the tree is well-formed: FROM is a list, range table entries are numbered from 1.
    unsafe {
        if !query.hasAggs || query.jointree.is_null() {
            return;
        }
        let [item] = pointers::<pg_sys::Node>((*query.jointree).fromlist)[..] else { return };
        if (*item).type_ != pg_sys::NodeTag::T_RangeTblRef {
            return;
        }
        let number = (*item.cast::<pg_sys::RangeTblRef>()).rtindex;
        let entry = pointers::<pg_sys::RangeTblEntry>(query.rtable)[number as usize - 1];
        if (*entry).rtekind != pg_sys::RTEKind::RTE_SUBQUERY || (*(*entry).subquery).sortClause.is_null() {
            return;
        }
        let mut calls = Calls { found: Vec::new(), walk };
        find_calls(query.targetList.cast(), (&raw mut calls).cast());
        find_calls(query.havingQual, (&raw mut calls).cast());
        if calls.found.is_empty() {
            return;
        }
        let keys = shown_keys(entry);
        for call in calls.found {
            let call = &mut *call;
            call.location = SORTED_INPUT;
            let mut reference = 0;
            for (target, clause) in &keys {
                reference += 1;
                let column = pg_sys::makeVarFromTargetEntry(number, *target);
                let resno = if call.args.is_null() { 1 } else { (*call.args).length + 1 };
                let argument = pg_sys::makeTargetEntry(column.cast(), resno as i16, std::ptr::null_mut(), true);
                (*argument).ressortgroupref = reference;
                call.args = pg_sys::lappend(call.args, argument.cast());
                let order = make::<pg_sys::SortGroupClause>(pg_sys::NodeTag::T_SortGroupClause);
                *order = **clause;
                (*order).tleSortGroupRef = reference;
                call.aggorder = pg_sys::lappend(call.aggorder, order.cast());
            }
        }
    }
}

/// The targets that a subquery is sorted by, in order; all of them are columns of its range table entry now.
///
/// # Safety
/// The entry is of a sorted subquery, and both may be changed.
unsafe fn shown_keys(
    entry: *mut pg_sys::RangeTblEntry,
) -> Vec<(*mut pg_sys::TargetEntry, *mut pg_sys::SortGroupClause)> {
    // SAFETY: each clause refers to a target. Those that are not shown come last, and become columns in their order.
    unsafe {
        let subquery = &mut *(*entry).subquery;
        let targets = pointers::<pg_sys::TargetEntry>(subquery.targetList);
        for target in targets.iter().filter(|target| (***target).resjunk) {
            (**target).resjunk = false;
            (**target).resname = pg_sys::pstrdup(c"sorted".as_ptr());
            let name = pg_sys::makeString(pg_sys::pstrdup(c"sorted".as_ptr()));
            (*(*entry).eref).colnames = pg_sys::lappend((*(*entry).eref).colnames, name.cast());
        }
        let clauses = pointers::<pg_sys::SortGroupClause>(subquery.sortClause).into_iter();
        let key = |clause: *mut pg_sys::SortGroupClause| {
            let of = |target: &&*mut pg_sys::TargetEntry| (***target).ressortgroupref == (*clause).tleSortGroupRef;
            Some((*targets.iter().find(of)?, clause))
        };
        clauses.filter_map(key).collect()
    }
}

struct Calls<'a> {
    found: Vec<*mut pg_sys::Aggref>,
    walk: &'a Walk<'a>,
}

/// Aggregates of the query level itself that have no order of their own.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn find_calls(node: *mut pg_sys::Node, context: *mut std::ffi::c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: `context` is what `sort_input` passed; the tag says what a node is.
    unsafe {
        let calls = &mut *context.cast::<Calls<'_>>();
        match (*node).type_ {
            pg_sys::NodeTag::T_Query => false,
            pg_sys::NodeTag::T_Aggref => {
                let call = node.cast::<pg_sys::Aggref>();
                let plain = (*call).agglevelsup == 0
                    && (*call).aggkind as u8 == b'n'
                    && (*call).aggorder.is_null()
                    && (*call).aggdistinct.is_null();
                if let (true, View::Aggregate(view)) = (plain, calls.walk.arena.some(node).view()) {
                    if (calls.walk.sensitive)(&view) {
                        calls.found.push(call);
                    }
                }
                // Nothing of the same level is inside of it.
                false
            }
            _ => pg_sys::expression_tree_walker_impl(node, Some(find_calls), context),
        }
    }
}
