//! EXISTS, IN and their negations as conditions of WHERE: semijoins and antijoins with the subquery.
//!
//! The subquery is lowered as a block of its own, without its conditions that refer to the query around it: these, and IN's
//! comparison, are the join's condition. Where a result counts as true or not true only, as a condition of WHERE does,
//! EXISTS and IN are semijoins, and NOT EXISTS is an antijoin. NOT IN is true for the rows for which the comparison is false
//! for each row of the subquery, so rows go for which there is one where it is true or unknown:
//!
//! ```text
//! a NOT IN (SELECT b …)  =  rows without (a = b), without (b IS NULL), and without (a IS NULL and there is any)
//! ```

use super::block::{columns_of, conjuncts, Block, Output};
use super::existence::Existence;
use super::outer_join::{Kind, Outer};
use super::scope::{lateral, Binding, Scope};
use super::{temporal, unique, Compiler, Lowered, NotIncremental};
use crate::pg::catalog_lookup;
use crate::pg::node::{Node, View};
use crate::pg::query::{FromItem, JoinKind, Query};
use crate::pg::sublink::{SubLink, SubLinkKind};

fn further_out(expression: Node<'_>) -> usize {
    expression.references().count
}

pub(super) fn join_conditions<'t>(item: &FromItem<'t>, into: &mut Vec<Node<'t>>) {
    if let FromItem::Join { kind: JoinKind::Inner, left, right, condition, .. } = item {
        join_conditions(left, into);
        join_conditions(right, into);
        condition.iter().for_each(|condition| conjuncts(*condition, into));
    }
}

/// Whether a query level does nothing but filter and join.
fn is_plain(query: Query<'_>) -> bool {
    query.set_operations().is_none()
        && !query.has_group_by()
        && !query.has_aggregates()
        && query.having().is_none()
        && !query.has_distinct()
        && !query.has_limit()
        && !query.has_windows()
        && !query.has_target_sets()
}

/// Whether an expression refers to the queries around its own.
pub(super) fn looks_out(expression: Node<'_>) -> bool {
    !expression.references().is_empty()
}

/// Which rows of the subquery a row meets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meets {
    /// For which the comparison is true, if there is one.
    True,
    /// NULLs.
    Null,
    /// Any, if its own value is NULL.
    Any,
}

/// A subquery as a side of a join, under construction.
#[derive(Clone)]
struct Inner<'t> {
    /// Its outputs are what the join's condition reads.
    block: Block<'t>,
    /// What its own Vars mean; none if there is nothing more to be resolved.
    scope: Option<Scope<'t>>,
    targets: Vec<Node<'t>>,
    /// Conditions that refer to the query around it, as they are written.
    correlated: Vec<Node<'t>>,
}

impl<'t> Inner<'t> {
    /// The column of the join's second side that shows an expression over the block.
    fn show(&mut self, compiler: &Compiler<'t, '_>, expression: Node<'t>) -> Node<'t> {
        let outputs = &mut self.block.outputs;
        let at = outputs.iter().position(|output| output.expression == expression).unwrap_or_else(|| {
            outputs.push(Output { name: format!("column{}", outputs.len() + 1), expression });
            outputs.len() - 1
        });
        compiler.arena.var_like(expression, 2, at as i16 + 1)
    }
}

impl<'t> Compiler<'t, '_> {
    /// Whether a condition is a subquery or the negation of one, and which.
    pub(super) fn subquery_of(&self, condition: Node<'t>) -> Option<(bool, SubLink<'t>)> {
        let (negated, link) = match condition.view() {
            View::Not(inner) => (true, inner.sublink()?),
            _ => (false, condition.sublink()?),
        };
        let link = match link.kind {
            SubLinkKind::Exists => match self.existence(link).ok()? {
                Existence::Any(link) => link,
                Existence::Never | Existence::Beyond(..) => return None,
            },
            _ => link,
        };
        let as_join = matches!(link.kind, SubLinkKind::Exists | SubLinkKind::Any) && self.is_simple(link);
        as_join.then_some((negated, link))
    }

