//! The tables that hold a source's rows: itself; or, if others inherit from it, its partitions, or itself and its children.
//!
//! **A source is one relation, as a query names it, and one stream: the union of what its members' triggers write.** Each
//! change row carries the member's OID and is in the member's own layout, so a writer knows nothing of who reads what (a
//! root, a level below it, a leaf, all at once), and attaching a partition changes nothing that writers hold. The worker
//! sends each member's changes on to every source that the member is part of, with the columns of that source: a member
//! may have them in another order, with gaps where columns were dropped. It knows the members from the source's
//! [`Generation`], which is compared with each cut's snapshot, so no change is ever sent on by another tree than the one
//! that the snapshot shows; where the two differ, whatever reads the source is attached anew.
//!
//! The alternatives lose: a union of the members in the *plan* would make a thousand partitions a thousand inputs, each
//! arranged on its own, where an arrangement of the root is shared by all its readers; and triggers that write with the
//! root's OID would write once for each level that somebody reads, and would have to be changed under a lock on every leaf
//! whenever somebody begins to.

use crate::capture::generation::{Generation, Part};
use crate::pg::relation::{Table, TABLE_OID};

/// A table that holds rows of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub relation: u32,
    columns: Columns,
}

/// What a member calls the columns of its source.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Columns {
    /// The member is the source.
    Same,
    /// Attribute numbers of the source, each with that of the member.
    Paired(Vec<(i16, i16)>),
}

impl Member {
    /// A source that is its own and only member.
    pub fn only(source: u32) -> Member {
        Member { relation: source, columns: Columns::Same }
    }

    /// The members of a source that hold rows.
    pub fn of(generation: &Generation) -> Vec<Member> {
        let [source, ..] = generation.parts() else { return Vec::new() };
        let Some(root) = &source.table else { return vec![Member::only(source.relation)] };
        let parts = generation.parts().iter().filter(|part| part.table.as_ref().is_none_or(Table::stores_rows));
        parts.map(|part| Member::new(source.relation, root, part)).collect()
    }

    fn new(source: u32, root: &Table, part: &Part) -> Member {
        let columns = match &part.table {
            Some(table) if part.relation != source => Columns::Paired(
                root.attributes
                    .iter()
                    .filter_map(|column| {
                        let own = table.attributes.iter().find(|own| own.name == column.name)?;
                        Some((column.attnum, own.attnum))
                    })
                    .collect(),
            ),
            _ => Columns::Same,
        };
        Member { relation: part.relation, columns }
    }

    /// The member's number for a column of the source.
    pub fn own(&self, column: i16) -> Option<i16> {
        match &self.columns {
            _ if column == TABLE_OID => Some(TABLE_OID),
            Columns::Same => Some(column),
            Columns::Paired(pairs) => pairs.iter().find(|(source, _)| *source == column).map(|(_, own)| *own),
        }
    }

    /// The source's number for a column of the member.
    pub fn of_source(&self, own: i16) -> Option<i16> {
        match &self.columns {
            Columns::Same => Some(own),
            Columns::Paired(pairs) => pairs.iter().find(|(_, have)| *have == own).map(|(source, _)| *source),
        }
    }
}
