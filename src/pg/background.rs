//! Background worker processes: registering, starting and leaving them in good order.
//!
//! Leaving: SIGTERM is PostgreSQL's own `die`, so that a statement that runs is cancelled. `before_shmem_exit` stops the engine
//! threads with a bound. Should one not stop, the process must not run the C library's exit handlers under it, nor leave
//! before shared memory is released, either of which makes the postmaster restart every session: an `on_proc_exit`
//! callback that was registered first, and so runs last, ends the process at once (HAZARDS H55).

use crate::pg::txn::Failure;
use crate::shm;
use pgrx::pg_sys;
use std::ffi::{c_int, CStr};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::Mutex;
use std::time::Duration;

mod c {
    // PostgreSQL's own handlers, called by its signal machinery: not through guards.
    extern "C-unwind" {
        pub fn die(signal: std::ffi::c_int);
        pub fn SignalHandlerForConfigReload(signal: std::ffi::c_int);
    }
}

/// How long the engine threads may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Stops the engine threads within a time; whether all have ended.
pub type Stopper = Box<dyn FnOnce(Duration) -> bool + Send>;

static STOPPER: Mutex<Option<Stopper>> = Mutex::new(None);
static THREADS_LEFT: AtomicBool = AtomicBool::new(false);

/// A started worker.
pub struct Handle(*mut pg_sys::BackgroundWorkerHandle);

/// A started worker that ends with whoever started it: when this is dropped, and when this process exits before.
pub struct Bound(Handle);

/// The worker that is bound to this process.
static BOUND: AtomicPtr<pg_sys::BackgroundWorkerHandle> = AtomicPtr::new(std::ptr::null_mut());

pub enum Start {
    Started(Handle),
    /// max_worker_processes is used up.
    NoSlot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Starting,
    Running,
    Ended,
}

fn describe(name: &str, kind: &str, function: &str, flags: u32, restart_secs: c_int) -> pg_sys::BackgroundWorker {
    // SAFETY: a plain C structure, for which zeroes are valid.
    let mut worker: pg_sys::BackgroundWorker = unsafe { std::mem::zeroed() };
    let fill = |field: &mut [std::ffi::c_char], text: &str| {
        let room = field.len() - 1;
        for (cell, byte) in field[..room].iter_mut().zip(text.bytes()) {
            *cell = byte as std::ffi::c_char;
        }
    };
    fill(&mut worker.bgw_name, name);
    fill(&mut worker.bgw_type, kind);
    fill(&mut worker.bgw_library_name, "pg_trickle");
    fill(&mut worker.bgw_function_name, function);
    worker.bgw_flags = flags as c_int;
    worker.bgw_start_time = pg_sys::BgWorkerStartTime::BgWorkerStart_RecoveryFinished;
    worker.bgw_restart_time = restart_secs;
    worker
}

/// Registers the launcher; while shared_preload_libraries are loaded.
pub fn register_launcher() {
    let flags = pg_sys::BGWORKER_SHMEM_ACCESS | pg_sys::BGWORKER_BACKEND_DATABASE_CONNECTION;
    let mut worker = describe("pg_trickle launcher", "pg_trickle", "pg_trickle_launcher_main", flags, 5);
    // SAFETY: copied by the call. Binary upgrade starts no workers of ours.
    unsafe {
        if !pg_sys::IsBinaryUpgrade {
            pg_sys::RegisterBackgroundWorker(&mut worker);
        }
    }
}

/// Starts the worker of a database; the calling process's latch is set when it has started and when it ends.
pub fn start_worker(database: u32) -> Start {
    start("pg_trickle worker", "pg_trickle", "pg_trickle_worker_main", u64::from(database))
}

/// Starts a process that holds a snapshot in a database: see [`super::holder`].
pub fn start_holder(database: u32) -> Start {
    start("pg_trickle snapshot holder", "pg_trickle", "pg_trickle_holder_main", u64::from(database))
}

