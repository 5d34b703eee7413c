//! The extension's part of shared memory: asked for while the server starts, found by every process that it starts.

use crate::shm::Shared;
use pgrx::pg_sys;
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A type that may lie in shared memory.
///
/// # Safety
/// All bytes zero is its initial state, and it consists of atomics only: no pointers, no drop, any bit pattern valid.
unsafe trait Shareable: Sync {}

// SAFETY: `Shared` and its parts are repr(C) structures of atomics, as their own documentation says.
unsafe impl Shareable for Shared {}

struct Hooks(UnsafeCell<(pg_sys::shmem_request_hook_type, pg_sys::shmem_startup_hook_type)>);

// SAFETY: written once while the postmaster loads the library, read by the postmaster's main thread.
unsafe impl Sync for Hooks {}

static PREVIOUS: Hooks = Hooks(UnsafeCell::new((None, None)));
/// Set anew when the postmaster rebuilds shared memory after a crash; by then no process is left that used the old one.
static SHARED: AtomicPtr<Shared> = AtomicPtr::new(ptr::null_mut());

/// Asks for the memory. Called once, while shared_preload_libraries are loaded; the answer says whether they are.
pub fn request() -> bool {
    // SAFETY: hooks are plain variables of the postmaster, which is single-threaded here.
    unsafe {
        if !pg_sys::process_shared_preload_libraries_in_progress {
            return false;
        }
        *PREVIOUS.0.get() = (pg_sys::shmem_request_hook, pg_sys::shmem_startup_hook);
        pg_sys::shmem_request_hook = Some(on_request);
        pg_sys::shmem_startup_hook = Some(on_startup);
    }
    true
}

/// The shared structure; `None` if the library was not preloaded.
pub fn shared() -> Option<&'static Shared> {
    // SAFETY: null, or memory of this size in its initial state or later, which this process has mapped until it ends.
    unsafe { SHARED.load(Ordering::Acquire).as_ref() }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn on_request() {
    // SAFETY: called by the postmaster when memory may be requested.
    unsafe {
        if let Some(previous) = (*PREVIOUS.0.get()).0 {
            previous();
        }
        pg_sys::RequestAddinShmemSpace(std::mem::size_of::<Shared>());
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn on_startup() {
    // SAFETY: called where ShmemInitStruct may be used; the name and the size are the same in every process. A fresh
    // allocation is set to the initial state before another process can exist that would look at it.
    unsafe {
        if let Some(previous) = (*PREVIOUS.0.get()).1 {
            previous();
        }
        let mut found = false;
        let size = std::mem::size_of::<Shared>();
        let memory = pg_sys::ShmemInitStruct(c"pg_trickle".as_ptr(), size, &mut found).cast::<Shared>();
        if !found {
            initialise(memory);
        }
        SHARED.store(memory, Ordering::Release);
    }
}

/// # Safety
/// `memory` is writable and as large as a `T`.
unsafe fn initialise<T: Shareable>(memory: *mut T) {
    // SAFETY: see above, and `Shareable`.
    unsafe { ptr::write_bytes(memory, 0, 1) }
}
