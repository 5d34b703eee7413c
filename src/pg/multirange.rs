//! `pgtrickle.multirange_instants(anymultirange)`: when a multirange of dates or timestamps begins and ends to contain the
//! clock, and what multiranges are made of.

use super::node::{list, Arena, Node};
use super::txn::Failure;
use super::{catalog_lookup, image};
use pgrx::pg_sys;

/// The ranges of a multirange in their order.
///
/// # Safety
/// `multirange` is a valid datum of the multirange type whose range type `entry` is of. What comes back lies in the current
/// context.
pub(super) unsafe fn ranges(
    entry: *mut pg_sys::TypeCacheEntry,
    multirange: pg_sys::Datum,
) -> Vec<*const pg_sys::RangeType> {
    let (mut count, mut ranges) = (0, std::ptr::null_mut());
    // SAFETY: a detoasted multirange; the function makes an array of `count` ranges, and nothing is dropped under the guard.
    unsafe {
        let value = pg_sys::pg_detoast_datum(multirange.cast_mut_ptr()).cast();
        pg_sys::ffi::pg_guard_ffi_boundary(|| multirange_deserialize(entry, value, &mut count, &mut ranges));
        (0..count as usize).map(|at| (*ranges.add(at)).cast_const()).collect()
    }
}

/// The type cache's entry of a range type, which lives for ever.
///
/// # Safety
/// `range` is a range type.
pub(super) unsafe fn range_entry(range: u32) -> *mut pg_sys::TypeCacheEntry {
    // SAFETY: raises if it is none.
    unsafe { pg_sys::lookup_type_cache(pg_sys::Oid::from(range), pg_sys::TYPECACHE_RANGE_INFO as i32) }
}

/// The bounds of a range; none if it is empty.
///
/// # Safety
/// `range` is a detoasted range of the type that `entry` is of.
pub(super) unsafe fn bounds(
    entry: *mut pg_sys::TypeCacheEntry,
    range: *const pg_sys::RangeType,
) -> Option<[pg_sys::RangeBound; 2]> {
    // SAFETY: the caller's promise; both bounds are filled in.
    unsafe {
        let (mut lower, mut upper, mut empty): (pg_sys::RangeBound, pg_sys::RangeBound, bool) =
            (std::mem::zeroed(), std::mem::zeroed(), false);
        pg_sys::range_deserialize(entry, range, &mut lower, &mut upper, &mut empty);
        (!empty).then_some([lower, upper])
    }
}

/// `pgtrickle.multirange_instants(multirange)`
pub(super) fn instants<'t>(arena: &'t Arena, multirange: Node<'t>) -> Node<'t> {
    let function = catalog_lookup::own_function(c"multirange_instants", pg_sys::ANYMULTIRANGEOID);
    let (none, form) = (pg_sys::InvalidOid, pg_sys::CoercionForm::COERCE_EXPLICIT_CALL);
    // SAFETY: the argument list and the call are allocated in the arena, which is the current context.
    unsafe { arena.some(pg_sys::makeFuncExpr(function, pg_sys::BYTEAOID, list(&[multirange]), none, none, form)) }
}

/// The first value that is not below a bound: days or microseconds, as the clock is counted.
fn instant(subtype: pg_sys::Oid, bound: &pg_sys::RangeBound) -> i64 {
    if bound.infinite {
        return if bound.lower { i64::MIN } else { i64::MAX };
    }
    let value = match subtype {
        pg_sys::DATEOID => match bound.val.value() as i32 {
            i32::MIN => i64::MIN,
            i32::MAX => i64::MAX,
            days => days.into(),
        },
        _ => bound.val.value() as i64,
    };
    // An upper bound that belongs to the range ends it after its instant, a lower one that does not begins it there.
    value.saturating_add(i64::from(bound.inclusive != bound.lower))
}

#[no_mangle]
pub extern "C" fn pg_finfo_multirange_instants() -> &'static pg_sys::Pg_finfo_record {
    const V1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &V1
}

/// # Safety
/// Called by PostgreSQL's function manager only.
#[no_mangle]
#[pgrx::pg_guard]
pub unsafe extern "C-unwind" fn multirange_instants(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: the function is strict and has one argument, a multirange, whose type is known from the call's expression; the
    // result is copied into the current context.
    unsafe {
        let ty = pg_sys::getBaseType(pg_sys::get_fn_expr_argtype((*call).flinfo, 0));
        let range = pg_sys::get_multirange_range(ty);
        if range == pg_sys::InvalidOid {
            Failure::new(b"42804", "could not determine the type of the multirange").raise();
        }
        let entry = range_entry(range.to_u32());
        let subtype = (*(*entry).rngelemtype).type_id;
        if !matches!(subtype, pg_sys::DATEOID | pg_sys::TIMESTAMPOID | pg_sys::TIMESTAMPTZOID) {
            Failure::new(b"42804", "the multirange is not one of dates or timestamps").raise();
        }
        let argument = &*(*call).args.as_ptr();
        let mut bytes = Vec::new();
        for range in ranges(entry, argument.value) {
            for bound in bounds(entry, range).iter().flatten() {
                bytes.extend_from_slice(&instant(subtype, bound).to_ne_bytes());
            }
        }
        image::to_datum(Some(&bytes), &image::column_type(pg_sys::BYTEAOID, -1, pg_sys::InvalidOid)).0
    }
}

// Of multirangetypes.h, which the bindings do not cover: called inside of a guard.
unsafe extern "C-unwind" {
    fn multirange_deserialize(
        range_type: *mut pg_sys::TypeCacheEntry,
        multirange: *const pg_sys::varlena,
        count: *mut i32,
        ranges: *mut *mut *mut pg_sys::RangeType,
    );
}
