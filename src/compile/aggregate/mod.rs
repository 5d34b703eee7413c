//! GROUP BY, aggregates and DISTINCT.
//!
//! The rows to be grouped are a block whose outputs are the keys and what the aggregates read; the groups over it are a leaf
//! of the block that has HAVING as predicates and the target list as outputs. An aggregate is native, or it is collected:
//! PostgreSQL evaluates it, as the query has it, over all rows of a changed group. Several grouping sets are as many
//! groupings of the same rows ([`grouping_sets`]).

mod collected;
mod counted;
mod grouping_sets;
mod native;
mod reduce;

use super::block::{columns_of, conjuncts, Block, Column, Leaf, Output};
use super::from::Scope;
use super::{Compiler, Lowered, NotIncremental};
use crate::pg::node::{Aggregate as Call, Node, View};
use crate::pg::query::{Query, Target};
use grouping_sets::GroupingCall;
use native::Native;
use std::collections::HashMap;
use trickle_operators::plan::AggregateFunction;
use trickle_operators::value::ColumnType;

/// A leaf with the groups of a query level.
type Groups<'t> = Leaf<'t>;

/// What the block under a reduce must show, each expression once.
#[derive(Default)]
struct Inputs<'t> {
    expressions: Vec<Node<'t>>,
}

impl<'t> Inputs<'t> {
    fn add(&mut self, expression: Node<'t>) -> usize {
        match self.expressions.iter().position(|known| *known == expression) {
            Some(at) => at,
            None => {
                self.expressions.push(expression);
                self.expressions.len() - 1
            }
        }
    }

    /// The block that shows them.
    fn over(self, block: Block<'t>) -> Block<'t> {
        let output = |expression| Output { name: String::new(), expression };
        Block { outputs: self.expressions.into_iter().map(output).collect(), ..block }
    }
}

/// A grouping key.
struct Key<'t> {
    expression: Node<'t>,
    /// The input that shows it.
    shown: usize,
    /// The input by which groups are told apart, if that is another.
    compared: Option<usize>,
}

/// An aggregate of the query: the call as it is written, resolved, and how it is computed.
struct Used<'t> {
    written: Node<'t>,
    /// As each grouping set has it: to direct arguments, keys that are not in the set are NULL.
    resolved: Vec<Node<'t>>,
    /// The native aggregate with argument and filter as indexes of inputs; none: PostgreSQL's.
    native: Option<Native>,
    column: Column,
}

/// What is computed over the groups of a block.
#[derive(Default)]
struct Grouping<'t> {
    /// Inputs by whose images groups are told apart in all grouping sets: the bindings of a correlated subquery.
    leading: Vec<usize>,
    keys: Vec<Key<'t>>,
    /// Columns that the keys of every grouping set determine.
    dependent: Vec<(Node<'t>, usize)>,
    aggregates: Vec<Used<'t>>,
    calls: Vec<GroupingCall<'t>>,
    /// Which keys are in each grouping set.
    sets: Vec<Vec<usize>>,
    /// A boolean input: of equal rows, only one for which it is true is shown.
    representatives_where: Option<usize>,
}

