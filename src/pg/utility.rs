//! The utility hook: commands that need a database to themselves, or that end what another session has prepared.
//!
//! There are no event triggers for any of them. A command is looked at before it runs only as far as it takes to see which
//! database it means, and whether the caller may issue it at all: a caller who may not disturbs nobody.

use pgrx::pg_sys;
use std::ffi::{c_char, CStr};
use std::sync::OnceLock;

/// What the extension does about such commands. None of these may raise, but for cancellation.
pub struct Listener {
    /// A command that needs `database` without other sessions is about to run.
    pub alone_begins: fn(database: u32),
    /// It has ended, also by an ERROR.
    pub alone_ends: fn(database: u32),
    pub dropped: fn(database: u32),
    /// `template` was copied.
    pub copied: fn(template: u32, copy: u32),
    /// A prepared transaction was committed.
    pub prepared_committed: fn(),
}

enum Command {
    Drop(u32),
    /// RENAME, SET TABLESPACE
    Alter(u32),
    Copy {
        template: u32,
        name: *const c_char,
    },
    CommitPrepared,
}

unsafe extern "C-unwind" {
    // As C has it: pgrx's own wrapper turns errors into panics, and loses parts of them on the way.
    fn standard_ProcessUtility(
        statement: *mut pg_sys::PlannedStmt,
        text: *const c_char,
        read_only_tree: bool,
        context: pg_sys::ProcessUtilityContext::Type,
        parameters: pg_sys::ParamListInfo,
        environment: *mut pg_sys::QueryEnvironment,
        destination: *mut pg_sys::DestReceiver,
        completion: *mut pg_sys::QueryCompletion,
    );
}

static mut NEXT: pg_sys::ProcessUtility_hook_type = None;
static LISTENER: OnceLock<Listener> = OnceLock::new();

/// Installs the hook. Once, when the library is loaded.
pub fn install(listener: Listener) {
    if LISTENER.set(listener).is_err() {
        return;
    }
    // SAFETY: _PG_init runs once a process on its only thread; the previous hook is kept and called.
    unsafe {
        NEXT = pg_sys::ProcessUtility_hook;
        pg_sys::ProcessUtility_hook = Some(process);
    }
}

/// Tells the listener that the command has ended, also while an ERROR unwinds.
struct Alone<'a> {
    listener: &'a Listener,
    database: u32,
}

impl<'a> Alone<'a> {
    fn begin(listener: &'a Listener, database: u32) -> Self {
        // Made first: a cancel while sessions are waited for ends it too.
        let alone = Alone { listener, database };
        (listener.alone_begins)(database);
        alone
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        (self.listener.alone_ends)(self.database);
    }
}

#[pgrx::pg_guard]
#[allow(clippy::too_many_arguments)]
unsafe extern "C-unwind" fn process(
    statement: *mut pg_sys::PlannedStmt,
    text: *const c_char,
    read_only_tree: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    parameters: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    destination: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
) {
    // SAFETY: the arguments are PostgreSQL's, passed on unchanged.
    let raw = || unsafe {
        let next = NEXT.unwrap_or(standard_ProcessUtility);
        next(statement, text, read_only_tree, context, parameters, environment, destination, completion)
    };
    // SAFETY: LISTENER is written by `install` only; a utility statement has its node.
    let (listener, command) = unsafe {
        let top = context == pg_sys::ProcessUtilityContext::PROCESS_UTILITY_TOPLEVEL;
        (LISTENER.get(), if top { look_at((*statement).utilityStmt) } else { None })
    };
    let (Some(listener), Some(command)) = (listener, command) else {
        // An ERROR leaves by longjmp, with everything that it says: there is nothing here to be dropped.
        return raw();
    };
    // SAFETY: an ERROR inside becomes a panic, which unwinds to the end of the command's guard.
    let run = || unsafe { pg_sys::ffi::pg_guard_ffi_boundary(raw) };
    match command {
        Command::Drop(database) => {
            let _alone = Alone::begin(listener, database);
            run();
            (listener.dropped)(database);
        }
        Command::Alter(database) => {
            let _alone = Alone::begin(listener, database);
            run();
        }
        Command::Copy { template, name } => {
            let _alone = Alone::begin(listener, template);
            run();
            // SAFETY: the statement's text lives as long as the statement; CREATE DATABASE has made its row visible.
            let copy = unsafe {
                pg_sys::CommandCounterIncrement();
                pg_sys::get_database_oid(name, true).to_u32()
            };
            if copy != 0 {
                (listener.copied)(template, copy);
            }
        }
        Command::CommitPrepared => {
            run();
            (listener.prepared_committed)();
        }
    }
}

