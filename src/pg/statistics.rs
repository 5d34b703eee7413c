//! What ANALYZE has found out of tables.

use super::catalog_lookup::{form, oid, with_row};
use pgrx::pg_sys;

/// How many rows a table has, about; none if nobody has counted.
pub fn rows(relation: u32) -> Option<f64> {
    let counted = with_row(pg_sys::SysCacheIdentifier::RELOID, relation, |tuple| {
        // SAFETY: RELOID's rows are pg_class's.
        unsafe { form::<pg_sys::FormData_pg_class>(tuple) }.reltuples
    })?;
    (counted >= 0.0).then(|| f64::from(counted))
}

/// How many different values a column has, about.
pub fn distinct(relation: u32, attribute: i16) -> Option<f64> {
    let rows = rows(relation)?;
    // SAFETY: the tuple is valid between the look-up and its release; STATRELATTINH's rows are pg_statistic's, whose
    // fixed part is read.
    let found = unsafe {
        let tuple = pg_sys::SearchSysCache3(
            pg_sys::SysCacheIdentifier::STATRELATTINH as i32,
            pg_sys::Datum::from(oid(relation)),
            pg_sys::Datum::from(attribute),
            pg_sys::Datum::from(false),
        );
        if tuple.is_null() {
            return None;
        }
        let found = form::<pg_sys::FormData_pg_statistic>(tuple).stadistinct;
        pg_sys::ReleaseSysCache(tuple);
        f64::from(found)
    };
    match found {
        found if found > 0.0 => Some(found),
        // A share of the rows.
        found if found < 0.0 => Some(-found * rows),
        _ => None,
    }
}
