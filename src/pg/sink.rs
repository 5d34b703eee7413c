//! Writing a delta to a stream table: rows are found by an index of the table, compared in full, and deleted, updated or
//! inserted as the logical-replication apply worker does it, so that constraints, generated columns, row triggers, indexes
//! and logical decoding see ordinary row changes.
//!
//! Invariant: what is deleted or updated is byte for byte the row that was published before. A row that is not found, or
//! that differs, means that the table was changed behind our back: the caller rolls back and rebuilds (HAZARDS E16, H43).

use crate::pg::txn::Failure;
use crate::pg::{image, slot};
use hashbrown::HashMap;
use pgrx::pg_sys;
use trickle_operators::value::{ColumnType, Row, RowBuilder, RowRef};

/// What is to be written, in the order in which it is written (HAZARDS H41).
#[derive(Default, Debug, PartialEq, Eq)]
pub struct Delta {
    pub deletes: Vec<Row>,
    pub updates: Vec<(Row, Row)>,
    pub inserts: Vec<Row>,
}

/// Why a delta was not written.
#[derive(Debug, PartialEq, Eq)]
pub enum SinkError {
    /// The content is not what was published: rebuild by difference.
    Diverged(String),
    /// Anything else; see [`Failure::transient`].
    Failed(Failure),
}

impl From<Failure> for SinkError {
    fn from(failure: Failure) -> Self {
        SinkError::Failed(failure)
    }
}

impl Delta {
    pub fn rows(&self) -> usize {
        self.deletes.len() + self.updates.len() + self.inserts.len()
    }
}

/// How the rows to be changed are found.
enum Finder {
    /// A unique index over plain columns: positions in the row, in index order.
    Key { index: pg_sys::Relation, scan: pg_sys::IndexScanDesc, columns: Vec<usize>, keys: Vec<pg_sys::ScanKeyData> },
    /// The index on the row's hash.
    Hash { index: pg_sys::Relation, scan: pg_sys::IndexScanDesc, key: Box<pg_sys::ScanKeyData> },
    /// No index serves: one scan of the table, made when first needed.
    Scan(HashMap<Row, Vec<pg_sys::ItemPointerData>>),
}

/// A stream table opened for writing.
struct Sink<'a> {
    relation: pg_sys::Relation,
    estate: *mut pg_sys::EState,
    result: *mut pg_sys::ResultRelInfo,
    fresh: *mut pg_sys::TupleTableSlot,
    found: *mut pg_sys::TupleTableSlot,
    columns: &'a [ColumnType],
    finder: Finder,
    /// Columns of unique or exclusion constraints: an update of one of them is written as delete and insert.
    constrained: Vec<usize>,
    builder: RowBuilder,
}

/// What the row-hash index stores for a row.
pub fn row_hash(row: RowRef<'_>) -> i64 {
    xxhash_rust::xxh3::xxh3_64(row.bytes()) as i64
}

/// Writes `delta` to the table `relation`, whose columns are `columns`, as the current user. Inside a transaction with an
/// active snapshot; takes RowExclusiveLock, waiting no longer than lock_timeout.
pub fn write(relation: u32, columns: &[ColumnType], delta: Delta) -> Result<u64, SinkError> {
    let mut sink = Sink::open(relation, columns, !delta.deletes.is_empty() || !delta.updates.is_empty())?;
    let written = sink.write(delta)?;
    sink.close();
    Ok(written)
}

