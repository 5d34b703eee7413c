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
    /// Why a query that reads it is not maintained incrementally.
    pub full: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub struct Query {
    pub tree: Tree,
    pub columns: Vec<Column>,
    pub full: Option<&'static str>,
}

pub struct Queries<'r> {
    pub random: &'r mut Random,
    pub wild: bool,
    sources: Vec<Source>,
    aliases: usize,
    full: Option<&'static str>,
}

/// The FROM clause of a block: its text, what it offers, and the columns of its keyed tables by their key.
struct From {
    tree: Tree,
    scope: Vec<Leaf>,
    keyed: Vec<(Leaf, Vec<Leaf>)>,
    conditions: Vec<Tree>,
}

impl<'r> Queries<'r> {
    pub fn new(random: &'r mut Random, sources: Vec<Source>, wild: bool) -> Queries<'r> {
        Queries { random, wild, sources, aliases: 0, full: None }
    }

    /// A query with its WITH clause, if it has one.
    pub fn query(&mut self, depth: usize) -> Query {
        let known = self.sources.len();
        let mut with = Vec::new();
        if self.random.chance(20) {
            for _ in 0..1 + self.random.below(2) {
                let query = self.body(depth.min(1), None);
                self.aliases += 1;
                let name = format!("w{}", self.aliases);
                let how = [" AS (", " AS MATERIALIZED (", " AS NOT MATERIALIZED ("][self.random.below(3)];
                with.push(Tree::all(vec![Tree::text(format!("{name}{how}")), query.tree, Tree::text(")")]));
                // Twice in the list: it shall be read, and be it by two items of one FROM.
                let source = Source { name, columns: query.columns, keyed: false, full: None };
                self.sources.extend([source.clone(), source]);
            }
        }
        let mut query = self.body(depth, None);
        self.sources.truncate(known);
        query.tree = Tree::all(vec![Tree::list("WITH ", ", ", " ", with), query.tree]);
        query.full = self.full;
        query
    }

    fn expressions(&mut self) -> Expressions<'_> {
        Expressions { random: self.random, wild: self.wild }
    }

    fn body(&mut self, depth: usize, wanted: Option<&[Type]>) -> Query {
        if depth == 0 || !self.random.chance(18) {
            return self.select(depth, wanted);
        }
        let types: Vec<Type> = match wanted {
            Some(wanted) => wanted.to_vec(),
            None => (0..1 + self.random.below(3)).map(|_| types::any(self.random)).collect(),
        };
        let mut operator = ["UNION ALL", "UNION ALL", "UNION", "UNION", "EXCEPT", "INTERSECT"][self.random.below(6)];
        if operator.starts_with(['E', 'I']) && !self.random.chance(25) {
            operator = "UNION";
        }
        let mut arms = vec![self.body(depth - 1, Some(&types)), self.select(depth - 1, Some(&types))];
        if operator.starts_with('U') && self.random.chance(25) {
            arms.push(self.select(0, Some(&types)));
        }
        let vague = arms.iter().flat_map(|arm| &arm.columns).any(|column| column.certainty == Certainty::Vague);
        let operator = if vague { "UNION ALL" } else { operator };
        let same = operator == "UNION ALL";
        if matches!(operator, "EXCEPT" | "INTERSECT") {
            self.full = Some("set operation");
        }
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
        Query { tree: Tree::All { parts, hoist, plain: None }, columns, full: None }
    }

