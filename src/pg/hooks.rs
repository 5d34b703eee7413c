//! Hooks that keep the catalog and stream tables together in every session: a row dies with its table, follows its names
//! and owner, and nobody but the worker changes a stream table's content.
//!
//! Hooks, not triggers and event triggers: those can be turned off, and COPY, TRUNCATE and foreign-key actions pass by them
//! (HAZARDS H22, H43).

use super::inheritance;
use super::role::as_extension;
use super::txn::Failure;
use pgrx::pg_sys;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::OnceLock;

/// What the catalog must be told about.
pub struct Listener {
    /// The stream table `relation` is being dropped.
    pub dropped: fn(relation: u32),
    /// Name, schema or owner of the stream table `relation` have changed, now being these; `view` is its definition.
    pub altered: fn(relation: u32, view: u32, names: &Names),
    /// A schema has a new name.
    pub schema_renamed: fn(),
    /// The extension is being dropped.
    pub extension_dropped: fn(),
    /// A relation, a policy or a role is being changed: stream tables may have to show something else.
    pub surroundings_changed: fn(),
}

/// What a relation's row of pg_class says now, before the change is visible to ordinary look-ups.
pub struct Names {
    pub name: String,
    pub schema: String,
    pub owner: u32,
}

static mut NEXT_OBJECT_ACCESS: pg_sys::object_access_hook_type = None;
static mut NEXT_CHECK_PERMISSIONS: pg_sys::ExecutorCheckPerms_hook_type = None;
static LISTENER: OnceLock<Listener> = OnceLock::new();

thread_local! {
    /// The stream table that statements of ours are changing; 0: none.
    static MAINTAINED: Cell<u32> = const { Cell::new(0) };
    /// Relations whose being a stream table or not is known; `Some(view)` for a stream table. Kept by invalidation.
    static KNOWN: RefCell<HashMap<u32, Option<u32>>> = RefCell::new(HashMap::new());
}

/// Runs `body`, in which statements of ours may change the stream table `relation`.
pub fn maintaining<T>(relation: u32, body: impl FnOnce() -> T) -> T {
    /// Ends also while an ERROR unwinds.
    struct Ended(u32);
    impl Drop for Ended {
        fn drop(&mut self) {
            MAINTAINED.set(self.0);
        }
    }
    let _ended = Ended(MAINTAINED.replace(relation));
    body()
}

/// Installs the hooks. Once, when the library is loaded.
pub fn install(listener: Listener) {
    if LISTENER.set(listener).is_err() {
        return;
    }
    // SAFETY: _PG_init runs once a process on its only thread; the previous hooks are kept and called.
    unsafe {
        NEXT_OBJECT_ACCESS = pg_sys::object_access_hook;
        pg_sys::object_access_hook = Some(object_access);
        NEXT_CHECK_PERMISSIONS = pg_sys::ExecutorCheckPerms_hook;
        pg_sys::ExecutorCheckPerms_hook = Some(check_permissions);
        pg_sys::CacheRegisterRelcacheCallback(Some(forget), pg_sys::Datum::null());
    }
}

/// The definition view of a stream table of this database's incarnation; `None` for any other relation.
pub fn stream_table_view(relation: u32) -> Option<u32> {
    if let Some(known) = KNOWN.with_borrow(|known| known.get(&relation).copied()) {
        return known;
    }
    let found = look_up(relation);
    KNOWN.with_borrow_mut(|known| known.insert(relation, found));
    found
}

/// Makes every session look again whether a relation is a stream table.
pub fn announce(relation: u32) {
    // SAFETY: sends an invalidation at commit; an ERROR if the relation is gone.
    unsafe { pg_sys::CacheInvalidateRelcacheByRelid(pg_sys::Oid::from(relation)) }
    KNOWN.with_borrow_mut(|known| known.remove(&relation));
}

