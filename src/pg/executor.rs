//! Running queries inside the worker, rows out as packed images: definitions of full-mode stream tables, and fragments over
//! an ephemeral relation (`batch`), which is how PostgreSQL serves the engine as evaluator of last resort.
//!
//! Everything runs under the active snapshot, read-only in effect, as whoever the current user is: see [`super::owner`].

use crate::pg::txn::Failure;
use crate::pg::{allocator, clock, image, slot};
use crate::settings;
use pgrx::pg_sys;
use std::ffi::CString;
use trickle_operators::expr::clock::Instant;
use trickle_operators::plan::Fragment;
use trickle_operators::value::{ColumnType, Row, RowBuilder, RowRef};

/// Our destination: one call a row. `base` must be first, PostgreSQL sees only that.
#[repr(C)]
struct Receiver<'a> {
    base: pg_sys::DestReceiver,
    each: &'a mut dyn FnMut(RowRef<'_>),
    builder: RowBuilder,
}

/// A fragment that has been planned once and is run for every batch.
pub struct PreparedFragment {
    plan: *mut pg_sys::PlannedStmt,
    context: pg_sys::MemoryContext,
    arguments: Vec<ColumnType>,
}

/// Frees its memory context when dropped.
struct Scratch {
    context: pg_sys::MemoryContext,
    previous: pg_sys::MemoryContext,
}