impl<'t> Compiler<'t, '_> {
    /// Lowers a query level with groups. `leading` are expressions over the scope's block, by whose images (NULLs equal) its
    /// rows are told apart before they are grouped; they come first in the outputs. With any there, the empty grouping set
    /// has a group for each of their values that there are rows for, and none for others: no row stands for an empty input.
    pub(super) fn grouped(
        &mut self,
        query: Query<'t>,
        mut scope: Scope<'t>,
        targets: &[Target<'t>],
        leading: &[Node<'t>],
    ) -> Lowered<Block<'t>> {
        let having = query.having().map(|having| self.arena.plain_json_aggregates(having));
        if let Some(having) = having {
            self.check_expression(having, "HAVING")?;
        }
        let mut leading = leading.to_vec();
        let (group_entry, group_expressions) = match query.group_entry() {
            Some((entry, expressions)) => (Some(entry), expressions),
            None => (None, Vec::new()),
        };
        for expression in &group_expressions {
            self.check_expression(*expression, "GROUP BY")?;
        }
        let mut inputs = Inputs::default();
        let mut sets = self.expand_keys(&mut scope, &group_expressions, &mut leading)?.into_iter();
        let mut grouping = Grouping {
            leading: leading.iter().map(|expression| inputs.add(*expression)).collect(),
            sets: grouping_sets::of(query, group_expressions.len()),
            ..Grouping::default()
        };
        for expression in &group_expressions {
            let set = if expression.returns_set() { sets.next() } else { None };
            let resolved = match set {
                Some(column) => column,
                None => scope.resolve(self, *expression)?,
            };
            grouping.keys.push(self.grouping_key(&mut inputs, resolved));
        }
        for expression in targets.iter().map(|target| target.expression).chain(having) {
            self.used_over_groups(query, &scope, group_entry, expression, &mut inputs, &mut grouping)?;
        }
        let below = inputs.over(scope.block);
        let leaf = self.groups(&below, &grouping)?;

        // What is over the groups, in terms of the leaf's columns.
        let arena = self.arena;
        let columns: Vec<ColumnType> = leaf.columns.iter().flatten().map(|column| column.ty.clone()).collect();
        let place = |at: usize| arena.var(1, at as i16 + 1, &columns[at]);
        let over = |expression: Node<'t>| {
            arena.rewrite(expression, &mut |node| {
                Ok(match node.view() {
                    View::Aggregate(_) => grouping.place_of_aggregate(node).map(place),
                    View::Grouping { .. } => grouping.place_of_call(node).map(place),
                    View::Var(var) if Some(var.entry) == group_entry => {
                        Some(place(grouping.place_of_key(var.attribute as usize - 1)))
                    }
                    View::Var(_) => match grouping.place_of_dependent(node) {
                        Some(at) => Some(place(at)),
                        None => return Err(super::block::missing_column()),
                    },
                    _ => None,
                })
            })
        };
        let mut block = Block { leaves: vec![leaf], ..Block::default() };
        if let Some(having) = having {
            conjuncts(over(having)?, &mut block.predicates);
        }
        for at in 0..leading.len() {
            block.outputs.push(Output { name: String::new(), expression: place(at) });
        }
        for target in targets {
            block.outputs.push(Output { name: target.name.clone(), expression: over(target.expression)? });
        }
        Ok(block)
    }

    /// Notes aggregates, calls of GROUPING() and columns that the keys determine, of an expression over groups.
    fn used_over_groups(
        &mut self,
        query: Query<'t>,
        scope: &Scope<'t>,
        group_entry: Option<usize>,
        expression: Node<'t>,
        inputs: &mut Inputs<'t>,
        grouping: &mut Grouping<'t>,
    ) -> Lowered<()> {
        for found in over_groups(self, expression, group_entry)? {
            match found.view() {
                View::Aggregate(call) => {
                    if grouping.place_of_aggregate(found).is_none() {
                        let mut resolved = Vec::new();
                        for set in &grouping.sets {
                            let written = self.without_absent_keys(found, group_entry, set)?;
                            resolved.push(scope.resolve(self, written)?);
                        }
                        let aggregate = self.aggregate(&scope.block, inputs, found, resolved, &call)?;
                        grouping.aggregates.push(aggregate);
                    }
                }
                View::Grouping { references, .. } => {
                    if grouping.place_of_call(found).is_none() {
                        grouping.calls.push(GroupingCall::new(query, found, &references)?);
                    }
                }
                _ => {
                    if grouping.place_of_dependent(found).is_none() {
                        let resolved = scope.resolve(self, found)?;
                        grouping.dependent.push((found, inputs.add(resolved)));
                    }
                }
            }
        }
        Ok(())
    }

    fn grouping_key(&self, inputs: &mut Inputs<'t>, expression: Node<'t>) -> Key<'t> {
        let shown = inputs.add(expression);
        let compared = self.canonical(expression, expression.collation()).map(|canonical| inputs.add(canonical));
        Key { expression, shown, compared }
    }

    /// Decides how an aggregate is computed, and adds what it reads to the inputs.
    fn aggregate(
        &mut self,
        block: &Block<'t>,
        inputs: &mut Inputs<'t>,
        written: Node<'t>,
        resolved: Vec<Node<'t>>,
        call: &Call<'t>,
    ) -> Lowered<Used<'t>> {
        if call.levels_up > 0 {
            return Err(super::from::lateral());
        }
        let Some((&first, View::Aggregate(call))) = resolved.first().map(|first| (first, first.view())) else {
            return Err(NotIncremental::new("aggregate", "An aggregate could not be resolved."));
        };
        let mut column = block.describe("", first)?;
        let Some(native) = self.native_aggregate(block, inputs, &call) else {
            for read in resolved.iter().flat_map(|resolved| columns_of(*resolved)) {
                let Some(leaf_column) = block.leaves[read.0].column(read.1) else {
                    return Err(super::block::missing_column());
                };
                inputs.add(self.arena.var(read.0 + 1, read.1, &leaf_column.ty));
            }
            column.determined &= collected::is_determined(&call);
            column.nullable = true;
            return Ok(Used { written, resolved, native: None, column });
        };
        column.nullable = !matches!(native.function, AggregateFunction::Count | AggregateFunction::CountRows);
        column.determined &= native.determined;
        Ok(Used { written, resolved, native: Some(native), column })
    }

    /// What people call an expression of a block.
    pub(super) fn name_of(&self, block: &Block<'t>, expression: Node<'t>) -> String {
        let mut positions = HashMap::new();
        let mut columns = Vec::new();
        for (leaf, attribute) in columns_of(expression) {
            if let Some(leaf_columns) = block.leaves.get(leaf) {
                if let Some(column) = leaf_columns.column(attribute) {
                    positions.insert((leaf, attribute), columns.len());
                    columns.push((format!("{}.{}", leaf_columns.name, column.name), column.ty.clone()));
                }
            }
        }
        let rel = trickle_operators::plan::Rel::Values { rows: Vec::new() };
        let stage = super::stage::Stage { rel, positions, columns };
        self.text(&stage, expression)
    }

    /// DISTINCT over the outputs of a block; also what UNION adds to UNION ALL.
    pub(super) fn distinct(&mut self, block: Block<'t>, what: &str) -> Lowered<Block<'t>> {
        let mut inputs = Inputs::default();
        let keys: Vec<Key<'t>> =
            block.outputs.iter().map(|output| self.grouping_key(&mut inputs, output.expression)).collect();
        let sets = vec![(0..keys.len()).collect()];
        let grouping = Grouping { keys, sets, ..Grouping::default() };
        let names: Vec<String> = block.outputs.iter().map(|output| output.name.clone()).collect();
        let below = inputs.over(block);
        let mut leaf = self.one_group(&below, &grouping).map_err(|reason| NotIncremental {
            reason: reason.reason.replace("grouping key", &format!("{what} column")),
            detail: reason.detail.replace("grouping key", &format!("{what} column")),
        })?;
        for (column, name) in leaf.columns.iter_mut().flatten().zip(names) {
            column.name = name;
        }
        leaf.name = what.to_lowercase();
        Ok(Block::of_relation(self, leaf))
    }
}