/// Starts a process that compares a stream table with its query: see [`crate::worker::verifier`], which knows `task`.
pub fn start_verifier(database: u32, task: u32) -> Start {
    let argument = u64::from(task) << 32 | u64::from(database);
    start("pg_trickle verifier", "pg_trickle verifier", "pg_trickle_verifier_main", argument)
}

fn start(name: &str, kind: &str, function: &str, argument: u64) -> Start {
    let flags = pg_sys::BGWORKER_SHMEM_ACCESS | pg_sys::BGWORKER_BACKEND_DATABASE_CONNECTION;
    let mut worker = describe(name, kind, function, flags, pg_sys::BGW_NEVER_RESTART);
    worker.bgw_main_arg = pg_sys::Datum::from(argument as usize);
    let mut handle = std::ptr::null_mut();
    // SAFETY: the description is copied; the handle is allocated in the context that lives as long as the process.
    let started = unsafe {
        worker.bgw_notify_pid = pg_sys::MyProcPid;
        let context = pg_sys::MemoryContextSwitchTo(pg_sys::TopMemoryContext);
        let started = pg_sys::RegisterDynamicBackgroundWorker(&mut worker, &mut handle);
        pg_sys::MemoryContextSwitchTo(context);
        started
    };
    if started {
        Start::Started(Handle(handle))
    } else {
        Start::NoSlot
    }
}

pub fn state(handle: &Handle) -> State {
    let mut pid = 0;
    // SAFETY: the handle came from RegisterDynamicBackgroundWorker and lives until dropped.
    match unsafe { pg_sys::GetBackgroundWorkerPid(handle.0, &mut pid) } {
        pg_sys::BgwHandleStatus::BGWH_STARTED => State::Running,
        pg_sys::BgwHandleStatus::BGWH_NOT_YET_STARTED => State::Starting,
        _ => State::Ended,
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: allocated by RegisterDynamicBackgroundWorker, freed once.
        unsafe { pg_sys::pfree(self.0.cast()) }
    }
}

impl Bound {
    /// Binds a worker to this process, one at a time.
    pub fn new(handle: Handle) -> Bound {
        static REGISTERED: AtomicBool = AtomicBool::new(false);
        if !REGISTERED.swap(true, Ordering::Relaxed) {
            // SAFETY: a static function. FATAL ends the process without unwinding, so no value of ours is dropped then.
            unsafe { pg_sys::before_shmem_exit(Some(end_bound), pg_sys::Datum::null()) }
        }
        BOUND.store(handle.0, Ordering::Relaxed);
        Bound(handle)
    }

    pub fn state(&self) -> State {
        state(&self.0)
    }

    /// Pid of the process while it runs.
    pub fn pid(&self) -> Option<i32> {
        let mut pid = 0;
        // SAFETY: the handle lives as long as the value.
        let status = unsafe { pg_sys::GetBackgroundWorkerPid(self.0 .0, &mut pid) };
        (status == pg_sys::BgwHandleStatus::BGWH_STARTED).then_some(pid)
    }

