//! What a plan reads from outside of its own graph.

use super::columns::{positions, projection, renumber_key};
use crate::plan::{GraphId, KeyColumn, Plan, Rel, SourceId};
use std::collections::HashSet;

/// An arrangement of a source that several graphs may share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedArrangement {
    pub source: SourceId,
    /// The attribute numbers of its rows.
    pub columns: Vec<i16>,
    /// Over the positions of `columns`.
    pub key: Vec<KeyColumn>,
}

/// Everything a plan reads, each thing once, in the order of the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    pub arrangements: Vec<SharedArrangement>,
    /// Changes of sources that are not looked up.
    pub sources: Vec<(SourceId, Vec<i16>)>,
    pub stream_tables: Vec<(GraphId, Vec<i16>)>,
    /// Whether it must know what time it is.
    pub clock: bool,
}

impl SharedArrangement {
    /// If this arrangement can serve `wanted`: which of its columns are `wanted`'s (`Some(None)`: exactly these).
    pub fn serves(&self, wanted: &SharedArrangement) -> Option<Option<Vec<usize>>> {
        if self.source != wanted.source {
            return None;
        }
        let columns = positions(&wanted.columns, &self.columns)?;
        if renumber_key(&wanted.key, &|column| columns[column]) != self.key {
            return None;
        }
        Some(projection(columns, self.columns.len()))
    }
}

impl Requirements {
    pub fn of(plan: &Plan) -> Self {
        let mut requirements = Requirements::default();
        requirements.visit(&plan.root, None, &mut HashSet::new());
        requirements
    }

    /// `inside`: the loop that the relation is in the body of. Joins with a loop's own rows have arrangements of their own
    /// (HAZARDS E12).
    fn visit(&mut self, relation: &Rel, inside: Option<usize>, seen: &mut HashSet<*const Rel>) {
        match relation {
            Rel::Source { source, columns } => add(&mut self.sources, (*source, columns.clone())),
            Rel::StreamTable { table, columns } => add(&mut self.stream_tables, (*table, columns.clone())),
            Rel::Shared(shared) if !seen.insert(shared.address()) => return,
            Rel::Fixpoint(fixpoint) => return self.visit(&fixpoint.body, Some(fixpoint.id), seen),
            Rel::Temporal(_) => self.clock = true,
            Rel::Join(join) if !inside.is_some_and(|id| relation.is_recursive(id)) => {
                for (index, input) in join.inputs.iter().enumerate() {
                    let Rel::Source { source, columns } = &input.relation else {
                        self.visit(&input.relation, inside, seen);
                        continue;
                    };
                    for lookup in join.paths.iter().flatten().filter(|lookup| lookup.input == index) {
                        let arrangement =
                            SharedArrangement { source: *source, columns: columns.clone(), key: lookup.key.clone() };
                        add(&mut self.arrangements, arrangement);
                    }
                }
                return;
            }
            _ => {}
        }
        relation.inputs().into_iter().for_each(|input| self.visit(input, inside, seen));
    }
}

fn add<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}
