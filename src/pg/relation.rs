//! What the catalogs say about a table, read as of now, whatever the transaction's snapshot shows.

use crate::pg::image;
use crate::pg::inheritance;
use crate::pg::slot;
use pgrx::pg_sys;
use std::ffi::CStr;
use trickle_operators::value::ColumnType;

/// The system column that says which table a row is of, `tableoid`.
pub const TABLE_OID: i16 = pg_sys::TableOidAttributeNumber as i16;

/// A column that is not dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    pub attnum: i16,
    pub name: String,
    pub ty: ColumnType,
    /// The base type, if the type is a domain; else the type.
    pub base: u32,
    /// A generated column that is not stored.
    pub computed: bool,
}

/// A table. Every field is part of what `capture::generation` compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub oid: u32,
    pub kind: u8,
    pub persistence: u8,
    pub filenode: u32,
    pub system: bool,
    pub schema: String,
    pub name: String,
    pub attributes: Vec<Attribute>,
    /// Whether it is a partition or a child.
    pub has_parents: bool,
}

impl Table {
    /// Whether it is a table of a user's that survives a crash, not for its session alone.
    pub fn can_be_captured(&self) -> bool {
        matches!(self.kind, b'r' | b'p') && self.persistence == b'p' && !self.system
    }

    /// Whether it has storage: a partitioned table has none.
    pub fn stores_rows(&self) -> bool {
        self.kind != pg_sys::RELKIND_PARTITIONED_TABLE
    }
}

/// A relation by OID; `None` if there is none. The caller holds a lock on it, at least AccessShare.
pub fn table(oid: u32) -> Option<Table> {
    // SAFETY: the relation is locked by the caller and closed again; the descriptor has `natts` attributes.
    unsafe {
        let relation = pg_sys::try_relation_open(pg_sys::Oid::from(oid), pg_sys::NoLock as i32);
        if relation.is_null() {
            return None;
        }
        let class = &*(*relation).rd_rel;
        let descriptor = (*relation).rd_att;
        let attributes = (0..(*descriptor).natts as usize)
            .map(|at| &*slot::attribute(descriptor, at))
            .filter(|attribute| !attribute.attisdropped)
            .map(|attribute| Attribute {
                attnum: attribute.attnum,
                name: name(&attribute.attname),
                ty: image::column_type(attribute.atttypid, attribute.atttypmod, attribute.attcollation),
                base: pg_sys::getBaseType(attribute.atttypid).to_u32(),
                computed: attribute.attgenerated as u8 == b'v',
            })
            .collect();
        let schema = pg_sys::get_namespace_name(class.relnamespace);
        let table = Table {
            oid,
            kind: class.relkind as u8,
            persistence: class.relpersistence as u8,
            filenode: class.relfilenode.to_u32(),
            system: oid < pg_sys::FirstNormalObjectId,
            schema: match schema.is_null() {
                true => String::new(),
                false => CStr::from_ptr(schema).to_string_lossy().into_owned(),
            },
            name: name(&class.relname),
            attributes,
            has_parents: !inheritance::parents(oid).is_empty(),
        };
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        Some(table)
    }
}

/// Whether a table, which the caller has locked, is stored where it was stored when the active snapshot was taken: else what
/// is there need not be what the snapshot shows.
pub fn has_storage_of_snapshot(oid: u32) -> bool {
    // SAFETY: an index scan of pg_class under the active snapshot, as core does it; the fixed columns follow the header. The
    // relation is locked by the caller.
    unsafe {
        let class = pg_sys::table_open(pg_sys::RelationRelationId, pg_sys::AccessShareLock as i32);
        let mut key = pg_sys::ScanKeyData::default();
        pg_sys::ScanKeyInit(
            &mut key,
            pg_sys::Anum_pg_class_oid as i16,
            pg_sys::BTEqualStrategyNumber as u16,
            pg_sys::Oid::from(pg_sys::F_OIDEQ),
            pg_sys::Datum::from(oid),
        );
        let index = pg_sys::Oid::from(pg_sys::ClassOidIndexId);
        let scan = pg_sys::systable_beginscan(class, index, true, pg_sys::GetActiveSnapshot(), 1, &mut key);
        let tuple = pg_sys::systable_getnext(scan);
        let then = (!tuple.is_null())
            .then(|| super::catalog_lookup::form::<pg_sys::FormData_pg_class>(tuple).relfilenode.to_u32());
        pg_sys::systable_endscan(scan);
        pg_sys::relation_close(class, pg_sys::AccessShareLock as i32);
        let relation = pg_sys::try_relation_open(pg_sys::Oid::from(oid), pg_sys::NoLock as i32);
        if relation.is_null() {
            return false;
        }
        let now = (*(*relation).rd_rel).relfilenode.to_u32();
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        then == Some(now)
    }
}

fn name(name: &pg_sys::NameData) -> String {
    // SAFETY: a name is null-terminated within its length.
    unsafe { CStr::from_ptr(name.data.as_ptr()) }.to_string_lossy().into_owned()
}

/// Who wrote a catalog row and where it is: any change of the row changes this.
pub type Version = (u32, u32, u16);

/// The version of a catalog row.
///
/// # Safety
/// `tuple` is a valid tuple of a heap relation.
pub unsafe fn version(tuple: pg_sys::HeapTuple) -> Version {
    // SAFETY: see above.
    unsafe {
        let block = (u32::from((*tuple).t_self.ip_blkid.bi_hi) << 16) | u32::from((*tuple).t_self.ip_blkid.bi_lo);
        ((*(*tuple).t_data).t_choice.t_heap.t_xmin.into_inner(), block, (*tuple).t_self.ip_posid)
    }
}
