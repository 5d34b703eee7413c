//! `pgtrickle.single(anyelement, bigint)`: the value of a scalar subquery and how many rows it has. More than one is an
//! error, where the value is asked for and not before.

use super::node::{Arena, Node};
use super::txn::Failure;
use pgrx::pg_sys;

/// The function's OID.
fn function() -> pg_sys::Oid {
    // SAFETY: the name list is allocated in the current context; the look-up raises if there is no such function.
    unsafe {
        let mut name = std::ptr::null_mut();
        for part in [c"pgtrickle", c"single"] {
            name = pg_sys::lappend(name, pg_sys::makeString(pg_sys::pstrdup(part.as_ptr())).cast());
        }
        let arguments = [pg_sys::ANYELEMENTOID, pg_sys::INT8OID];
        pg_sys::LookupFuncName(name, arguments.len() as i32, arguments.as_ptr(), false)
    }
}

pub fn is_function(oid: u32) -> bool {
    oid >= pg_sys::FirstNormalObjectId && function().to_u32() == oid
}

/// `pgtrickle.single(value, rows)`, of the value's type.
pub fn call<'t>(arena: &'t Arena, value: Node<'t>, rows: Node<'t>) -> Node<'t> {
    // SAFETY: the list and the calls are allocated in the arena, which is the current context.
    unsafe {
        let (ty, typmod) = (pg_sys::exprType(value.raw()), pg_sys::exprTypmod(value.raw()));
        let collation = pg_sys::exprCollation(value.raw());
        let arguments = pg_sys::lappend(std::ptr::null_mut(), value.raw().cast());
        let call = pg_sys::makeFuncExpr(
            function(),
            ty,
            pg_sys::lappend(arguments, rows.raw().cast()),
            collation,
            collation,
            pg_sys::CoercionForm::COERCE_EXPLICIT_CALL,
        );
        if typmod == -1 {
            return arena.some(call);
        }
        // The function's type is without a modifier.
        let relabelled =
            pg_sys::makeRelabelType(call.cast(), ty, typmod, collation, pg_sys::CoercionForm::COERCE_IMPLICIT_CAST);
        arena.some(relabelled)
    }
}

#[no_mangle]
pub extern "C" fn pg_finfo_single_value() -> &'static pg_sys::Pg_finfo_record {
    const V1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &V1
}

/// # Safety
/// Called by PostgreSQL's function manager only.
#[no_mangle]
#[pgrx::pg_guard]
pub unsafe extern "C-unwind" fn single_value(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: the function has two arguments, the second an int8; the first is handed on as it is.
    unsafe {
        let arguments = (*call).args.as_ptr();
        let (value, rows) = (&*arguments, &*arguments.add(1));
        if rows.isnull || rows.value.value() as i64 > 1 {
            Failure::new(b"21000", "more than one row returned by a subquery used as an expression").raise();
        }
        (*call).isnull = value.isnull;
        value.value
    }
}
