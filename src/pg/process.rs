//! This process and others: identity, life, latches, clock.

use pgrx::pg_sys;

pub fn pid() -> i32 {
    // SAFETY: a plain read; set at process start.
    unsafe { pg_sys::MyProcPid }
}

/// The index of this process among the server's.
pub fn number() -> i32 {
    // SAFETY: a plain read; valid once the process is attached to shared memory, which every caller is.
    unsafe { pg_sys::MyProcNumber }
}

/// OID of the database that this process is connected to; 0 if none.
pub fn database() -> u32 {
    // SAFETY: a plain read.
    unsafe { pg_sys::MyDatabaseId.to_u32() }
}

/// Whether a backend or worker with this pid is attached to the server.
pub fn alive(pid: i32) -> bool {
    // SAFETY: looks the pid up under ProcArrayLock; the result is only compared.
    unsafe { !pg_sys::BackendPidGetProc(pid).is_null() }
}

/// Sets the latch of the process with this number. Whoever has that number now, a needless wake is harmless.
pub fn set_latch(number: i32) {
    // SAFETY: the array has `allProcCount` entries, and a process's latch stays initialised when the process ends.
    unsafe {
        let header = pg_sys::ProcGlobal;
        if number >= 0 && (number as u32) < (*header).allProcCount {
            pg_sys::SetLatch(&raw mut (*(*header).allProcs.add(number as usize)).procLatch);
        }
    }
}

/// Sets the latch of the process with this pid, if it is attached to the server.
pub fn wake(pid: i32) {
    // SAFETY: looks the pid up under ProcArrayLock; the entry's latch stays initialised when the process ends.
    unsafe {
        let process = pg_sys::BackendPidGetProc(pid);
        if !process.is_null() {
            pg_sys::SetLatch(&raw mut (*process).procLatch);
        }
    }
}

/// Asks a process to end, as pg_terminate_backend does.
pub fn terminate(pid: i32) {
    // SAFETY: a plain system call. The process may be gone: then there is nothing to ask.
    unsafe { libc::kill(pid, libc::SIGTERM) };
}

/// Microseconds since 2000-01-01.
pub fn now() -> i64 {
    // SAFETY: a plain call.
    unsafe { pg_sys::GetCurrentTimestamp() }
}
