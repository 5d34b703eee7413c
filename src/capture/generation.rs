//! The capture generation of a source: everything whose change may have changed the source's content without a change row.
//!
//! A rewrite (ALTER TYPE, SET EXPRESSION), TRUNCATE and VACUUM FULL give new storage; DISABLE TRIGGER and ENABLE TRIGGER
//! write our triggers' catalog rows, twice, so that a gap is seen afterwards; INHERIT, NO INHERIT, ATTACH and DETACH write
//! pg_inherits; SET UNLOGGED changes the persistence; columns come, go and change type. It is compared at each cut, under
//! the lock and after the invalidations (HAZARDS H4, H22); a difference means: install capture again and build what
//! reads the source anew.
//!
//! A source that others inherit from, partitions or children, is all of its *members*: what makes them that is compared as
//! the cut's snapshot shows it, since not all that changes it conflicts with a lock on the source, and each member's own
//! part of the generation when that member was invalidated.

use crate::pg::inheritance::{self, AsOf, Edge};
use crate::pg::relation::{self, Table};
use crate::pg::trigger::{self, Installed};

/// See above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    source: u32,
    edges: Vec<Edge>,
    /// The source first.
    parts: Vec<Part>,
}

/// The part of one member: the source itself, or what inherits from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub relation: u32,
    pub table: Option<Table>,
    triggers: Vec<Installed>,
}

impl Part {
    /// Whether nothing has changed but what it is a member of. It had row triggers then, which stay good.
    pub fn is_but_for_its_parents(&self, now: &Part) -> bool {
        let alone = |table: &Option<Table>| table.clone().map(|table| Table { has_parents: true, ..table });
        self.triggers == now.triggers && alone(&self.table) == alone(&now.table)
    }

    /// As of now. The caller holds a lock on it, at least AccessShare.
    fn read(relation: u32) -> Part {
        let triggers = trigger::function().map_or(Vec::new(), |function| trigger::installed(relation, function));
        Part { relation, table: relation::table(relation), triggers }
    }
}

impl Generation {
    /// The generation of a source as of now. The caller holds locks on all members, at least AccessShare.
    pub fn read(source: u32) -> Generation {
        let edges = inheritance::edges(source, AsOf::Now);
        let parts = inheritance::members(source, &edges).into_iter().map(Part::read).collect();
        Generation { source, edges, parts }
    }

    /// The generation of the members that the active snapshot shows; `None` if they cannot all be locked.
    pub fn in_snapshot(&self, lock: impl Fn(u32) -> bool) -> Option<Generation> {
        let edges = inheritance::edges(self.source, AsOf::ActiveSnapshot);
        let members = inheritance::members(self.source, &edges);
        members.iter().all(|member| lock(*member)).then(|| {
            let parts = members.into_iter().map(Part::read).collect();
            Generation { source: self.source, edges, parts }
        })
    }

    /// One member's part as of now. The caller holds a lock on it.
    pub fn part(member: u32) -> Part {
        Part::read(member)
    }

    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether the active snapshot shows the same members.
    pub fn is_whole(&self) -> bool {
        self.edges == inheritance::edges(self.source, AsOf::ActiveSnapshot)
    }

    /// Whether nothing but the capture triggers has changed since.
    pub fn differs_in_triggers_only(&self, since: &Generation) -> bool {
        let parts = |generation: &Generation| -> Vec<(u32, Option<Table>)> {
            generation.parts.iter().map(|member| (member.relation, member.table.clone())).collect()
        };
        self.edges == since.edges && parts(self) == parts(since)
    }

    /// Whether those of the members that `concerned` names are what they were. The caller holds locks on them.
    pub fn holds(&self, concerned: impl Fn(u32) -> bool) -> bool {
        self.parts
            .iter()
            .filter(|member| concerned(member.relation))
            .all(|member| Part::read(member.relation) == *member)
    }
}
