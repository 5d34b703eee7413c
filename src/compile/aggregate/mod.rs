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

pub(super) use collected::{depends_on_order, is_order_free};

use super::block::{columns_of, conjuncts, Block, Column, Leaf, Output};
use super::context::Outside;
use super::scope::{Binding, Scope};
use super::subquery::has_subquery;
use super::window_dependent::{Dependent, Targets};
use super::{Compiler, Lowered, NotIncremental};
use crate::pg::node::{Aggregate as Call, Node, View};
use crate::pg::query::{Query, Target};
use grouping_sets::GroupingCall;
use native::Native;
use std::collections::HashMap;
use trickle_operators::plan::Rel;
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
    /// The bindings themselves: the empty grouping set has a row for each of them.
    bindings: Option<Rel>,
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
    /// Lowers a query level with groups. The bindings of a correlated subquery are keys too, and come first in the outputs.
    pub(super) fn grouped(
        &mut self,
        query: Query<'t>,
        mut scope: Scope<'t>,
        mut targets: Vec<Target<'t>>,
    ) -> Lowered<(Block<'t>, Option<Dependent<'t>>)> {
        let (group_entry, mut group_expressions) = match query.group_entry() {
            Some((entry, expressions)) => (Some(entry), expressions),
            None => (None, Vec::new()),
        };
        let mut having = Vec::new();
        query.having().into_iter().for_each(|condition| conjuncts(condition, &mut having));
        // Subqueries in keys and in aggregates are computed for the rows that are grouped, others for the groups.
        for expression in &mut group_expressions {
            *expression = self.lift(&mut scope, *expression)?;
            self.check_expression(*expression, "GROUP BY")?;
        }
        let of_subqueries = scope.entry(Binding::Unbound);
        let mut read_in_subqueries = Vec::new();
        for expression in targets.iter_mut().map(|target| &mut target.expression).chain(&mut having) {
            *expression = self.without_outer_aggregates(*expression, of_subqueries, &mut read_in_subqueries);
        }
        let written = targets.iter_mut().map(|target| (&mut target.expression, "the target list"));
        let written = written.chain(read_in_subqueries.iter_mut().map(|aggregate| (aggregate, "a subquery")));
        for (expression, place) in written.chain(having.iter_mut().map(|condition| (condition, "HAVING"))) {
            let plain = self.arena.plain_json_aggregates(*expression);
            *expression = self.lift_in_aggregates(&mut scope, plain, place)?;
        }
        self.expand_keys(&mut scope, &mut group_expressions)?;
        if let Some(entry) = group_entry {
            scope.entries[entry - 1] = Binding::Aliases(group_expressions.clone());
        }
        let carried = scope.carried(self)?;
        let mut inputs = Inputs::default();
        let mut grouping = Grouping {
            leading: carried.iter().map(|output| inputs.add(output.expression)).collect(),
            bindings: scope.outside.as_ref().map(|outside| outside.inside.context.leaf.relation()).transpose()?,
            sets: grouping_sets::of(query, group_expressions.len()),
            ..Grouping::default()
        };
        for expression in &group_expressions {
            let resolved = scope.resolve(self, *expression)?;
            grouping.keys.push(self.grouping_key(&mut inputs, resolved));
        }
        let written = targets.iter().map(|target| target.expression).chain(having.iter().copied());
        for expression in written.chain(read_in_subqueries.iter().copied()) {
            let entries = [group_entry, Some(of_subqueries)];
            self.used_over_groups(query, &scope, entries, expression, &mut inputs, &mut grouping)?;
        }
        let outside = scope.outside;
        let entries = scope.entries.len();
        let below = inputs.over(scope.block);
        let leaf = self.groups(&below, &grouping)?;
        let mut over = Over::new(leaf, entries, group_entry, &grouping, outside, self);
        for aggregate in &mut read_in_subqueries {
            *aggregate = self.computed(&over, &grouping, *aggregate)?;
        }
        over.scope.entries[of_subqueries - 1] = Binding::Aliases(read_in_subqueries);
        let (plain, lifted): (Vec<_>, Vec<_>) = having.into_iter().partition(|condition| !has_subquery(*condition));
        for condition in plain.into_iter().chain(lifted) {
            let condition = self.computed(&over, &grouping, condition)?;
            let condition = self.lift(&mut over.scope, condition)?;
            self.check_condition(condition, "HAVING")?;
            let condition = over.scope.resolve(self, condition)?;
            conjuncts(condition, &mut over.scope.block.predicates);
        }
        for target in &mut targets {
            target.expression = self.computed(&over, &grouping, target.expression)?;
        }
        let Targets { outputs, dependent } = self.targets(&mut over.scope, targets)?;
        let carried = carried.len();
        Ok((Block { outputs, carried, ..over.scope.block }, dependent))
    }

    /// The groups of a scope's rows by expressions over its block, with these aggregates; outputs in this order.
    pub(super) fn grouped_by(
        &mut self,
        query: Query<'t>,
        scope: Scope<'t>,
        keys: &[Node<'t>],
        aggregates: &[Node<'t>],
    ) -> Lowered<Block<'t>> {
        let mut inputs = Inputs::default();
        let keys: Vec<Key<'t>> = keys.iter().map(|key| self.grouping_key(&mut inputs, *key)).collect();
        let sets = vec![(0..keys.len()).collect()];
        let mut grouping = Grouping { keys, sets, ..Grouping::default() };
        for aggregate in aggregates {
            self.check_expression(*aggregate, "a subquery")?;
            self.used_over_groups(query, &scope, [None; 2], *aggregate, &mut inputs, &mut grouping)?;
        }
        let below = inputs.over(scope.block);
        let leaf = self.groups(&below, &grouping)?;
        Ok(Block::of_relation(self, leaf))
    }

    /// The expression with a column for each subquery inside of an aggregate.
    fn lift_in_aggregates(&mut self, scope: &mut Scope<'t>, expression: Node<'t>, place: &str) -> Lowered<Node<'t>> {
        let arena = self.arena;
        arena.rewrite(expression, &mut |node| match node.view() {
            View::Aggregate(call) if call.levels_up == 0 => {
                let lifted = self.lift(scope, node)?;
                self.check_expression(lifted, place)?;
                Ok(Some(lifted))
            }
            View::SubLink => Ok(Some(node)),
            _ => Ok(None),
        })
    }

    /// An expression of the query in terms of the scope over its groups.
    fn computed(&self, over: &Over<'t>, grouping: &Grouping<'t>, expression: Node<'t>) -> Lowered<Node<'t>> {
        self.arena.rewrite(expression, &mut |node| {
            Ok(match node.view() {
                View::Aggregate(_) => grouping.place_of_aggregate(node).map(|at| over.column(self, at)),
                View::Grouping { .. } => grouping.place_of_call(node).map(|at| over.column(self, at)),
                _ => None,
            })
        })
    }

    /// The expression with columns of an entry in the place of those aggregates of the query that stand in its subqueries;
    /// these are added to `found`.
    fn without_outer_aggregates(&self, expression: Node<'t>, entry: usize, found: &mut Vec<Node<'t>>) -> Node<'t> {
        if !has_subquery(expression) {
            return expression;
        }
        self.arena.replace_aggregates_in_subqueries(expression, &mut |aggregate| {
            let at = found.iter().position(|known| *known == aggregate).unwrap_or_else(|| {
                found.push(aggregate);
                found.len() - 1
            });
            self.arena.var_like(aggregate, entry, at as i16 + 1)
        })
    }

    /// Notes aggregates, calls of GROUPING() and columns that the keys determine, of an expression over groups.
    fn used_over_groups(
        &mut self,
        query: Query<'t>,
        scope: &Scope<'t>,
        [group_entry, of_subqueries]: [Option<usize>; 2],
        expression: Node<'t>,
        inputs: &mut Inputs<'t>,
        grouping: &mut Grouping<'t>,
    ) -> Lowered<()> {
        for found in computed_over_groups(self, expression, [group_entry, of_subqueries])? {
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
            return Err(super::scope::lateral());
        }
        let Some((&first, View::Aggregate(call))) = resolved.first().map(|first| (first, first.view())) else {
            return Err(NotIncremental::new("aggregate", "An aggregate could not be resolved."));
        };
        let text = self.name_of(block, first);
        // What follows a dot would be taken for a column of a relation.
        let name = if text.contains('.') { text.split('(').next().unwrap_or_default() } else { &text };
        let mut column = block.describe(name, first)?;
        let Some(native) = self.native_aggregate(inputs, &call) else {
            for read in resolved.iter().flat_map(|resolved| columns_of(*resolved)) {
                let Some(leaf_column) = block.leaves[read.0].column(read.1) else {
                    return Err(super::block::missing_column());
                };
                inputs.add(self.arena.var(read.0 + 1, read.1, &leaf_column.ty));
            }
            column.determined &= collected::is_determined(&call);
            column.settled &= column.determined;
            column.nullable = true;
            return Ok(Used { written, resolved, native: None, column });
        };
        column.nullable = !native.counts();
        column.determined &= native.determined;
        column.settled &= native.settled;
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
        let carried = block.carried;
        let leading = block.outputs[..carried].iter().map(|output| inputs.add(output.expression)).collect();
        let keys: Vec<Key<'t>> =
            block.outputs[carried..].iter().map(|output| self.grouping_key(&mut inputs, output.expression)).collect();
        let sets = vec![(0..keys.len()).collect()];
        let grouping = Grouping { leading, keys, sets, ..Grouping::default() };
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
        Ok(Block { carried, ..Block::of_relation(self, leaf) })
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

/// What a query has over its groups: the columns of one leaf.
struct Over<'t> {
    scope: Scope<'t>,
    /// The entry that is the leaf.
    entry: usize,
    columns: Vec<ColumnType>,
}