    fn select(&mut self, depth: usize, wanted: Option<&[Type]>) -> Query {
        let mut from = self.from(depth);
        let grouped = self.random.chance(40);
        for _ in 0..[0, 0, 0, 1, 1, 2][self.random.below(6)] {
            let condition = self.expressions().condition(&from.scope, 2);
            from.conditions.push(condition);
        }
        if self.random.chance(3) {
            from.conditions.push(self.subquery_condition(&from.scope));
        }
        let mut tail = Vec::new();
        let mut scope = if grouped { self.group(&from, &mut tail) } else { from.scope.clone() };
        if self.random.chance(2) {
            scope.push(self.window(&scope));
        }
        let columns = self.outputs(&scope, wanted);
        let vague = columns.iter().any(|leaf| leaf.certainty == Certainty::Vague);
        let distinct = !vague && self.random.chance(15);
        let (mut items, mut named) = (Vec::new(), Vec::new());
        for leaf in columns {
            self.aliases += 1;
            let name = format!("c{}", self.aliases);
            // Of a union's arms, none may lose a column alone.
            items.push(Tree::all(vec![leaf.tree, Tree::text(format!(" AS {name}"))]));
            let kept = !distinct || leaf.ty.equal_is_same();
            let certainty = if kept { leaf.certainty } else { leaf.certainty.max(Certainty::Equal) };
            named.push(Column { name, ty: leaf.ty, certainty });
        }
        if wanted.is_none() && self.random.chance(2) {
            tail.extend(self.limit(&named));
        }
        let parts = vec![
            Tree::text("SELECT "),
            if distinct { Tree::option(Tree::text("DISTINCT ")) } else { Tree::text("") },
            Tree::some("", ", ", "", items),
            from.tree,
            Tree::list(" WHERE ", " AND ", "", from.conditions),
            Tree::all(tail),
        ];
        Query { tree: Tree::all(parts), columns: named, full: None }
    }

    /// A window function that ties do not matter to.
    fn window(&mut self, scope: &[Leaf]) -> Leaf {
        let ty = self.expressions().type_in(scope);
        let by = self.expressions().operand(scope, ty, 1);
        let tree = Tree::all(vec![Tree::text("count(*) OVER (PARTITION BY "), by, Tree::text(")")]);
        Leaf { tree, ty: Type::Int8, certainty: Certainty::Exact }
    }

    /// LIMIT over rows that tie only if they are the same.
    fn limit(&mut self, columns: &[Column]) -> Vec<Tree> {
        if !columns.iter().all(|column| column.ty.equal_is_same() && column.certainty == Certainty::Exact) {
            return Vec::new();
        }
        let by: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        vec![Tree::text(format!(" ORDER BY {} LIMIT {}", by.join(", "), 1 + self.random.below(6)))]
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
        tail.push(Tree::list(" GROUP BY ", ", ", "", keys));
        if self.random.chance(25) {
            let condition = self.expressions().condition(&scope, 2);
            tail.push(Tree::option(Tree::all(vec![Tree::text(" HAVING "), condition])));
        }
        scope
    }

