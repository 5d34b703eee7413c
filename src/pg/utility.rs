//! The utility hook: commands that need a database to themselves, or that end what another session has prepared.
//!
//! There are no event triggers for any of them. A command is looked at before it runs only as far as it takes to see which
//! database it means, and whether the caller may issue it at all: a caller who may not disturbs nobody.

use super::list::pointers;
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
    /// Whether it matters which prepared transaction ends.
    pub prepared_known: fn() -> bool,
    /// A prepared transaction was committed; its xid, if that matters.
    pub prepared_committed: fn(xid: u32),
    /// The same when it was rolled back.
    pub prepared_aborted: fn(xid: u32),
    /// The view has been replaced, in this transaction. May raise.
    pub view_replaced: fn(view: u32),
    /// A table has become the partition or the child of another, in this transaction. May raise.
    pub joined: fn(child: u32),
}

enum Command {
    Drop(u32),
    /// RENAME, SET TABLESPACE
    Alter(u32),
    Copy {
        template: u32,
        name: *const c_char,
    },
    EndPrepared {
        xid: u32,
        commits: bool,
    },
    ReplaceView(*const pg_sys::RangeVar),
    /// Makes these tables partitions or children of others.
    Join(Vec<*const pg_sys::RangeVar>),
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
        (LISTENER.get(), LISTENER.get().and_then(|listener| look_at(listener, (*statement).utilityStmt, top)))
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
        Command::EndPrepared { xid, commits } => {
            run();
            (if commits { listener.prepared_committed } else { listener.prepared_aborted })(xid);
        }
        Command::ReplaceView(name) => {
            raw();
            // SAFETY: the statement's name lives as long as the statement.
            if let Some(view) = unsafe { made(name) } {
                (listener.view_replaced)(view);
            }
        }
        Command::Join(names) => {
            raw();
            for name in names {
                // SAFETY: as above.
                if let Some(child) = unsafe { made(name) } {
                    (listener.joined)(child);
                }
            }
        }
    }
}

