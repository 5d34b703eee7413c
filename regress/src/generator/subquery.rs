//! Subqueries in expressions, correlated at any depth, and recursive queries.

use super::expression::Leaf;
use super::functions::Certainty;
use super::query::{Column, Queries, Query};
use super::tree::Tree;
use super::types::{self, Type};

/// Aggregates of one argument whose value over no row is none of an error's.
const SCALARS: &[(&str, Type)] = &[
    ("count(*)", Type::Int8),
    ("count({=any})", Type::Int8),
    ("sum({int4})", Type::Int8),
    ("max({int4})", Type::Int4),
    ("min({text})", Type::Text),
    ("max({date})", Type::Date),
    ("sum({numeric})", Type::Numeric),
    ("avg({int4})", Type::Numeric),
    ("bool_or({bool})", Type::Bool),
    ("string_agg({text}, '+' ORDER BY {1})", Type::Text),
    ("coalesce(max({int4}), 0)", Type::Int4),
];

impl Queries<'_> {
    /// What `body` makes, inside of a query that offers `scope`.
    pub(super) fn inside<T>(&mut self, scope: &[Leaf], body: impl FnOnce(&mut Self) -> T) -> T {
        let known = self.outer.len();
        self.outer.extend_from_slice(scope);
        let made = body(self);
        self.outer.truncate(known);
        made
    }

    /// An expression that is a subquery.
    pub(super) fn subquery(&mut self, scope: &[Leaf], depth: usize) -> Leaf {
        match self.random.below(10) {
            0..4 => Leaf { tree: self.subquery_condition(scope, depth), ty: Type::Bool, certainty: Certainty::Exact },
            4..8 => self.scalar(scope, depth),
            8 => {
                let query = self.inside(scope, |queries| queries.select(depth, Some(&[Type::Int4])));
                let name = &query.columns[0].name;
                let tree = Tree::all(vec![
                    Tree::text(format!("ARRAY(SELECT q.{name} FROM (")),
                    query.tree.clone(),
                    Tree::text(") AS q ORDER BY 1)"),
                ]);
                Leaf { tree, ty: Type::Ints, certainty: Certainty::Exact }
            }
            // Of one row at most, unless errors are welcome.
            _ => {
                let ty = self.exact_type(scope);
                let limited = !self.wild || self.random.chance(50);
                let query = self.inside(scope, |queries| queries.select(depth, Some(&[ty])));
                let name = &query.columns[0].name;
                let (open, close) = match limited {
                    true => (format!("(SELECT q.{name} FROM ("), ") AS q ORDER BY 1 LIMIT 1)"),
                    false => ("(".to_string(), ")"),
                };
                let tree = Tree::all(vec![Tree::text(open), query.tree, Tree::text(close)]);
                Leaf { tree, ty, certainty: Certainty::Exact }
            }
        }
    }

    /// A type of which equal values are the same.
    fn exact_type(&mut self, scope: &[Leaf]) -> Type {
        let ty = self.expressions().type_in(scope);
        if ty.equal_is_same() && ty != Type::Bool {
            ty
        } else {
            Type::Int4
        }
    }

    /// An aggregate over a correlated selection.
    fn scalar(&mut self, scope: &[Leaf], depth: usize) -> Leaf {
        let (call, ty) = SCALARS[self.random.below(SCALARS.len())];
        let tree = self.inside(scope, |queries| {
            let mut from = queries.from(depth);
            let call = queries.expressions().template(call, &from.scope, 1);
            let outer = queries.outer.clone();
            from.conditions.extend(queries.equality(&from.scope, &outer));
            if queries.random.chance(40) {
                let visible = [from.scope.clone(), outer].concat();
                from.conditions.push(queries.expressions().condition(&visible, 1));
            }
            Tree::all(vec![
                Tree::text("(SELECT "),
                call,
                from.tree,
                Tree::list(" WHERE ", " AND ", "", from.conditions),
                Tree::text(")"),
            ])
        });
        Leaf { tree, ty, certainty: Certainty::Exact }
    }

    /// A condition that a subquery decides.
    pub(super) fn subquery_condition(&mut self, scope: &[Leaf], depth: usize) -> Tree {
        if self.random.chance(45) {
            let not = if self.random.chance(50) { "NOT " } else { "" };
            let query: Query = self.inside(scope, |queries| queries.select(depth, None));
            return Tree::all(vec![Tree::text(format!("({not}EXISTS (")), query.tree, Tree::text("))")]);
        }
        let types: Vec<Type> =
            (0..[1, 1, 1, 2][self.random.below(4)]).map(|_| self.expressions().type_in(scope)).collect();
        let left: Vec<Tree> = types.iter().map(|ty| self.expressions().operand(scope, *ty, 1)).collect();
        let query = self.inside(scope, |queries| queries.body(depth.min(1), Some(&types)));
        let row = left.len() > 1;
        let operator = match self.random.below(10) {
            0..4 => " IN (",
            4..7 => " NOT IN (",
            _ if row => " = ANY (",
            7 => " > ANY (",
            8 => " <= ALL (",
            _ => " <> ALL (",
        };
        let left = match row {
            true => Tree::some("(", ", ", ")", left),
            false => Tree::all(left),
        };
        Tree::all(vec![Tree::text("("), left, Tree::text(operator), query.tree, Tree::text("))")])
    }

    /// A WITH query that refers to itself: what is reached from rows of one source by steps of another.
    pub(super) fn recursive(&mut self, name: &str) -> (Tree, Vec<Column>) {
        let start = self.sources[self.random.below(self.sources.len())].clone();
        let step = self.sources[self.random.below(self.sources.len())].clone();
        let integers = |columns: &[Column]| -> Vec<String> {
            let of = columns.iter().filter(|column| column.ty == Type::Int4 && column.certainty <= Certainty::Equal);
            of.map(|column| column.name.clone()).collect()
        };
        let (from, to) = (integers(&start.columns), integers(&step.columns));
        let first = match from.is_empty() {
            true => "1".to_string(),
            false => format!("x.{}", from[self.random.below(from.len())]),
        };
        let next = match to.len() {
            0 => "(r.a + 1) % 7".to_string(),
            count => format!("y.{}", to[self.random.below(count)]),
        };
        let join = match to.len() {
            0 => String::new(),
            count => format!(" AND y.{} = r.a", to[self.random.below(count)]),
        };
        let ty = types::any(self.random);
        let filter = format!("{} IS NOT NULL", ty.literal(self.random, false));
        let all = self.random.chance(30);
        let bound = if all { 2 } else { 4 };
        let union = if all { "UNION ALL" } else { "UNION" };
        let shown = ["SEARCH DEPTH FIRST BY a SET o", "SEARCH BREADTH FIRST BY a, n SET o"];
        let cycle = "CYCLE a SET c TO 'y' DEFAULT 'n' USING p";
        // UNION tells rows apart by these columns too, which are records.
        let clauses = match self.random.below(10) {
            0 if all => format!(" {}", shown[self.random.below(2)]),
            1 | 2 => format!(" {cycle}"),
            3 if all => format!(" {} {cycle}", shown[self.random.below(2)]),
            _ => String::new(),
        };
        let text = format!(
            "{name} (a, n) AS (SELECT {first}, 1 FROM {} AS x WHERE {filter} {union} \
             SELECT {next}, r.n + 1 FROM {name} AS r, {} AS y WHERE r.n < {bound}{join}){clauses}",
            start.name, step.name
        );
        let mut columns = vec![integer("a"), integer("n")];
        if clauses.contains(cycle) {
            columns.push(Column { name: "c".into(), ty: Type::Text, certainty: Certainty::Exact });
        }
        (Tree::text(text), columns)
    }
}

fn integer(name: &str) -> Column {
    Column { name: name.into(), ty: Type::Int4, certainty: Certainty::Exact }
}
