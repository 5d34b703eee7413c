//! `pgtrickle.row_hash(VARIADIC "any")`: the hash of a row's stored form, for the index by which rows without a key are found.
//!
//! The result is stored in indexes: it may never change for any type. It is xxh3 over the packed row of images.

use super::image::{self, Storage};
use super::txn::Failure;
use pgrx::pg_sys;
use trickle_operators::value::RowBuilder;

#[no_mangle]
pub extern "C" fn pg_finfo_row_hash() -> &'static pg_sys::Pg_finfo_record {
    const V1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &V1
}

/// # Safety
/// Called by PostgreSQL's function manager only.
#[no_mangle]
#[pgrx::pg_guard]
pub unsafe extern "C-unwind" fn row_hash(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: the function manager passes `nargs` arguments in a trailing array; their types are known from the call's
    // expression; values of these types are valid datums.
    unsafe {
        let function = (*call).flinfo;
        if pg_sys::get_fn_expr_variadic(function) {
            Failure::new(b"0A000", "row_hash takes its arguments one by one, not as an array").raise();
        }
        let mut builder = RowBuilder::default();
        for index in 0..(*call).nargs as usize {
            let ty = pg_sys::get_fn_expr_argtype(function, index as i32);
            if ty == pg_sys::InvalidOid {
                Failure::new(b"42P18", format!("could not determine the type of argument {}", index + 1)).raise();
            }
            let (mut length, mut by_value) = (0i16, false);
            pg_sys::get_typlenbyval(ty, &mut length, &mut by_value);
            let argument = &*(*call).args.as_ptr().add(index);
            image::append(&mut builder, argument.value, argument.isnull, Storage { length, by_value });
        }
        let hash = super::sink::row_hash(builder.as_ref());
        pg_sys::Datum::from(hash)
    }
}
