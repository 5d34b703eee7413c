//! Tuple slots and descriptors, read column by column into packed rows.

use crate::pg::image::{self, Storage};
use pgrx::pg_sys;
use trickle_operators::value::RowBuilder;

/// Appends all columns of a slot that are not dropped.
///
/// # Safety
/// `slot` holds a valid tuple, and its TOAST pointers can still be fetched: a snapshot is active.
pub unsafe fn append(builder: &mut RowBuilder, slot: *mut pg_sys::TupleTableSlot) {
    // SAFETY: after deforming, the value and null arrays have one entry an attribute of the slot's descriptor, whose compact
    // attributes are a trailing array of that length.
    unsafe {
        let descriptor = (*slot).tts_tupleDescriptor;
        let natts = (*descriptor).natts;
        if i32::from((*slot).tts_nvalid) < natts {
            pg_sys::slot_getsomeattrs_int(slot, natts);
        }
        for at in 0..natts as usize {
            let attribute = &*(*descriptor).compact_attrs.as_ptr().add(at);
            if attribute.attisdropped {
                continue;
            }
            let storage = Storage { length: attribute.attlen, by_value: attribute.attbyval };
            image::append(builder, *(*slot).tts_values.add(at), *(*slot).tts_isnull.add(at), storage);
        }
    }
}

/// The full attribute `at` (from 0) of a descriptor.
///
/// # Safety
/// `descriptor` is valid and has more than `at` attributes.
pub unsafe fn attribute(descriptor: pg_sys::TupleDesc, at: usize) -> *const pg_sys::FormData_pg_attribute {
    // SAFETY: the full attributes follow the compact ones, as TupleDescAttrAddress() has it.
    unsafe {
        let natts = (*descriptor).natts as usize;
        (*descriptor).compact_attrs.as_ptr().add(natts).cast::<pg_sys::FormData_pg_attribute>().add(at)
    }
}
