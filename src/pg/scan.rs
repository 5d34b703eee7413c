//! Reading a table from end to end, for hydration, with the codec that capture uses.

use crate::pg::image::{self, Storage};
use crate::pg::txn::Failure;
use crate::pg::{relation, slot};
use pgrx::pg_sys;
use trickle_operators::value::{RowBuilder, RowRef};

/// A scan in progress: what the caller has not read yet. It lives within the transaction that opened it.
pub struct Scan {
    relation: pg_sys::Relation,
    descriptor: pg_sys::TableScanDesc,
    slot: *mut pg_sys::TupleTableSlot,
    /// `None`: the table's OID.
    reading: Vec<Option<(usize, Storage)>>,
    builder: RowBuilder,
    /// Only blocks of a range are read.
    ranged: bool,
    done: bool,
}

/// Bytes of a block.
pub const BLOCK_BYTES: u32 = pg_sys::BLCKSZ;

/// Blocks of a table: from the first to the last, which is included.
pub type Blocks = std::ops::RangeInclusive<u32>;

impl Scan {
    /// Opens a scan of a table under the active snapshot, which must stay active while it is read. The caller has locked the
    /// table *before* it took the snapshot (HAZARDS H4). The columns are the listed attributes, in that order;
    /// [`relation::TABLE_OID`] may be one of them.
    ///
    /// With `blocks`, only rows stored there are read; the table's access method must have such scans ([`blocks_of`]).
    pub fn open(table: u32, attnums: &[i16], blocks: Option<Blocks>) -> Result<Scan, Failure> {
        // SAFETY: the relation is locked by the caller and stays open until `close`; attribute numbers are checked.
        unsafe {
            let relation = pg_sys::try_table_open(pg_sys::Oid::from(table), pg_sys::NoLock as i32);
            if relation.is_null() {
                return Err(Failure::new(b"42P01", format!("table with OID {table} does not exist")));
            }
            let attributes = (*relation).rd_att;
            let mut reading = Vec::with_capacity(attnums.len());
            for attnum in attnums {
                if *attnum == relation::TABLE_OID {
                    reading.push(None);
                    continue;
                }
                let within = *attnum >= 1 && i32::from(*attnum) <= (*attributes).natts;
                let attribute = within.then(|| &*slot::attribute(attributes, *attnum as usize - 1));
                match attribute.filter(|attribute| !attribute.attisdropped) {
                    Some(attribute) => reading.push(Some((*attnum as usize - 1, Storage::from(attribute)))),
                    None => {
                        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
                        return Err(Failure::new(b"42703", format!("column {attnum} of table {table} does not exist")));
                    }
                }
            }
            let ranged = blocks.is_some();
            let flags = pg_sys::ScanOptions::SO_ALLOW_PAGEMODE
                | if ranged {
                    pg_sys::ScanOptions::SO_TYPE_TIDRANGESCAN
                } else {
                    pg_sys::ScanOptions::SO_TYPE_SEQSCAN
                        | pg_sys::ScanOptions::SO_ALLOW_STRAT
                        | pg_sys::ScanOptions::SO_ALLOW_SYNC
                };
            let access = (*relation).rd_tableam;
            let slot = pg_sys::table_slot_create(relation, std::ptr::null_mut());
            let descriptor = match (*access).scan_begin {
                Some(begin) => {
                    begin(relation, pg_sys::GetActiveSnapshot(), 0, std::ptr::null_mut(), std::ptr::null_mut(), flags)
                }
                None => std::ptr::null_mut(),
            };
            if let (Some(blocks), Some(set), false) = (blocks, (*access).scan_set_tidrange, descriptor.is_null()) {
                let mut first = tid(*blocks.start(), 0);
                let mut last = tid(*blocks.end(), u16::MAX);
                set(descriptor, &mut first, &mut last);
            }
            let done = descriptor.is_null();
            Ok(Scan { relation, descriptor, slot, reading, builder: RowBuilder::default(), ranged, done })
        }
    }

