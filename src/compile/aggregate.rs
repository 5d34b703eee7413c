//! GROUP BY, aggregates and DISTINCT.
//!
//! The rows to be grouped are a block whose outputs are the keys and what the aggregates read; the reduce over it is a leaf
//! of the block that has HAVING as predicates and the target list as outputs. An aggregate is native, or it is collected:
//! PostgreSQL evaluates it, as the query has it, over all rows of a changed group.

use super::block::{columns_of, conjuncts, Block, Column, Leaf, LeafKind, Output};
use super::equality::{image_column, key_column};
use super::from::Scope;
use super::stage::Stage;
use super::{native, Compiler, Lowered, NotIncremental};
use crate::pg::catalog_lookup;
use crate::pg::node::{Aggregate as Call, Node, View};
use crate::pg::query::{Query, Target};
use std::collections::HashMap;
use trickle_operators::expr::Expr;
use trickle_operators::plan::{Aggregate, AggregateFunction, Reduce, Rel};
use trickle_operators::value::{ColumnType, Kind};

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
}

/// A grouping key.
struct Key<'t> {
    expression: Node<'t>,
    /// The input that shows it.
    shown: usize,
    /// The input by which groups are told apart, if that is another.
    compared: Option<usize>,
}

/// A native aggregate: argument, the kind of which each distinct argument is taken once, filter.
type Native = (AggregateFunction, Option<usize>, Option<Kind>, Option<usize>);

/// An aggregate of the query: the call as it is written, resolved, and how it is computed.
struct Used<'t> {
    written: Node<'t>,
    resolved: Node<'t>,
    /// The native aggregate with argument and filter as indexes of inputs; none: PostgreSQL's.
    native: Option<Native>,
    column: Column,
}