/// # Safety
/// `node` is a utility statement's node.
unsafe fn look_at(listener: &Listener, node: *mut pg_sys::Node, top: bool) -> Option<Command> {
    // SAFETY: the tag says which node it is; strings are null-terminated or null. Commands on databases are refused in
    // transaction blocks, so they run inside a transaction of their own, and so are those that end a prepared one.
    unsafe {
        match (*node).type_ {
            pg_sys::NodeTag::T_ViewStmt => {
                let statement = &*node.cast::<pg_sys::ViewStmt>();
                return statement.replace.then_some(Command::ReplaceView(statement.view));
            }
            pg_sys::NodeTag::T_AlterTableStmt => {
                let statement = &*node.cast::<pg_sys::AlterTableStmt>();
                refuse_columns(statement);
                refuse_trees(statement);
                let joining = joining(statement);
                return (!joining.is_empty()).then_some(Command::Join(joining));
            }
            pg_sys::NodeTag::T_CreateStmt => {
                let statement = &*node.cast::<pg_sys::CreateStmt>();
                pointers::<pg_sys::RangeVar>(statement.inhRelations).into_iter().for_each(|parent| refuse_tree(parent));
                let inherits = !statement.inhRelations.is_null() || !statement.partbound.is_null();
                return inherits.then(|| Command::Join(vec![statement.relation.cast_const()]));
            }
            _ if !top => return None,
            pg_sys::NodeTag::T_TransactionStmt => {
                let statement = &*node.cast::<pg_sys::TransactionStmt>();
                let commits = match statement.kind {
                    pg_sys::TransactionStmtKind::TRANS_STMT_COMMIT_PREPARED => true,
                    pg_sys::TransactionStmtKind::TRANS_STMT_ROLLBACK_PREPARED => false,
                    _ => return None,
                };
                if pg_sys::IsTransactionBlock() {
                    return None;
                }
                let xid = if (listener.prepared_known)() { prepared_xid(statement.gid) } else { 0 };
                return Some(Command::EndPrepared { xid, commits });
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

/// The relation of a name, with what the command that has just run has done.
///
/// # Safety
/// `name` is a RangeVar.
unsafe fn made(name: *const pg_sys::RangeVar) -> Option<u32> {
    // SAFETY: a look-up that finds nothing if there is nothing.
    let relation = unsafe {
        pg_sys::CommandCounterIncrement();
        let missing = pg_sys::RVROption::RVR_MISSING_OK;
        pg_sys::RangeVarGetRelidExtended(name, pg_sys::NoLock as i32, missing, None, std::ptr::null_mut())
    };
    (relation != pg_sys::InvalidOid).then(|| relation.to_u32())
}

/// The tables that ATTACH PARTITION and INHERIT make partitions or children.
///
/// # Safety
/// The statement's list holds AlterTableCmd nodes.
unsafe fn joining(statement: &pg_sys::AlterTableStmt) -> Vec<*const pg_sys::RangeVar> {
    // SAFETY: read within its length; the subtype says what the definition is.
    unsafe {
        let commands = super::node::pointers::<pg_sys::AlterTableCmd>(statement.cmds);
        let names = commands.into_iter().filter_map(|command| match (*command).subtype {
            pg_sys::AlterTableType::AT_AttachPartition => Some((*(*command).def.cast::<pg_sys::PartitionCmd>()).name),
            pg_sys::AlterTableType::AT_AddInherit => Some(statement.relation),
            _ => None,
        });
        names.map(|name| name.cast_const()).filter(|name| !name.is_null()).collect()
    }
}

/// A stream table's columns are those of its query (HAZARDS H43): a statement that would add, drop or change one is refused.
///
/// # Safety
/// The statement's list holds AlterTableCmd nodes.
unsafe fn refuse_columns(statement: &pg_sys::AlterTableStmt) {
    // SAFETY: read within its length; a name that does not exist, or that is no table's, is the command's own error.
    unsafe {
        let commands = statement.cmds;
        let count = if commands.is_null() { 0 } else { (*commands).length as usize };
        let changes = (0..count).any(|at| {
            let command = &*(*(*commands).elements.add(at)).ptr_value.cast::<pg_sys::AlterTableCmd>();
            matches!(
                command.subtype,
                pg_sys::AlterTableType::AT_AddColumn
                    | pg_sys::AlterTableType::AT_DropColumn
                    | pg_sys::AlterTableType::AT_AlterColumnType
            )
        });
        if !changes || !pg_sys::IsTransactionState() {
            return;
        }
        let missing = pg_sys::RVROption::RVR_MISSING_OK;
        let name = statement.relation;
        let relation =
            pg_sys::RangeVarGetRelidExtended(name, pg_sys::NoLock as i32, missing, None, std::ptr::null_mut());
        if relation != pg_sys::InvalidOid {
            super::hooks::refuse_columns(relation.to_u32());
        }
    }
}

/// A stream table is neither part of another table nor has parts: what is written through a parent, its triggers do not see.
///
/// # Safety
/// As [`refuse_columns`].
unsafe fn refuse_trees(statement: &pg_sys::AlterTableStmt) {
    // SAFETY: what a command's definition is depends on its kind.
    unsafe {
        for command in pointers::<pg_sys::AlterTableCmd>(statement.cmds) {
            match (*command).subtype {
                pg_sys::AlterTableType::AT_AddInherit => {
                    refuse_tree(statement.relation);
                    refuse_tree((*command).def.cast());
                }
                pg_sys::AlterTableType::AT_AttachPartition => {
                    refuse_tree((*(*command).def.cast::<pg_sys::PartitionCmd>()).name);
                }
                _ => {}
            }
        }
    }
}

/// # Safety
/// `name` is the name of a relation in a statement.
unsafe fn refuse_tree(name: *const pg_sys::RangeVar) {
    // SAFETY: a name that does not exist is the command's own error.
    unsafe {
        if !pg_sys::IsTransactionState() {
            return;
        }
        let missing = pg_sys::RVROption::RVR_MISSING_OK;
        let relation =
            pg_sys::RangeVarGetRelidExtended(name, pg_sys::NoLock as i32, missing, None, std::ptr::null_mut());
        if relation != pg_sys::InvalidOid {
            super::hooks::refuse_tree(relation.to_u32());
        }
    }
}

/// The xid of a prepared transaction of this database; 0 if there is none of that name.
///
/// # Safety
/// `name` is null-terminated.
unsafe fn prepared_xid(name: *const c_char) -> u32 {
    // SAFETY: see above; copied.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
    let rows = super::role::as_extension(|| {
        super::spi::query(
            "SELECT transaction FROM pg_catalog.pg_prepared_xacts
              WHERE gid = $1 AND database = pg_catalog.current_database()",
            &[Some(&name)],
        )
    });
    rows.into_iter().flatten().next().flatten().and_then(|xid| xid.parse().ok()).unwrap_or(0)
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
