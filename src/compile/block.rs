//! The block: leaves, predicates and outputs of one query level, with everything dissolved into it that can be.

use super::context::Inside;
use super::functions::Expansion;
use super::limit::Tail;
use super::outer_join::Outer;
use super::window_dependent::{Dependent, Targets};
use super::{Compiler, Lowered, NotIncremental};
use crate::pg::catalog_lookup;
use crate::pg::condition::factored;
use crate::pg::image;
use crate::pg::node::{Node, View};
use crate::pg::query::Query;
use std::rc::Rc;
use trickle_operators::plan::Rel;
use trickle_operators::value::ColumnType;

/// Select, project, join. In its expressions, a Var's range table entry `n` is leaf `n - 1`, and its attribute number `m`
/// is the leaf's column `m - 1`.
#[derive(Clone, Default)]
pub(super) struct Block<'t> {
    pub leaves: Vec<Leaf<'t>>,
    /// All must be true; no ANDs at the top of any.
    pub predicates: Vec<Node<'t>>,
    pub outputs: Vec<Output<'t>>,
    /// How many of the outputs, the first ones, are the bindings of a subquery ([`super::context`]).
    pub carried: usize,
    /// Leaves of which each row of the others meets exactly one, with the predicates by which it does.
    pub lifted: Vec<(usize, Vec<Node<'t>>)>,
}

#[derive(Clone)]
pub(super) struct Output<'t> {
    pub name: String,
    pub expression: Node<'t>,
}

#[derive(Clone)]
pub(super) struct Leaf<'t> {
    pub kind: LeafKind<'t>,
    /// What the query calls it.
    pub name: String,
    /// For a table: by attribute number - 1, `None` where dropped.
    pub columns: Vec<Option<Column>>,
    /// Sets of columns (from 0) that are unique together, NULLs equal.
    pub keys: Vec<Vec<usize>>,
}

#[derive(Clone)]
pub(super) enum LeafKind<'t> {
    Table {
        relation: u32,
        incremental_stream: bool,
    },
    Derived(Rel),
    /// The bindings of a subquery.
    Bindings(Rel),
    /// Lowered with what the block around it uses of it.
    Outer(Rc<Outer<'t>>),
    /// Likewise.
    Expansion(Rc<Expansion<'t>>),
}

#[derive(Clone, Debug)]
pub(super) struct Column {
    pub name: String,
    pub ty: ColumnType,
    pub nullable: bool,
    /// Whether the content of the sources determines it bit for bit (HAZARDS E20).
    pub determined: bool,
    /// Whether the content determines its value, if not how that is written. Where it determines no column of a relation so
    /// far, it may not determine which rows there are.
    pub settled: bool,
}

impl Column {
    /// Of a row that may be there or not.
    pub fn unsettle(&mut self) {
        self.determined = false;
        self.settled = false;
    }
}

impl Column {
    /// The system column `tableoid`; the leaf of a relation that others inherit from has it behind its attributes.
    pub fn table_oid() -> Column {
        let ty = catalog_lookup::oid_type();
        Column { name: TABLE_OID_NAME.to_string(), ty, nullable: false, determined: true, settled: true }
    }

    /// No attribute can have its name.
    pub fn is_table_oid(&self) -> bool {
        self.name == TABLE_OID_NAME
    }

    /// For rows of another type modifier too.
    pub fn with_modifier_of(&mut self, other: &ColumnType) {
        if self.ty.typmod != other.typmod {
            self.ty = image::column_type(self.ty.oid.into(), -1, self.ty.collation.into());
        }
    }
}

const TABLE_OID_NAME: &str = "tableoid";

impl<'t> Block<'t> {
    /// A block that shows all columns of one complete relation.
    pub fn of_relation(compiler: &Compiler<'t, '_>, leaf: Leaf<'t>) -> Self {
        let outputs = leaf
            .columns
            .iter()
            .enumerate()
            .filter_map(|(at, column)| {
                let column = column.as_ref()?;
                let expression = compiler.arena.var(1, at as i16 + 1, &column.ty);
                Some(Output { name: column.name.clone(), expression })
            })
            .collect();
        Block { leaves: vec![leaf], outputs, ..Block::default() }
    }

    /// The output (from 1) that shows a column.
    pub fn show(&mut self, column: Node<'t>) -> usize {
        let at = self.outputs.iter().position(|output| output.expression == column).unwrap_or_else(|| {
            let name = format!("column{}", self.outputs.len() + 1);
            self.outputs.push(Output { name, expression: column });
            self.outputs.len() - 1
        });
        at + 1
    }

    /// Leaves out the lifted leaves that nothing reads.
    pub fn prune(&mut self, compiler: &Compiler<'t, '_>) {
        while let Some(at) = self.lifted.iter().rposition(|(leaf, own)| {
            let reads = |node: &Node<'t>| columns_of(*node).iter().any(|column| column.0 == *leaf);
            !self.outputs.iter().any(|output| reads(&output.expression))
                && !self.predicates.iter().any(|predicate| reads(predicate) && !own.contains(predicate))
        }) {
            let (leaf, own) = self.lifted.remove(at);
            self.predicates.retain(|predicate| !own.contains(predicate));
            self.leaves.remove(leaf);
            let renumber = |node: &mut Node<'t>| {
                let renumbered = compiler.arena.rewrite::<()>(*node, &mut |node| match node.view() {
                    View::Var(var) if var.entry > leaf + 1 => {
                        Ok(Some(compiler.arena.var_like(node, var.entry - 1, var.attribute)))
                    }
                    _ => Ok(None),
                });
                *node = renumbered.unwrap_or(*node);
            };
            self.predicates.iter_mut().for_each(renumber);
            self.outputs.iter_mut().for_each(|output| renumber(&mut output.expression));
            for (other, own) in &mut self.lifted {
                *other -= usize::from(*other > leaf);
                own.iter_mut().for_each(renumber);
            }
        }
    }
}

