//! Bytes of any length that one process hands to another, in a segment of dynamic shared memory. It goes when both have let
//! go of it, however they end, so nothing can be left behind.

use crate::pg::txn::Failure;
use pgrx::pg_sys;

/// Bytes that wait to be opened by another process. Dropped: not offered any more.
pub struct Parcel(*mut pg_sys::dsm_segment);

const HEADER: usize = size_of::<u64>();

impl Parcel {
    /// Packs `bytes`. Inside a transaction, which it outlives.
    pub fn pack(bytes: &[u8]) -> Parcel {
        // SAFETY: an ERROR if there is no room; the segment is writable and as large as asked for, its start is aligned for
        // any type, and nobody else knows of it yet.
        unsafe {
            let segment = pg_sys::dsm_create(HEADER + bytes.len(), 0);
            pg_sys::dsm_pin_mapping(segment);
            let start = pg_sys::dsm_segment_address(segment).cast::<u8>();
            start.cast::<u64>().write(bytes.len() as u64);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), start.add(HEADER), bytes.len());
            Parcel(segment)
        }
    }

    /// What [`open`] must be told.
    pub fn number(&self) -> u32 {
        // SAFETY: the segment is mapped until the value is dropped.
        unsafe { pg_sys::dsm_segment_handle(self.0) }
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        // SAFETY: mapped by `pack`, given back once.
        unsafe { pg_sys::dsm_detach(self.0) }
    }
}

/// The bytes of a parcel of another process. Inside a transaction.
pub fn open(number: u32) -> Result<Vec<u8>, Failure> {
    // SAFETY: a segment that is attached is at least as long as its maker made it, and its maker wrote it before it told the
    // number; the length is checked against the mapping.
    unsafe {
        let segment = pg_sys::dsm_attach(number);
        if segment.is_null() {
            return Err(Failure::new(b"55000", "a process of pg_trickle ended before its answer was read"));
        }
        let start = pg_sys::dsm_segment_address(segment).cast::<u8>();
        let room = pg_sys::dsm_segment_map_length(segment).saturating_sub(HEADER);
        let length = (start.cast::<u64>().read() as usize).min(room);
        let bytes = std::slice::from_raw_parts(start.add(HEADER), length).to_vec();
        pg_sys::dsm_detach(segment);
        Ok(bytes)
    }
}
