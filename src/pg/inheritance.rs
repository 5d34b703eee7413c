//! Who inherits from whom: partitions of their partitioned tables, and children of their parents, as pg_inherits has it.
//!
//! Read either as of now or as the active snapshot shows it. The two may differ under a lock: CREATE TABLE .. INHERITS,
//! ALTER TABLE .. INHERIT, ATTACH PARTITION and DETACH PARTITION CONCURRENTLY take a lock on the parent that readers do not
//! conflict with, so only the snapshot says which members belong to a parent's content in it.

use super::relation::{self, Version};
use pgrx::pg_sys;

/// A row of pg_inherits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    pub parent: u32,
    pub child: u32,
    /// One that was taken away and came back is another.
    version: Version,
}

/// As of when the catalog is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    Now,
    ActiveSnapshot,
}

// Of catalog/pg_inherits.h, which has no bindings.
pub const INHERITS: u32 = 2611;
const BY_CHILD: u32 = 2680;
const BY_PARENT: u32 = 2187;
const INHRELID: i16 = 1;
const INHPARENT: i16 = 2;

#[repr(C)]
struct FormDataPgInherits {
    inhrelid: pg_sys::Oid,
    inhparent: pg_sys::Oid,
    inhseqno: i32,
    inhdetachpending: bool,
}

/// What makes a relation the parent of others. A partition that is being detached concurrently is none any more.
pub fn children(parent: u32, as_of: AsOf) -> Vec<Edge> {
    scan(INHPARENT, BY_PARENT, parent, as_of)
}

/// What makes a relation the child of others.
pub fn parents(child: u32) -> Vec<Edge> {
    scan(INHRELID, BY_CHILD, child, AsOf::Now)
}

/// Whether a relation inherits, or is inherited from.
pub fn takes_part(relation: u32) -> bool {
    !parents(relation).is_empty() || !children(relation, AsOf::Now).is_empty()
}

/// Everything that makes relations descendants of `root`, those nearest to it first.
pub fn edges(root: u32, as_of: AsOf) -> Vec<Edge> {
    let mut edges = children(root, as_of);
    let mut seen = vec![root];
    let mut at = 0;
    while at < edges.len() {
        let child = edges[at].child;
        at += 1;
        if !is_leaf(child) && !seen.contains(&child) {
            seen.push(child);
            edges.extend(children(child, as_of));
        }
    }
    edges
}

/// A relation and its descendants, each once, as of now.
pub fn family(root: u32) -> Vec<u32> {
    members(root, &edges(root, AsOf::Now))
}

/// The members of the tree that `edges` describes, `root` first. Temporary children are left out: they belong to the
/// session that made them, and nobody else's query reads them.
pub fn members(root: u32, edges: &[Edge]) -> Vec<u32> {
    let mut descendants: Vec<u32> = edges.iter().map(|edge| edge.child).filter(|child| *child != root).collect();
    descendants.sort_unstable();
    descendants.dedup();
    descendants.retain(|child| storage(*child).is_none_or(|(_, persistence)| persistence != b't'));
    let mut members = vec![root];
    members.extend(descendants);
    members
}

/// pg_class.relkind and relpersistence; `None` if there is no such relation.
pub fn storage(relation: u32) -> Option<(u8, u8)> {
    // SAFETY: look-ups by OID, of which the second is made only if the first has found it.
    unsafe {
        match pg_sys::get_rel_relkind(pg_sys::Oid::from(relation)) as u8 {
            0 => None,
            kind => Some((kind, pg_sys::get_rel_persistence(pg_sys::Oid::from(relation)) as u8)),
        }
    }
}

/// Whether it is a partition that cannot have children.
fn is_leaf(relation: u32) -> bool {
    // SAFETY: look-ups by OID, which answer zero and false for none.
    unsafe {
        let oid = pg_sys::Oid::from(relation);
        pg_sys::get_rel_relkind(oid) as u8 != pg_sys::RELKIND_PARTITIONED_TABLE && pg_sys::get_rel_relispartition(oid)
    }
}

fn scan(attribute: i16, index: u32, of: u32, as_of: AsOf) -> Vec<Edge> {
    let mut found = Vec::new();
    // SAFETY: an index scan of pg_inherits, as core does it; the key's procedure fits the column's type, and the rows' fixed
    // columns follow their headers.
    unsafe {
        let relation = pg_sys::table_open(pg_sys::Oid::from(INHERITS), pg_sys::AccessShareLock as i32);
        let mut key = pg_sys::ScanKeyData::default();
        pg_sys::ScanKeyInit(
            &mut key,
            attribute,
            pg_sys::BTEqualStrategyNumber as u16,
            pg_sys::Oid::from(pg_sys::F_OIDEQ),
            pg_sys::Datum::from(of),
        );
        let snapshot = match as_of {
            AsOf::Now => std::ptr::null_mut(),
            AsOf::ActiveSnapshot => pg_sys::GetActiveSnapshot(),
        };
        let scan = pg_sys::systable_beginscan(relation, pg_sys::Oid::from(index), true, snapshot, 1, &mut key);
        loop {
            let tuple = pg_sys::systable_getnext(scan);
            if tuple.is_null() {
                break;
            }
            let form = super::catalog_lookup::form::<FormDataPgInherits>(tuple);
            if !form.inhdetachpending {
                let (parent, child) = (form.inhparent.to_u32(), form.inhrelid.to_u32());
                found.push(Edge { parent, child, version: relation::version(tuple) });
            }
        }
        pg_sys::systable_endscan(scan);
        pg_sys::relation_close(relation, pg_sys::AccessShareLock as i32);
    }
    found.sort_unstable();
    found
}
