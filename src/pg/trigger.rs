//! Capture triggers from both sides: how one fires, and how they are made, found, changed and dropped.
//!
//! Ours are internal triggers (HAZARDS H23): not dumped, not disabled by DISABLE TRIGGER USER, and a mark that no SQL
//! command can put on a trigger, which is how a firing is known to come from a trigger that the worker made (H51).

use crate::pg::image::{self, Storage};
use crate::pg::{relation, slot};
use pgrx::pg_sys;
use std::ffi::{CStr, CString};
use std::sync::OnceLock;
use trickle_operators::value::{RowBuilder, RowRef};

/// What a trigger fired for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Insert,
    Update,
    Delete,
    Truncate,
}

/// A column that a trigger captures: its number, and the type it had when the trigger was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Column {
    pub attnum: i16,
    pub ty: u32,
}

/// One firing, valid while the handler runs.
pub struct Firing<'a> {
    data: &'a pg_sys::TriggerData,
    trigger: &'a pg_sys::Trigger,
}

static HANDLER: OnceLock<fn(&Firing<'_>)> = OnceLock::new();

/// Sets what is called when a capture trigger fires. The first call decides.
pub fn handle(handler: fn(&Firing<'_>)) {
    // set() keeps the first value.
    let _ = HANDLER.set(handler);
}

#[no_mangle]
pub extern "C" fn pg_finfo_pgtrickle_capture() -> &'static pg_sys::Pg_finfo_record {
    const RECORD: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &RECORD
}

/// The trigger function, `pgtrickle.capture()`.
///
/// # Safety
/// Called by PostgreSQL's function manager.
#[pgrx::pg_guard]
#[no_mangle]
pub unsafe extern "C-unwind" fn pgtrickle_capture(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: the function manager passes a valid call; its context, if its tag says so, is a trigger's data, whose pointers
    // are valid for the call.
    unsafe {
        let context = (*fcinfo).context;
        if context.is_null() || (*context).type_ != pg_sys::NodeTag::T_TriggerData {
            refuse();
        }
        let data = &*context.cast::<pg_sys::TriggerData>();
        let trigger = &*data.tg_trigger;
        if !trigger.tgisinternal {
            refuse();
        }
        if let Some(handler) = HANDLER.get() {
            handler(&Firing { data, trigger });
        }
    }
    pg_sys::Datum::null()
}

fn refuse() -> ! {
    use crate::pg::txn::Failure;
    Failure::new(b"39P01", "function \"pgtrickle.capture\" can only be called by the capture triggers of pg_trickle")
        .raise()
}

impl Firing<'_> {
    /// OID of the table that fired.
    pub fn source(&self) -> u32 {
        // SAFETY: the relation is open while its trigger fires.
        unsafe { (*self.data.tg_relation).rd_id.to_u32() }
    }

    pub fn event(&self) -> Event {
        match self.data.tg_event & pg_sys::TRIGGER_EVENT_OPMASK {
            pg_sys::TRIGGER_EVENT_INSERT => Event::Insert,
            pg_sys::TRIGGER_EVENT_DELETE => Event::Delete,
            pg_sys::TRIGGER_EVENT_UPDATE => Event::Update,
            _ => Event::Truncate,
        }
    }

    /// The trigger's arguments.
    pub fn arguments(&self) -> impl Iterator<Item = &str> {
        (0..self.trigger.tgnargs.max(0) as usize).map(|index| {
            // SAFETY: tgargs has tgnargs null-terminated strings, which live as long as the relation is open.
            let argument = unsafe { CStr::from_ptr(*self.trigger.tgargs.add(index)) };
            argument.to_str().unwrap_or("")
        })
    }

    /// Whether the table still has all of these columns with these types.
    pub fn has(&self, columns: &[Column]) -> bool {
        // SAFETY: attribute numbers are checked against the descriptor of the open relation.
        unsafe {
            let descriptor = (*self.data.tg_relation).rd_att;
            columns.iter().all(|column| {
                let within = column.attnum >= 1 && i32::from(column.attnum) <= (*descriptor).natts;
                within && {
                    let attribute = &*slot::attribute(descriptor, column.attnum as usize - 1);
                    !attribute.attisdropped && attribute.atttypid.to_u32() == column.ty
                }
            })
        }
    }

    /// Whether any row was affected.
    pub fn any(&self) -> bool {
        // SAFETY: a transition table is valid while the trigger fires, if there is one.
        let rows = |store: *mut pg_sys::Tuplestorestate| match store.is_null() {
            true => 0,
            false => unsafe { pg_sys::tuplestore_tuple_count(store) },
        };
        self.row_level() || rows(self.data.tg_oldtable) > 0 || rows(self.data.tg_newtable) > 0
    }

    fn row_level(&self) -> bool {
        self.data.tg_event & pg_sys::TRIGGER_EVENT_ROW != 0
    }

    /// Calls `each` with the columns of every affected row before and after. In an UPDATE both come together; which old row
    /// goes with which new one is not promised, so nothing may depend on it but what sums up. The table must have the
    /// columns: ask `has` first.
    pub fn rows(&self, columns: &[Column], each: &mut dyn FnMut(Option<RowRef<'_>>, Option<RowRef<'_>>)) {
        // SAFETY: slots are made for the open relation's descriptor and dropped after use, or with the query's memory on an
        // ERROR; the transition tables are read by positions of our own, since other triggers read them too.
        unsafe {
            let descriptor = (*self.data.tg_relation).rd_att;
            let reading: Vec<(usize, Storage)> = columns
                .iter()
                .map(|column| {
                    let at = column.attnum as usize - 1;
                    (at, Storage::from(&*slot::attribute(descriptor, at)))
                })
                .collect();
            let (mut old, mut new) = if self.row_level() { self.tuples() } else { self.tables() };
            let (mut before, mut after) = (RowBuilder::default(), RowBuilder::default());
            let mut count = 0u32;
            loop {
                let (has_old, has_new) = (old.next(&reading, &mut before, self), new.next(&reading, &mut after, self));
                if !has_old && !has_new {
                    break;
                }
                each(has_old.then(|| before.as_ref()), has_new.then(|| after.as_ref()));
                count += 1;
                if count.is_multiple_of(1024) {
                    pgrx::check_for_interrupts!();
                }
            }
            old.close();
            new.close();
        }
    }

    unsafe fn tuples(&self) -> (Images, Images) {
        let data = self.data;
        match self.event() {
            Event::Insert => (Images::Done, Images::Slot(data.tg_trigslot)),
            Event::Delete => (Images::Slot(data.tg_trigslot), Images::Done),
            Event::Update => (Images::Slot(data.tg_trigslot), Images::Slot(data.tg_newslot)),
            Event::Truncate => (Images::Done, Images::Done),
        }
    }

    unsafe fn tables(&self) -> (Images, Images) {
        // SAFETY: the descriptor belongs to the open relation.
        unsafe {
            let descriptor = (*self.data.tg_relation).rd_att;
            (Images::table(self.data.tg_oldtable, descriptor), Images::table(self.data.tg_newtable, descriptor))
        }
    }
}

