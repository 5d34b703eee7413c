//! FROM clauses: tables, subqueries, rows written out, functions that give sets; joined in every way.

use super::expression::Leaf;
use super::functions::Certainty;
use super::query::{Column, From, Queries, Query, Source};
use super::tree::Tree;
use super::types::{self, Type};

/// Functions that give sets: the call with its arguments, and the columns.
const SETS: &[(&str, &[(&str, Type)])] = &[
    ("generate_series(1, abs({int4} % 4))", &[("g", Type::Int4)]),
    ("generate_series({int4} % 3, {int4} % 5, 2)", &[("g", Type::Int4)]),
    ("generate_series({date}::timestamp, {date} + 3, interval '2 days')", &[("g", Type::Timestamp)]),
    ("unnest({ints})", &[("e", Type::Int4)]),
    ("unnest({ints}, {numbers})", &[("e", Type::Int4), ("n", Type::Numeric)]),
    ("unnest({ints}) WITH ORDINALITY", &[("e", Type::Int4), ("o", Type::Int8)]),
    ("string_to_table({text}, 'b')", &[("s", Type::Text)]),
    ("regexp_split_to_table({text}, '[ab]') WITH ORDINALITY", &[("s", Type::Text), ("o", Type::Int8)]),
    ("ROWS FROM (generate_series(1, abs({int4} % 3)), unnest({ints}))", &[("g", Type::Int4), ("e", Type::Int4)]),
    ("jsonb_each(CASE jsonb_typeof({jsonb}) WHEN 'object' THEN {1} END)", &[("k", Type::Text), ("v", Type::Jsonb)]),
    ("jsonb_array_elements(CASE jsonb_typeof({jsonb}) WHEN 'array' THEN {1} END)", &[("v", Type::Jsonb)]),
    ("jsonb_path_query({jsonb}, '$.*')", &[("v", Type::Jsonb)]),
    (
        "JSON_TABLE({jsonb}, '$.b[*]' COLUMNS (o FOR ORDINALITY, j int PATH '$' DEFAULT 0 ON ERROR))",
        &[("o", Type::Int4), ("j", Type::Int4)],
    ),
    (
        "ROWS FROM (jsonb_to_record(CASE jsonb_typeof({jsonb}) WHEN 'object' THEN {1} END) AS (a text, b jsonb), \
         unnest({ints})) WITH ORDINALITY",
        &[("a", Type::Text), ("b", Type::Jsonb), ("e", Type::Int4), ("o", Type::Int8)],
    ),
];

/// Functions that give sets where a value stands.
const SETS_IN_TARGETS: &[(&str, Type)] = &[
    ("generate_series(1, abs({int4} % 3))", Type::Int4),
    ("unnest({ints})", Type::Int4),
    ("unnest({numbers})", Type::Numeric),
    ("string_to_table({text}, 'b')", Type::Text),
    ("(unnest({ints}) + {int4})", Type::Int4),
];

