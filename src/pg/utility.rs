//! Utility statements that concern the worker: those that need a database to themselves, and COMMIT PREPARED.
//!
//! DROP DATABASE and its kin refuse a database that others are connected to, and our worker is one of these: it is asked to
//! leave, and comes back when the statement has failed (HAZARDS H38). Only whoever may run the statement can make it leave
//! (H53). The changes of a prepared transaction become visible in a session that knows nothing of them, so the worker is
//! woken without being told what changed.

use super::process;
use crate::shm::{self, Database};
use pgrx::pg_sys;
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;
use std::ffi::{c_char, CStr};

static mut NEXT: pg_sys::ProcessUtility_hook_type = None;

/// How long a statement waits for the worker to leave before PostgreSQL's own check, which waits five seconds more.
const LEAVE_MICROSECONDS: i64 = 30_000_000;
const LOOK_MILLISECONDS: i64 = 10;

/// Installs the hook. Once, when the library is loaded.
pub fn install() {
    // SAFETY: _PG_init runs once a process on its only thread; the previous hook is kept and called.
    unsafe {
        NEXT = pg_sys::ProcessUtility_hook;
        pg_sys::ProcessUtility_hook = Some(utility);
    }
}

#[pgrx::pg_guard]
#[allow(clippy::too_many_arguments)]
unsafe extern "C-unwind" fn utility(
    statement: *mut pg_sys::PlannedStmt,
    text: *const c_char,
    read_only: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    parameters: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    destination: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
) {
    let go_on = || {
        // SAFETY: the arguments are PostgreSQL's, passed on unchanged. A hook is called through a boundary that turns an ERROR
        // into an unwinding panic; PostgreSQL's own function has one already, and they do not nest.
        unsafe {
            match NEXT {
                Some(next) => pg_guard_ffi_boundary(|| {
                    next(statement, text, read_only, context, parameters, environment, destination, completion)
                }),
                None => pg_sys::standard_ProcessUtility(
                    statement,
                    text,
                    read_only,
                    context,
                    parameters,
                    environment,
                    destination,
                    completion,
                ),
            }
        }
    };
    // SAFETY: a utility statement's node is valid for the call.
    let concern = unsafe { concern((*statement).utilityStmt) };
    match concern {
        Concern::Nothing => go_on(),
        Concern::CommitPrepared => {
            go_on();
            if let Some(database) = shm::shared().and_then(|shared| shared.databases.find(process::database())) {
                database.note_unattributed(process::now());
            }
        }
        Concern::Alone { database, drops } => {
            let oid = database.oid();
            database.quiesce();
            let _resumed = Resumed(database);
            leave(database);
            go_on();
            if let Some(shared) = shm::shared().filter(|_| drops) {
                shared.databases.forget(oid);
                shared.statuses.retain(oid, |_| false);
            }
        }
    }
}

/// Lets the worker come back, also while an ERROR unwinds.
struct Resumed(&'static Database);

impl Drop for Resumed {
    fn drop(&mut self) {
        self.0.resume();
        if let Some(shared) = shm::shared() {
            shared.launcher.wake();
        }
    }
}

enum Concern {
    Nothing,
    CommitPrepared,
    /// The statement needs this database to itself, and may be the last one that does.
    Alone {
        database: &'static Database,
        drops: bool,
    },
}

/// # Safety
/// `node` is a utility statement.
unsafe fn concern(node: *mut pg_sys::Node) -> Concern {
    use pg_sys::NodeTag::*;
    // SAFETY: the tag says what the node is; names are C strings or null.
    unsafe {
        let name = match (*node).type_ {
            T_TransactionStmt => {
                let kind = (*node.cast::<pg_sys::TransactionStmt>()).kind;
                return match kind {
                    pg_sys::TransactionStmtKind::TRANS_STMT_COMMIT_PREPARED => Concern::CommitPrepared,
                    _ => Concern::Nothing,
                };
            }
            T_DropdbStmt => (*node.cast::<pg_sys::DropdbStmt>()).dbname,
            T_RenameStmt => {
                let rename = &*node.cast::<pg_sys::RenameStmt>();
                if rename.renameType != pg_sys::ObjectType::OBJECT_DATABASE {
                    return Concern::Nothing;
                }
                rename.subname
            }
            T_AlterDatabaseStmt => {
                let alter = &*node.cast::<pg_sys::AlterDatabaseStmt>();
                if option(alter.options, c"tablespace").is_none() {
                    return Concern::Nothing;
                }
                alter.dbname
            }
            T_CreatedbStmt => {
                let create = &*node.cast::<pg_sys::CreatedbStmt>();
                match option(create.options, c"template") {
                    Some(argument) if (*argument).type_ == T_String => (*argument.cast::<pg_sys::String>()).sval,
                    _ => return Concern::Nothing,
                }
            }
            _ => return Concern::Nothing,
        };
        if name.is_null() || !pg_sys::IsTransactionState() {
            return Concern::Nothing;
        }
        let oid = pg_sys::get_database_oid(name, true);
        if oid == pg_sys::InvalidOid || !pg_sys::object_ownercheck(pg_sys::DatabaseRelationId, oid, pg_sys::GetUserId())
        {
            return Concern::Nothing;
        }
        match shm::shared().and_then(|shared| shared.databases.find(oid.to_u32())) {
            Some(database) => Concern::Alone { database, drops: (*node).type_ == T_DropdbStmt },
            None => Concern::Nothing,
        }
    }
}

/// # Safety
/// `options` is null or a list of DefElem.
unsafe fn option(options: *mut pg_sys::List, name: &CStr) -> Option<*mut pg_sys::Node> {
    // SAFETY: see above.
    unsafe {
        super::node::pointers::<pg_sys::DefElem>(options)
            .into_iter()
            .find(|option| CStr::from_ptr((**option).defname) == name)
            .map(|option| (*option).arg)
            .filter(|argument| !argument.is_null())
    }
}

/// Waits until the worker has left, or has had its time.
fn leave(database: &Database) {
    let deadline = process::now() + LEAVE_MICROSECONDS;
    while database.worker_pid().is_some_and(process::alive) && process::now() < deadline {
        super::wait::on_latch(LOOK_MILLISECONDS);
    }
}
