//! Virtual generated columns: no row has them, they are computed where they are read.

use super::catalog_lookup::oid;
use super::node::{Arena, Node};
use pgrx::pg_sys;

impl Arena {
    /// The expression of a virtual generated column, in terms of its relation as entry 1; none if the relation is gone.
    pub fn generation_expression(&self, relation: u32, attribute: i16) -> Option<Node<'_>> {
        // SAFETY: the relation is open, under a lock that is kept, while its expression is built in the arena's context.
        unsafe {
            let open = pg_sys::try_relation_open(oid(relation), pg_sys::AccessShareLock as i32);
            if open.is_null() {
                return None;
            }
            let expression = pg_sys::build_generation_expression(open, attribute.into());
            pg_sys::relation_close(open, pg_sys::NoLock as i32);
            self.node(expression)
        }
    }

    /// A NULL that stands for a column that is never read.
    pub fn null_of_dropped(&self) -> Node<'_> {
        // SAFETY: makeNullConst allocates in the current context, which is the arena's.
        unsafe { self.some(pg_sys::makeNullConst(pg_sys::INT4OID, -1, pg_sys::InvalidOid)) }
    }
}
