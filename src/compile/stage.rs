//! A block becomes a relation: a stage is one with columns appended as expressions are computed.
//!
//! Order of evaluation: first the native predicates that cannot raise; then everything that may, in the order in which the
//! query gives it. Where PostgreSQL must evaluate one of those, it evaluates them all as one AND, and so keeps its own
//! rule of which of them a row reaches. Outputs are computed for the rows that are left.

use super::block::{columns_of, missing_column, Block, Column, Leaf, LeafKind};
use super::{native, temporal, unique, Compiler, Lowered, NotIncremental};
use crate::pg::fragment_query;
use crate::pg::node::{Node, View};
use crate::pg::relation::TABLE_OID;
use crate::pg::txn;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use trickle_operators::expr::Expr;
use trickle_operators::plan::Rel;
use trickle_operators::value::{ColumnType, Kind, Row};

/// A relation under construction.
#[derive(Clone)]
pub(super) struct Stage {
    pub rel: Rel,
    /// Where a leaf's column (by attribute number) is.
    pub positions: HashMap<(usize, i16), usize>,
    /// All columns of `rel`: a name for people, and the type.
    pub columns: Vec<(String, ColumnType)>,
}

/// A block as a relation, and which of its columns the outputs are.
pub(super) struct Finished {
    pub rel: Rel,
    /// How many columns `rel` has.
    pub width: usize,
    pub outputs: Vec<usize>,
    pub columns: Vec<Column>,
    /// Sets of outputs that are unique together, NULLs equal.
    pub keys: Vec<Vec<usize>>,
}

impl Finished {
    /// Just the outputs, in order.
    pub fn projected(self) -> Rel {
        if self.width == self.outputs.len() && self.outputs.iter().enumerate().all(|(at, column)| at == *column) {
            return self.rel;
        }
        Rel::Project { input: Box::new(self.rel), columns: self.outputs }
    }
}

/// What has been made of a leaf that is lowered for what is used of it, by that: the block that it is in may be lowered many
/// times. As leaf 0.
#[derive(Default)]
pub(super) struct Rendered(RefCell<HashMap<BTreeSet<i16>, Stage>>);

impl Rendered {
    fn of(&self, used: &BTreeSet<i16>, make: impl FnOnce() -> Lowered<Stage>) -> Lowered<Stage> {
        if let Some(known) = self.0.borrow().get(used) {
            return Ok(known.clone());
        }
        let made = make()?;
        self.0.borrow_mut().insert(used.clone(), made.clone());
        Ok(made)
    }
}

impl Stage {
    /// A stage of leaf 0 as one of another leaf.
    fn of_leaf(self, number: usize) -> Stage {
        let positions = self.positions.into_iter().map(|((_, attribute), at)| ((number, attribute), at)).collect();
        Stage { positions, ..self }
    }

    pub fn rel(&mut self) -> Box<Rel> {
        Box::new(std::mem::replace(&mut self.rel, Rel::Values { rows: Vec::new() }))
    }

    pub fn types(&self) -> Vec<ColumnType> {
        self.columns.iter().map(|(_, ty)| ty.clone()).collect()
    }
}