    /// Calls `each` with the next rows, as long as it answers true; whether there may be more.
    pub fn read(&mut self, each: &mut dyn FnMut(RowRef<'_>) -> bool) -> bool {
        let last = self.reading.iter().flatten().map(|(at, _)| *at + 1).max().unwrap_or(0);
        let mut count = 0u32;
        while !self.done {
            // SAFETY: scan and slot are open; the slot's values are valid until the next row.
            unsafe {
                let access = (*self.relation).rd_tableam;
                let next = if self.ranged { (*access).scan_getnextslot_tidrange } else { (*access).scan_getnextslot };
                let Some(next) = next else { return false };
                if !next(self.descriptor, pg_sys::ScanDirection::ForwardScanDirection, self.slot) {
                    self.done = true;
                    break;
                }
                if usize::from((*self.slot).tts_nvalid as u16) < last {
                    pg_sys::slot_getsomeattrs_int(self.slot, last as i32);
                }
                self.builder.clear();
                for column in &self.reading {
                    let Some((at, storage)) = column else {
                        self.builder.push(Some(&(*self.relation).rd_id.to_u32().to_ne_bytes()));
                        continue;
                    };
                    let (value, null) = (*(*self.slot).tts_values.add(*at), *(*self.slot).tts_isnull.add(*at));
                    image::append(&mut self.builder, value, null, *storage);
                }
            }
            if !each(self.builder.as_ref()) {
                return true;
            }
            count += 1;
            if count.is_multiple_of(1024) {
                pgrx::check_for_interrupts!();
            }
        }
        false
    }

    /// Ends the scan. Not on an ERROR: then the abort of the transaction does it.
    pub fn close(self) {
        // SAFETY: opened by `open`, and not closed before.
        unsafe {
            if !self.descriptor.is_null() {
                if let Some(end) = (*(*self.relation).rd_tableam).scan_end {
                    end(self.descriptor);
                }
            }
            pg_sys::ExecDropSingleTupleTableSlot(self.slot);
            pg_sys::relation_close(self.relation, pg_sys::NoLock as i32);
        }
    }
}

fn tid(block: u32, offset: u16) -> pg_sys::ItemPointerData {
    let ip_blkid = pg_sys::BlockIdData { bi_hi: (block >> 16) as u16, bi_lo: (block & 0xffff) as u16 };
    pg_sys::ItemPointerData { ip_blkid, ip_posid: offset }
}

/// How many blocks a table has now; `None` if it does not exist or cannot be read by ranges of blocks. The caller has locked
/// it.
pub fn blocks_of(table: u32) -> Option<u32> {
    // SAFETY: opened and closed here, under the caller's lock.
    unsafe {
        let relation = pg_sys::try_table_open(pg_sys::Oid::from(table), pg_sys::NoLock as i32);
        if relation.is_null() {
            return None;
        }
        let access = (*relation).rd_tableam;
        // A foreign table has none.
        if access.is_null() {
            pg_sys::relation_close(relation, pg_sys::NoLock as i32);
            return None;
        }
        let ranges = (*access).scan_set_tidrange.is_some() && (*access).scan_getnextslot_tidrange.is_some();
        let main = pg_sys::ForkNumber::MAIN_FORKNUM;
        let blocks = ranges.then(|| pg_sys::RelationGetNumberOfBlocksInFork(relation, main));
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        blocks
    }
}

/// Reads a whole table, or some of its blocks; see [`Scan::open`].
pub fn scan(
    table: u32,
    attnums: &[i16],
    blocks: Option<Blocks>,
    each: &mut dyn FnMut(RowRef<'_>),
) -> Result<(), Failure> {
    let mut scan = Scan::open(table, attnums, blocks)?;
    scan.read(&mut |row| {
        each(row);
        true
    });
    scan.close();
    Ok(())
}