/// Where rows come from: a transition table by a position of our own, the one row of a row trigger, or nowhere.
enum Images {
    Done,
    Slot(*mut pg_sys::TupleTableSlot),
    Table { store: *mut pg_sys::Tuplestorestate, position: i32, slot: *mut pg_sys::TupleTableSlot },
}

impl Images {
    /// # Safety
    /// `store` is null or a valid tuplestore of rows of `descriptor`.
    unsafe fn table(store: *mut pg_sys::Tuplestorestate, descriptor: pg_sys::TupleDesc) -> Images {
        if store.is_null() {
            return Images::Done;
        }
        // SAFETY: see above.
        unsafe {
            let position = pg_sys::tuplestore_alloc_read_pointer(store, pg_sys::EXEC_FLAG_REWIND as i32);
            pg_sys::tuplestore_select_read_pointer(store, position);
            pg_sys::tuplestore_rescan(store);
            let slot = pg_sys::MakeSingleTupleTableSlot(descriptor, &raw const pg_sys::TTSOpsMinimalTuple);
            Images::Table { store, position, slot }
        }
    }

    /// # Safety
    /// As for `table`; `reading` lists attributes of the same descriptor.
    unsafe fn next(&mut self, reading: &[(usize, Storage)], builder: &mut RowBuilder, _firing: &Firing<'_>) -> bool {
        // SAFETY: see above; a slot stays valid until the next row is fetched into it.
        unsafe {
            let slot = match *self {
                Images::Done => return false,
                Images::Slot(slot) => {
                    *self = Images::Done;
                    slot
                }
                Images::Table { store, position, slot } => {
                    pg_sys::tuplestore_select_read_pointer(store, position);
                    if !pg_sys::tuplestore_gettupleslot(store, true, false, slot) {
                        return false;
                    }
                    slot
                }
            };
            builder.clear();
            let last = reading.iter().map(|(at, _)| *at + 1).max().unwrap_or(0);
            if ((*slot).tts_nvalid as usize) < last {
                pg_sys::slot_getsomeattrs_int(slot, last as i32);
            }
            for (at, storage) in reading {
                image::append(builder, *(*slot).tts_values.add(*at), *(*slot).tts_isnull.add(*at), *storage);
            }
        }
        true
    }

