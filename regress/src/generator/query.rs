//! Random queries over tables, views and stream tables, to a depth.

use super::expression::{Expressions, Leaf};
use super::functions::Certainty;
use super::tree::Tree;
use super::types::{self, Type};
use crate::random::Random;

#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    pub ty: Type,
    pub certainty: Certainty,
}

/// What a query reads: a table, a view, a stream table, a WITH query.
#[derive(Clone, Debug)]
pub struct Source {
    pub name: String,
    pub columns: Vec<Column>,
    /// Whether the first column is a primary key.
    pub keyed: bool,
}

#[derive(Clone, Debug)]
pub struct Query {
    pub tree: Tree,
    pub columns: Vec<Column>,
}

pub struct Queries<'r> {
    pub random: &'r mut Random,
    pub wild: bool,
    pub(super) sources: Vec<Source>,
    aliases: usize,
    /// What the queries around this one offer.
    pub(super) outer: Vec<Leaf>,
}

/// The FROM clause of a block: its text, what it offers, and the columns of its keyed tables by their key.
pub(super) struct From {
    pub tree: Tree,
    pub scope: Vec<Leaf>,
    pub keyed: Vec<(Leaf, Vec<Leaf>)>,
    pub conditions: Vec<Tree>,
}

/// Temporal filters: as what they are compared with depends on the clock, so does what reads them ([`super::run`]).
const TEMPORAL: &[&str] = &[
    "({timestamptz} > now() - interval '2 seconds')",
    "({timestamptz} + interval '1 second' <= now())",
    "({timestamptz} <= now() AND ({timestamptz} IS NULL OR now() < {timestamptz} + interval '3 seconds'))",
    "({timestamp} >= now() AT TIME ZONE 'UTC' - interval '1 second')",
    "({date} = current_date)",
    "({date} >= current_date - 1 OR {int4} > 2)",
    "NOT (now() - {timestamptz} < interval '1500 milliseconds')",
    "(tstzrange({timestamptz}, '2030-01-01') @> now())",
];

/// Whether a query's text reads the clock.
pub fn reads_clock(query: &str) -> bool {
    query.contains("now()") || query.contains("current_date")
}

impl<'r> Queries<'r> {
    pub fn new(random: &'r mut Random, sources: Vec<Source>, wild: bool) -> Queries<'r> {
        Queries { random, wild, sources, aliases: 0, outer: Vec::new() }
    }

    /// A query with its WITH clause, if it has one.
    pub fn query(&mut self, depth: usize) -> Query {
        let known = self.sources.len();
        let mut with = Vec::new();
        let mut open = "WITH ";
        if self.random.chance(20) {
            for _ in 0..1 + self.random.below(2) {
                let name = self.name("w");
                let (tree, columns) = if self.random.chance(25) {
                    open = "WITH RECURSIVE ";
                    self.recursive(&name)
                } else {
                    let query = self.body(depth.min(1), None);
                    let how = [" AS (", " AS MATERIALIZED (", " AS NOT MATERIALIZED ("][self.random.below(3)];
                    (Tree::all(vec![Tree::text(format!("{name}{how}")), query.tree, Tree::text(")")]), query.columns)
                };
                with.push(tree);
                // Twice in the list: it shall be read, and be it by two items of one FROM.
                let source = Source { name, columns, keyed: false };
                self.sources.extend([source.clone(), source]);
            }
        }
        let mut query = self.body(depth, None);
        self.sources.truncate(known);
        query.tree = Tree::all(vec![Tree::list(open, ", ", " ", with), query.tree]);
        query
    }

    /// A name that nothing else has.
    pub(super) fn name(&mut self, first: &str) -> String {
        self.aliases += 1;
        format!("{first}{}", self.aliases)
    }

    pub(super) fn expressions(&mut self) -> Expressions<'_> {
        Expressions { random: self.random, wild: self.wild }
    }