impl<'t> Grouping<'t> {
    fn place_of_key(&self, key: usize) -> usize {
        self.leading.len() + key
    }

    fn place_of_dependent(&self, column: Node<'t>) -> Option<usize> {
        let at = self.dependent.iter().position(|(known, _)| *known == column)?;
        Some(self.place_of_key(self.keys.len()) + at)
    }

    fn place_of_aggregate(&self, written: Node<'t>) -> Option<usize> {
        let at = self.aggregates.iter().position(|known| known.written == written)?;
        Some(self.place_of_key(self.keys.len()) + self.dependent.len() + at)
    }

    fn place_of_call(&self, written: Node<'t>) -> Option<usize> {
        let at = self.calls.iter().position(|known| known.written == written)?;
        Some(self.place_of_key(self.keys.len()) + self.dependent.len() + self.aggregates.len() + at)
    }
}

/// The aggregates and GROUPING() calls of an expression over groups, and its columns that are not keys; what is inside an
/// aggregate or GROUPING() is left out.
fn over_groups<'t>(
    compiler: &Compiler<'t, '_>,
    expression: Node<'t>,
    group_entry: Option<usize>,
) -> Lowered<Vec<Node<'t>>> {
    let mut found = Vec::new();
    compiler.arena.rewrite::<NotIncremental>(expression, &mut |node| match node.view() {
        View::Aggregate(_) | View::Grouping { .. } => {
            found.push(node);
            Ok(Some(node))
        }
        View::Var(var) if var.levels_up == 0 && Some(var.entry) != group_entry => {
            found.push(node);
            Ok(Some(node))
        }
        _ => Ok(None),
    })?;
    Ok(found)
}