    /// Whether a subquery refers to the query around it, if at all, in conditions of its own WHERE and joins alone: these become
    /// conditions of a join with it. Any other is lowered for its bindings ([`super::context`]).
    fn is_simple(&self, link: SubLink<'t>) -> bool {
        let query = link.query;
        let mut references = self.references(query);
        if link.kind == SubLinkKind::Exists && is_plain(query) {
            // What it would show is not looked at.
            let shown: usize = query.targets().iter().map(|target| further_out(target.expression)).sum();
            references.count -= shown;
        }
        if references.count == 0 {
            return true;
        }
        let (items, condition) = query.items_of_from();
        let mut conditions = Vec::new();
        condition.into_iter().for_each(|condition| conjuncts(condition, &mut conditions));
        items.iter().for_each(|item| join_conditions(item, &mut conditions));
        let counted: usize = conditions
            .iter()
            .filter(|condition| !super::subquery::has_subquery(**condition))
            .map(|condition| further_out(*condition))
            .sum();
        is_plain(query) && counted == references.count && references.columns.iter().all(|column| column.levels_up == 1)
    }

    /// Joins the scope's block with a subquery of the WHERE clause; false, and nothing is done, if that takes more than joins.
    pub(super) fn bind_subquery(
        &mut self,
        query: Query<'t>,
        scope: &mut Scope<'t>,
        negated: bool,
        mut link: SubLink<'t>,
    ) -> Lowered<bool> {
        if temporal::looks_out_by_clock(link.query) {
            return Ok(false);
        }
        if let Some(test) = link.test {
            link.test = Some(self.lift(scope, test)?);
        }
        let inner = self.inner(link.query, link.test.is_some())?;
        let (kind, meetings) = match (negated, link.test) {
            (false, _) => (Kind::Semi, vec![Meets::True]),
            (true, None) => (Kind::Anti, vec![Meets::True]),
            (true, Some(test)) => match self.meetings(scope, &inner, test)? {
                Some(meetings) => (Kind::Anti, meetings),
                None => return Ok(false),
            },
        };
        meetings
            .into_iter()
            .try_for_each(|meets| self.restrict(query, scope, kind, (link.test, inner.clone()), meets))?;
        Ok(true)
    }

    /// What takes a row out under NOT IN; none if it compares otherwise, or rows that may contain NULLs.
    fn meetings(&self, scope: &Scope<'t>, inner: &Inner<'t>, test: Node<'t>) -> Lowered<Option<Vec<Meets>>> {
        let mut parts = Vec::new();
        conjuncts(test, &mut parts);
        let (mut own_nullable, mut null_inside) = (false, false);
        for part in &parts {
            let View::Operator(call) = part.view() else { return Ok(None) };
            if !catalog_lookup::is_equality(call.operator) {
                return Ok(None);
            }
            for argument in call.arguments {
                let mut column = None;
                argument.visit(&mut |node| {
                    column = column.or(node.sublink_column());
                    column.is_some()
                });
                match column {
                    Some(column) => {
                        let target = inner.targets.get(column - 1).ok_or_else(super::block::missing_column)?;
                        null_inside |= inner.block.describe("", *target)?.nullable;
                    }
                    None => {
                        let own = scope.resolve(self, argument)?;
                        let nullable = scope.block.describe("", own)?.nullable;
                        if nullable && columns_of(own).is_empty() {
                            return Ok(None);
                        }
                        own_nullable |= nullable;
                    }
                }
            }
        }
        let mut meetings = vec![Meets::True];
        meetings.extend(null_inside.then_some(Meets::Null));
        meetings.extend(own_nullable.then_some(Meets::Any));
        Ok((parts.len() == 1 || meetings.len() == 1).then_some(meetings))
    }