fn look_up(relation: u32) -> Option<u32> {
    // The first user relation: nothing of the system's is ever a stream table, and look-ups for these would recurse.
    if relation < pg_sys::FirstNormalObjectId {
        return None;
    }
    // SAFETY: inside a transaction. The catalog is found by name, because it may not exist; it is read by its index under the
    // catalog snapshot, which sees what is committed now and what this transaction did. Attributes are by-value and not null.
    unsafe {
        if !pg_sys::IsTransactionState() {
            return None;
        }
        // Without the extension anybody may have a schema of this name, and statements of ours would run what is in it.
        let schema = pg_sys::get_namespace_oid(c"pgtrickle".as_ptr(), true);
        if schema == pg_sys::InvalidOid || !super::background::extension_installed() {
            return None;
        }
        let table = pg_sys::get_relname_relid(c"live_table".as_ptr(), schema);
        let index = pg_sys::get_relname_relid(c"live_table_pkey".as_ptr(), schema);
        if table == pg_sys::InvalidOid || index == pg_sys::InvalidOid || table.to_u32() == relation {
            return None;
        }
        let heap = pg_sys::table_open(table, pg_sys::AccessShareLock as i32);
        let descriptor = (*heap).rd_att;
        let column = |name: &std::ffi::CStr| pg_sys::get_attnum(table, name.as_ptr());
        let (view, system, database) = (column(c"view"), column(c"system_identifier"), column(c"database"));
        let mut key: pg_sys::ScanKeyData = std::mem::zeroed();
        pg_sys::ScanKeyInit(
            &mut key,
            column(c"relid"),
            pg_sys::BTEqualStrategyNumber as u16,
            pg_sys::Oid::from(pg_sys::F_OIDEQ),
            pg_sys::Datum::from(pg_sys::Oid::from(relation)),
        );
        let scan = pg_sys::systable_beginscan(heap, index, true, std::ptr::null_mut(), 1, &mut key);
        let tuple = pg_sys::systable_getnext(scan);
        let mut found = None;
        if !tuple.is_null() {
            let mut isnull = false;
            let mut read = |number: i16| pg_sys::heap_getattr(tuple, number.into(), descriptor, &mut isnull).value();
            let ours = read(system) as u64 == pg_sys::GetSystemIdentifier()
                && read(database) as u32 == pg_sys::MyDatabaseId.to_u32();
            found = ours.then(|| read(view) as u32);
        }
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(heap, pg_sys::AccessShareLock as i32);
        found
    }
}

fn is_our_extension(extension: pg_sys::Oid) -> bool {
    // SAFETY: a catalog look-up inside a transaction.
    unsafe { pg_sys::get_extension_oid(c"pg_trickle".as_ptr(), true) == extension }
}

