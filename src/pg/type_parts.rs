//! What belongs to a type beside its row in pg_type: labels of enums, attributes of composite types, constraints of domains.

use super::catalog_lookup::with_row;
use pgrx::pg_sys;
use pgrx::pg_sys::SysCacheIdentifier as Cache;

fn oid(oid: u32) -> pg_sys::Oid {
    pg_sys::Oid::from(oid)
}

/// The catalog rows that belong to a type, each with what identifies it in time: a label is renamed, an attribute added,
/// dropped or given another type, a constraint added or dropped without a change of the type's own row. Empty for most
/// types.
pub fn parts(ty: u32) -> Vec<(u32, u32)> {
    // SAFETY: a look-up by OID.
    match unsafe { pg_sys::get_typtype(oid(ty)) } as u8 {
        pg_sys::TYPTYPE_ENUM => labels(ty),
        pg_sys::TYPTYPE_COMPOSITE => attributes(ty),
        pg_sys::TYPTYPE_DOMAIN => constraints(ty),
        _ => Vec::new(),
    }
}

/// A label that is renamed is another text for values that are there already.
fn labels(ty: u32) -> Vec<(u32, u32)> {
    // SAFETY: the list's members are rows of pg_enum, valid until the list is released; their headers hold transaction ids.
    unsafe {
        let key = pg_sys::Datum::from(oid(ty));
        let none = pg_sys::Datum::null();
        let list = pg_sys::SearchSysCacheList(Cache::ENUMTYPOIDNAME as i32, 1, key, none, none);
        let members = (*list).members.as_slice((*list).n_members as usize);
        let mut labels: Vec<(u32, u32)> = members
            .iter()
            .map(|member| {
                let tuple = &(**member).tuple;
                let label =
                    &*pg_sys::GETSTRUCT(std::ptr::from_ref(tuple).cast_mut()).cast::<pg_sys::FormData_pg_enum>();
                (label.oid.to_u32(), (*tuple.t_data).t_choice.t_heap.t_xmin.into_inner())
            })
            .collect();
        pg_sys::ReleaseCatCacheList(list);
        labels.sort_unstable();
        labels
    }
}

/// Dropped ones included.
fn attributes(ty: u32) -> Vec<(u32, u32)> {
    // SAFETY: look-ups by OID; a tuple is read before it is released, its header holds transaction ids.
    unsafe {
        let relation = pg_sys::get_typ_typrelid(oid(ty));
        let count = with_row(Cache::RELOID, relation.to_u32(), |tuple| {
            (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_class>()).relnatts
        });
        (1..=count.unwrap_or(0))
            .filter_map(|number| {
                let (relation, attribute) = (pg_sys::Datum::from(relation), pg_sys::Datum::from(number));
                let tuple = pg_sys::SearchSysCache2(Cache::ATTNUM as i32, relation, attribute);
                if tuple.is_null() {
                    return None;
                }
                let writer = (*(*tuple).t_data).t_choice.t_heap.t_xmin.into_inner();
                pg_sys::ReleaseSysCache(tuple);
                Some((number as u32, writer))
            })
            .collect()
    }
}

// Of catalog/pg_constraint.h, which has no bindings.
const CONSTRAINT: u32 = 2606;
const CONSTRAINT_BY_TYPE: u32 = 2666;
const CONTYPID: i16 = 10;

fn constraints(ty: u32) -> Vec<(u32, u32)> {
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

/// The types that a type's values are made of: of an array its elements', of a domain its base, of a range its bounds', of
/// a composite type its attributes'.
pub fn components(ty: u32) -> Vec<u32> {
    // SAFETY: look-ups by OID that answer InvalidOid where there is nothing; the row descriptor is released.
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
        if pg_sys::get_typtype(oid(ty)) as u8 == pg_sys::TYPTYPE_COMPOSITE {
            let descriptor = pg_sys::lookup_rowtype_tupdesc_noerror(oid(ty), -1, true);
            if !descriptor.is_null() {
                for at in 0..(*descriptor).natts as usize {
                    let attribute = &*super::slot::attribute(descriptor, at);
                    if !attribute.attisdropped {
                        found.push(attribute.atttypid);
                    }
                }
                if (*descriptor).tdrefcount >= 0 {
                    pg_sys::DecrTupleDescRefCount(descriptor);
                }
            }
        }
        found.into_iter().filter(|ty| *ty != pg_sys::InvalidOid).map(|ty| ty.to_u32()).collect()
    }
}