    pub(super) fn body(&mut self, depth: usize, wanted: Option<&[Type]>) -> Query {
        if depth == 0 || !self.random.chance(18) {
            return match self.random.chance(2) {
                true => self.rows(wanted),
                false => self.select(depth, wanted),
            };
        }
        let types: Vec<Type> = match wanted {
            Some(wanted) => wanted.to_vec(),
            None => (0..1 + self.random.below(3)).map(|_| types::any(self.random)).collect(),
        };
        let operators =
            ["UNION ALL", "UNION ALL", "UNION", "UNION", "EXCEPT", "INTERSECT", "EXCEPT ALL", "INTERSECT ALL"];
        let operator = operators[self.random.below(operators.len())];
        let mut arms = vec![self.body(depth - 1, Some(&types)), self.select(depth - 1, Some(&types))];
        if operator.starts_with('U') && self.random.chance(25) {
            arms.push(self.select(0, Some(&types)));
        }
        let vague = arms.iter().flat_map(|arm| &arm.columns).any(|column| column.certainty == Certainty::Vague);
        let operator = if vague { "UNION ALL" } else { operator };
        let same = operator == "UNION ALL";
        let columns = (0..types.len())
            .map(|at| {
                let certainty = arms.iter().map(|arm| arm.columns[at].certainty).max().expect("an arm");
                let kept = same || types[at].equal_is_same();
                let certainty = if kept { certainty } else { certainty.max(Certainty::Equal) };
                Column { certainty, ..arms[0].columns[at].clone() }
            })
            .collect();
        let mut parts = Vec::new();
        let mut hoist = Vec::new();
        for (at, arm) in arms.into_iter().enumerate() {
            parts.push(Tree::text(if at == 0 { "(".to_string() } else { format!(") {operator} (") }));
            hoist.push(parts.len());
            parts.push(arm.tree);
        }
        parts.push(Tree::text(")"));
        Query { tree: Tree::All { parts, hoist, plain: None }, columns }
    }

    pub(super) fn select(&mut self, depth: usize, wanted: Option<&[Type]>) -> Query {
        let mut from = self.from(depth);
        let grouped = self.random.chance(40);
        // What is around is seen by all that is not grouped.
        let around: Vec<Leaf> = if self.random.chance(70) { self.outer.clone() } else { Vec::new() };
        let mut visible = [from.scope.clone(), around.clone()].concat();
        if depth > 0 {
            for _ in 0..[0, 0, 0, 1, 1, 2][self.random.below(6)] {
                let leaf = self.subquery(&visible, depth - 1);
                if grouped && self.random.chance(50) {
                    from.scope.push(leaf.clone());
                }
                visible.push(leaf);
            }
        }
        for _ in 0..[0, 0, 0, 0, 1, 1, 2][self.random.below(7)] {
            let condition = self.expressions().condition(&visible, 2);
            from.conditions.push(condition);
        }
        if depth > 0 && self.random.chance(15) {
            let condition = self.subquery_condition(&visible, depth - 1);
            from.conditions.push(condition);
        }
        if self.outer.is_empty() && self.random.chance(3) {
            from.conditions.extend(self.temporal(&from.scope));
        }
        // A correlation that matters.
        if !around.is_empty() && self.random.chance(70) {
            from.conditions.extend(self.equality(&from.scope, &around));
        }
        let mut tail = Vec::new();
        let mut scope = if grouped { [self.group(&from, &mut tail), around].concat() } else { visible };
        if grouped && depth > 0 && self.random.chance(10) {
            scope.push(self.subquery(&scope, depth - 1));
        }
        let bounded = scope.len() <= 12;
        let mut windows = Vec::new();
        if bounded && self.random.chance(15) {
            // None is over another.
            let over: Vec<Leaf> = (0..1 + self.random.below(3)).map(|_| self.window(&scope, &mut windows)).collect();
            scope.extend(over);
        }
        let mut columns = self.outputs(&scope, wanted);
        if wanted.is_none() && depth > 0 && self.random.chance(4) {
            columns.push(self.set_in_targets(&scope));
        }
        let vague = columns.iter().any(|leaf| leaf.certainty == Certainty::Vague);
        let mut distinct = Tree::text("");
        let mut distinct_rows = false;
        if !vague && self.random.chance(15) {
            distinct_rows = true;
            distinct = Tree::option(Tree::text("DISTINCT "));
        }
        let (mut items, mut named) = (Vec::new(), Vec::new());
        for leaf in columns {
            let name = self.name("c");
            // Of a union's arms, none may lose a column alone.
            items.push(Tree::all(vec![leaf.tree, Tree::text(format!(" AS {name}"))]));
            let kept = !distinct_rows || leaf.ty.equal_is_same();
            let certainty = if kept { leaf.certainty } else { leaf.certainty.max(Certainty::Equal) };
            named.push(Column { name, ty: leaf.ty, certainty });
        }
        tail.push(Tree::list(" WINDOW ", ", ", "", windows));
        if self.random.chance(10) {
            tail.extend(self.limit(&named));
        } else if !distinct_rows && self.random.chance(5) {
            if let Some((on, order)) = self.distinct_on(&named) {
                distinct = on;
                tail.push(order);
            }
        }
        let parts = vec![
            Tree::text("SELECT "),
            distinct,
            Tree::some("", ", ", "", items),
            from.tree,
            Tree::list(" WHERE ", " AND ", "", from.conditions),
            Tree::all(tail),
        ];
        Query { tree: Tree::all(parts), columns: named }
    }

