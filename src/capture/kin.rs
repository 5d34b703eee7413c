//! A table that becomes a partition or a child of a captured one is captured too from then on, in the same transaction: who
//! makes it one has it to himself, so nobody's change of it passes by, and the worker need not read its tree anew
//! ([`crate::worker::members`]). It gets what one of its kin has. Where none fits, its columns being in other places, or where
//! it is captured already in another way, that is left to the worker, which then builds what reads the tree anew.

use crate::capture::install;
use crate::capture::layout::Captured;
use crate::pg::inheritance;
use crate::pg::lock::{self, Mode};
use crate::pg::relation::{self, Table};
use crate::pg::{hooks, trigger};

/// How many captured relatives are looked at.
const LOOKED_AT: usize = 8;

/// Called when `child` has become the child of another table, in the transaction that made it that.
pub fn joined(child: u32) {
    let Some(function) = trigger::function() else { return };
    let family = inheritance::family(child);
    for member in &family {
        let Some(table) = relation::table(*member).filter(Table::can_be_captured) else { continue };
        let alone = lock::held(*member, Mode::AccessExclusive);
        let free = table.stores_rows()
            && hooks::stream_table_view(*member).is_none()
            && trigger::installed(*member, function).is_empty();
        if alone && free {
            if let Some(captured) = of_kin(function, child, &family, &table) {
                install::make_triggers(*member, function, true, &captured.arguments());
            }
        }
    }
}

/// What a relative of `table` that is not of the family itself has captured, if that fits.
fn of_kin(function: u32, child: u32, family: &[u32], table: &Table) -> Option<Captured> {
    let mut ancestors: Vec<u32> = inheritance::parents(child).into_iter().map(|edge| edge.parent).collect();
    let (mut at, mut looked_at) = (0, 0);
    while at < ancestors.len() {
        let ancestor = ancestors[at];
        at += 1;
        for kin in inheritance::family(ancestor).into_iter().rev().filter(|kin| !family.contains(kin)) {
            let Some(captured) = install::captured_in_tree(kin, function) else { continue };
            looked_at += 1;
            if fits(kin, &captured, table) {
                return Some(captured);
            }
            if looked_at == LOOKED_AT {
                return None;
            }
        }
        for edge in inheritance::parents(ancestor) {
            if !ancestors.contains(&edge.parent) {
                ancestors.push(edge.parent);
            }
        }
    }
    None
}

/// Whether the layout describes rows of `table` as it does those of its own.
fn fits(kin: u32, captured: &Captured, table: &Table) -> bool {
    if !lock::try_lock(kin, Mode::AccessShare) {
        return false;
    }
    let of_kin = relation::table(kin);
    lock::unlock(kin, Mode::AccessShare);
    captured.columns.iter().all(|column| {
        let attribute = |table: &Table| table.attributes.iter().find(|own| own.attnum == column.attnum).cloned();
        let (own, theirs) = (attribute(table), of_kin.as_ref().and_then(attribute));
        own.is_some_and(|own| !own.computed && own.ty.oid == column.ty && Some(own) == theirs)
    })
}
