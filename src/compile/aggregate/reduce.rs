//! One grouping of a block's rows: the reduce over it.

use super::{Grouping, Groups};
use crate::compile::block::{Block, Column, LeafKind};
use crate::compile::equality::{image_column, key_column, key_types};
use crate::compile::stage::{Finished, Stage};
use crate::compile::{Compiler, Lowered};
use crate::pg::catalog_lookup;
use crate::pg::node::{Node, View};
use std::collections::HashMap;
use trickle_operators::expr::Expr;
use trickle_operators::plan::{Aggregate, AggregateFunction, Reduce, Rel};
use trickle_operators::value::{ColumnType, Kind};

/// An aggregate that the plan needs and the query does not show.
fn hidden(function: AggregateFunction, argument: Option<usize>) -> Aggregate {
    Aggregate { function, argument, distinct: None, filter: None }
}

impl<'t> Compiler<'t, '_> {
    /// The groups of a block by the only grouping set.
    pub(super) fn one_group(&mut self, below: &Block<'t>, grouping: &Grouping<'t>) -> Lowered<Groups<'t>> {
        let finished = self.finish(below)?;
        self.reduce(below, &finished, grouping, 0)
    }

    /// The groups of a block by the grouping set of this number: the keys that are in it, and everything else.
    pub(super) fn reduce(
        &mut self,
        below: &Block<'t>,
        finished: &Finished,
        grouping: &Grouping<'t>,
        number: usize,
    ) -> Lowered<Groups<'t>> {
        let set = &grouping.sets[number];
        // Without other keys there is a row for each binding, as there is one without bindings.
        let complete = match &grouping.bindings {
            Some(bindings) if set.is_empty() && grouping.dependent.is_empty() => Some(bindings),
            _ => None,
        };
        let padded = complete.map(|bindings| self.with_every_binding(finished, grouping, bindings));
        let (finished, counted) = match &padded {
            Some((finished, counted)) => (finished, Some(*counted)),
            None => (finished, None),
        };
        let shown = |index: usize| (finished.outputs[index], &finished.columns[index]);
        let named = |input: usize, compiler: &Self| {
            let (_, column) = shown(input);
            Column { name: compiler.name_of(below, below.outputs[input].expression), ..column.clone() }
        };
        let mut key_columns = Vec::new();
        let mut columns = Vec::new();
        let mut representatives = Vec::new();
        for input in &grouping.leading {
            key_columns.push(image_column(shown(*input).0, &shown(*input).1.ty));
            columns.push(named(*input, self));
            representatives.push(None);
        }
        for key in set.iter().map(|key| &grouping.keys[*key]) {
            let (position, column) = shown(key.shown);
            let name = self.name_of(below, key.expression);
            let what = format!("grouping key {name}");
            let (compared, by) = shown(key.compared.unwrap_or(key.shown));
            key_columns.push(key_column(Expr::Column(compared, by.ty.kind), &by.ty, true, &what)?);
            let exact = catalog_lookup::equal_image(&column.ty);
            representatives.push((!exact).then_some(position));
            columns.push(Column { name, determined: column.determined && exact, ..column.clone() });
        }
        for (_, input) in &grouping.dependent {
            key_columns.push(image_column(shown(*input).0, &shown(*input).1.ty));
            columns.push(named(*input, self));
        }
        let global = key_columns.is_empty();

        let mut aggregates = Vec::new();
        let mut collected = Vec::new();
        // Where each aggregate is: (collected, index).
        let mut places = Vec::new();
        let settled = columns.iter().all(|column| column.settled);
        for used in &grouping.aggregates {
            columns.push(used.column.clone());
            match &used.native {
                Some(native) => {
                    places.push((false, aggregates.len()));
                    let mut aggregate = native.over(&|input| shown(input).0);
                    aggregate.filter = aggregate.filter.or(counted);
                    aggregates.push(aggregate);
                }
                None => {
                    places.push((true, collected.len()));
                    let aggregate = used.resolved[number];
                    collected.push(match counted {
                        Some(_) => self.arena.filtered(aggregate, self.counted(below)),
                        None => aggregate,
                    });
                }
            }
        }
        // What is not in one group may be in another.
        if !settled {
            columns.iter_mut().for_each(Column::unsettle);
        }
        let leading_exact = grouping.leading.iter().all(|input| catalog_lookup::equal_image(&shown(*input).1.ty));
        let represented: Vec<usize> = representatives.iter().copied().flatten().collect();
        let filter = grouping.representatives_where.map(|input| shown(input).0);
        let representative =
            |shown: &usize| Aggregate { filter, ..hidden(AggregateFunction::LeastImage, Some(*shown)) };
        aggregates.extend(represented.iter().map(representative));
        // One group and nothing that is computed of it: it is counted, for a reduce that it is.
        if global && aggregates.is_empty() && collected.is_empty() {
            aggregates.push(hidden(AggregateFunction::CountRows, None));
        }
        let (key_count, aggregate_count) = (key_columns.len(), aggregates.len());
        let text = self.reduce_text(below, grouping, number);
        let mut stage = self.restage(below, finished);
        if let (Some(counted), View::Var(var)) = (counted, self.counted(below).view()) {
            stage.positions.insert((var.entry - 1, var.attribute), counted);
            stage.columns[counted] = ("counted".to_string(), self.counted(below).column_type());
        }
        let site = self.site(text, key_types(&key_columns, &stage.types()));
        let collected = if collected.is_empty() { None } else { Some(self.collect(&stage, global, &collected)?) };
        let rel = Rel::Reduce(Reduce { input: stage.rel(), keys: key_columns, aggregates, collected, global, site });

        // Keys are shown by their representative where the canonical form is not one of the values.
        let mut order = Vec::new();
        let mut next_hidden = key_count + aggregate_count - represented.len();
        for representative in &representatives {
            match representative {
                None => order.push(order.len()),
                Some(_) => {
                    order.push(next_hidden);
                    next_hidden += 1;
                }
            }
        }
        order.extend(order.len()..key_count);
        for (is_collected, index) in places {
            order.push(key_count + index + if is_collected { aggregate_count } else { 0 });
        }
        let identity = order.iter().enumerate().all(|(at, column)| at == *column);
        let width = rel.width(&self.fragments);
        let rel =
            if identity && width == order.len() { rel } else { Rel::Project { input: Box::new(rel), columns: order } };
        Ok(Groups {
            kind: LeafKind::Derived(rel),
            name: "group".to_string(),
            columns: columns.into_iter().map(Some).collect(),
            keys: if leading_exact { vec![(0..representatives.len()).collect()] } else { Vec::new() },
        })
    }

    /// The column that marks rows that are none of the bindings'.
    fn counted(&self, below: &Block<'t>) -> Node<'t> {
        let ty = self.arena.truth().column_type();
        self.arena.var(below.leaves.len() + 1, 1, &ty)
    }

    /// The rows to be grouped, and one more for each binding, NULL but for its columns; where the rows are told apart.
    fn with_every_binding(
        &mut self,
        finished: &Finished,
        grouping: &Grouping<'t>,
        bindings: &Rel,
    ) -> (Finished, usize) {
        let count = finished.outputs.len();
        let mark = |counted: bool| Expr::Literal(Some(vec![u8::from(counted)]), Kind::Bool);
        let mut mapped = |input: Rel, expressions: Vec<Expr>| {
            // Constants raise nothing, so nobody asks for the place.
            let site = self.site("bindings".to_string(), Vec::new());
            Rel::Map { input: Box::new(input), expressions, site }
        };
        let rows = Rel::Project { input: Box::new(finished.rel.clone()), columns: finished.outputs.clone() };
        let rows = mapped(rows, vec![mark(true)]);
        let mut constants = vec![mark(false)];
        let width = grouping.leading.len();
        let mut order = Vec::new();
        for (input, column) in finished.columns.iter().enumerate() {
            order.push(match grouping.leading.iter().position(|leading| *leading == input) {
                Some(at) => at,
                None => {
                    constants.push(Expr::Literal(None, column.ty.kind));
                    width + constants.len() - 1
                }
            });
        }
        order.push(width);
        let pad = Rel::Project { input: Box::new(mapped(bindings.clone(), constants)), columns: order };
        let rel = Rel::Union { inputs: vec![rows, pad] };
        let (outputs, columns) = ((0..count).collect(), finished.columns.clone());
        (Finished { rel, width: count + 1, outputs, columns, keys: Vec::new() }, count)
    }

    /// The stage of a finished block: where the columns of its leaves are that its outputs show.
    fn restage(&self, below: &Block<'t>, finished: &Finished) -> Stage {
        let mut positions = HashMap::new();
        let opaque = ColumnType {
            kind: Kind::Opaque,
            oid: 0,
            typmod: -1,
            collation: 0,
            length: -1,
            by_value: false,
            align: b'i',
        };
        let mut columns = vec![(String::new(), opaque); finished.width];
        for (output, position) in below.outputs.iter().zip(&finished.outputs) {
            columns[*position] = (self.name_of(below, output.expression), output.expression.column_type());
            if let View::Var(var) = output.expression.view() {
                positions.insert((var.entry - 1, var.attribute), *position);
            }
        }
        Stage { rel: finished.rel.clone(), positions, columns }
    }

    fn reduce_text(&self, below: &Block<'t>, grouping: &Grouping<'t>, number: usize) -> String {
        let texts: Vec<String> =
            grouping.aggregates.iter().map(|aggregate| self.name_of(below, aggregate.resolved[number])).collect();
        if texts.is_empty() {
            "GROUP BY".to_string()
        } else {
            texts.join(", ")
        }
    }
}