    /// # Safety
    /// Called once, on the same command.
    unsafe fn close(self) {
        if let Images::Table { slot, .. } = self {
            // SAFETY: made by `table`.
            unsafe { pg_sys::ExecDropSingleTupleTableSlot(slot) }
        }
    }
}

/// When a trigger fires, by session_replication_role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fires {
    Origin = b'O' as isize,
    Replica = b'R' as isize,
    Always = b'A' as isize,
}

/// A trigger to be made.
pub struct Definition<'a> {
    pub name: &'a CStr,
    /// TRIGGER_TYPE_* bits of the events.
    pub events: &'a [Event],
    /// Once a row, or once a statement with transition tables.
    pub each_row: bool,
    pub fires: Fires,
}

/// A capture trigger as the catalog has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    pub oid: u32,
    /// tgtype
    pub ty: i16,
    /// tgenabled
    pub enabled: u8,
    /// Where its catalog row is, and who wrote it: any change of the trigger changes these.
    pub version: (u32, u32, u16),
    pub arguments: Vec<String>,
}

fn event_bits(events: &[Event]) -> i16 {
    events.iter().fold(0, |bits, event| {
        bits | match event {
            Event::Insert => pg_sys::TRIGGER_TYPE_INSERT,
            Event::Delete => pg_sys::TRIGGER_TYPE_DELETE,
            Event::Update => pg_sys::TRIGGER_TYPE_UPDATE,
            Event::Truncate => pg_sys::TRIGGER_TYPE_TRUNCATE,
        } as i16
    })
}

impl Definition<'_> {
    /// The tgtype that the trigger has once it is made (AFTER has no bit).
    pub fn ty(&self) -> i16 {
        event_bits(self.events) | if self.each_row { pg_sys::TRIGGER_TYPE_ROW as i16 } else { 0 }
    }
}

/// OID of pgtrickle.capture(); `None` if the extension is not there.
pub fn function() -> Option<u32> {
    // SAFETY: list and strings are allocated in the current memory context; the look-up may find nothing.
    let oid = unsafe {
        let part = |name: &CStr| pg_sys::makeString(pg_sys::pstrdup(name.as_ptr())).cast();
        let name = pg_sys::lappend(std::ptr::null_mut(), part(c"pgtrickle"));
        let name = pg_sys::lappend(name, part(c"capture"));
        pg_sys::LookupFuncName(name, 0, std::ptr::null(), true).to_u32()
    };
    (oid != 0).then_some(oid)
}

