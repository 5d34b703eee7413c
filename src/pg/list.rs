//! PostgreSQL's lists, and memory for nodes.

use super::node::Node;
use pgrx::pg_sys;

/// # Safety
/// `T` is the node struct of `tag`; the current context is the arena's.
pub(super) unsafe fn make<T>(tag: pg_sys::NodeTag) -> *mut T {
    // SAFETY: zeroed memory is a valid value of every node struct; the tag is its first field.
    unsafe {
        let node = pg_sys::palloc0(size_of::<T>());
        (*node.cast::<pg_sys::Node>()).type_ = tag;
        node.cast()
    }
}

/// # Safety
/// The current context is the arena's.
pub(super) unsafe fn list(nodes: &[Node<'_>]) -> *mut pg_sys::List {
    nodes.iter().fold(std::ptr::null_mut(), |list, node| {
        // SAFETY: lappend allocates in the current context and keeps the pointer.
        unsafe { pg_sys::lappend(list, node.raw().cast()) }
    })
}

/// # Safety
/// `list` is null or a list of pointers.
pub(super) unsafe fn pointers<T>(list: *mut pg_sys::List) -> Vec<*mut T> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: a list has `length` initialised elements.
    unsafe { (0..(*list).length as usize).map(|at| (*(*list).elements.add(at)).ptr_value.cast()).collect() }
}

/// # Safety
/// `list` is null or a list of OIDs.
pub(super) unsafe fn oids(list: *mut pg_sys::List) -> Vec<u32> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: a list has `length` initialised elements.
    unsafe { (0..(*list).length as usize).map(|at| (*(*list).elements.add(at)).oid_value.to_u32()).collect() }
}

/// # Safety
/// `list` is null or a list of integers that are not negative.
pub(super) unsafe fn integers(list: *mut pg_sys::List) -> Vec<u32> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: a list has `length` initialised elements.
    unsafe { (0..(*list).length as usize).map(|at| (*(*list).elements.add(at)).int_value as u32).collect() }
}