impl Queries<'_> {
    pub(super) fn from(&mut self, depth: usize) -> From {
        let mut from = From { tree: Tree::text(""), scope: Vec::new(), keyed: Vec::new(), conditions: Vec::new() };
        let mut items = Vec::new();
        for at in 0..[1, 1, 1, 1, 2, 2, 2, 3][self.random.below(8)] {
            let lateral = at > 0 && self.random.chance(15);
            let (item, source, alias) = if lateral { self.lateral(&from, depth) } else { self.item(depth) };
            let leaves: Vec<Leaf> = source
                .columns
                .iter()
                .map(|column| Leaf {
                    tree: Tree::text(format!("{alias}.{}", column.name)),
                    ty: column.ty,
                    certainty: column.certainty,
                })
                .collect();
            if at == 0 {
                items.push(Tree::all(vec![Tree::text(" FROM "), item]));
            } else {
                items.push(self.join(&mut from, item, &source, &leaves, (at, depth), lateral));
            }
            if source.keyed {
                from.keyed.push((leaves[0].clone(), leaves[1..].to_vec()));
            }
            let exact = source.columns.iter().all(|column| column.certainty == Certainty::Exact);
            if !source.name.is_empty() && exact && self.random.chance(5) {
                let whole = ["{}::text", "to_jsonb({})::text", "({} IS NULL)::text", "({} IS NOT NULL)::text"];
                let whole = whole[self.random.below(whole.len())];
                let tree = Tree::text(whole.replace("{}", &alias));
                from.scope.push(Leaf { tree, ty: Type::Text, certainty: Certainty::Exact });
            }
            from.scope.extend(leaves);
        }
        from.tree = Tree::some("", "", "", items);
        from
    }

    /// One more item of a FROM list, joined to those before.
    fn join(
        &mut self,
        from: &mut From,
        item: Tree,
        source: &Source,
        leaves: &[Leaf],
        (at, depth): (usize, usize),
        lateral: bool,
    ) -> Tree {
        let both = [from.scope.clone(), leaves.to_vec()].concat();
        let equality = self.equality(&from.scope, leaves);
        let kind = match self.random.below(100) {
            0..18 => " LEFT JOIN ",
            18..23 if !lateral => " RIGHT JOIN ",
            23..30 if !lateral => " FULL JOIN ",
            _ => " JOIN ",
        };
        let shared: Vec<&Column> = source
            .columns
            .iter()
            .filter(|column| {
                let dotted = format!(".{}", column.name);
                column.certainty <= Certainty::Equal
                    && from.scope.iter().filter(|leaf| leaf.tree.render().ends_with(&dotted)).count() == 1
            })
            .collect();
        if kind != " JOIN " {
            // What was determined may be NULL now, but it is determined.
            from.keyed.clear();
        }
        // A column that occurs twice on the left would be ambiguous.
        let natural = !shared.is_empty() && shared.len() <= 2 && !source.name.is_empty() && !lateral;
        if at == 1 && natural && self.random.chance(15) {
            let merged = shared.iter().map(|column| Leaf {
                tree: Tree::text(column.name.clone()),
                ty: column.ty,
                certainty: Certainty::Equal,
            });
            from.scope.extend(merged.collect::<Vec<_>>());
            return Tree::all(vec![Tree::text(format!(" NATURAL{kind}")), item]);
        }
        if at == 1 && !shared.is_empty() && self.random.chance(25) {
            let column = shared[self.random.below(shared.len())].clone();
            let using = Tree::text(format!(" USING ({})", column.name));
            from.scope.push(Leaf { tree: Tree::text(column.name), ty: column.ty, certainty: Certainty::Equal });
            return Tree::all(vec![Tree::text(kind), item, using]);
        }
        let mut conditions: Vec<Tree> = equality.into_iter().collect();
        let more = if kind == " FULL JOIN " { 5 } else { 25 };
        if conditions.is_empty() && lateral {
            conditions.push(Tree::text("true"));
        } else if conditions.is_empty() || self.random.chance(more) {
            conditions.push(self.expressions().condition(&both, 1));
        }
        if depth > 0 && kind != " FULL JOIN " && self.random.chance(6) {
            conditions.push(self.subquery_condition(&both, depth - 1));
        }
        if kind == " JOIN " && self.random.chance(20) {
            from.conditions.extend(conditions);
            return Tree::all(vec![Tree::text(", "), item]);
        }
        let conditions = Tree::some(" ON ", " AND ", "", conditions);
        Tree::all(vec![Tree::text(kind), item, conditions])
    }

    /// An equality between a column on either side.
    pub(super) fn equality(&mut self, left: &[Leaf], right: &[Leaf]) -> Option<Tree> {
        let mut pairs = Vec::new();
        for one in left.iter().filter(|leaf| leaf.certainty <= Certainty::Equal) {
            for other in right.iter().filter(|leaf| leaf.certainty <= Certainty::Equal) {
                if one.ty.comparable(self.random) == other.ty {
                    pairs.push((one.tree.clone(), other.tree.clone()));
                }
            }
        }
        if pairs.is_empty() || self.random.chance(10) {
            return None;
        }
        let (one, other) = pairs.swap_remove(self.random.below(pairs.len()));
        let operator = if self.random.chance(10) { " IS NOT DISTINCT FROM " } else { " = " };
        Some(Tree::all(vec![one, Tree::text(operator), other]))
    }

    pub(super) fn item(&mut self, depth: usize) -> (Tree, Source, String) {
        let alias = self.name("t");
        if depth > 0 && self.random.chance(35) {
            let query = if self.random.chance(15) { self.query(depth - 1) } else { self.body(depth - 1, None) };
            let tree = Tree::all(vec![Tree::text("("), query.tree, Tree::text(format!(") AS {alias}"))]);
            return (tree, Source { name: String::new(), columns: query.columns, keyed: false }, alias);
        }
        match self.random.below(100) {
            0..4 => return self.values(alias),
            4..7 => return self.set(&[], alias),
            _ => {}
        }
        let source = self.sources[self.random.below(self.sources.len())].clone();
        (Tree::text(format!("{} AS {alias}", source.name)), source, alias)
    }

    /// An item that reads columns of those before it.
    fn lateral(&mut self, from: &From, depth: usize) -> (Tree, Source, String) {
        let alias = self.name("t");
        if depth == 0 || self.random.chance(50) {
            return self.set(&from.scope, alias);
        }
        let query = self.inside(&from.scope, |queries| queries.body(depth - 1, None));
        let tree = Tree::all(vec![Tree::text("LATERAL ("), query.tree, Tree::text(format!(") AS {alias}"))]);
        (tree, Source { name: String::new(), columns: query.columns, keyed: false }, alias)
    }

    /// A function that gives a set.
    fn set(&mut self, scope: &[Leaf], alias: String) -> (Tree, Source, String) {
        let (call, columns) = SETS[self.random.below(SETS.len())];
        let call = self.expressions().template(call, scope, 1);
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let column =
            |(name, ty): &(&str, Type)| Column { name: name.to_string(), ty: *ty, certainty: Certainty::Exact };
        let columns = columns.iter().map(column).collect();
        let tree = Tree::all(vec![call, Tree::text(format!(" AS {alias} ({})", names.join(", ")))]);
        (tree, Source { name: String::new(), columns, keyed: false }, alias)
    }

    /// A set where a value stands: the row is repeated for each of its values.
    pub(super) fn set_in_targets(&mut self, scope: &[Leaf]) -> Leaf {
        let (call, ty) = SETS_IN_TARGETS[self.random.below(SETS_IN_TARGETS.len())];
        Leaf { tree: self.expressions().template(call, scope, 1), ty, certainty: Certainty::Exact }
    }

    /// VALUES as a query of its own.
    pub(super) fn rows(&mut self, wanted: Option<&[Type]>) -> Query {
        let types: Vec<Type> = match wanted {
            Some(wanted) => wanted.to_vec(),
            None => (0..1 + self.random.below(3)).map(|_| types::any(self.random)).collect(),
        };
        let tree = Tree::some("VALUES ", ", ", "", self.rows_of(&types));
        let column = |(at, ty): (usize, &Type)| Column {
            name: format!("column{}", at + 1),
            ty: *ty,
            certainty: Certainty::Exact,
        };
        Query { tree, columns: types.iter().enumerate().map(column).collect() }
    }

    fn rows_of(&mut self, types: &[Type]) -> Vec<Tree> {
        let row = |queries: &mut Self| {
            let values: Vec<String> = types.iter().map(|ty| ty.literal(queries.random, false)).collect();
            Tree::text(format!("({})", values.join(", ")))
        };
        (0..1 + self.random.below(5)).map(|_| row(self)).collect()
    }

    /// Rows that are written out.
    fn values(&mut self, alias: String) -> (Tree, Source, String) {
        let types: Vec<Type> = (0..1 + self.random.below(3)).map(|_| types::any(self.random)).collect();
        let rows = self.rows_of(&types);
        let column = |(at, ty): (usize, &Type)| Column { name: format!("x{at}"), ty: *ty, certainty: Certainty::Exact };
        let columns: Vec<Column> = types.iter().enumerate().map(column).collect();
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let tail = Tree::text(format!(") AS {alias} ({})", names.join(", ")));
        let tree = Tree::all(vec![Tree::some("(VALUES ", ", ", "", rows), tail]);
        (tree, Source { name: String::new(), columns, keyed: false }, alias)
    }
}