impl<'t> Compiler<'t, '_> {
    pub(super) fn finish(&mut self, block: &Block<'t>) -> Lowered<Finished> {
        txn::check_for_interrupts();
        let limited = self.over_first_rows(block);
        let block = limited.as_ref().unwrap_or(block);
        let sunk = self.sink_predicates(block)?;
        let mut stage = self.stage(sunk.as_ref().unwrap_or(block))?;
        let expressions: Vec<_> = block.outputs.iter().map(|output| output.expression).collect();
        let outputs = self.compute(&mut stage, &expressions)?;
        let columns = block
            .outputs
            .iter()
            .map(|output| block.describe(&output.name, output.expression))
            .collect::<Lowered<Vec<_>>>()?;
        let keys = unique::of_block(block);
        Ok(Finished { width: stage.columns.len(), rel: self.share(stage.rel), outputs, columns, keys })
    }

    /// The rows of a block: all leaves joined, all predicates applied, nothing computed yet.
    fn stage(&mut self, block: &Block<'t>) -> Lowered<Stage> {
        match block.leaves.len() {
            0 => {
                let rel = Rel::Values { rows: vec![Row::default()] };
                let mut stage = Stage { rel, positions: HashMap::new(), columns: Vec::new() };
                self.filter(&mut stage, &block.predicates)?;
                Ok(stage)
            }
            1 => {
                let used = used_columns(block, 0);
                let mut stage = self.scan(0, &block.leaves[0], &used)?;
                self.filter(&mut stage, &block.predicates)?;
                Ok(stage)
            }
            _ => self.join(block),
        }
    }

    /// The rows of one leaf with the columns that are used of it.
    pub(super) fn scan(&mut self, number: usize, leaf: &Leaf<'t>, used: &BTreeSet<i16>) -> Lowered<Stage> {
        let (rel, attributes): (Rel, Vec<i16>) = match &leaf.kind {
            LeafKind::Table { relation, incremental_stream } => {
                let attributes = self.table_columns(*relation, used)?;
                let table_oid = |attribute: i16| leaf.column(attribute).is_some_and(Column::is_table_oid);
                let number = |attribute: &i16| if table_oid(*attribute) { TABLE_OID } else { *attribute };
                let columns = attributes.iter().map(number).collect();
                let rel = if *incremental_stream {
                    Rel::StreamTable { table: *relation, columns }
                } else {
                    Rel::Source { source: *relation, columns }
                };
                (rel, attributes)
            }
            LeafKind::Derived(rel) | LeafKind::Bindings(rel) => {
                (rel.clone(), (1..=leaf.columns.len() as i16).collect())
            }
            LeafKind::Outer(outer) => {
                let rendered = outer.rendered.of(used, || self.outer_join(outer, used))?;
                return Ok(rendered.of_leaf(number));
            }
            LeafKind::Expansion(expansion) => {
                let rendered = expansion.rendered.of(used, || self.expansion(expansion, used))?;
                return Ok(rendered.of_leaf(number));
            }
        };
        let mut positions = HashMap::new();
        let mut columns = Vec::new();
        for (at, attribute) in attributes.into_iter().enumerate() {
            let column = leaf.column(attribute).ok_or_else(missing_column)?;
            positions.insert((number, attribute), at);
            columns.push((format!("{}.{}", leaf.name, column.name), column.ty.clone()));
        }
        Ok(Stage { rel, positions, columns })
    }

    /// The attribute numbers that every scan of the table has in this plan.
    fn table_columns(&mut self, relation: u32, used: &BTreeSet<i16>) -> Lowered<Vec<i16>> {
        let facts = self.relation(relation)?;
        for attribute in used {
            if let Some(Some(column)) = facts.attributes.get(*attribute as usize - 1) {
                if column.generated_virtually {
                    return Err(NotIncremental::new(
                        format!("virtual generated column {}", column.name),
                        format!("Column \"{}\" of table {} is a virtual generated column.", column.name, facts.name),
                    ));
                }
            }
        }
        let all = self.used.entry(relation).or_default();
        all.extend(used);
        if all.is_empty() {
            // Rows without columns would all be one row; count(*) wants them told apart no further than that, but a
            // batch of them has no size. The cheapest column stands in.
            let cheapest = facts
                .attributes
                .iter()
                .enumerate()
                .filter_map(|(at, attribute)| Some((at, attribute.as_ref()?)))
                .filter(|(_, attribute)| !attribute.generated_virtually)
                .min_by_key(|(_, attribute)| if attribute.ty.length > 0 { attribute.ty.length } else { i16::MAX })
                .map(|(at, _)| at as i16 + 1);
            self.used.entry(relation).or_default().extend(cheapest);
        }
        let found = self.columns.as_ref().and_then(|columns| columns.get(&relation));
        let columns = found.unwrap_or(&self.used[&relation]);
        Ok(columns.iter().copied().collect())
    }

    /// Keeps the rows for which all predicates are true.
    pub(super) fn filter(&mut self, stage: &mut Stage, predicates: &[Node<'t>]) -> Lowered<()> {
        if !predicates.iter().any(|predicate| temporal::reads_clock(*predicate)) {
            return self.filter_by_row(stage, predicates);
        }
        let (mut certain, mut by_clock, mut fallible) = (Vec::new(), Vec::new(), Vec::new());
        for predicate in predicates {
            if temporal::reads_clock(*predicate) {
                by_clock.push((*predicate, fallible.clone()));
            } else if self.certain(*predicate, &stage.positions).is_some() {
                certain.push(*predicate);
            } else {
                fallible.push(*predicate);
            }
        }
        self.filter_by_row(stage, &certain)?;
        self.filter_by_clock(stage, &by_clock)?;
        self.filter_by_row(stage, &fallible)
    }

    fn filter_by_row(&mut self, stage: &mut Stage, predicates: &[Node<'t>]) -> Lowered<()> {
        let (mut certain, mut fallible, mut foreign) = (Vec::new(), Vec::new(), false);
        for predicate in predicates {
            match self.native(*predicate, &stage.positions) {
                Some(expression) if is_true(&expression) => {}
                Some(expression) if !native::fallible(&expression) => certain.push((*predicate, expression)),
                Some(expression) => fallible.push((*predicate, Some(expression))),
                None => {
                    fallible.push((*predicate, None));
                    foreign = true;
                }
            }
        }
        if !foreign {
            certain.extend(fallible.into_iter().filter_map(|(node, expression)| Some((node, expression?))));
            fallible = Vec::new();
        }
        if !certain.is_empty() {
            let texts: Vec<String> = certain.iter().map(|(node, _)| self.text(stage, *node)).collect();
            let site = self.site(texts.join(" AND "), stage.types());
            let predicates = certain.into_iter().map(|(_, expression)| expression).collect();
            stage.rel = Rel::Filter { input: stage.rel(), predicates, site };
        }
        if !fallible.is_empty() {
            let nodes: Vec<_> = fallible.iter().map(|(node, _)| *node).collect();
            let condition = self.arena.and(&nodes);
            let column = self.evaluate(stage, &[condition])?[0];
            let site = self.site(self.text(stage, condition), stage.types());
            let predicates = vec![Expr::Column(column, Kind::Bool)];
            stage.rel = Rel::Filter { input: stage.rel(), predicates, site };
        }
        Ok(())
    }

    /// Appends what is not a column yet; where each expression is then.
    pub(super) fn compute(&mut self, stage: &mut Stage, expressions: &[Node<'t>]) -> Lowered<Vec<usize>> {
        let mut places: Vec<Option<usize>> = vec![None; expressions.len()];
        let (mut native, mut foreign): (Vec<(Node<'t>, Expr)>, Vec<Node<'t>>) = (Vec::new(), Vec::new());
        let mut pending = Vec::new();
        for (at, expression) in expressions.iter().enumerate() {
            if let View::Var(var) = expression.view() {
                let position = stage.positions.get(&(var.entry - 1, var.attribute));
                places[at] = Some(*position.ok_or_else(missing_column)?);
                continue;
            }
            match self.native(*expression, &stage.positions) {
                // A change of type alone, on a column.
                Some(Expr::Column(position, _)) => places[at] = Some(position),
                Some(translated) => {
                    let index = position_or_push(&mut native, (*expression, translated), |a, b| a.0 == b.0);
                    pending.push((at, index, true));
                }
                None => {
                    let index = position_or_push(&mut foreign, *expression, |a, b| a == b);
                    pending.push((at, index, false));
                }
            }
        }
        let native_places = self.map(stage, native);
        let foreign_places = self.evaluate(stage, &foreign)?;
        for (at, index, is_native) in pending {
            places[at] = Some(if is_native { native_places[index] } else { foreign_places[index] });
        }
        Ok(places.into_iter().flatten().collect())
    }

    fn map(&mut self, stage: &mut Stage, expressions: Vec<(Node<'t>, Expr)>) -> Vec<usize> {
        if expressions.is_empty() {
            return Vec::new();
        }
        let texts: Vec<String> = expressions.iter().map(|(node, _)| self.text(stage, *node)).collect();
        let site = self.site(texts.join(", "), stage.types());
        let first = stage.columns.len();
        let input = stage.rel();
        let mut translated = Vec::new();
        for ((node, expression), text) in expressions.into_iter().zip(texts) {
            stage.columns.push((text, node.column_type()));
            translated.push(expression);
        }
        stage.rel = Rel::Map { input, expressions: translated, site };
        (first..stage.columns.len()).collect()
    }

    /// An expression as a person would write it.
    pub(super) fn text(&self, stage: &Stage, expression: Node<'t>) -> String {
        // Columns are written without their relation where that is clear.
        let bare = |name: &str| name.rsplit_once('.').map_or(name.to_string(), |(_, bare)| bare.to_string());
        let mut short: Vec<String> = stage.columns.iter().map(|(name, _)| bare(name)).collect();
        for at in 0..short.len() {
            if short.iter().filter(|name| **name == short[at]).count() > 1 {
                short[at] = stage.columns[at].0.clone();
            }
        }
        let mut seen: HashMap<String, usize> = HashMap::new();
        for name in &mut short {
            let count = seen.entry(name.clone()).or_insert(0);
            *count += 1;
            if *count > 1 {
                *name = format!("{name}#{count}");
            }
        }
        let renumbered = self.arena.rewrite::<()>(expression, &mut |node| match node.view() {
            View::Var(var) => Ok(stage
                .positions
                .get(&(var.entry - 1, var.attribute))
                .map(|position| self.arena.var_like(node, 1, *position as i16 + 1))),
            _ => Ok(None),
        });
        match renumbered {
            Ok(node) => {
                let mut text = fragment_query::deparse(self.arena, node, &short);
                for name in short.iter().filter(|name| name.contains(['.', '(', ' '])) {
                    text = text.replace(&format!("\"{}\"", name.replace('"', "\"\"")), name);
                }
                text
            }
            Err(()) => String::new(),
        }
    }
}

fn position_or_push<T>(list: &mut Vec<T>, item: T, same: impl Fn(&T, &T) -> bool) -> usize {
    match list.iter().position(|known| same(known, &item)) {
        Some(at) => at,
        None => {
            list.push(item);
            list.len() - 1
        }
    }
}

fn is_true(expression: &Expr) -> bool {
    matches!(expression, Expr::Literal(Some(image), Kind::Bool) if image == &[1])
}

/// The columns that a block uses of one leaf.
pub(super) fn used_columns(block: &Block<'_>, leaf: usize) -> BTreeSet<i16> {
    let expressions = block.predicates.iter().copied().chain(block.outputs.iter().map(|output| output.expression));
    expressions.flat_map(columns_of).filter(|column| column.0 == leaf).map(|column| column.1).collect()
}