/// # Safety
/// `node` is a utility statement's node.
unsafe fn look_at(node: *mut pg_sys::Node) -> Option<Command> {
    // SAFETY: the tag says which node it is; strings are null-terminated or null. Commands on databases are refused in
    // transaction blocks, so they run inside a transaction of their own.
    unsafe {
        match (*node).type_ {
            pg_sys::NodeTag::T_TransactionStmt => {
                let statement = &*node.cast::<pg_sys::TransactionStmt>();
                let commits = statement.kind == pg_sys::TransactionStmtKind::TRANS_STMT_COMMIT_PREPARED;
                return commits.then_some(Command::CommitPrepared);
            }
            pg_sys::NodeTag::T_DropdbStmt
            | pg_sys::NodeTag::T_AlterDatabaseStmt
            | pg_sys::NodeTag::T_RenameStmt
            | pg_sys::NodeTag::T_CreatedbStmt => {}
            _ => return None,
        }
        if pg_sys::IsTransactionBlock() {
            return None;
        }
        match (*node).type_ {
            pg_sys::NodeTag::T_DropdbStmt => owned((*node.cast::<pg_sys::DropdbStmt>()).dbname).map(Command::Drop),
            pg_sys::NodeTag::T_AlterDatabaseStmt => {
                let statement = &*node.cast::<pg_sys::AlterDatabaseStmt>();
                option(statement.options, c"tablespace")?;
                owned(statement.dbname).map(Command::Alter)
            }
            pg_sys::NodeTag::T_RenameStmt => {
                let statement = &*node.cast::<pg_sys::RenameStmt>();
                let database = statement.renameType == pg_sys::ObjectType::OBJECT_DATABASE;
                owned(if database { statement.subname } else { std::ptr::null() }).map(Command::Alter)
            }
            _ => {
                let statement = &*node.cast::<pg_sys::CreatedbStmt>();
                let template = option(statement.options, c"template")
                    .map_or(c"template1".as_ptr(), |option| pg_sys::defGetString(option).cast_const());
                copyable(template).map(|template| Command::Copy { template, name: statement.dbname })
            }
        }
    }
}

/// # Safety
/// `options` is a list of DefElem nodes, or null.
unsafe fn option(options: *mut pg_sys::List, name: &CStr) -> Option<*mut pg_sys::DefElem> {
    // SAFETY: read within its length.
    unsafe {
        let count = if options.is_null() { 0 } else { (*options).length as usize };
        (0..count)
            .map(|at| (*(*options).elements.add(at)).ptr_value.cast::<pg_sys::DefElem>())
            .find(|option| CStr::from_ptr((**option).defname) == name && !(**option).arg.is_null())
    }
}

/// Another database of the current user's.
///
/// # Safety
/// `name` is null or null-terminated.
unsafe fn owned(name: *const c_char) -> Option<u32> {
    // SAFETY: catalog look-ups inside a transaction; what does not exist is no error here.
    unsafe {
        if name.is_null() {
            return None;
        }
        let database = pg_sys::get_database_oid(name, true);
        let other = database != pg_sys::InvalidOid && database != pg_sys::MyDatabaseId;
        let owns = other && pg_sys::object_ownercheck(pg_sys::DatabaseRelationId, database, pg_sys::GetUserId());
        owns.then(|| database.to_u32())
    }
}

/// Another database that the current user may copy.
///
/// # Safety
/// `name` is null-terminated.
unsafe fn copyable(name: *const c_char) -> Option<u32> {
    // SAFETY: as in `owned`; the tuple's form is read before it is released.
    unsafe {
        let database = pg_sys::get_database_oid(name, true);
        if database == pg_sys::InvalidOid || !pg_sys::have_createdb_privilege() {
            return None;
        }
        let cache = pg_sys::SysCacheIdentifier::DATABASEOID as i32;
        let tuple = pg_sys::SearchSysCache1(cache, pg_sys::Datum::from(database));
        if tuple.is_null() {
            return None;
        }
        let template = (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_database>()).datistemplate;
        pg_sys::ReleaseSysCache(tuple);
        let may = template || pg_sys::object_ownercheck(pg_sys::DatabaseRelationId, database, pg_sys::GetUserId());
        (may && database != pg_sys::MyDatabaseId).then(|| database.to_u32())
    }
}