    fn from(&mut self, depth: usize) -> From {
        let mut from = From { tree: Tree::text(""), scope: Vec::new(), keyed: Vec::new(), conditions: Vec::new() };
        let mut items = Vec::new();
        for at in 0..[1, 1, 1, 1, 2, 2, 2, 3][self.random.below(8)] {
            let (item, source, alias) = self.item(depth);
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
                items.push(self.join(&mut from, item, &source, &leaves, at));
            }
            if source.keyed {
                from.keyed.push((leaves[0].clone(), leaves[1..].to_vec()));
            }
            let exact = source.columns.iter().all(|column| column.certainty == Certainty::Exact);
            if !source.name.is_empty() && exact && self.random.chance(2) {
                self.full = Some("whole row");
                let whole = ["{}::text", "to_jsonb({})::text", "({} IS NULL)::text"][self.random.below(3)];
                let tree = Tree::text(whole.replace("{}", &alias));
                from.scope.push(Leaf { tree, ty: Type::Text, certainty: Certainty::Exact });
            }
            from.scope.extend(leaves);
        }
        from.tree = Tree::some("", "", "", items);
        from
    }

    /// One more item of a FROM list, joined to those before.
    fn join(&mut self, from: &mut From, item: Tree, source: &Source, leaves: &[Leaf], at: usize) -> Tree {
        let both = [from.scope.clone(), leaves.to_vec()].concat();
        let equality = self.equality(&from.scope, leaves);
        let left = if self.random.chance(4) { "LEFT JOIN " } else { "JOIN " };
        let shared: Vec<&Column> = source
            .columns
            .iter()
            .filter(|column| {
                let dotted = format!(".{}", column.name);
                column.certainty <= Certainty::Equal
                    && from.scope.iter().filter(|leaf| leaf.tree.render().ends_with(&dotted)).count() == 1
            })
            .collect();
        if at == 1 && !shared.is_empty() && self.random.chance(25) {
            let column = shared[self.random.below(shared.len())].name.clone();
            return Tree::all(vec![Tree::text(" JOIN "), item, Tree::text(format!(" USING ({column})"))]);
        }
        let mut conditions: Vec<Tree> = equality.into_iter().collect();
        if conditions.is_empty() || self.random.chance(25) {
            conditions.push(self.expressions().condition(&both, 1));
        }
        if self.random.chance(20) {
            from.conditions.extend(conditions);
            return Tree::all(vec![Tree::text(", "), item]);
        }
        if left.starts_with('L') {
            self.full = Some("outer join");
            // What was determined may be NULL now, but it is determined.
            from.keyed.clear();
        }
        let conditions = Tree::some(" ON ", " AND ", "", conditions);
        Tree::all(vec![Tree::text(format!(" {left}")), item, conditions])
    }

    /// An equality between a column on either side.
    fn equality(&mut self, left: &[Leaf], right: &[Leaf]) -> Option<Tree> {
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
        Some(Tree::all(vec![one, Tree::text(" = "), other]))
    }

    fn item(&mut self, depth: usize) -> (Tree, Source, String) {
        self.aliases += 1;
        let alias = format!("t{}", self.aliases);
        if depth > 0 && self.random.chance(35) {
            let query = if self.random.chance(15) { self.query(depth - 1) } else { self.body(depth - 1, None) };
            let tree = Tree::all(vec![Tree::text("("), query.tree, Tree::text(format!(") AS {alias}"))]);
            return (tree, Source { name: String::new(), columns: query.columns, keyed: false, full: None }, alias);
        }
        if self.random.chance(4) {
            return self.values(alias);
        }
        let source = self.sources[self.random.below(self.sources.len())].clone();
        self.full = self.full.or(source.full);
        (Tree::text(format!("{} AS {alias}", source.name)), source, alias)
    }

    /// Rows that are written out.
    fn values(&mut self, alias: String) -> (Tree, Source, String) {
        let types: Vec<Type> = (0..1 + self.random.below(3)).map(|_| types::any(self.random)).collect();
        let row = |queries: &mut Self| {
            let values: Vec<String> = types.iter().map(|ty| ty.literal(queries.random, false)).collect();
            Tree::text(format!("({})", values.join(", ")))
        };
        let rows = (0..1 + self.random.below(5)).map(|_| row(self)).collect();
        let column = |(at, ty): (usize, &Type)| Column { name: format!("x{at}"), ty: *ty, certainty: Certainty::Exact };
        let columns: Vec<Column> = types.iter().enumerate().map(column).collect();
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let tail = Tree::text(format!(") AS {alias} ({})", names.join(", ")));
        let tree = Tree::all(vec![Tree::some("(VALUES ", ", ", "", rows), tail]);
        (tree, Source { name: String::new(), columns, keyed: false, full: None }, alias)
    }

    fn subquery_condition(&mut self, scope: &[Leaf]) -> Tree {
        self.full = Some("subquery");
        let source = self.sources[self.random.below(self.sources.len())].clone();
        let mut columns = source.columns.iter().filter(|column| column.certainty <= Certainty::Equal);
        let shared = columns.find_map(|column| {
            let leaf = scope.iter().find(|leaf| leaf.ty == column.ty && leaf.certainty <= Certainty::Equal)?;
            Some((column.name.clone(), leaf.tree.render()))
        });
        match shared {
            Some((column, outer)) if self.random.chance(50) => {
                Tree::text(format!("{outer} IN (SELECT x.{column} FROM {} AS x)", source.name))
            }
            Some((column, outer)) => {
                Tree::text(format!("NOT EXISTS (SELECT FROM {} AS x WHERE x.{column} = {outer})", source.name))
            }
            None => Tree::text(format!("EXISTS (SELECT FROM {} AS x)", source.name)),
        }
    }
}
