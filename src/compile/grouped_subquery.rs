//! Scalar subqueries that aggregate the rows equal to something of the row around them: a join with the groups.
//!
//! ```text
//! (SELECT f(max(d)) FROM s WHERE s.c = r.b)   with   G = SELECT c, max(d) AS m FROM s GROUP BY c
//!   =  f(G.m) of r LEFT JOIN G ON G.c = r.b
//! ```
//!
//! No bindings are needed (HAZARDS E38): a row meets one group at most, since groups and comparison have one equality. Where
//! it meets none, the aggregates are those over no rows: NULL, and 0 for count. A condition of WHERE that is not true if the
//! value is NULL makes an inner join of it. G is computed for groups that no row asks for: only aggregates that cannot raise
//! are (HAZARDS E25).

use super::block::conjuncts;
use super::outer_join::{Kind, Outer};
use super::scope::{Binding, Scope};
use super::{unique, Compiler, Lowered};
use crate::pg::catalog_lookup;
use crate::pg::node::{Node, View};
use crate::pg::query::Query;
use crate::pg::sublink::{SubLink, SubLinkKind};
use trickle_operators::value::Kind as ValueKind;

/// An equality of the subquery's rows with something of the queries around it.
struct Correlation<'t> {
    inner: Node<'t>,
    condition: Node<'t>,
}

/// Aggregates over no rows.
enum Empty {
    Null,
    Zero,
}

impl<'t> Compiler<'t, '_> {
    /// The value of a scalar subquery, if it is of this shape. `condition` is the condition of WHERE that it is in, if it is.
    pub(super) fn lift_grouped(
        &mut self,
        scope: &mut Scope<'t>,
        link: &SubLink<'t>,
        written: Node<'t>,
        condition: Option<Node<'t>>,
    ) -> Lowered<Option<Node<'t>>> {
        let Some((correlations, target)) = shape(self, link) else { return Ok(None) };
        let mut aggregates: Vec<(Node<'t>, Empty)> = Vec::new();
        for aggregate in aggregates_of(self, target) {
            let Some(empty) = self.certain_aggregate(aggregate) else { return Ok(None) };
            if aggregates.iter().all(|(known, _)| *known != aggregate) {
                aggregates.push((aggregate, empty));
            }
        }
        let null_if_empty =
            |node: Node<'t>| matches!(aggregates.iter().find(|(known, _)| *known == node), Some((_, Empty::Null)));
        let rejecting = condition.is_some_and(|condition| {
            is_strict(condition, &|node| node.is(written)) && is_strict(target, &null_if_empty)
        });
        if !rejecting && scope.fixed {
            return Ok(None);
        }
        let query = link.query;
        let outside = self.correlated.replace(Vec::new());
        let inner = self.at_level(query, |compiler| compiler.lower_from(query, None));
        self.correlated = outside;
        let inner = inner?;
        let mut keys = Vec::new();
        for correlation in &correlations {
            self.check_expression(correlation.condition, "a subquery")?;
            keys.push(inner.resolve(self, correlation.inner)?);
        }
        if !inner.block.predicates.iter().chain(&keys).all(|node| self.cannot_raise(*node)) {
            return Ok(None);
        }
        let calls: Vec<Node<'t>> = aggregates.iter().map(|(call, _)| *call).collect();
        // What has no key is compared row by row.
        let groups = self.at_level(query, |compiler| compiler.grouped_by(query, inner, &keys, &calls));
        let Ok(groups) = groups else { return Ok(None) };
        let (types, described) = {
            let columns = groups.leaves[0].columns.iter().flatten();
            let types: Vec<_> = columns.clone().map(|column| column.ty.clone()).collect();
            (types, columns.cloned().collect::<Vec<_>>())
        };
        let count = keys.len();
        let compare = |compiler: &Self, correlation: &Correlation<'t>, key: Node<'t>, around: &Scope<'t>| {
            compiler.arena.rewrite(correlation.condition, &mut |node| match node.view() {
                _ if node == correlation.inner => Ok(Some(key)),
                View::Var(var) if var.levels_up > 1 => {
                    around.look_out(compiler, var.levels_up - 1, var.entry, var.attribute).map(Some)
                }
                View::Var(var) if var.levels_up == 1 => {
                    around.column(compiler, node, var.entry, var.attribute).map(Some)
                }
                _ => Ok(None),
            })
        };
        let (entry, first_column) = if rejecting {
            let leaf = groups.leaves.into_iter().next().ok_or_else(super::block::missing_column)?;
            let number = scope.block.leaves.len() + 1;
            for (at, correlation) in correlations.iter().enumerate() {
                let key = self.arena.var(number, at as i16 + 1, &types[at]);
                let predicate = compare(self, correlation, key, scope)?;
                scope.block.predicates.push(predicate);
            }
            let binding = scope.add(leaf);
            (scope.entry(binding), 0)
        } else {
            // The scope's rows, whole, are the side that is kept.
            let (aliases, outside) = (scope.aliases(), scope.outside.clone());
            let empty = Scope::default();
            let (first, bound) = self.enclose_all(std::mem::replace(scope, empty))?;
            let mut on = Scope::new(aliases, outside.clone());
            for (entry, columns) in &bound {
                on.entries[*entry] = Binding::Columns(0, columns.clone());
            }
            let mut conditions = Vec::new();
            for (at, correlation) in correlations.iter().enumerate() {
                let key = self.arena.var(2, at as i16 + 1, &types[at]);
                conditions.push(compare(self, correlation, key, &on)?);
            }
            let mut columns = first
                .outputs
                .iter()
                .map(|output| first.describe(&output.name, output.expression).map(Some))
                .collect::<Lowered<Vec<_>>>()?;
            let offset = columns.len();
            columns.extend(described.into_iter().map(|mut column| {
                column.nullable = true;
                Some(column)
            }));
            let keys = unique::of_block(&first);
            let outer = Outer::new(Kind::Left, [first, groups], conditions);
            scope.entries = on.entries;
            scope.outside = outside;
            scope.add(outer.leaf("join", columns, keys)?);
            (scope.entry(Binding::Leaf(0)), offset)
        };
        let column = |at: usize| self.arena.var(entry, (first_column + count + at) as i16 + 1, &types[count + at]);
        let value = self.arena.rewrite::<super::NotIncremental>(target, &mut |node| {
            let found = aggregates.iter().position(|(known, _)| *known == node);
            Ok(found.map(|at| match aggregates[at].1 {
                Empty::Null => column(at),
                Empty::Zero => self.arena.coalesce_zero(column(at)),
            }))
        })?;
        Ok(Some(value))
    }

    /// What an aggregate that raises for no rows is over none.
    fn certain_aggregate(&self, aggregate: Node<'t>) -> Option<Empty> {
        let View::Aggregate(call) = aggregate.view() else { return None };
        let facts = catalog_lookup::function(call.function).filter(|facts| facts.builtin)?;
        if call.ordered_set
            || call.variadic
            || !call.arguments.iter().chain(&call.filter).all(|node| self.cannot_raise(*node))
        {
            return None;
        }
        let exact = call.arguments.iter().all(|argument| {
            matches!(
                argument.column_type().kind,
                ValueKind::Int2 | ValueKind::Int4 | ValueKind::Int8 | ValueKind::Numeric
            )
        });
        match facts.name.as_str() {
            "count" => Some(Empty::Zero),
            "min" | "max" | "bool_and" | "bool_or" | "every" => Some(Empty::Null),
            "sum" | "avg" if exact => Some(Empty::Null),
            _ => None,
        }
    }
}