impl Scratch {
    fn enter(name: &'static std::ffi::CStr) -> Self {
        // SAFETY: CurrentMemoryContext is always valid in a backend.
        unsafe {
            let context = pg_sys::AllocSetContextCreateInternal(
                pg_sys::CurrentMemoryContext,
                name.as_ptr(),
                pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
            );
            Scratch { context, previous: pg_sys::MemoryContextSwitchTo(context) }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // While an ERROR unwinds, the abort of the transaction frees the parent and this context with it.
        if !std::thread::panicking() {
            // SAFETY: the context was created by `enter` and nothing refers to it any more.
            unsafe {
                pg_sys::MemoryContextSwitchTo(self.previous);
                pg_sys::MemoryContextDelete(self.context);
            }
        }
    }
}

/// Runs the defining query of a view under the active snapshot; `each` sees every row, all columns in order. The query is
/// told that it is `clock`, if that is given, whenever it really is.
pub fn run_view(view: u32, clock: Option<Instant>, each: &mut dyn FnMut(RowRef<'_>)) -> Result<(), Failure> {
    let _scratch = Scratch::enter(c"pg_trickle full refresh");
    // SAFETY: the view is opened under AccessShareLock, kept to the end of the transaction; its rule's tree is copied before
    // it is changed, as core does for REFRESH MATERIALIZED VIEW.
    unsafe {
        let relation = pg_sys::try_relation_open(pg_sys::Oid::from(view), pg_sys::AccessShareLock as i32);
        if relation.is_null() {
            return Err(Failure::new(b"42P01", "the definition of the stream table does not exist"));
        }
        let query = pg_sys::copyObjectImpl(pg_sys::get_view_query(relation).cast()) as *mut pg_sys::Query;
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        pg_sys::AcquireRewriteLocks(query, true, false);
        let rewritten = pg_sys::QueryRewrite(query);
        if rewritten.is_null() || (*rewritten).length != 1 {
            return Err(Failure::new(b"XX000", "a definition was rewritten to something other than one query"));
        }
        let query = (*(*rewritten).elements).ptr_value as *mut pg_sys::Query;
        let query = match clock {
            Some(instant) => clock::stopped(query, instant),
            None => query,
        };
        let plan = plan(query);
        execute(plan, std::ptr::null_mut(), each);
    }
    Ok(())
}

impl PreparedFragment {
    /// Plans a fragment. May raise; call inside a transaction.
    pub fn new(fragment: &Fragment) -> Result<Self, Failure> {
        let text = CString::new(fragment.query.as_str())
            .map_err(|_| Failure::new(b"XX000", "a query fragment contains a null byte"))?;
        // SAFETY: the context is a child of TopMemoryContext and owned by the value that is returned; the text was written by
        // nodeToString() in this server version.
        unsafe {
            let context = pg_sys::AllocSetContextCreateInternal(
                pg_sys::TopMemoryContext,
                c"pg_trickle fragment".as_ptr(),
                pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
                pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
                pg_sys::ALLOCSET_SMALL_MAXSIZE as usize,
            );
            let mut prepared =
                PreparedFragment { plan: std::ptr::null_mut(), context, arguments: fragment.arguments.clone() };
            let scratch = Scratch::enter(c"pg_trickle planning");
            let query = pg_sys::stringToNode(text.as_ptr()) as *mut pg_sys::Query;
            let planned = plan(query);
            pg_sys::MemoryContextSwitchTo(context);
            prepared.plan = pg_sys::copyObjectImpl(planned.cast()) as *mut pg_sys::PlannedStmt;
            pg_sys::MemoryContextSwitchTo(scratch.context);
            Ok(prepared)
        }
    }

    /// Evaluates `rows` (item, arguments); results in any order, first column taken off as the item.
    pub fn run(&self, rows: &[(u64, Row)]) -> Result<Vec<(u64, Row)>, Failure> {
        let _scratch = Scratch::enter(c"pg_trickle evaluation");
        let mut results = Vec::with_capacity(rows.len());
        let mut malformed = false;
        // SAFETY: descriptor, tuplestore and environment live in the scratch context until the executor has ended; the
        // values of a row are copied by tuplestore_putvalues; the name matches the fragment's named tuplestore.
        unsafe {
            let descriptor = self.descriptor();
            let store = pg_sys::tuplestore_begin_heap(false, false, pg_sys::work_mem);
            let width = self.arguments.len() + 1;
            let mut values = vec![pg_sys::Datum::null(); width];
            let mut nulls = vec![false; width];
            let row_scratch = Scratch::enter(c"pg_trickle evaluation rows");
            for (at, (item, row)) in rows.iter().enumerate() {
                values[0] = pg_sys::Datum::from(*item as i64);
                for (column, (image, ty)) in row.columns().zip(&self.arguments).enumerate() {
                    (values[column + 1], nulls[column + 1]) = image::to_datum(image, ty);
                }
                pg_sys::MemoryContextSwitchTo(row_scratch.previous);
                pg_sys::tuplestore_putvalues(store, descriptor, values.as_ptr(), nulls.as_ptr());
                pg_sys::MemoryContextSwitchTo(row_scratch.context);
                if at % 1024 == 1023 {
                    pgrx::check_for_interrupts!();
                    pg_sys::MemoryContextReset(row_scratch.context);
                }
            }
            drop(row_scratch);
            let environment = pg_sys::create_queryEnv();
            let mut relation: pg_sys::EphemeralNamedRelationData = std::mem::zeroed();
            relation.md.name = c"batch".as_ptr().cast_mut();
            relation.md.tupdesc = descriptor;
            relation.md.enrtype = pg_sys::EphemeralNameRelationType::ENR_NAMED_TUPLESTORE;
            relation.md.enrtuples = rows.len() as f64;
            relation.reldata = store.cast();
            pg_sys::register_ENR(environment, &mut relation);
            // The executor scribbles on nothing of a plan, but utility hooks may: it gets a copy.
            let plan = pg_sys::copyObjectImpl(self.plan.cast()) as *mut pg_sys::PlannedStmt;
            execute(plan, environment, &mut |row| {
                // One row of arguments may have any number of results.
                if results.len() % 1024 == 1023 {
                    require_memory();
                }
                let mut columns = row.columns();
                match columns.next().flatten().and_then(|image| image.try_into().ok()) {
                    Some(item) => results.push((i64::from_ne_bytes(item) as u64, Row::from_columns(columns))),
                    None => malformed = true,
                }
            });
            pg_sys::tuplestore_end(store);
        }
        if malformed {
            return Err(Failure::new(b"XX000", "a query fragment returned a row without its item number"));
        }
        Ok(results)
    }

    /// # Safety
    /// Allocates in the current context, which must outlive the use of the descriptor.
    unsafe fn descriptor(&self) -> pg_sys::TupleDesc {
        let width = self.arguments.len() + 1;
        // SAFETY: attribute numbers are within the template's size; the types exist or the plan is stale, which raises.
        unsafe {
            let descriptor = pg_sys::CreateTemplateTupleDesc(width as i32);
            pg_sys::TupleDescInitEntry(descriptor, 1, c"item".as_ptr(), pg_sys::INT8OID, -1, 0);
            for (at, ty) in self.arguments.iter().enumerate() {
                let number = at as i16 + 2;
                let name = CString::new(format!("a{}", at + 1)).expect("no null byte in a number");
                pg_sys::TupleDescInitEntry(descriptor, number, name.as_ptr(), pg_sys::Oid::from(ty.oid), ty.typmod, 0);
                pg_sys::TupleDescInitEntryCollation(descriptor, number, pg_sys::Oid::from(ty.collation));
            }
            descriptor
        }
    }
}

impl Drop for PreparedFragment {
    fn drop(&mut self) {
        if !self.context.is_null() {
            // SAFETY: created by `new`, and the plan in it is used by nobody else.
            unsafe { pg_sys::MemoryContextDelete(self.context) }
        }
    }
}

/// Raises an ERROR if the engine, with what it is being given, uses more memory than it may.
fn require_memory() {
    let (used, limit) = (allocator::bytes_in_use(), (settings::MEMORY_LIMIT_MB.get().max(0) as usize) << 20);
    if used > limit {
        Failure::new(b"53200", "the rows that a function returns need more memory than the engine may use")
            .hint("Increase \"pg_trickle.memory_limit_mb\", or use refresh_mode => 'full'.")
            .raise();
    }
}

/// # Safety
/// `query` is an analysed and rewritten query that may be scribbled on.
unsafe fn plan(query: *mut pg_sys::Query) -> *mut pg_sys::PlannedStmt {
    // SAFETY: see above.
    unsafe { pg_sys::pg_plan_query(query, c"pg_trickle".as_ptr(), 0, std::ptr::null_mut()) }
}

/// # Safety
/// `plan` and `environment` live in a context that outlives the call.
unsafe fn execute(
    plan: *mut pg_sys::PlannedStmt,
    environment: *mut pg_sys::QueryEnvironment,
    each: &mut dyn FnMut(RowRef<'_>),
) {
    let mut receiver = Receiver {
        base: pg_sys::DestReceiver {
            receiveSlot: Some(receive),
            rStartup: Some(startup),
            rShutdown: Some(nothing),
            rDestroy: Some(nothing),
            mydest: pg_sys::CommandDest::DestNone,
        },
        each,
        builder: RowBuilder::default(),
    };
    // SAFETY: the receiver outlives the executor run; start, run, finish and end are called in the order that core uses.
    unsafe {
        let query = pg_sys::CreateQueryDesc(
            plan,
            c"pg_trickle".as_ptr(),
            pg_sys::GetActiveSnapshot(),
            std::ptr::null_mut(),
            (&raw mut receiver.base).cast(),
            std::ptr::null_mut(),
            environment,
            0,
        );
        pg_sys::ExecutorStart(query, 0);
        pg_sys::ExecutorRun(query, pg_sys::ScanDirection::ForwardScanDirection, 0);
        pg_sys::ExecutorFinish(query);
        pg_sys::ExecutorEnd(query);
        pg_sys::FreeQueryDesc(query);
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn receive(slot: *mut pg_sys::TupleTableSlot, this: *mut pg_sys::DestReceiver) -> bool {
    // SAFETY: `this` is the first field of a Receiver that `execute` keeps alive; the executor passes a valid slot.
    unsafe {
        let receiver = &mut *this.cast::<Receiver<'_>>();
        receiver.builder.clear();
        slot::append(&mut receiver.builder, slot);
        (receiver.each)(receiver.builder.as_ref());
    }
    true
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn startup(
    _this: *mut pg_sys::DestReceiver,
    _operation: std::ffi::c_int,
    _type: pg_sys::TupleDesc,
) {
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn nothing(_this: *mut pg_sys::DestReceiver) {}
