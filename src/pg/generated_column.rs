//! Virtual generated columns: no row has them, they are computed where they are read.

use super::catalog_lookup::oid;
use super::node::{Arena, Node};
use super::query::text;
use pgrx::pg_sys;

/// The expression of a virtual generated column in the current memory context; null if the relation is gone.
fn expression(relation: u32, attribute: i16) -> *mut pg_sys::Node {
    // SAFETY: the relation is open, under a lock that is kept, while its expression is built.
    unsafe {
        let open = pg_sys::try_relation_open(oid(relation), pg_sys::AccessShareLock as i32);
        if open.is_null() {
            return std::ptr::null_mut();
        }
        let expression = pg_sys::build_generation_expression(open, attribute.into());
        pg_sys::relation_close(open, pg_sys::NoLock as i32);
        expression
    }
}

/// The expression in a form that is the same for as long as the expression is; none if the relation is gone.
pub fn generation_text(relation: u32, attribute: i16) -> Option<String> {
    let expression = expression(relation, attribute);
    // SAFETY: a tree in the current context, of which a string is made.
    (!expression.is_null()).then(|| unsafe { text(pg_sys::nodeToString(expression.cast())) })
}

impl Arena {
    /// The expression of a virtual generated column, in terms of its relation as entry 1; none if the relation is gone.
    pub fn generation_expression(&self, relation: u32, attribute: i16) -> Option<Node<'_>> {
        // SAFETY: the current context is the arena's.
        unsafe { self.node(expression(relation, attribute)) }
    }

    /// A NULL that stands for a column that is never read.
    pub fn null_of_dropped(&self) -> Node<'_> {
        // SAFETY: makeNullConst allocates in the current context, which is the arena's.
        unsafe { self.some(pg_sys::makeNullConst(pg_sys::INT4OID, -1, pg_sys::InvalidOid)) }
    }
}