/// The equalities and the target of a subquery of this shape.
fn shape<'t>(compiler: &Compiler<'t, '_>, link: &SubLink<'t>) -> Option<(Vec<Correlation<'t>>, Node<'t>)> {
    let query = link.query;
    let groups = query.has_group_by() || query.having().is_some() || query.has_distinct();
    let more = query.has_windows() || query.has_target_sets() || query.has_limit();
    if link.kind != SubLinkKind::Scalar || query.set_operations().is_some() || groups || more || !query.has_aggregates()
    {
        return None;
    }
    let target = query.targets().into_iter().find(|target| !target.junk)?.expression;
    let references = compiler.references(query);
    if references.is_empty() || super::subquery::has_subquery(target) {
        return None;
    }
    let mut correlations = Vec::new();
    let mut counted = 0;
    for condition in conditions_of(query) {
        let count = condition.references().count;
        if count > 0 {
            counted += count;
            correlations.push(correlation(condition)?);
        }
    }
    (counted == references.count).then_some((correlations, target))
}

/// The conditions of a query's WHERE and inner joins.
fn conditions_of<'t>(query: Query<'t>) -> Vec<Node<'t>> {
    let (items, condition) = query.items_of_from();
    let mut conditions = Vec::new();
    condition.into_iter().for_each(|condition| conjuncts(condition, &mut conditions));
    items.iter().for_each(|item| super::semi_join::join_conditions(item, &mut conditions));
    conditions
}

fn correlation<'t>(condition: Node<'t>) -> Option<Correlation<'t>> {
    let View::Operator(call) = condition.view() else { return None };
    let [left, right] = call.arguments[..] else { return None };
    if super::subquery::has_subquery(condition) {
        return None;
    }
    let own = |node: Node<'t>| node.references().count == 0;
    let foreign = |node: Node<'t>| node.all_references().columns.iter().all(|of| of.levels_up > 1);
    let (inner, outer) = match () {
        () if own(left) && foreign(right) => (left, right),
        () if own(right) && foreign(left) => (right, left),
        () => return None,
    };
    let integer =
        |node: Node<'t>| matches!(node.column_type().kind, ValueKind::Int2 | ValueKind::Int4 | ValueKind::Int8);
    let integers = catalog_lookup::builtin(call.operator)
        && catalog_lookup::is_equality(call.operator)
        && integer(inner)
        && integer(outer);
    let deterministic = [call.collation, inner.collation()].into_iter().all(catalog_lookup::deterministic);
    let same = catalog_lookup::default_equality(inner.type_oid(), call.operator) && deterministic;
    (integers || same).then_some(Correlation { inner, condition })
}

fn aggregates_of<'t>(compiler: &Compiler<'t, '_>, target: Node<'t>) -> Vec<Node<'t>> {
    let mut found = Vec::new();
    let walked = compiler.arena.rewrite::<()>(target, &mut |node| {
        Ok(matches!(node.view(), View::Aggregate(_)).then(|| {
            found.push(node);
            node
        }))
    });
    debug_assert!(walked.is_ok());
    found
}

/// Whether an expression is NULL, and not true, if a part of it is.
fn is_strict<'t>(expression: Node<'t>, part: &dyn Fn(Node<'t>) -> bool) -> bool {
    if part(expression) {
        return true;
    }
    match expression.view() {
        View::Operator(call) | View::Function(call) if catalog_lookup::strict(call.function) => {
            call.arguments.into_iter().any(|argument| is_strict(argument, part))
        }
        View::Relabel(inner) => is_strict(inner, part),
        _ => false,
    }
}
