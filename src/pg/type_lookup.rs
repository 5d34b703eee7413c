//! What types are made of, and how their values become texts: questions to the system catalogs, by way of their caches. All
//! need a transaction.

use super::catalog_lookup::{form, oid, with_row};
use super::query::text;
use pgrx::pg_sys;
use pgrx::pg_sys::SysCacheIdentifier as Cache;

/// An attribute of a composite type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowAttribute {
    pub number: i16,
    pub name: String,
    pub ty: u32,
    pub typmod: i32,
    pub collation: u32,
}

/// What a composite type's values are made of, without what was dropped. Empty if the type is none, or gone.
pub fn row_attributes(ty: u32) -> Vec<RowAttribute> {
    let mut attributes = Vec::new();
    // SAFETY: look-ups by OID that answer null or zero where there is nothing; the row descriptor is released.
    unsafe {
        if pg_sys::get_typtype(oid(ty)) as u8 != pg_sys::TYPTYPE_COMPOSITE {
            return attributes;
        }
        let descriptor = pg_sys::lookup_rowtype_tupdesc_noerror(oid(ty), -1, true);
        if descriptor.is_null() {
            return attributes;
        }
        for at in 0..(*descriptor).natts as usize {
            let attribute = &*super::slot::attribute(descriptor, at);
            if !attribute.attisdropped {
                attributes.push(RowAttribute {
                    number: at as i16 + 1,
                    name: text(attribute.attname.data.as_ptr()),
                    ty: attribute.atttypid.to_u32(),
                    typmod: attribute.atttypmod,
                    collation: attribute.attcollation.to_u32(),
                });
            }
        }
        if (*descriptor).tdrefcount >= 0 {
            pg_sys::DecrTupleDescRefCount(descriptor);
        }
    }
    attributes
}

/// The types that a type's values are made of: of an array its elements', of a domain its base, of a range its bounds', of
/// a composite type its attributes'.
pub fn component_types(ty: u32) -> Vec<u32> {
    // SAFETY: look-ups by OID that answer InvalidOid where there is nothing.
    unsafe {
        let mut found = vec![
            pg_sys::get_element_type(oid(ty)),
            pg_sys::get_range_subtype(oid(ty)),
            pg_sys::get_multirange_range(oid(ty)),
        ];
        let base = pg_sys::getBaseType(oid(ty));
        if base != oid(ty) {
            found.push(base);
        }
        found.extend(row_attributes(ty).into_iter().map(|attribute| oid(attribute.ty)));
        found.into_iter().filter(|ty| *ty != pg_sys::InvalidOid).map(|ty| ty.to_u32()).collect()
    }
}

/// The function that makes a value of the type out of a text.
pub fn input_function(ty: u32) -> u32 {
    let (mut function, mut parameter) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
    // SAFETY: fills in the out parameters, or raises an ERROR if there is no such type.
    unsafe { pg_sys::getTypeInputInfo(oid(ty), &mut function, &mut parameter) };
    function.to_u32()
}

/// The function that makes a text of a value of the type; `None` for what never has values.
pub fn output_function(ty: u32) -> Option<u32> {
    with_row(Cache::TYPEOID, ty, |tuple| {
        // SAFETY: TYPEOID's rows are pg_type's.
        unsafe { form::<pg_sys::FormData_pg_type>(tuple) }.typoutput.to_u32()
    })
    .filter(|function| *function != 0)
}

pub fn is_domain(ty: u32) -> bool {
    // SAFETY: a look-up by OID that answers zero where there is nothing.
    unsafe { pg_sys::get_typtype(oid(ty)) as u8 == pg_sys::TYPTYPE_DOMAIN }
}

// Of catalog/pg_constraint.h, which has no bindings.
const CONSTRAINT: u32 = 2606;
const CONSTRAINT_BY_TYPE: u32 = 2666;
const CONTYPID: i16 = 10;

/// The constraints of a domain and what identifies each in time.
pub fn constraints(ty: u32) -> Vec<(u32, u32)> {
    let mut found = Vec::new();
    // SAFETY: an index scan of pg_constraint as core does it; the key's procedure fits the column's type, and outlives the
    // scan.
    unsafe {
        let relation = pg_sys::table_open(oid(CONSTRAINT), pg_sys::AccessShareLock as i32);
        let mut key: pg_sys::ScanKeyData = std::mem::zeroed();
        pg_sys::ScanKeyInit(
            &mut key,
            CONTYPID,
            pg_sys::BTEqualStrategyNumber as u16,
            oid(pg_sys::F_OIDEQ),
            pg_sys::Datum::from(oid(ty)),
        );
        let scan =
            pg_sys::systable_beginscan(relation, oid(CONSTRAINT_BY_TYPE), true, std::ptr::null_mut(), 1, &mut key);
        loop {
            let tuple = pg_sys::systable_getnext(scan);
            if tuple.is_null() {
                break;
            }
            // The row's first column is its OID.
            let object = *pg_sys::GETSTRUCT(tuple).cast::<pg_sys::Oid>();
            found.push((object.to_u32(), (*(*tuple).t_data).t_choice.t_heap.t_xmin.into_inner()));
        }
        pg_sys::systable_endscan(scan);
        pg_sys::relation_close(relation, pg_sys::AccessShareLock as i32);
    }
    found.sort_unstable();
    found
}