impl<'t> Compiler<'t, '_> {
    /// Lowers one query level with all below it.
    pub(super) fn query(&mut self, query: Query<'t>) -> Lowered<Block<'t>> {
        self.query_in(query, None)
    }

    /// A query level that refers to the queries around it: the first outputs are its bindings' columns.
    pub(super) fn query_in(&mut self, query: Query<'t>, inside: Option<Inside<'t>>) -> Lowered<Block<'t>> {
        self.check_clauses(query)?;
        let correlated = self.correlated.take();
        let block = self.at_level(query, |compiler| compiler.query_body(query, inside));
        self.correlated = correlated;
        block
    }

    /// What is done where the query's own common table expressions are known: all of its parts refer to them.
    pub(super) fn at_level<T>(&mut self, query: Query<'t>, lower: impl FnOnce(&mut Self) -> T) -> T {
        self.ctes.push(Rc::new(query.ctes()));
        let lowered = lower(self);
        self.ctes.pop();
        lowered
    }

    fn query_body(&mut self, query: Query<'t>, inside: Option<Inside<'t>>) -> Lowered<Block<'t>> {
        let tail = self.tail(query)?;
        let (block, dependent) = match query.set_operations() {
            Some(tree) => (self.set_operation(query, &tree, inside)?, None),
            None => self.plain_query(query, &tail, inside)?,
        };
        self.finish_query(query, block, &tail, dependent)
    }

    /// A query without set operations, its target list computed as far as something reads it.
    fn plain_query(
        &mut self,
        query: Query<'t>,
        tail: &Tail<'t>,
        inside: Option<Inside<'t>>,
    ) -> Lowered<(Block<'t>, Option<Dependent<'t>>)> {
        let carried = inside.as_ref().map_or(0, Inside::width);
        let mut scope = self.lower_from(query, inside)?;
        let all = query.targets();
        let mut targets: Vec<_> = tail.targets.iter().map(|at| all[*at].clone()).collect();
        if query.has_group_by() || query.has_aggregates() || query.having().is_some() {
            return self.grouped(query, scope, targets);
        }
        for target in &mut targets {
            target.expression = self.arena.plain_json_aggregates(target.expression);
        }
        let Targets { outputs, dependent } = self.targets(&mut scope, targets)?;
        Ok((Block { outputs, carried, ..std::mem::take(&mut scope.block) }, dependent))
    }
}