/// Makes a capture trigger on a table, which the caller has locked in ShareRowExclusive mode.
///
/// It depends on its function automatically, so that DROP EXTENSION takes it away instead of naming it.
pub fn create(source: u32, function: u32, definition: &Definition<'_>, arguments: &[String]) {
    // SAFETY: the statement's nodes are allocated here, in the current memory context, and only read by the callee.
    unsafe {
        let copy = |text: &CStr| pg_sys::pstrdup(text.as_ptr());
        let mut statement = pgrx::PgBox::<pg_sys::CreateTrigStmt>::alloc_node(pg_sys::NodeTag::T_CreateTrigStmt);
        statement.trigname = copy(definition.name);
        statement.row = definition.each_row;
        statement.timing = 0;
        statement.events = event_bits(definition.events);
        for argument in arguments {
            let text = CString::new(argument.as_str()).unwrap_or_default();
            statement.args = pg_sys::lappend(statement.args, pg_sys::makeString(copy(&text)).cast());
        }
        if !definition.each_row {
            let sides =
                [(c"old", false, [Event::Update, Event::Delete]), (c"new", true, [Event::Update, Event::Insert])];
            for (name, is_new, events) in sides {
                if definition.events.iter().any(|event| events.contains(event)) {
                    let mut transition =
                        pgrx::PgBox::<pg_sys::TriggerTransition>::alloc_node(pg_sys::NodeTag::T_TriggerTransition);
                    transition.name = copy(name);
                    transition.isNew = is_new;
                    transition.isTable = true;
                    statement.transitionRels = pg_sys::lappend(statement.transitionRels, transition.into_pg().cast());
                }
            }
        }
        let none = pg_sys::InvalidOid;
        let trigger = pg_sys::CreateTriggerFiringOn(
            statement.into_pg(),
            std::ptr::null(),
            pg_sys::Oid::from(source),
            none,
            none,
            none,
            pg_sys::Oid::from(function),
            none,
            std::ptr::null_mut(),
            true,
            false,
            definition.fires as isize as std::ffi::c_char,
        );
        let on = pg_sys::ObjectAddress {
            classId: pg_sys::ProcedureRelationId,
            objectId: pg_sys::Oid::from(function),
            objectSubId: 0,
        };
        pg_sys::deleteDependencyRecordsForSpecific(
            pg_sys::TriggerRelationId,
            trigger.objectId,
            pg_sys::DependencyType::DEPENDENCY_NORMAL as std::ffi::c_char,
            on.classId,
            on.objectId,
        );
        pg_sys::recordDependencyOn(&trigger, &on, pg_sys::DependencyType::DEPENDENCY_AUTO);
        pg_sys::CommandCounterIncrement();
    }
}

/// The capture triggers of a table, in the order of their OIDs, as of now.
pub fn installed(source: u32, function: u32) -> Vec<Installed> {
    let mut found = Vec::new();
    scan(source, function, std::ptr::null_mut(), &mut |_, tuple, values| {
        // SAFETY: `scan` passes a valid tuple of pg_trigger and its values.
        unsafe {
            let form = &*form(tuple);
            let bytes = pg_sys::pg_detoast_datum_packed(values[ANUM_TGARGS - 1].cast_mut_ptr());
            let mut arguments: Vec<String> = pgrx::varlena_to_byte_slice(bytes)
                .split(|byte| *byte == 0)
                .map(|argument| String::from_utf8_lossy(argument).into_owned())
                .collect();
            arguments.truncate(form.tgnargs.max(0) as usize);
            found.push(Installed {
                oid: form.oid.to_u32(),
                ty: form.tgtype,
                enabled: form.tgenabled as u8,
                version: relation::version(tuple),
                arguments,
            });
        }
    });
    found.sort_by_key(|trigger| trigger.oid);
    found
}

/// Whether the active snapshot shows the capture triggers of a table as they are now.
pub fn are_of_snapshot(source: u32, function: u32) -> bool {
    let mut versions = [Vec::new(), Vec::new()];
    // SAFETY: a snapshot is active; `scan` passes valid tuples.
    unsafe {
        for (at, snapshot) in [std::ptr::null_mut(), pg_sys::GetActiveSnapshot()].into_iter().enumerate() {
            scan(source, function, snapshot, &mut |_, tuple, _| versions[at].push(relation::version(tuple)));
        }
    }
    let [now, then] = versions;
    !now.is_empty() && now == then
}

/// Replaces the arguments of all capture triggers of a table, which the caller has locked in ShareRowExclusive mode:
/// every session that writes to it afterwards sees the new ones.
pub fn set_arguments(source: u32, function: u32, arguments: &[String]) {
    let mut bytes = vec![0u8; pg_sys::VARHDRSZ];
    for argument in arguments {
        bytes.extend(argument.bytes().filter(|byte| *byte != 0));
        bytes.push(0);
    }
    let length = bytes.len() as i32;
    scan(source, function, std::ptr::null_mut(), &mut |relation, tuple, _| {
        // SAFETY: the tuple is copied before it is changed; the new values match the columns' types (int2, bytea).
        unsafe {
            pgrx::set_varsize_4b(bytes.as_mut_ptr().cast(), length);
            let columns = [pg_sys::Anum_pg_trigger_tgnargs as i32, pg_sys::Anum_pg_trigger_tgargs as i32];
            let values = [pg_sys::Datum::from(arguments.len() as i16), pg_sys::Datum::from(bytes.as_mut_ptr())];
            let nulls = [false; 2];
            let changed = pg_sys::heap_modify_tuple_by_cols(
                tuple,
                (*relation).rd_att,
                2,
                columns.as_ptr(),
                values.as_ptr(),
                nulls.as_ptr(),
            );
            pg_sys::CatalogTupleUpdate(relation, &mut (*changed).t_self, changed);
        }
    });
    // SAFETY: a registration of an invalidation in the current transaction.
    unsafe {
        pg_sys::CacheInvalidateRelcacheByRelid(pg_sys::Oid::from(source));
        pg_sys::CommandCounterIncrement();
    }
}

