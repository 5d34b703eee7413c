//! The worker's one place to sleep: its latch, the engine's eventfd and the postmaster's death, in one WaitEventSet.
//!
//! Engine threads ring by writing to the eventfd, never by touching a latch: nothing of PostgreSQL is called from them.

use pgrx::pg_sys;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// The engine's bell. Cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Bell(Arc<OwnedFd>);

/// The wait set of a worker process; lives as long as the process.
pub struct Waiter {
    set: *mut pg_sys::WaitEventSet,
    bell: Bell,
    wait_event: u32,
}

impl Bell {
    fn new() -> std::io::Result<Self> {
        // SAFETY: a plain system call; the descriptor is owned by nobody else.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: just created, valid, and not owned elsewhere.
        Ok(Bell(Arc::new(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// Wakes the main thread. A full counter means that it has been woken already, so failure needs no answer.
    pub fn ring(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: writes eight bytes from a live buffer to an open descriptor.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    fn silence(&self) {
        let mut count = [0u8; 8];
        // SAFETY: reads at most eight bytes into a live buffer from an open, non-blocking descriptor.
        unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

impl Waiter {
    /// `name` is what pg_stat_activity shows as the wait event.
    pub fn new(name: &std::ffi::CStr) -> std::io::Result<Self> {
        let bell = Bell::new()?;
        // SAFETY: MyLatch is initialised in every background worker; the set has room for the three events added; the
        // resource owner may be null for a set that lives as long as the process.
        unsafe {
            let set = pg_sys::CreateWaitEventSet(std::ptr::null_mut(), 3);
            let no_socket = pg_sys::PGINVALID_SOCKET;
            let null = std::ptr::null_mut();
            pg_sys::AddWaitEventToSet(set, pg_sys::WL_LATCH_SET, no_socket, pg_sys::MyLatch, null);
            pg_sys::AddWaitEventToSet(set, pg_sys::WL_EXIT_ON_PM_DEATH, no_socket, null.cast(), null);
            pg_sys::AddWaitEventToSet(set, pg_sys::WL_SOCKET_READABLE, bell.0.as_raw_fd(), null.cast(), null);
            Ok(Waiter { set, bell, wait_event: pg_sys::WaitEventExtensionNew(name.as_ptr()) })
        }
    }

    pub fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// Sleeps until the latch is set, the bell rings, or `timeout` has passed (`None`: no limit); serves interrupts.
    /// Both the latch and the bell are reset: the caller must look at everything that they can announce.
    pub fn wait(&self, timeout: Option<Duration>) {
        // The kernel takes an int: whoever has to wait longer looks in between.
        let millis = timeout.map_or(-1, |t| i32::try_from(t.as_micros().div_ceil(1000)).unwrap_or(i32::MAX));
        // SAFETY: the set and MyLatch live as long as the process; `events` is valid for the call.
        unsafe {
            let mut events: [pg_sys::WaitEvent; 3] = std::mem::zeroed();
            pg_sys::WaitEventSetWait(self.set, millis as std::ffi::c_long, events.as_mut_ptr(), 3, self.wait_event);
            pg_sys::ResetLatch(pg_sys::MyLatch);
        }
        self.bell.silence();
        pgrx::check_for_interrupts!();
    }
}