impl<'t> Over<'t> {
    /// Keys are columns of the entry that stands for GROUP BY, columns that they determine are those of their own entries.
    fn new(
        leaf: Leaf<'t>,
        entries: usize,
        group_entry: Option<usize>,
        grouping: &Grouping<'t>,
        outside: Option<Outside<'t>>,
        compiler: &Compiler<'t, '_>,
    ) -> Self {
        let columns: Vec<ColumnType> = leaf.columns.iter().flatten().map(|column| column.ty.clone()).collect();
        let attribute = |place: usize| place as i16 + 1;
        let mut scope = Scope::over(leaf, vec![Binding::Unbound; entries]);
        let entry = scope.entry(Binding::Leaf(0));
        if let Some(outside) = outside {
            let leading = (0..grouping.leading.len()).map(|at| Some(attribute(at))).collect();
            scope.entries[outside.entry - 1] = Binding::Columns(0, leading);
            scope.outside = Some(outside);
        }
        if let Some(group_entry) = group_entry {
            let keys = 0..grouping.keys.len();
            let places = keys.map(|key| Some(attribute(grouping.place_of_key(key)))).collect();
            scope.entries[group_entry - 1] = Binding::Columns(0, places);
        }
        for (at, (written, _)) in grouping.dependent.iter().enumerate() {
            let View::Var(var) = written.view() else { continue };
            let place = grouping.place_of_key(grouping.keys.len()) + at;
            let column = compiler.arena.var(entry, attribute(place), &columns[place]);
            match &mut scope.entries[var.entry - 1] {
                Binding::Beside(known) => known.push((var.attribute, column)),
                other => *other = Binding::Beside(vec![(var.attribute, column)]),
            }
        }
        Over { scope, entry, columns }
    }

