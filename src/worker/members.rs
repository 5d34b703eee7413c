//! Partitions and children that come and go, by their rows alone.
//!
//! When the snapshot of a cut shows other members of a source than were noted, the source's readers could be attached anew; but
//! to read a whole table because it has a new partition is dear. So where it can be proven what it takes to get from the one
//! to the other, the cut feeds that:
//!
//! * a member that is new: its rows as the snapshot shows them; its change rows up to here are passed over. Its triggers must
//!   be visible in the snapshot: who made them had the table locked against writers to the end of his transaction, so all
//!   whose changes are not in the snapshot have been captured, or will be ([`crate::capture::kin`] has them made with the
//!   member);
//! * a member that is no longer one: its changes up to here, and then its rows as the snapshot shows them, taken away. Its
//!   triggers must be those that were noted: what was changed after it had left is in both.
//!
//! Either way the table is locked only after the snapshot was taken, so its storage must be the one that the snapshot shows
//! (HAZARDS H4). What was dropped cannot be read any more, and what is big is better read in slices: then, and in all other
//! cases, the readers are attached anew.

use crate::capture::generation::{Generation, Part};
use crate::capture::install;
use crate::capture::members::Member;
use crate::pg::lock::{self, Mode};
use crate::pg::txn::Failure;
use crate::pg::{hooks, relation, scan, trigger};
use crate::worker::cycle::SourceChanges;
use crate::worker::database::Database;
use crate::worker::filling::SMALL_BYTES;
use trickle_operators::value::Row;

/// How to get from the members that were noted of a source to those that the active snapshot shows.
pub enum Growth {
    Known(Regrown),
    /// A table is locked, if only by who has committed and still has to give back his locks: to be asked again.
    Locked,
    Unknown,
}

/// What a source has become, and what leads there.
pub struct Regrown {
    pub source: u32,
    pub generation: Generation,
    pub changes: SourceChanges,
}

impl Database {
    /// See [`Growth`].
    pub fn regrow(&self, source: u32, noted: &Generation) -> Result<Growth, Failure> {
        if self.filling.as_ref().is_some_and(|filling| filling.reads(source)) {
            return Ok(Growth::Unknown);
        }
        let Some(generation) = noted.in_snapshot(|member| lock::try_lock(member, Mode::AccessShare)) else {
            return Ok(Growth::Locked);
        };
        let (before, after) = (Member::of(noted), Member::of(&generation));
        let here = |members: &[Member], member: &Member| members.iter().any(|other| other.relation == member.relation);
        let (kept, left): (Vec<_>, Vec<_>) = before.into_iter().partition(|member| here(&after, member));
        let new: Vec<_> = after.into_iter().filter(|member| !here(&kept, member)).collect();
        let unchanged = |is: &Part| {
            let was = noted.parts().iter().find(|was| was.relation == is.relation);
            was.is_none_or(|was| was.is_but_for_its_parents(is))
        };
        if !left.iter().all(|member| lock::try_lock(member.relation, Mode::AccessShare)) {
            return Ok(Growth::Locked);
        }
        let function = trigger::function().unwrap_or_default();
        let by_row = |member: &Member| install::captured_in_tree(member.relation, function).is_some();
        let columns = self.engine.source_columns(source);
        let sound = generation.parts().iter().all(unchanged)
            && left.iter().all(|member| unchanged(&Generation::part(member.relation)))
            && kept.iter().chain(&left).all(by_row)
            && new.iter().all(|member| captured_in_snapshot(member, &columns))
            && left.iter().chain(&new).all(|member| relation::has_storage_of_snapshot(member.relation));
        let moved = left.iter().map(|member| (member, -1)).chain(new.iter().map(|member| (member, 1)));
        if !sound {
            return Ok(Growth::Unknown);
        }
        let blocks: u64 = moved.clone().filter_map(|(member, _)| scan::blocks_of(member.relation)).map(u64::from).sum();
        if blocks * u64::from(scan::BLOCK_BYTES) > SMALL_BYTES {
            return Ok(Growth::Unknown);
        }
        let mut rows: Vec<(Row, i64)> = Vec::new();
        for (member, diff) in moved {
            let Some(own) = columns.iter().map(|column| member.own(*column)).collect::<Option<Vec<i16>>>() else {
                return Ok(Growth::Unknown);
            };
            scan::scan(member.relation, &own, None, &mut |row| rows.push((row.to_owned(), diff)))?;
        }
        Ok(Growth::Known(Regrown { source, generation, changes: SourceChanges { columns, rows } }))
    }
}

/// Whether what the active snapshot does not show of a member's changes is captured, with these columns of the source.
fn captured_in_snapshot(member: &Member, columns: &[i16]) -> bool {
    let Some(function) = trigger::function() else { return false };
    if hooks::stream_table_view(member.relation).is_some() || install::capturable(member.relation).is_err() {
        return false;
    }
    let Some(captured) = install::captured_in_tree(member.relation, function) else { return false };
    let stored = columns.iter().filter(|column| **column != relation::TABLE_OID);
    let known = |column: &i16| captured.columns.iter().any(|known| Some(known.attnum) == member.own(*column));
    trigger::are_of_snapshot(member.relation, function) && stored.into_iter().all(known)
}