    /// The worker has done its work and ends by itself.
    pub fn release(self) {
        BOUND.store(std::ptr::null_mut(), Ordering::Relaxed);
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        end_if_bound();
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn end_bound(_code: c_int, _argument: pg_sys::Datum) {
    end_if_bound();
}

fn end_if_bound() {
    let handle = BOUND.swap(std::ptr::null_mut(), Ordering::Relaxed);
    if !handle.is_null() {
        // SAFETY: a handle that is bound has not been freed.
        unsafe { pg_sys::TerminateBackgroundWorker(handle) }
    }
}

/// Databases that can be connected to. In the launcher, which is connected to none.
pub fn databases() -> Result<Vec<u32>, Failure> {
    crate::pg::txn::run(crate::pg::txn::Isolation::ReadCommitted, || {
        let mut found = Vec::new();
        // SAFETY: pg_database is a shared catalog, which a process without a database may scan, as the autovacuum launcher
        // does; tuples are read before the scan goes on.
        unsafe {
            let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
            let relation = pg_sys::table_open(pg_sys::DatabaseRelationId, lock);
            let scan = pg_sys::table_beginscan_catalog(relation, 0, std::ptr::null_mut());
            loop {
                let tuple = pg_sys::heap_getnext(scan, pg_sys::ScanDirection::ForwardScanDirection);
                if tuple.is_null() {
                    break;
                }
                let form = &*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_database>();
                // A connection limit of -2 marks a database that was dropped half-way.
                if form.datallowconn && form.datconnlimit != -2 {
                    found.push(form.oid.to_u32());
                }
            }
            let end = (*(*relation).rd_tableam).scan_end.expect("every table access method scans");
            end(scan);
            pg_sys::table_close(relation, lock);
        }
        Ok(found)
    })
}

/// Whether the extension is installed in this process's database. Inside a transaction.
pub fn extension_installed() -> bool {
    extension().is_some()
}

/// The extension's OID in this process's database, if it is there. Inside a transaction.
pub fn extension() -> Option<u32> {
    // SAFETY: a catalog look-up that answers InvalidOid for "none".
    let oid = unsafe { pg_sys::get_extension_oid(c"pg_trickle".as_ptr(), true) };
    (oid != pg_sys::InvalidOid).then(|| oid.to_u32())
}

/// Reports what this process has read and written to the cumulative statistics, which nobody does for a process without
/// a client: autovacuum goes by them. When to call again, if something is left. Outside of a transaction.
pub fn report_statistics() -> Option<Duration> {
    // SAFETY: outside of a transaction, where it is called between the commands of a session too.
    let left = unsafe { pg_sys::pgstat_report_stat(false) };
    u64::try_from(left).ok().filter(|left| *left > 0).map(Duration::from_millis)
}

/// Reads the configuration files again if the postmaster asked for it.
pub fn reload_if_asked() {
    // SAFETY: a flag set by the signal handler; ProcessConfigFile runs outside of a transaction here, as in core's workers.
    unsafe {
        if pg_sys::ConfigReloadPending != 0 {
            pg_sys::ConfigReloadPending = 0;
            pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
        }
    }
}

/// Runs `body` with all signals blocked: threads that it starts inherit that, and so never run a handler of PostgreSQL's.
pub fn with_signals_blocked<T>(body: impl FnOnce() -> T) -> T {
    // SAFETY: plain system calls on local signal sets; the mask is put back.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        let value = body();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
        value
    }
}

/// Has the engine stopped when this process ends, however it does.
pub fn stop_engine_at_exit(stopper: Stopper) {
    if let Ok(mut slot) = STOPPER.lock() {
        *slot = Some(stopper);
    }
    THREADS_LEFT.store(true, Ordering::Release);
    // SAFETY: a static function.
    unsafe { pg_sys::before_shmem_exit(Some(stop_engine), pg_sys::Datum::null()) }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn stop_engine(_code: c_int, _argument: pg_sys::Datum) {
    let stopper = STOPPER.lock().ok().and_then(|mut slot| slot.take());
    if let Some(stop) = stopper {
        if stop(STOP_TIMEOUT) {
            THREADS_LEFT.store(false, Ordering::Release);
        }
    }
    if let Some(entry) = shm::shared().and_then(|shared| shared.databases.find(crate::pg::process::database())) {
        entry.worker_ends();
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn last_of_all(code: c_int, _argument: pg_sys::Datum) {
    if THREADS_LEFT.load(Ordering::Acquire) {
        // SAFETY: shared memory has been released by now; nothing of this process is needed any more, and running exit
        // handlers under live threads could crash.
        unsafe { libc::_exit(code) }
    }
}

/// Settings that the cluster may have changed for everybody and that a worker must not inherit (HAZARDS H13).
const OWN_SETTINGS: [(&CStr, &CStr); 13] = [
    (c"application_name", c"pg_trickle"),
    (c"role", c"none"),
    (c"default_transaction_isolation", c"read committed"),
    (c"default_transaction_read_only", c"off"),
    (c"default_transaction_deferrable", c"off"),
    (c"statement_timeout", c"0"),
    (c"transaction_timeout", c"0"),
    (c"idle_in_transaction_session_timeout", c"0"),
    // Below deadlock_timeout's default, so that no user is ever a deadlock's victim because of us (HAZARDS H44).
    (c"lock_timeout", c"100ms"),
    (c"jit", c"off"),
    // A query shows what its owner may see. What the worker reads and writes itself passes by the executor's policies.
    (c"row_security", c"on"),
    (c"search_path", c"pg_catalog, pg_temp"),
    // What is lost in a crash is computed again.
    (c"synchronous_commit", c"off"),
];

unsafe fn enter() {
    // SAFETY: the order of core's own workers: exit callbacks first, then handlers, then signals.
    unsafe {
        pg_sys::on_proc_exit(Some(last_of_all), pg_sys::Datum::null());
        pg_sys::pqsignal_be(libc::SIGHUP, Some(c::SignalHandlerForConfigReload));
        pg_sys::pqsignal_be(libc::SIGTERM, Some(c::die));
        pg_sys::BackgroundWorkerUnblockSignals();
    }
}

fn leave(name: &str, result: Result<(), Failure>) -> ! {
    let code = match result {
        Ok(()) => 0,
        Err(failure) => {
            crate::pg::log::log(&format!("{name} ends: {failure}"));
            1
        }
    };
    // SAFETY: outside of any transaction; runs the exit callbacks. Code 1 is no crash.
    unsafe { pg_sys::proc_exit(code) }
    unreachable!("proc_exit does not return")
}

/// Entry point of the launcher.
#[no_mangle]
#[pgrx::pg_guard]
pub unsafe extern "C-unwind" fn pg_trickle_launcher_main(_argument: pg_sys::Datum) {
    // SAFETY: called by the postmaster in a fresh process.
    unsafe {
        enter();
        pg_sys::BackgroundWorkerInitializeConnection(std::ptr::null(), std::ptr::null(), 0);
    }
    leave("pg_trickle launcher", crate::worker::launcher::run())
}

/// Connects a process of ours to a database, with settings of its own.
///
/// # Safety
/// Called once, first thing in a fresh background worker.
unsafe fn connect(database: u32) {
    // SAFETY: see above.
    unsafe {
        enter();
        pg_sys::BackgroundWorkerInitializeConnectionByOid(pg_sys::Oid::from(database), pg_sys::InvalidOid, 0);
        for (name, value) in OWN_SETTINGS {
            let (context, source) = (pg_sys::GucContext::PGC_SUSET, pg_sys::GucSource::PGC_S_OVERRIDE);
            pg_sys::SetConfigOption(name.as_ptr(), value.as_ptr(), context, source);
        }
    }
}

/// Entry point of a database's worker; the argument is the database's OID.
#[no_mangle]
#[pgrx::pg_guard]
pub unsafe extern "C-unwind" fn pg_trickle_worker_main(argument: pg_sys::Datum) {
    let database = argument.value() as u32;
    // SAFETY: called by the postmaster in a fresh process.
    unsafe { connect(database) };
    leave("pg_trickle worker", crate::worker::serve::run(database))
}

/// Entry point of a snapshot holder; the argument is the database's OID.
#[no_mangle]
#[pgrx::pg_guard]
pub unsafe extern "C-unwind" fn pg_trickle_holder_main(argument: pg_sys::Datum) {
    let database = argument.value() as u32;
    // SAFETY: called by the postmaster in a fresh process.
    unsafe { connect(database) };
    leave("pg_trickle snapshot holder", crate::pg::holder::run(database))
}

/// Entry point of a verifier; the argument is the database's OID and, in its upper half, the task's number.
#[no_mangle]
#[pgrx::pg_guard]
pub unsafe extern "C-unwind" fn pg_trickle_verifier_main(argument: pg_sys::Datum) {
    let (database, task) = (argument.value() as u32, (argument.value() as u64 >> 32) as u32);
    // SAFETY: called by the postmaster in a fresh process.
    unsafe { connect(database) };
    leave("pg_trickle verifier", crate::worker::verifier::run(database, task))
}