    fn column(&self, compiler: &Compiler<'t, '_>, place: usize) -> Node<'t> {
        compiler.arena.var(self.entry, place as i16 + 1, &self.columns[place])
    }
}

/// The aggregates and GROUPING() calls of an expression over groups, and its columns that are not those of these entries, those that its
/// subqueries refer to among them; what is inside an aggregate or GROUPING() is left out.
fn computed_over_groups<'t>(
    compiler: &Compiler<'t, '_>,
    expression: Node<'t>,
    entries: [Option<usize>; 2],
) -> Lowered<Vec<Node<'t>>> {
    let known = |entry: usize| entries.contains(&Some(entry));
    let mut found = Vec::new();
    compiler.arena.rewrite::<NotIncremental>(expression, &mut |node| match node.view() {
        View::Aggregate(_) | View::Grouping { .. } => {
            found.push(node);
            Ok(Some(node))
        }
        View::Var(var) if var.levels_up == 0 && !known(var.entry) => {
            found.push(node);
            Ok(Some(node))
        }
        View::SubLink => {
            let references = node.sublink().map(|link| compiler.references(link.query)).unwrap_or_default();
            let own = references.columns.iter().filter(|of| of.levels_up == 1 && !known(of.entry));
            found.extend(own.map(|of| compiler.arena.var_like(of.node, of.entry, of.attribute)));
            Ok(None)
        }
        _ => Ok(None),
    })?;
    Ok(found)
}