/// Splits a condition at its top-level ANDs, and takes out of an OR what all of its arms demand: of that are keys made.
pub(super) fn conjuncts<'t>(condition: Node<'t>, into: &mut Vec<Node<'t>>) {
    match condition.view() {
        View::And(parts) => parts.into_iter().for_each(|part| conjuncts(part, into)),
        View::Or(_) => match factored(condition).view() {
            View::And(parts) => parts.into_iter().for_each(|part| conjuncts(part, into)),
            _ => into.push(condition),
        },
        _ => into.push(condition),
    }
}

/// Every column that an expression reads: (leaf, attribute number), in order of appearance, each once.
pub(super) fn columns_of(expression: Node<'_>) -> Vec<(usize, i16)> {
    let mut columns = Vec::new();
    expression.visit(&mut |node| {
        if let View::Var(var) = node.view() {
            let column = (var.entry - 1, var.attribute);
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        false
    });
    columns
}

/// The leaf and attribute number, if the expression is just a column.
pub(super) fn plain_column(expression: Node<'_>) -> Option<(usize, i16)> {
    match expression.view() {
        View::Var(var) => Some((var.entry - 1, var.attribute)),
        View::Relabel(inner) => plain_column(inner),
        _ => None,
    }
}

impl Leaf<'_> {
    /// The relation that it is, if that is known already.
    pub fn relation(&self) -> Lowered<Rel> {
        match &self.kind {
            LeafKind::Derived(rel) | LeafKind::Bindings(rel) => Ok(rel.clone()),
            LeafKind::Table { .. } | LeafKind::Outer(_) | LeafKind::Expansion(_) => Err(missing_column()),
        }
    }

    fn rows_settled(&self) -> bool {
        let mut columns = self.columns.iter().flatten().peekable();
        columns.peek().is_none() || columns.any(|column| column.settled)
    }

    pub fn column(&self, attribute: i16) -> Option<&Column> {
        self.columns.get(usize::try_from(attribute - 1).ok()?)?.as_ref()
    }
}

impl<'t> Block<'t> {
    fn column(&self, (leaf, attribute): (usize, i16)) -> Option<&Column> {
        self.leaves.get(leaf)?.column(attribute)
    }

    /// What is known of an expression's value.
    pub fn describe(&self, name: &str, expression: Node<'t>) -> Lowered<Column> {
        let ty = expression.column_type();
        let read = columns_of(expression);
        let settled = self.rows_settled() && read.iter().all(|column| self.column(*column).is_none_or(|c| c.settled));
        let determined = settled && read.iter().all(|column| self.column(*column).is_none_or(|c| c.determined));
        let nullable = match expression.view() {
            View::Const(constant) => constant.image().is_none(),
            _ => match plain_column(expression) {
                Some(column) => match self.column(column) {
                    Some(column) => column.nullable,
                    None => return Err(missing_column()),
                },
                None => true,
            },
        };
        Ok(Column { name: name.to_string(), ty, nullable, determined, settled })
    }

    /// Whether the content determines which rows there are.
    pub fn rows_settled(&self) -> bool {
        let settled = |column: &(usize, i16)| self.column(*column).is_none_or(|column| column.settled);
        self.leaves.iter().all(Leaf::rows_settled)
            && self.predicates.iter().all(|predicate| columns_of(*predicate).iter().all(settled))
    }
}

/// A column that the catalogs no longer have.
pub(super) fn missing_column() -> NotIncremental {
    NotIncremental::new("dropped column", "The query reads a column that no longer exists.")
}