impl<'t> Compiler<'t, '_> {
    pub(super) fn grouped(&mut self, query: Query<'t>, scope: Scope<'t>, targets: &[Target<'t>]) -> Lowered<Block<'t>> {
        let having = query.having();
        if let Some(having) = having {
            self.check_condition(having, "HAVING")?;
        }
        let (group_entry, group_expressions) = match query.group_entry() {
            Some((entry, expressions)) => (Some(entry), expressions),
            None => (None, Vec::new()),
        };
        let mut inputs = Inputs::default();
        let mut keys: Vec<Key<'t>> = Vec::new();
        for expression in &group_expressions {
            self.check_expression(*expression, "GROUP BY")?;
            let resolved = scope.resolve(self, *expression)?;
            keys.push(self.grouping_key(&mut inputs, resolved));
        }

        // Aggregates, and columns that the keys determine, in what is computed over the groups.
        let mut used: Vec<Used<'t>> = Vec::new();
        let mut dependent: Vec<(Node<'t>, usize)> = Vec::new();
        for expression in targets.iter().map(|target| target.expression).chain(having) {
            for found in over_groups(self, expression, group_entry)? {
                match found.view() {
                    View::Aggregate(call) => {
                        if used.iter().all(|known| known.written != found) {
                            let resolved = scope.resolve(self, found)?;
                            let aggregate = self.aggregate(&scope.block, &mut inputs, found, resolved, &call)?;
                            used.push(aggregate);
                        }
                    }
                    _ => {
                        if dependent.iter().all(|(known, _)| *known != found) {
                            let resolved = scope.resolve(self, found)?;
                            dependent.push((found, inputs.add(resolved)));
                        }
                    }
                }
            }
        }

        let below = Block {
            outputs: inputs
                .expressions
                .iter()
                .map(|expression| Output { name: String::new(), expression: *expression })
                .collect(),
            ..scope.block
        };
        let leaf = self.reduce(&below, &keys, &dependent, &used, group_entry.is_none())?;

        // What is over the groups, in terms of the reduce's columns: keys, dependent columns, aggregates.
        let arena = self.arena;
        let columns: Vec<ColumnType> = leaf.columns.iter().flatten().map(|column| column.ty.clone()).collect();
        let place = |at: usize| arena.var(1, at as i16 + 1, &columns[at]);
        let over = |expression: Node<'t>| {
            arena.rewrite(expression, &mut |node| match node.view() {
                View::Aggregate(_) => {
                    let at = used.iter().position(|known| known.written == node);
                    Ok(at.map(|at| place(keys.len() + dependent.len() + at)))
                }
                View::Var(var) if Some(var.entry) == group_entry => Ok(Some(place(var.attribute as usize - 1))),
                View::Var(_) => match dependent.iter().position(|(known, _)| *known == node) {
                    Some(at) => Ok(Some(place(keys.len() + at))),
                    None => Err(super::block::missing_column()),
                },
                _ => Ok(None),
            })
        };
        let mut block = Block { leaves: vec![leaf], ..Block::default() };
        if let Some(having) = having {
            conjuncts(over(having)?, &mut block.predicates);
        }
        for target in targets {
            block.outputs.push(Output { name: target.name.clone(), expression: over(target.expression)? });
        }
        Ok(block)
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
        resolved: Node<'t>,
        call: &Call<'t>,
    ) -> Lowered<Used<'t>> {
        if call.levels_up > 0 {
            return Err(super::from::lateral());
        }
        let View::Aggregate(call) = resolved.view() else {
            return Err(NotIncremental::new("aggregate", "An aggregate could not be resolved."));
        };
        let mut column = block.describe("", resolved)?;
        let Some((function, distinct)) = self.native_aggregate(&call) else {
            for read in columns_of(resolved) {
                let Some(leaf_column) = block.leaves[read.0].column(read.1) else {
                    return Err(super::block::missing_column());
                };
                inputs.add(self.arena.var(read.0 + 1, read.1, &leaf_column.ty));
            }
            column.determined &= collected_is_determined(&call);
            column.nullable = true;
            return Ok(Used { written, resolved, native: None, column });
        };
        let argument = call.arguments.first().map(|argument| {
            // Of equal values, each is counted once: that is all that is read of them.
            let canonical = distinct.and_then(|_| self.canonical(*argument, argument.collation()));
            let argument = &canonical.unwrap_or(*argument);
            // FILTER is a guard: what it leaves out is not evaluated.
            let guarded = match call.filter {
                Some(filter) if !self.cannot_raise(block, *argument) => self.arena.case_when(filter, *argument),
                _ => *argument,
            };
            inputs.add(guarded)
        });
        let filter = call.filter.map(|filter| inputs.add(filter));
        column.nullable = !matches!(function, AggregateFunction::Count | AggregateFunction::CountRows);
        column.determined &= native_is_determined(function);
        Ok(Used { written, resolved, native: Some((function, argument, distinct, filter)), column })
    }

    fn cannot_raise(&self, block: &Block<'t>, expression: Node<'t>) -> bool {
        let positions: HashMap<_, _> = columns_of(expression).into_iter().enumerate().map(|(at, c)| (c, at)).collect();
        let _ = block;
        self.native(expression, &positions).is_some_and(|expression| !native::fallible(&expression))
    }

    /// The engine's own aggregate for a call, and whether it takes each distinct argument once.
    fn native_aggregate(&self, call: &Call<'t>) -> Option<(AggregateFunction, Option<Kind>)> {
        use AggregateFunction as F;
        let facts = catalog_lookup::function(call.function)?;
        if !facts.builtin || call.ordered_set || call.variadic || !self.options.native_expressions {
            return None;
        }
        let Some(argument) = call.arguments.first() else {
            return (facts.name == "count").then_some((F::CountRows, None));
        };
        if call.arguments.len() > 1 {
            return None;
        }
        let ty = argument.column_type();
        let kind = ty.kind;
        let numeric =
            matches!(kind, Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Float4 | Kind::Float8 | Kind::Numeric);
        let ordered = numeric
            || matches!(kind, Kind::Oid | Kind::Date | Kind::Time | Kind::Timestamp | Kind::TimestampTz)
            || kind == Kind::Text && catalog_lookup::byte_order(call.collation);
        let function = match facts.name.as_str() {
            "count" => F::Count,
            "sum" if numeric => F::Sum(kind),
            "avg" if numeric => F::Average(kind),
            "bool_and" | "every" => F::BoolAnd,
            "bool_or" => F::BoolOr,
            "min" if ordered => F::Min(kind),
            "max" if ordered => F::Max(kind),
            _ => return None,
        };
        match function {
            F::BoolAnd | F::BoolOr | F::Min(_) | F::Max(_) => Some((function, None)),
            _ if !call.distinct => Some((function, None)),
            F::Count if self.canonical(*argument, ty.collation).is_some() => Some((function, Some(Kind::Bytea))),
            F::Count => super::equality::has_key(&ty).then_some((function, Some(kind))),
            // Which of several equal values is summed shows in a numeric's scale: only PostgreSQL knows which it takes.
            _ => catalog_lookup::equal_image(&ty).then_some((function, Some(kind))),
        }
    }

    fn reduce(
        &mut self,
        below: &Block<'t>,
        keys: &[Key<'t>],
        dependent: &[(Node<'t>, usize)],
        used: &[Used<'t>],
        global: bool,
    ) -> Lowered<Leaf<'t>> {
        let finished = self.finish(below)?;
        let shown = |index: usize| (finished.outputs[index], &finished.columns[index]);
        let mut key_columns = Vec::new();
        let mut columns = Vec::new();
        let mut representatives = Vec::new();
        for key in keys {
            let (position, column) = shown(key.shown);
            let name = self.name_of(below, key.expression);
            let what = format!("grouping key {name}");
            let (compared, by) = shown(key.compared.unwrap_or(key.shown));
            key_columns.push(key_column(Expr::Column(compared, by.ty.kind), &by.ty, true, &what)?);
            let exact = catalog_lookup::equal_image(&column.ty);
            representatives.push((!exact).then_some(position));
            columns.push(Column { name, determined: column.determined && exact, ..column.clone() });
        }
        for (_, input) in dependent {
            let (position, column) = shown(*input);
            key_columns.push(image_column(position, &column.ty));
            columns.push(Column { name: self.name_of(below, below.outputs[*input].expression), ..column.clone() });
        }

        let mut aggregates = Vec::new();
        let mut collected = Vec::new();
        // Where each of `used` is: (collected, index).
        let mut places = Vec::new();
        for aggregate in used {
            columns.push(aggregate.column.clone());
            match aggregate.native {
                Some((function, argument, distinct, filter)) => {
                    places.push((false, aggregates.len()));
                    aggregates.push(Aggregate {
                        function,
                        argument: argument.map(|input| shown(input).0),
                        distinct,
                        filter: filter.map(|input| shown(input).0),
                    });
                }
                None => {
                    places.push((true, collected.len()));
                    collected.push(aggregate.resolved);
                }
            }
        }
        // HAVING without aggregates and GROUP BY: one group, which must be counted to exist.
        let mut hidden = 0;
        for representative in representatives.iter().flatten() {
            aggregates.push(Aggregate {
                function: AggregateFunction::LeastImage,
                argument: Some(*representative),
                distinct: None,
                filter: None,
            });
            hidden += 1;
        }
        if key_columns.is_empty() && aggregates.is_empty() && collected.is_empty() {
            aggregates.push(Aggregate {
                function: AggregateFunction::CountRows,
                argument: None,
                distinct: None,
                filter: None,
            });
        }
        let (key_count, aggregate_count) = (key_columns.len(), aggregates.len());
        let text = self.reduce_text(below, used);
        let mut stage = self.restage(below, finished.rel, &finished.outputs, finished.width);
        let site = self.site(text, stage.types());
        let collected = if collected.is_empty() { None } else { Some(self.collect(&stage, global, &collected)?) };
        let rel = Rel::Reduce(Reduce { input: stage.rel(), keys: key_columns, aggregates, collected, global, site });

        // Keys are shown by their representative where the canonical form is not one of the values.
        let mut order = Vec::new();
        let mut next_hidden = key_count + aggregate_count - hidden;
        for representative in &representatives {
            match representative {
                None => order.push(order.len()),
                Some(_) => {
                    order.push(next_hidden);
                    next_hidden += 1;
                }
            }
        }
        order.extend(keys.len()..key_count);
        for (is_collected, index) in places {
            order.push(key_count + index + if is_collected { aggregate_count } else { 0 });
        }
        let identity = order.iter().enumerate().all(|(at, column)| at == *column);
        let width = rel.width(&self.fragments);
        let rel =
            if identity && width == order.len() { rel } else { Rel::Project { input: Box::new(rel), columns: order } };
        Ok(Leaf {
            kind: LeafKind::Derived(rel),
            name: "group".to_string(),
            columns: columns.into_iter().map(Some).collect(),
            keys: vec![(0..keys.len()).collect()],
        })
    }

    /// The stage of a finished block: where the columns of its leaves are that its outputs show.
    fn restage(&self, below: &Block<'t>, rel: Rel, outputs: &[usize], width: usize) -> Stage {
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
        let mut columns = vec![(String::new(), opaque); width];
        for (output, position) in below.outputs.iter().zip(outputs) {
            columns[*position] = (self.name_of(below, output.expression), output.expression.column_type());
            if let View::Var(var) = output.expression.view() {
                positions.insert((var.entry - 1, var.attribute), *position);
            }
        }
        Stage { rel, positions, columns }
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
        let stage = Stage { rel: Rel::Values { rows: Vec::new() }, positions, columns };
        self.text(&stage, expression)
    }

    fn reduce_text(&self, below: &Block<'t>, used: &[Used<'t>]) -> String {
        let texts: Vec<String> = used.iter().map(|aggregate| self.name_of(below, aggregate.resolved)).collect();
        if texts.is_empty() {
            "GROUP BY".to_string()
        } else {
            texts.join(", ")
        }
    }

    /// DISTINCT over the outputs of a block; also what UNION adds to UNION ALL.
    pub(super) fn distinct(&mut self, block: Block<'t>, what: &str) -> Lowered<Block<'t>> {
        let mut keys = Vec::new();
        let mut inputs = Inputs::default();
        for output in &block.outputs {
            keys.push(self.grouping_key(&mut inputs, output.expression));
        }
        let names: Vec<String> = block.outputs.iter().map(|output| output.name.clone()).collect();
        let below = Block {
            outputs: inputs
                .expressions
                .iter()
                .map(|expression| Output { name: String::new(), expression: *expression })
                .collect(),
            ..block
        };
        let mut leaf = self.reduce(&below, &keys, &[], &[], false).map_err(|reason| NotIncremental {
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

/// The aggregates of an expression over groups, and its columns that are not keys; what is inside an aggregate is left out.
fn over_groups<'t>(
    compiler: &Compiler<'t, '_>,
    expression: Node<'t>,
    group_entry: Option<usize>,
) -> Lowered<Vec<Node<'t>>> {
    let mut found = Vec::new();
    compiler.arena.rewrite::<NotIncremental>(expression, &mut |node| match node.view() {
        View::Aggregate(_) => {
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

/// Float sums depend on the order of addition in PostgreSQL, and a minimum on which of equal values came first.
fn native_is_determined(function: AggregateFunction) -> bool {
    match function {
        AggregateFunction::Sum(kind) | AggregateFunction::Average(kind) => !matches!(kind, Kind::Float4 | Kind::Float8),
        AggregateFunction::Min(kind) | AggregateFunction::Max(kind) => {
            !matches!(kind, Kind::Float4 | Kind::Float8 | Kind::Numeric | Kind::Bpchar | Kind::Interval | Kind::TimeTz)
        }
        AggregateFunction::LeastImage => false,
        AggregateFunction::CountRows
        | AggregateFunction::Count
        | AggregateFunction::BoolAnd
        | AggregateFunction::BoolOr => true,
    }
}

/// Aggregates of the server that do not depend on the order of their input, unless it is of floats.
const ORDER_FREE: &[&str] = &[
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "count",
    "every",
    "max",
    "min",
    "mode",
    "percentile_cont",
    "percentile_disc",
    "range_agg",
    "range_intersect_agg",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "sum",
    "var_pop",
    "var_samp",
    "variance",
];

/// Those of them that take one of several equal values.
const CHOOSING: &[&str] = &["max", "min", "mode", "percentile_disc"];

/// Whether the content of the group determines the aggregate's value: it does not depend on the order of its input, or
/// the order is given by all of its arguments.
fn collected_is_determined(call: &Call<'_>) -> bool {
    let types: Vec<ColumnType> = call.arguments.iter().map(|argument| argument.column_type()).collect();
    let exact = types.iter().all(catalog_lookup::equal_image);
    let name = catalog_lookup::function(call.function).filter(|facts| facts.builtin).map(|facts| facts.name);
    if let Some(name) = name.as_deref().filter(|name| ORDER_FREE.contains(name)) {
        let floats = types.iter().any(|ty| matches!(ty.kind, Kind::Float4 | Kind::Float8));
        // Numerics that are equal may have different display scales. A sum shows the greatest of them, in any order; but not
        // where only one of the equal values is taken.
        let one_of_equals = call.distinct || CHOOSING.contains(&name);
        return !floats && (exact || !one_of_equals && types.iter().all(|ty| ty.kind == Kind::Numeric));
    }
    let sorted = call.distinct || (call.has_order && (0..types.len()).all(|at| call.order.contains(&at)));
    exact && sorted
}
