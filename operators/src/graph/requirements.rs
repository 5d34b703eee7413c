//! What a plan reads from outside of its own graph.

use super::columns::{positions, projection, renumber_key};
use crate::plan::{GraphId, KeyColumn, Plan, Rel, SourceId};

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
        requirements.visit(&plan.root);
        requirements
    }

    fn visit(&mut self, relation: &Rel) {
        match relation {
            Rel::Source { source, columns } => add(&mut self.sources, (*source, columns.clone())),
            Rel::StreamTable { table, columns } => add(&mut self.stream_tables, (*table, columns.clone())),
            Rel::Values { .. } | Rel::Recursive { .. } => {}
            Rel::Fixpoint(fixpoint) => self.visit_loop(&fixpoint.body, fixpoint.id),
            Rel::Map { input, .. }
            | Rel::PgMap { input, .. }
            | Rel::PgFlatMap { input, .. }
            | Rel::Repeat { input, .. }
            | Rel::Filter { input, .. }
            | Rel::Project { input, .. }
            | Rel::Negate { input } => {
                self.visit(input);
            }
            Rel::Union { inputs } => inputs.iter().for_each(|input| self.visit(input)),
            Rel::Reduce(reduce) => self.visit(&reduce.input),
            Rel::Temporal(temporal) => {
                self.clock = true;
                self.visit(&temporal.input);
            }
            Rel::TopK(top_k) => self.visit(&top_k.input),
            Rel::Window(window) => self.visit(&window.input),
            Rel::Join(join) => {
                for (index, input) in join.inputs.iter().enumerate() {
                    match &input.relation {
                        Rel::Source { source, columns } => {
                            for lookup in join.paths.iter().flatten().filter(|lookup| lookup.input == index) {
                                let arrangement = SharedArrangement {
                                    source: *source,
                                    columns: columns.clone(),
                                    key: lookup.key.clone(),
                                };
                                add(&mut self.arrangements, arrangement);
                            }
                        }
                        other => self.visit(other),
                    }
                }
            }
        }
    }
}

impl Requirements {
    /// Of what a loop reads: joins with its own rows have arrangements of their own (HAZARDS E12).
    fn visit_loop(&mut self, relation: &Rel, id: usize) {
        if !relation.is_recursive(id) {
            return self.visit(relation);
        }
        relation.inputs().into_iter().for_each(|input| self.visit_loop(input, id));
    }
}

fn add<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}