/// Drops a trigger. Takes AccessExclusiveLock on its table.
pub fn drop_trigger(oid: u32) {
    let address =
        pg_sys::ObjectAddress { classId: pg_sys::TriggerRelationId, objectId: pg_sys::Oid::from(oid), objectSubId: 0 };
    // SAFETY: the object exists: it was found under a lock on its table.
    unsafe {
        pg_sys::performDeletion(
            &address,
            pg_sys::DropBehavior::DROP_RESTRICT,
            pg_sys::PERFORM_DELETION_INTERNAL as i32,
        );
    }
}

const ANUM_TGARGS: usize = pg_sys::Anum_pg_trigger_tgargs as usize;
const NATTS: usize = pg_sys::Natts_pg_trigger as usize;

/// # Safety
/// `tuple` is a valid tuple of pg_trigger.
unsafe fn form(tuple: pg_sys::HeapTuple) -> *const pg_sys::FormData_pg_trigger {
    // SAFETY: see above; the fixed columns follow the header.
    unsafe { (*tuple).t_data.cast::<u8>().add((*(*tuple).t_data).t_hoff as usize).cast() }
}

type EachTrigger<'a> = &'a mut dyn FnMut(pg_sys::Relation, pg_sys::HeapTuple, &[pg_sys::Datum; NATTS]);

/// Calls `each` with the capture triggers of a table: as of now, or as a snapshot shows them.
fn scan(source: u32, function: u32, snapshot: pg_sys::Snapshot, each: EachTrigger<'_>) {
    // SAFETY: an index scan of pg_trigger by tgrelid, as core does it; the key's procedure fits the column's type.
    unsafe {
        let relation = pg_sys::table_open(pg_sys::TriggerRelationId, pg_sys::RowExclusiveLock as i32);
        let mut key = pg_sys::ScanKeyData::default();
        pg_sys::ScanKeyInit(
            &mut key,
            pg_sys::Anum_pg_trigger_tgrelid as i16,
            pg_sys::BTEqualStrategyNumber as u16,
            pg_sys::Oid::from(pg_sys::F_OIDEQ),
            pg_sys::Datum::from(source),
        );
        let index = pg_sys::Oid::from(pg_sys::TriggerRelidNameIndexId);
        let scan = pg_sys::systable_beginscan(relation, index, true, snapshot, 1, &mut key);
        let mut values = [pg_sys::Datum::null(); NATTS];
        let mut nulls = [true; NATTS];
        loop {
            let tuple = pg_sys::systable_getnext(scan);
            if tuple.is_null() {
                break;
            }
            let form = &*form(tuple);
            if form.tgisinternal && form.tgfoid.to_u32() == function {
                pg_sys::heap_deform_tuple(tuple, (*relation).rd_att, values.as_mut_ptr(), nulls.as_mut_ptr());
                each(relation, tuple, &values);
            }
        }
        pg_sys::systable_endscan(scan);
        pg_sys::relation_close(relation, pg_sys::RowExclusiveLock as i32);
    }
}

/// The tables that have triggers with this function.
pub fn tables_of(function: u32) -> Vec<u32> {
    let rows = super::spi::query(
        "SELECT DISTINCT tgrelid FROM pg_catalog.pg_trigger WHERE tgfoid OPERATOR(pg_catalog.=) $1::pg_catalog.oid",
        &[Some(&function.to_string())],
    );
    rows.into_iter().filter_map(|row| row[0].as_deref()?.parse().ok()).collect()
}