    fn restrict(
        &mut self,
        query: Query<'t>,
        scope: &mut Scope<'t>,
        kind: Kind,
        (test, mut inner): (Option<Node<'t>>, Inner<'t>),
        meets: Meets,
    ) -> Lowered<()> {
        let aliases = scope.aliases();
        let outside = scope.outside.clone();
        let around = std::mem::take(scope);
        let (mut first, bound) = self.enclose(query, around)?;
        if first.outputs.is_empty() {
            first.show(self.arena.truth());
        }
        let mut on = Scope::new(aliases.clone(), outside.clone());
        for (entry, columns) in &bound {
            on.entries[*entry] = Binding::Columns(0, columns.clone());
        }
        let mut condition = Vec::new();
        for part in std::mem::take(&mut inner.correlated) {
            self.check_expression(part, "a subquery")?;
            let part = self.arena.rewrite(part, &mut |node| match node.view() {
                View::Var(var) if var.levels_up == 1 => {
                    let near = self.arena.var_like(node, var.entry, var.attribute);
                    on.resolve(self, near).map(Some)
                }
                View::Var(var) if var.levels_up == 0 => {
                    let scope = inner.scope.as_ref().ok_or_else(lateral)?;
                    let own = scope.resolve(self, node)?;
                    Ok(Some(inner.show(self, own)))
                }
                View::Var(_) => Err(lateral()),
                _ => Ok(None),
            })?;
            conjuncts(part, &mut condition);
        }
        if let Some(test) = test {
            let test = self.arena.rewrite(test, &mut |node| match (node.view(), node.sublink_column()) {
                (_, Some(column)) => {
                    let target = inner.targets.get(column - 1).copied();
                    Ok(Some(inner.show(self, target.ok_or_else(super::block::missing_column)?)))
                }
                (View::Var(_), None) => on.resolve(self, node).map(Some),
                _ => Ok(None),
            })?;
            self.check_expression(test, "a comparison with a subquery")?;
            match meets {
                Meets::True => conjuncts(test, &mut condition),
                Meets::Null => condition.push(self.arena.is_null(side_of(test, 1)?)),
                Meets::Any => condition.push(self.arena.is_null(side_of(test, 0)?)),
            }
        }
        let columns = first
            .outputs
            .iter()
            .map(|output| first.describe(&output.name, output.expression).map(Some))
            .collect::<Lowered<Vec<_>>>()?;
        let keys = unique::of_block(&first);
        if inner.block.outputs.is_empty() {
            let some = self.arena.truth();
            inner.show(self, some);
        }
        let outer = Outer::new(kind, [first, inner.block], condition);
        scope.entries = aliases;
        scope.outside = outside;
        scope.add(outer.leaf("input", columns, keys)?);
        for (entry, columns) in bound {
            scope.entries[entry] = Binding::Columns(0, columns);
        }
        Ok(())
    }

    /// Lowers the subquery: of a plain one conditions may refer to the query around it.
    fn inner(&mut self, query: Query<'t>, shows: bool) -> Lowered<Inner<'t>> {
        if !is_plain(query) {
            let mut block = self.query(query)?;
            let targets = block.outputs.drain(..).map(|output| output.expression).collect();
            return Ok(Inner { block, scope: None, targets, correlated: Vec::new() });
        }
        self.check_clauses(query)?;
        self.at_level(query, |compiler| {
            let outside = compiler.correlated.replace(Vec::new());
            let scope = compiler.lower_from(query, None);
            let correlated = std::mem::replace(&mut compiler.correlated, outside).unwrap_or_default();
            let mut scope = scope?;
            let mut targets = Vec::new();
            if shows {
                for target in query.targets().into_iter().filter(|target| !target.junk) {
                    let expression = compiler.lift(&mut scope, target.expression)?;
                    compiler.check_expression(expression, "the target list")?;
                    targets.push(expression);
                }
            }
            let targets = targets.into_iter().map(|target| scope.resolve(compiler, target)).collect::<Lowered<_>>()?;
            Ok(Inner { block: scope.block.clone(), scope: Some(scope), targets, correlated })
        })
    }
}

/// The argument of a comparison that reads this leaf only.
fn side_of(comparison: Node<'_>, leaf: usize) -> Lowered<Node<'_>> {
    let View::Operator(call) = comparison.view() else { return Err(self::comparison()) };
    let reads = |node: &Node<'_>| columns_of(*node).iter().any(|column| column.0 == leaf);
    call.arguments.into_iter().find(reads).ok_or_else(self::comparison)
}

fn comparison() -> NotIncremental {
    NotIncremental::new("NOT of a comparison with a subquery", "The query negates a comparison with a subquery.")
}
