//! The relations that a query reads, and whether changes of each can be had.

use super::{Compiler, Lowered, NotIncremental, Options, StreamMode};
use crate::pg::catalog_lookup::{self, RelationFacts};
use crate::pg::node::Node;
use crate::pg::query::Query;
use crate::pg::{inheritance, lock};
use std::collections::BTreeMap;
use std::rc::Rc;
use trickle_operators::plan::{Plan, Rel};

/// A base relation of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub relation: u32,
    /// Attribute numbers that the plan reads, ascending; empty if there is no plan.
    pub columns: Vec<i16>,
    /// Set if it is a stream table.
    pub stream: Option<StreamMode>,
    /// Whether triggers can capture its changes: an ordinary or partitioned table of a user's, neither temporary nor
    /// unlogged. Others are followed by full refreshes on a fixed beat only.
    pub capturable: bool,
    /// A temporary relation: it exists for one session only.
    pub temporary: bool,
}

/// All relations that hold rows of their own, each once, subqueries and views expanded.
pub(super) fn relations(query: Query<'_>) -> Vec<Rc<RelationFacts>> {
    let mut found: BTreeMap<u32, Rc<RelationFacts>> = BTreeMap::new();
    let mut visit = |node: Node<'_>| {
        if let Some(relation) = node.range_entry_relation() {
            if let std::collections::btree_map::Entry::Vacant(e) = found.entry(relation) {
                if let Some(facts) = catalog_lookup::relation(relation) {
                    if facts.kind != b'v' {
                        e.insert(Rc::new(facts));
                    }
                }
            }
        }
        false
    };
    query.node().visit(&mut visit);
    found.into_values().collect()
}

/// The views that a query reads, directly or through others, each once.
pub(super) fn views(query: Query<'_>) -> Vec<u32> {
    let mut found: Vec<u32> = Vec::new();
    query.node().visit(&mut |node| {
        found.extend(node.range_entry_view());
        false
    });
    found.sort_unstable();
    found.dedup();
    found
}

pub(super) fn describe(relations: &[Rc<RelationFacts>], plan: Option<&Plan>, options: &Options<'_>) -> Vec<Source> {
    let mut columns: BTreeMap<u32, Vec<i16>> = BTreeMap::new();
    if let Some(plan) = plan {
        read_columns(&plan.root, &mut columns);
    }
    relations
        .iter()
        .map(|facts| Source {
            relation: facts.oid,
            columns: columns.remove(&facts.oid).unwrap_or_default(),
            stream: (options.stream_table)(facts.oid),
            capturable: matches!(facts.kind, b'r' | b'p') && facts.persistence == b'p' && !facts.system,
            temporary: facts.persistence == b't',
        })
        .collect()
}

fn read_columns(rel: &Rel, into: &mut BTreeMap<u32, Vec<i16>>) {
    rel.visit_once(&mut |rel| {
        if let Rel::Source { source: relation, columns } | Rel::StreamTable { table: relation, columns } = rel {
            let all = into.entry(*relation).or_default();
            all.extend(columns);
            all.sort_unstable();
            all.dedup();
        }
        true
    });
}

/// How often a plan reads a relation.
pub(super) fn occurrences(rel: &Rel) -> usize {
    let mut found = 0;
    rel.visit_once(&mut |rel| {
        found += usize::from(matches!(rel, Rel::Source { .. } | Rel::StreamTable { .. }));
        true
    });
    found
}

impl Compiler<'_, '_> {
    /// The facts of a relation, asked once.
    pub(super) fn relation(&mut self, relation: u32) -> Lowered<Rc<RelationFacts>> {
        if let Some(facts) = self.relations.get(&relation) {
            return Ok(facts.clone());
        }
        match catalog_lookup::relation(relation) {
            Some(facts) => {
                let facts = Rc::new(facts);
                self.relations.insert(relation, facts.clone());
                Ok(facts)
            }
            None => Err(NotIncremental::new("dropped table", "The query reads a table that no longer exists.")),
        }
    }

    /// Whether the changes of every relation can be had.
    pub(super) fn check_sources(&mut self, relations: &[Rc<RelationFacts>], row_security: &[u32]) -> Lowered<()> {
        for facts in relations {
            self.relations.insert(facts.oid, facts.clone());
            if (self.options.stream_table)(facts.oid).is_some() {
                continue;
            }
            if let Some(kind) = obstacle(facts, row_security) {
                let name = catalog_lookup::qualified_name(facts.oid).unwrap_or_else(|| facts.name.clone());
                return Err(NotIncremental::new(
                    format!("{kind} {name}"),
                    format!("Relation {name} is {}.", article(kind)),
                ));
            }
            if facts.has_children {
                self.check_members(facts)?;
            }
        }
        Ok(())
    }

    /// Whether the changes of all partitions or children of a relation can be had: its content is theirs.
    fn check_members(&self, facts: &RelationFacts) -> Lowered<()> {
        let members = inheritance::family(facts.oid);
        let name = |relation| catalog_lookup::qualified_name(relation).unwrap_or_default();
        let most = lock::tables_at_once();
        if members.len() > most {
            return Err(NotIncremental::new(
                format!("{} partitions or children of {}", members.len() - 1, name(facts.oid)),
                format!(
                    "Relation {} has {} partitions or children, and no more than {most} can be followed with the present \
                     settings of max_locks_per_transaction and max_connections.",
                    name(facts.oid),
                    members.len() - 1
                ),
            ));
        }
        for member in members.into_iter().skip(1) {
            let kind = match inheritance::storage(member) {
                _ if (self.options.stream_table)(member).is_some() => "stream table",
                Some((_, b'u')) => "unlogged table",
                Some((b'r' | b'p', _)) => continue,
                Some((b'f', _)) => "foreign table",
                _ => "relation that is not a table",
            };
            return Err(NotIncremental::new(
                format!("{kind} {}", name(member)),
                format!("Relation {}, which is part of {}, is {}.", name(member), name(facts.oid), article(kind)),
            ));
        }
        Ok(())
    }
}

fn obstacle(facts: &RelationFacts, row_security: &[u32]) -> Option<&'static str> {
    let kind = match facts.kind {
        b'r' if facts.system => "system table",
        b'r' | b'p' if facts.persistence == b't' => "temporary table",
        b'r' | b'p' if facts.persistence == b'u' => "unlogged table",
        b'r' | b'p' if row_security.contains(&facts.oid) => "table with row-level security",
        // A change row is made of columns.
        b'r' | b'p' if facts.attributes.iter().flatten().next().is_none() => "table without columns",
        b'r' | b'p' => return None,
        b'f' => "foreign table",
        b'm' => "materialized view",
        b'S' => "sequence",
        b't' => "TOAST table",
        _ => "relation that is not a table",
    };
    Some(kind)
}

fn article(kind: &str) -> String {
    let an = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if an { "an" } else { "a" })
}

#[cfg(test)]
mod tests {
    #[test]
    fn articles() {
        assert_eq!(super::article("unlogged table"), "an unlogged table");
        assert_eq!(super::article("foreign table"), "a foreign table");
    }
}
