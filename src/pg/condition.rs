//! The form of a condition, by the planner's own rules.

use super::node::Node;
use pgrx::pg_sys;

/// What is common to all arms of an OR, and what is left of it: `(a AND b) OR (a AND c)` is `a AND (b OR c)`. Only for a
/// condition that rejects a row by NULL as by false.
pub fn factored(condition: Node<'_>) -> Node<'_> {
    // SAFETY: the copy and what is made of it are allocated in the current context, which is the arena's; a condition that
    // is not null does not become null.
    unsafe {
        let copy = pg_sys::copyObjectImpl(condition.raw().cast());
        condition.beside(pg_sys::canonicalize_qual(copy.cast(), false).cast())
    }
}