/// Whether the change is one that changes no row, so that no writer rings for it: it is another's content that a partition or
/// a child that comes or goes changes.
fn changes_surroundings(class: pg_sys::Oid, access: pg_sys::ObjectAccessType::Type, object: u32) -> bool {
    const POLICY: u32 = 3256;
    let inherits = class == pg_sys::Oid::from(inheritance::INHERITS);
    let drops_child = || {
        class == pg_sys::RelationRelationId
            && access == pg_sys::ObjectAccessType::OAT_DROP
            && !inheritance::parents(object).is_empty()
    };
    // SAFETY: a plain read. What workers of ours do to relations concerns nobody.
    let session = unsafe { pg_sys::MyBackendType == pg_sys::BackendType::B_BACKEND };
    let altered = access == pg_sys::ObjectAccessType::OAT_POST_ALTER;
    session
        && (class == pg_sys::Oid::from(POLICY)
            || (altered && (class == pg_sys::AuthIdRelationId || class == pg_sys::RelationRelationId || inherits))
            || drops_child())
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn forget(_argument: pg_sys::Datum, relation: pg_sys::Oid) {
    KNOWN.with_borrow_mut(|known| match relation.to_u32() {
        0 => known.clear(),
        relation => drop(known.remove(&relation)),
    });
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn object_access(
    access: pg_sys::ObjectAccessType::Type,
    class: pg_sys::Oid,
    object: pg_sys::Oid,
    sub: std::ffi::c_int,
    argument: *mut std::ffi::c_void,
) {
    // SAFETY: the static is written by `install` only.
    if let Some(next) = unsafe { NEXT_OBJECT_ACCESS } {
        // SAFETY: the arguments are PostgreSQL's, passed on unchanged.
        unsafe { next(access, class, object, sub, argument) }
    }
    // SAFETY: plain reads; in binary upgrade mode the catalog is being copied and must be left alone.
    let (upgrading, listener) = unsafe { (pg_sys::IsBinaryUpgrade, LISTENER.get()) };
    let (Some(listener), false) = (listener, upgrading) else { return };
    let relation = object.to_u32();
    if class == pg_sys::NamespaceRelationId
        && access == pg_sys::ObjectAccessType::OAT_POST_ALTER
        && super::background::extension_installed()
    {
        (listener.schema_renamed)();
    }
    if class == pg_sys::ExtensionRelationId && access == pg_sys::ObjectAccessType::OAT_DROP && is_our_extension(object)
    {
        (listener.extension_dropped)();
    }
    if changes_surroundings(class, access, relation) && super::background::extension_installed() {
        (listener.surroundings_changed)();
    }
    if class != pg_sys::RelationRelationId || sub != 0 {
        return;
    }
    match access {
        pg_sys::ObjectAccessType::OAT_DROP if stream_table_view(relation).is_some() => {
            as_extension(|| (listener.dropped)(relation));
            KNOWN.with_borrow_mut(|known| known.remove(&relation));
        }
        pg_sys::ObjectAccessType::OAT_POST_ALTER => {
            if let Some(view) = stream_table_view(relation) {
                if let Some(names) = names_of(relation) {
                    as_extension(|| (listener.altered)(relation, view, &names));
                }
            }
        }
        pg_sys::ObjectAccessType::OAT_TRUNCATE => refuse_if_stream_table(relation),
        _ => {}
    }
}

/// Called for every statement that the executor starts, foreign-key actions included, and for COPY.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn check_permissions(
    tables: *mut pg_sys::List,
    permissions: *mut pg_sys::List,
    raise: bool,
) -> bool {
    let changes = pg_sys::ACL_INSERT | pg_sys::ACL_DELETE;
    // SAFETY: a list of RTEPermissionInfo nodes, read within its length.
    unsafe {
        let count = if permissions.is_null() { 0 } else { (*permissions).length as usize };
        for index in 0..count {
            let entry = &*(*(*permissions).elements.add(index)).ptr_value.cast::<pg_sys::RTEPermissionInfo>();
            // Locking rows asks for UPDATE too, but of no column.
            if entry.requiredPerms as u32 & changes != 0 || !entry.updatedCols.is_null() {
                refuse_if_stream_table(entry.relid.to_u32());
            }
        }
        match NEXT_CHECK_PERMISSIONS {
            Some(next) => next(tables, permissions, raise),
            None => true,
        }
    }
}

fn refuse_if_stream_table(relation: u32) {
    if stream_table_view(relation).is_some() && MAINTAINED.get() != relation {
        let name = super::definition::relation_name(relation);
        Failure::new(b"42809", format!("cannot change stream table \"{name}\""))
            .hint("Change the tables that its query reads.")
            .raise();
    }
}

/// Refuses to add, drop or change a column of a stream table, unless a statement of ours does.
pub fn refuse_columns(relation: u32) {
    if stream_table_view(relation).is_some() && MAINTAINED.get() != relation {
        let name = super::definition::relation_name(relation);
        Failure::new(b"42809", format!("cannot change columns of stream table \"{name}\""))
            .detail("Its columns are those of its query.")
            .hint("Use pgtrickle.alter_stream_table() to change the query.")
            .raise();
    }
}

pub fn refuse_tree(relation: u32) {
    if stream_table_view(relation).is_some() {
        let name = super::definition::relation_name(relation);
        Failure::new(b"42809", format!("stream table \"{name}\" cannot be part of an inheritance tree"))
            .detail("It would be written through its parent, or show rows that are not its own.")
            .hint("Read it by a view, or by UNION ALL.")
            .raise();
    }
}

/// Changes the owner of a definition view, inside a hook that runs because its table's owner has changed.
pub fn change_owner(view: u32, owner: u32) {
    // SAFETY: with `recursing`, the permission checks are those that the change of the table has passed.
    unsafe {
        pg_sys::ATExecChangeOwner(
            pg_sys::Oid::from(view),
            pg_sys::Oid::from(owner),
            true,
            pg_sys::AccessExclusiveLock as pg_sys::LOCKMODE,
        )
    }
}

/// Reads pg_class as this command has left it.
fn names_of(relation: u32) -> Option<Names> {
    // SAFETY: SnapshotSelf is static; the tuple's form is read before the scan ends; names are null-terminated.
    unsafe {
        let class = pg_sys::table_open(pg_sys::RelationRelationId, pg_sys::AccessShareLock as i32);
        let mut key: pg_sys::ScanKeyData = std::mem::zeroed();
        pg_sys::ScanKeyInit(
            &mut key,
            pg_sys::Anum_pg_class_oid as i16,
            pg_sys::BTEqualStrategyNumber as u16,
            pg_sys::Oid::from(pg_sys::F_OIDEQ),
            pg_sys::Datum::from(pg_sys::Oid::from(relation)),
        );
        let snapshot = &raw mut pg_sys::SnapshotSelfData;
        let index = pg_sys::Oid::from(pg_sys::ClassOidIndexId);
        let scan = pg_sys::systable_beginscan(class, index, true, snapshot, 1, &mut key);
        let tuple = pg_sys::systable_getnext(scan);
        let names = (!tuple.is_null()).then(|| {
            let form = &*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_class>();
            let text = |pointer| std::ffi::CStr::from_ptr(pointer).to_string_lossy().into_owned();
            let schema = pg_sys::get_namespace_name(form.relnamespace);
            Names {
                name: text(form.relname.data.as_ptr()),
                schema: if schema.is_null() { String::new() } else { text(schema) },
                owner: form.relowner.to_u32(),
            }
        });
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(class, pg_sys::AccessShareLock as i32);
        names
    }
}