/// Reads the whole content under the active snapshot.
pub fn read(relation: u32, columns: &[ColumnType], each: &mut dyn FnMut(RowRef<'_>)) -> Result<(), Failure> {
    // SAFETY: opened under AccessShareLock which is kept to the end of the transaction; slot and scan are released in order.
    unsafe {
        let relation = pg_sys::try_table_open(pg_sys::Oid::from(relation), pg_sys::AccessShareLock as i32);
        if relation.is_null() {
            return Err(Failure::new(b"42P01", "the stream table does not exist"));
        }
        check_columns(relation, columns)?;
        scan(relation, pg_sys::GetActiveSnapshot(), &mut |tuple, builder| {
            builder.clear();
            slot::append(builder, tuple);
            each(builder.as_ref());
        });
        pg_sys::table_close(relation, pg_sys::NoLock as i32);
    }
    Ok(())
}

/// # Safety
/// `relation` is open and locked, `snapshot` registered or active.
unsafe fn scan(
    relation: pg_sys::Relation,
    snapshot: pg_sys::Snapshot,
    each: &mut dyn FnMut(*mut pg_sys::TupleTableSlot, &mut RowBuilder),
) {
    let mut builder = RowBuilder::default();
    // SAFETY: see above; the slot is dropped after the scan has ended.
    unsafe {
        let slot = pg_sys::table_slot_create(relation, std::ptr::null_mut());
        let flags = pg_sys::ScanOptions::SO_TYPE_SEQSCAN
            | pg_sys::ScanOptions::SO_ALLOW_STRAT
            | pg_sys::ScanOptions::SO_ALLOW_PAGEMODE;
        let access = (*relation).rd_tableam;
        let begin = (*access).scan_begin.expect("every table access method scans");
        let next = (*access).scan_getnextslot.expect("every table access method scans");
        let end = (*access).scan_end.expect("every table access method scans");
        let scan = begin(relation, snapshot, 0, std::ptr::null_mut(), std::ptr::null_mut(), flags);
        let mut seen = 0u64;
        while next(scan, pg_sys::ScanDirection::ForwardScanDirection, slot) {
            each(slot, &mut builder);
            seen += 1;
            if seen.is_multiple_of(4096) {
                pgrx::check_for_interrupts!();
            }
        }
        end(scan);
        pg_sys::ExecDropSingleTupleTableSlot(slot);
    }
}

/// # Safety
/// `relation` is open.
unsafe fn check_columns(relation: pg_sys::Relation, columns: &[ColumnType]) -> Result<(), Failure> {
    // SAFETY: the descriptor lives as long as the relation is open.
    let same = unsafe {
        let descriptor = (*relation).rd_att;
        (*descriptor).natts as usize == columns.len()
            && columns.iter().enumerate().all(|(at, ty)| {
                let attribute = slot::attribute(descriptor, at);
                !(*attribute).attisdropped && (*attribute).atttypid.to_u32() == ty.oid
            })
    };
    if same {
        return Ok(());
    }
    Err(Failure {
        hint: Some("Restore the columns, or drop the stream table and create it again.".into()),
        ..Failure::new(b"55000", "the columns of the stream table are not those of its query")
    })
}

impl<'a> Sink<'a> {
    fn open(oid: u32, columns: &'a [ColumnType], finds: bool) -> Result<Self, Failure> {
        // SAFETY: the set-up of a result relation as logical replication's apply worker does it; everything is allocated in
        // the transaction's context and released by `close` or by the abort.
        unsafe {
            let relation = pg_sys::try_table_open(pg_sys::Oid::from(oid), pg_sys::RowExclusiveLock as i32);
            if relation.is_null() {
                return Err(Failure::new(b"42P01", "the stream table does not exist"));
            }
            check_columns(relation, columns)?;
            refuse_before_triggers(relation)?;
            let estate = pg_sys::CreateExecutorState();
            let entry = pg_sys::palloc0(size_of::<pg_sys::RangeTblEntry>()) as *mut pg_sys::RangeTblEntry;
            (*entry).type_ = pg_sys::NodeTag::T_RangeTblEntry;
            (*entry).rtekind = pg_sys::RTEKind::RTE_RELATION;
            (*entry).relid = (*relation).rd_id;
            (*entry).relkind = (*(*relation).rd_rel).relkind;
            (*entry).rellockmode = pg_sys::AccessShareLock as i32;
            let mut permissions: *mut pg_sys::List = std::ptr::null_mut();
            pg_sys::addRTEPermissionInfo(&mut permissions, entry);
            let table = pg_sys::lappend(std::ptr::null_mut(), entry.cast());
            pg_sys::ExecInitRangeTable(estate, table, permissions, pg_sys::bms_make_singleton(1));
            let result = pg_sys::palloc0(size_of::<pg_sys::ResultRelInfo>()) as *mut pg_sys::ResultRelInfo;
            (*result).type_ = pg_sys::NodeTag::T_ResultRelInfo;
            pg_sys::InitResultRelInfo(result, relation, 1, std::ptr::null_mut(), 0);
            // Or its row triggers would open it once more, and leave it open.
            (*estate).es_opened_result_relations = pg_sys::lappend(std::ptr::null_mut(), result.cast());
            (*estate).es_output_cid = pg_sys::GetCurrentCommandId(true);
            check_constraints_at_once();
            pg_sys::AfterTriggerBeginQuery();
            pg_sys::ExecOpenIndices(result, false);
            let fresh = pg_sys::ExecInitExtraTupleSlot(estate, (*relation).rd_att, &raw const pg_sys::TTSOpsVirtual);
            let found = pg_sys::table_slot_create(relation, &mut (*estate).es_tupleTable);
            let (finder, constrained) = choose_finder(relation, result, finds);
            Ok(Sink {
                relation,
                estate,
                result,
                fresh,
                found,
                columns,
                finder,
                constrained,
                builder: RowBuilder::default(),
            })
        }
    }

    fn write(&mut self, delta: Delta) -> Result<u64, SinkError> {
        let written = delta.rows() as u64;
        let Delta { deletes, updates, mut inserts } = delta;
        let mut in_place = Vec::with_capacity(updates.len());
        // SAFETY: a zeroed EPQState is what EvalPlanQualInit fills in.
        let mut recheck = unsafe {
            let mut recheck: pg_sys::EPQState = std::mem::zeroed();
            let (no_plan, none) = (std::ptr::null_mut(), std::ptr::null_mut());
            pg_sys::EvalPlanQualInit(&mut recheck, self.estate, no_plan, none, -1, none);
            recheck
        };
        let mut done = 0u64;
        for row in &deletes {
            self.delete(row.as_ref(), &mut recheck)?;
            self.breathe(&mut done);
        }
        for (old, new) in updates {
            if self.constrained.iter().any(|&column| old.column(column) != new.column(column)) {
                self.delete(old.as_ref(), &mut recheck)?;
                inserts.push(new);
            } else {
                in_place.push((old, new));
            }
            self.breathe(&mut done);
        }
        for (old, new) in &in_place {
            self.find(old.as_ref())?;
            self.fill(new.as_ref());
            // SAFETY: `found` holds the row to be updated with its TID, `fresh` the new row.
            unsafe {
                pg_sys::ExecSimpleRelationUpdate(self.result, self.estate, &mut recheck, self.found, self.fresh);
            }
            self.breathe(&mut done);
        }
        for row in &inserts {
            self.fill(row.as_ref());
            // SAFETY: `fresh` holds the new row.
            unsafe { pg_sys::ExecSimpleRelationInsert(self.result, self.estate, self.fresh) }
            self.breathe(&mut done);
        }
        // SAFETY: initialised above.
        unsafe { pg_sys::EvalPlanQualEnd(&mut recheck) }
        Ok(written)
    }

    fn delete(&mut self, row: RowRef<'_>, recheck: &mut pg_sys::EPQState) -> Result<(), SinkError> {
        self.find(row)?;
        // SAFETY: `found` holds the row to be deleted with its TID.
        unsafe { pg_sys::ExecSimpleRelationDelete(self.result, self.estate, recheck, self.found) }
        Ok(())
    }

    /// After each row: per-tuple memory is released, interrupts are served now and then.
    fn breathe(&mut self, done: &mut u64) {
        *done += 1;
        // SAFETY: the per-tuple context holds only what evaluated one row (and the images filled in for it).
        unsafe {
            let per_tuple = (*self.estate).es_per_tuple_exprcontext;
            if !per_tuple.is_null() {
                pg_sys::MemoryContextReset((*per_tuple).ecxt_per_tuple_memory);
            }
        }
        if done.is_multiple_of(1024) {
            pgrx::check_for_interrupts!();
        }
    }

    /// Puts `row` into the slot `fresh`.
    fn fill(&mut self, row: RowRef<'_>) {
        // SAFETY: the slot has as many columns as the table, which was checked; images are allocated in the per-tuple context
        // and live until `breathe`.
        unsafe {
            let context = per_tuple_context(self.estate);
            let previous = pg_sys::MemoryContextSwitchTo(context);
            let clear = (*(*self.fresh).tts_ops).clear.expect("every slot type can be cleared");
            clear(self.fresh);
            for (at, (image, ty)) in row.columns().zip(self.columns).enumerate() {
                let (value, null) = image::to_datum(image, ty);
                *(*self.fresh).tts_values.add(at) = value;
                *(*self.fresh).tts_isnull.add(at) = null;
            }
            pg_sys::ExecStoreVirtualTuple(self.fresh);
            pg_sys::MemoryContextSwitchTo(previous);
        }
    }

    /// Puts the stored row that equals `row` into the slot `found`.
    fn find(&mut self, row: RowRef<'_>) -> Result<(), SinkError> {
        // SAFETY: scans and slots are open; SnapshotSelf sees what this command has done already, and only this worker writes
        // to the table.
        unsafe {
            let context = per_tuple_context(self.estate);
            let previous = pg_sys::MemoryContextSwitchTo(context);
            let scan = match &mut self.finder {
                Finder::Key { scan, columns, keys, .. } => {
                    for (key, &column) in keys.iter_mut().zip(columns.iter()) {
                        let (value, null) = image::to_datum(row.column(column), &self.columns[column]);
                        key.sk_argument = value;
                        let searches_null = (pg_sys::SK_ISNULL | pg_sys::SK_SEARCHNULL) as i32;
                        key.sk_flags = if null { searches_null } else { 0 };
                    }
                    pg_sys::index_rescan(*scan, keys.as_mut_ptr(), keys.len() as i32, std::ptr::null_mut(), 0);
                    *scan
                }
                Finder::Hash { scan, key, .. } => {
                    key.sk_argument = pg_sys::Datum::from(row_hash(row));
                    pg_sys::index_rescan(*scan, &mut **key, 1, std::ptr::null_mut(), 0);
                    *scan
                }
                Finder::Scan(rows) => {
                    let tid = rows.get_mut(&row.to_owned()).and_then(Vec::pop);
                    pg_sys::MemoryContextSwitchTo(previous);
                    let Some(mut tid) = tid else { return Err(missing(row)) };
                    let fetch = (*(*self.relation).rd_tableam).tuple_fetch_row_version;
                    let fetch = fetch.expect("every table access method fetches");
                    if !fetch(self.relation, &mut tid, &raw mut pg_sys::SnapshotSelfData, self.found) {
                        return Err(missing(row));
                    }
                    return Ok(());
                }
            };
            pg_sys::MemoryContextSwitchTo(previous);
            while pg_sys::index_getnext_slot(scan, pg_sys::ScanDirection::ForwardScanDirection, self.found) {
                self.builder.clear();
                slot::append(&mut self.builder, self.found);
                if self.builder.as_ref() == row {
                    return Ok(());
                }
            }
            Err(missing(row))
        }
    }

    fn close(self) {
        // SAFETY: releases in the reverse order of `open`; locks are kept to the end of the transaction.
        unsafe {
            match self.finder {
                Finder::Key { index, scan, .. } | Finder::Hash { index, scan, .. } => {
                    pg_sys::index_endscan(scan);
                    pg_sys::index_close(index, pg_sys::NoLock as i32);
                }
                Finder::Scan(_) => {}
            }
            pg_sys::AfterTriggerEndQuery(self.estate);
            pg_sys::ExecCloseIndices(self.result);
            pg_sys::ExecResetTupleTable((*self.estate).es_tupleTable, false);
            pg_sys::FreeExecutorState(self.estate);
            pg_sys::table_close(self.relation, pg_sys::NoLock as i32);
            pg_sys::CommandCounterIncrement();
        }
    }
}

fn missing(row: RowRef<'_>) -> SinkError {
    SinkError::Diverged(format!("a published row of {} bytes was not found", row.bytes().len()))
}

/// SET CONSTRAINTS ALL IMMEDIATE: a deferred trigger cannot be queued under a security-restricted operation (HAZARDS H42).
///
/// # Safety
/// In a transaction, outside of a query's triggers.
unsafe fn check_constraints_at_once() {
    // SAFETY: the statement lives in the transaction's context and is only read.
    unsafe {
        let statement = pg_sys::palloc0(size_of::<pg_sys::ConstraintsSetStmt>()) as *mut pg_sys::ConstraintsSetStmt;
        (*statement).type_ = pg_sys::NodeTag::T_ConstraintsSetStmt;
        pg_sys::AfterTriggerSetState(statement);
    }
}

/// # Safety
/// `estate` is a live executor state.
unsafe fn per_tuple_context(estate: *mut pg_sys::EState) -> pg_sys::MemoryContext {
    // SAFETY: see above; this is GetPerTupleMemoryContext.
    unsafe {
        if (*estate).es_per_tuple_exprcontext.is_null() {
            pg_sys::MakePerTupleExprContext(estate);
        }
        (*(*estate).es_per_tuple_exprcontext).ecxt_per_tuple_memory
    }
}

/// # Safety
/// `relation` is open.
unsafe fn refuse_before_triggers(relation: pg_sys::Relation) -> Result<(), Failure> {
    // SAFETY: the trigger descriptor lives as long as the relation is open.
    let refuses = unsafe {
        let triggers = (*relation).trigdesc;
        !triggers.is_null()
            && ((*triggers).trig_insert_before_row
                || (*triggers).trig_update_before_row
                || (*triggers).trig_delete_before_row)
    };
    if !refuses {
        return Ok(());
    }
    Err(Failure {
        detail: Some("A BEFORE ROW trigger could change what is written.".into()),
        hint: Some("Use an AFTER trigger.".into()),
        ..Failure::new(b"55000", "stream tables cannot have BEFORE ROW triggers")
    })
}

/// Picks the index by which rows are found, and lists the columns of all unique or exclusion constraints.
///
/// # Safety
/// `relation` and the indices of `result` are open.
unsafe fn choose_finder(
    relation: pg_sys::Relation,
    result: *mut pg_sys::ResultRelInfo,
    finds: bool,
) -> (Finder, Vec<usize>) {
    let mut chosen: Option<Finder> = None;
    let mut constrained = Vec::new();
    // SAFETY: index relations and infos are arrays of ri_NumIndices entries, open until ExecCloseIndices; rd_index is valid
    // for every open index.
    unsafe {
        for at in 0..(*result).ri_NumIndices as usize {
            let index = *(*result).ri_IndexRelationDescs.add(at);
            let info = *(*result).ri_IndexRelationInfo.add(at);
            let form = (*index).rd_index;
            let keys = (*form).indnkeyatts as usize;
            let attributes: Vec<i16> = (0..keys).map(|key| (*info).ii_IndexAttrNumbers[key]).collect();
            let plain = (*info).ii_Expressions.is_null() && (*info).ii_Predicate.is_null();
            let btree = (*(*index).rd_rel).relam == pg_sys::BTREE_AM_OID;
            let usable = btree && (*form).indisvalid && (*form).indimmediate;
            if (*form).indisunique || (*form).indisexclusion {
                // An expression or predicate may read any column.
                if plain {
                    constrained.extend(attributes.iter().map(|&number| number as usize - 1));
                } else {
                    constrained.extend(0..(*(*relation).rd_att).natts as usize);
                }
            }
            if usable
                && plain
                && (*form).indisunique
                && !matches!(chosen, Some(Finder::Key { .. }))
                && by_key(form, info)
            {
                drop_finder(chosen.take());
                let columns: Vec<usize> = attributes.iter().map(|&number| number as usize - 1).collect();
                let keys = (0..keys).map(|key| equality(index, key)).collect::<Vec<_>>();
                let (index, scan) = begin(relation, index, keys.len());
                chosen = Some(Finder::Key { index, scan, columns, keys });
            } else if usable && chosen.is_none() && is_row_hash(info) {
                let key = Box::new(equality(index, 0));
                let (index, scan) = begin(relation, index, 1);
                chosen = Some(Finder::Hash { index, scan, key });
            }
        }
        let finder = chosen.unwrap_or_else(|| {
            let mut rows: HashMap<Row, Vec<pg_sys::ItemPointerData>> = HashMap::new();
            if finds {
                scan(relation, pg_sys::GetActiveSnapshot(), &mut |tuple, builder| {
                    slot::append(builder, tuple);
                    rows.entry(builder.finish()).or_default().push((*tuple).tts_tid);
                });
            }
            Finder::Scan(rows)
        });
        (finder, constrained)
    }
}

/// # Safety
/// `finder`'s scan and index are open.
unsafe fn drop_finder(finder: Option<Finder>) {
    if let Some(Finder::Key { index, scan, .. } | Finder::Hash { index, scan, .. }) = finder {
        // SAFETY: see above.
        unsafe {
            pg_sys::index_endscan(scan);
            pg_sys::index_close(index, pg_sys::NoLock as i32);
        }
    }
}

/// Whether at most one row can match the index's columns: no NULLs that are distinct from each other.
///
/// # Safety
/// Both belong to an open index.
unsafe fn by_key(form: pg_sys::Form_pg_index, info: *mut pg_sys::IndexInfo) -> bool {
    // SAFETY: see above.
    unsafe { (*form).indisprimary || (*info).ii_NullsNotDistinct || (*form).indisreplident }
}

/// # Safety
/// `info` belongs to an open index.
unsafe fn is_row_hash(info: *mut pg_sys::IndexInfo) -> bool {
    // SAFETY: a list of expression nodes; only the node's tag and function id are read.
    unsafe {
        let expressions = (*info).ii_Expressions;
        if expressions.is_null() || (*expressions).length != 1 || (*info).ii_NumIndexAttrs != 1 {
            return false;
        }
        let node = (*(*expressions).elements).ptr_value as *mut pg_sys::Node;
        if (*node).type_ != pg_sys::NodeTag::T_FuncExpr {
            return false;
        }
        let function = (*(node as *mut pg_sys::FuncExpr)).funcid;
        let name = pg_sys::get_func_name(function);
        !name.is_null()
            && std::ffi::CStr::from_ptr(name) == c"row_hash"
            && pg_sys::get_func_namespace(function) == pg_sys::get_namespace_oid(c"pgtrickle".as_ptr(), true)
    }
}

/// The scan key "column `at` of the index equals", argument to be filled in.
///
/// # Safety
/// `index` is an open btree index with more than `at` key columns.
unsafe fn equality(index: pg_sys::Relation, at: usize) -> pg_sys::ScanKeyData {
    // SAFETY: the support arrays of an open index have one entry a key column; every btree operator family has equality over
    // its own input type.
    unsafe {
        let family = *(*index).rd_opfamily.add(at);
        let input = *(*index).rd_opcintype.add(at);
        let strategy = pg_sys::BTEqualStrategyNumber as i16;
        let operator = pg_sys::get_opfamily_member(family, input, input, strategy);
        let mut key: pg_sys::ScanKeyData = std::mem::zeroed();
        pg_sys::ScanKeyEntryInitialize(
            &mut key,
            0,
            at as i16 + 1,
            strategy as u16,
            pg_sys::InvalidOid,
            *(*index).rd_indcollation.add(at),
            pg_sys::get_opcode(operator),
            pg_sys::Datum::null(),
        );
        key
    }
}

/// # Safety
/// Both relations are open.
unsafe fn begin(
    relation: pg_sys::Relation,
    index: pg_sys::Relation,
    keys: usize,
) -> (pg_sys::Relation, pg_sys::IndexScanDesc) {
    // SAFETY: a second reference to the index, so that the scan may outlive the executor's; SnapshotSelf is static.
    unsafe {
        let index = pg_sys::index_open((*index).rd_id, pg_sys::RowExclusiveLock as i32);
        let snapshot = &raw mut pg_sys::SnapshotSelfData;
        let scan = pg_sys::index_beginscan(relation, index, snapshot, std::ptr::null_mut(), keys as i32, 0);
        (index, scan)
    }
}