    /// A temporal filter on columns, where there are such.
    fn temporal(&mut self, scope: &[Leaf]) -> Option<Tree> {
        let mut text = TEMPORAL[self.random.below(TEMPORAL.len())].to_string();
        for ty in [Type::TimestampTz, Type::Timestamp, Type::Date, Type::Int4] {
            let argument = format!("{{{}}}", ty.short());
            if text.contains(&argument) {
                let of: Vec<&Leaf> =
                    scope.iter().filter(|leaf| leaf.ty == ty && leaf.certainty == Certainty::Exact).collect();
                let column = of.get(self.random.below(of.len().max(1)))?.tree.render();
                text = text.replace(&argument, &column);
            }
        }
        Some(Tree::text(text))
    }

    /// What the target list shows: as wanted, or what the scope has to offer.
    fn outputs(&mut self, scope: &[Leaf], wanted: Option<&[Type]>) -> Vec<Leaf> {
        let random_types: Vec<Type> = match wanted {
            Some(wanted) => wanted.to_vec(),
            None => (0..1 + self.random.below(4)).map(|_| self.expressions().type_in(scope)).collect(),
        };
        random_types
            .into_iter()
            .map(|ty| {
                let fitting: Vec<&Leaf> = scope.iter().filter(|leaf| leaf.ty == ty).collect();
                if !fitting.is_empty() && self.random.chance(50) {
                    return fitting[self.random.below(fitting.len())].clone();
                }
                Leaf { tree: self.expressions().exact(scope, ty, 3), ty, certainty: Certainty::Exact }
            })
            .map(|leaf| match wanted {
                // The arms of a union must agree in their types to the modifier.
                Some(_) => Leaf {
                    tree: Tree::all(vec![Tree::text("("), leaf.tree, Tree::text(format!(")::{}", leaf.ty.sql()))]),
                    ..leaf
                },
                None => leaf,
            })
            .collect()
    }

    /// GROUP BY and HAVING; what is in scope over the groups.
    fn group(&mut self, from: &From, tail: &mut Vec<Tree>) -> Vec<Leaf> {
        let (mut keys, mut scope) = (Vec::new(), Vec::new());
        for _ in 0..[0, 1, 1, 2, 3][self.random.below(5)] {
            let ty = self.expressions().type_in(&from.scope);
            let column: Vec<&Leaf> =
                from.scope.iter().filter(|leaf| leaf.ty == ty && leaf.certainty <= Certainty::Equal).collect();
            let (tree, certainty) = if !column.is_empty() && self.random.chance(65) {
                let leaf = column[self.random.below(column.len())];
                (leaf.tree.clone(), leaf.certainty)
            } else {
                (self.expressions().exact(&from.scope, ty, 2), Certainty::Exact)
            };
            let certainty = if ty.equal_is_same() { certainty } else { certainty.max(Certainty::Equal) };
            scope.push(Leaf { tree: tree.clone(), ty, certainty });
            keys.push(tree);
        }
        if !from.keyed.is_empty() && self.random.chance(20) {
            let (key, columns) = &from.keyed[self.random.below(from.keyed.len())];
            keys.push(key.tree.clone());
            scope.push(key.clone());
            scope.extend(columns.iter().cloned());
        }
        for _ in 0..1 + self.random.below(3) {
            let leaf = self.expressions().aggregate(&from.scope, 2);
            scope.push(leaf);
        }
        if (1..4).contains(&keys.len()) && self.random.chance(25) {
            let (sets, grouping) = self.grouping_sets(keys);
            tail.push(sets);
            scope.extend(grouping);
        } else {
            tail.push(Tree::list(" GROUP BY ", ", ", "", keys));
        }
        if self.random.chance(25) {
            let condition = self.expressions().condition(&scope, 2);
            tail.push(Tree::option(Tree::all(vec![Tree::text(" HAVING "), condition])));
        }
        scope
    }
}
