//! What depends on an order: windows, LIMIT, DISTINCT ON; and grouping sets. The order is made total where ties would show.

use super::expression::Leaf;
use super::functions::Certainty;
use super::query::{Column, Queries};
use super::tree::Tree;
use super::types::Type;

/// Aggregates over windows: the call, its type, and whether ties show.
const AGGREGATES: &[(&str, Type, bool)] = &[
    ("count(*)", Type::Int8, false),
    ("sum({int4})", Type::Int8, false),
    ("max({text})", Type::Text, false),
    ("avg({int4})", Type::Numeric, false),
    ("min({date})", Type::Date, false),
    ("bool_or({bool})", Type::Bool, false),
    ("user_sum({int4})", Type::Int4, false),
    ("range_intersect_agg({range})", Type::Range, false),
    ("string_agg({text}, '+')", Type::Text, true),
    ("array_agg({int4})", Type::Ints, true),
    ("user_list({int4})", Type::Text, true),
];

/// Window functions, likewise.
const FUNCTIONS: &[(&str, Type, bool)] = &[
    ("rank()", Type::Int8, false),
    ("dense_rank()", Type::Int8, false),
    ("percent_rank()", Type::Float8, false),
    ("cume_dist()", Type::Float8, false),
    ("row_number()", Type::Int8, true),
    ("ntile(3)", Type::Int4, true),
    ("lag({int4})", Type::Int4, true),
    ("lag({text}, 2)", Type::Text, true),
    ("lead({text}, 2, 'none')", Type::Text, true),
    ("lead({date}, -1)", Type::Date, true),
    ("first_value({int4})", Type::Int4, true),
    ("last_value({int4})", Type::Int4, true),
    ("nth_value({text}, 2)", Type::Text, true),
];

/// Frames, and whether ties show in them.
const FRAMES: &[(&str, bool)] = &[
    ("", false),
    ("", false),
    (" ROWS BETWEEN 1 PRECEDING AND CURRENT ROW", true),
    (" ROWS BETWEEN UNBOUNDED PRECEDING AND 1 FOLLOWING", true),
    (" ROWS BETWEEN 1 FOLLOWING AND 2 FOLLOWING", true),
    (" ROWS 2 PRECEDING", true),
    (" RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING", false),
    (" RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING EXCLUDE GROUP", false),
    (" GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING", false),
    (" GROUPS BETWEEN 2 PRECEDING AND 1 PRECEDING", false),
    (" GROUPS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE NO OTHERS", false),
    (" RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE TIES", true),
    (" ROWS BETWEEN 2 PRECEDING AND 2 FOLLOWING EXCLUDE CURRENT ROW", true),
    (" ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING EXCLUDE GROUP", false),
];

/// Frames by distances, and the type of the one value that they are ordered by.
const DISTANCES: &[(Type, &str)] = &[
    (Type::Int4, " RANGE BETWEEN 1 PRECEDING AND 2 FOLLOWING"),
    (Type::Int4, " RANGE BETWEEN 2 PRECEDING AND CURRENT ROW EXCLUDE GROUP"),
    (Type::Int8, " RANGE BETWEEN 3 PRECEDING AND 1 PRECEDING"),
    (Type::Numeric, " RANGE BETWEEN 0.5 PRECEDING AND 1.5 FOLLOWING"),
    (Type::Date, " RANGE BETWEEN interval '1 month' PRECEDING AND interval '30 days' FOLLOWING"),
    (Type::Timestamp, " RANGE BETWEEN UNBOUNDED PRECEDING AND interval '1 day' FOLLOWING"),
    (Type::Float8, " RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING"),
];

impl Queries<'_> {
    /// A window function whose values are determined, if only as a bag. What it is over may go to `named`, the WINDOW clause.
    pub(super) fn window(&mut self, scope: &[Leaf], named: &mut Vec<Tree>) -> Leaf {
        let aggregate = self.random.chance(40);
        let calls = if aggregate { AGGREGATES } else { FUNCTIONS };
        let (call, ty, mut ties) = calls[self.random.below(calls.len())];
        let (mut frame, shows) = FRAMES[self.random.below(FRAMES.len())];
        // No order is total with what is not determined in it.
        let determined = scope.iter().all(|leaf| leaf.certainty == Certainty::Exact);
        if !determined && (ties || shows) {
            let by = self.partition(scope);
            let tree = Tree::all(vec![Tree::text("count(*) OVER ("), by, Tree::text(")")]);
            return Leaf { tree, ty: Type::Int8, certainty: Certainty::Exact };
        }
        let call = self.expressions().template(call, scope, 1);
        let filter = match aggregate && self.random.chance(25) {
            true => {
                let condition = self.expressions().condition(scope, 1);
                vec![Tree::option(Tree::all(vec![Tree::text(" FILTER (WHERE "), condition, Tree::text(")")]))]
            }
            false => Vec::new(),
        };
        let partition = self.partition(scope);
        let mut order = Vec::new();
        if !ties && self.random.chance(20) {
            let (by, distance) = DISTANCES[self.random.below(DISTANCES.len())];
            frame = distance;
            let by = self.expressions().operand(scope, by, 1);
            order.push(Tree::all(vec![Tree::text("("), by, Tree::text(format!("){}", self.direction()))]));
        } else {
            ties |= shows;
            if self.random.chance(80) || ties {
                let ty = self.expressions().type_in(scope);
                let by = self.expressions().operand(scope, if ty == Type::Bool { Type::Int4 } else { ty }, 1);
                let collation = if ty == Type::Text && self.random.chance(20) { " COLLATE \"C\"" } else { "" };
                let direction = format!("){collation}{}", self.direction());
                order.push(Tree::all(vec![Tree::text("("), by, Tree::text(direction)]));
            }
            if ties {
                order.extend(scope.iter().map(|leaf| {
                    // Equal values may be shown differently: their texts are not equal.
                    let text = if leaf.ty.equal_is_same() { "" } else { "::text" };
                    Tree::all(vec![Tree::text("("), leaf.tree.clone(), Tree::text(format!("){text}"))])
                }));
            }
            if order.is_empty() && frame.contains("GROUPS") {
                frame = "";
            }
        }
        let order = Tree::list(" ORDER BY ", ", ", "", order);
        let over = match self.random.below(4) {
            0 => {
                let name = self.name("w");
                named.push(Tree::all(vec![
                    Tree::text(format!("{name} AS (")),
                    partition,
                    order,
                    Tree::text(format!("{frame})")),
                ]));
                vec![Tree::text(format!(" OVER {name}"))]
            }
            1 => {
                let name = self.name("w");
                named.push(Tree::all(vec![Tree::text(format!("{name} AS (")), partition, Tree::text(")")]));
                vec![Tree::text(format!(" OVER ({name}")), order, Tree::text(format!("{frame})"))]
            }
            _ => vec![Tree::text(" OVER ("), partition, order, Tree::text(format!("{frame})"))],
        };
        let tree = Tree::all([vec![call], filter, over].concat());
        Leaf { tree, ty, certainty: Certainty::Exact }
    }

    fn partition(&mut self, scope: &[Leaf]) -> Tree {
        if self.random.chance(30) {
            return Tree::text("");
        }
        let ty = self.expressions().type_in(scope);
        let by = self.expressions().operand(scope, ty, 1);
        Tree::option(Tree::all(vec![Tree::text("PARTITION BY "), by]))
    }

    fn direction(&mut self) -> &'static str {
        ["", "", " DESC", " NULLS FIRST", " DESC NULLS LAST"][self.random.below(5)]
    }

    /// LIMIT over rows that tie only if they are the same; WITH TIES over any.
    pub(super) fn limit(&mut self, columns: &[Column]) -> Vec<Tree> {
        let (count, skipped) = (1 + self.random.below(6), self.random.below(3));
        let offset = if skipped == 0 { String::new() } else { format!(" OFFSET {skipped}") };
        let first = &columns[0];
        if first.certainty == Certainty::Exact && self.random.chance(30) {
            let direction = self.direction();
            let text = format!(" ORDER BY {}{direction}{offset} FETCH FIRST {count} ROWS WITH TIES", first.name);
            return if skipped == 0 { vec![Tree::option(Tree::text(text))] } else { Vec::new() };
        }
        if !columns.iter().all(|column| column.ty.equal_is_same() && column.certainty == Certainty::Exact) {
            return Vec::new();
        }
        let by: Vec<String> = columns.iter().map(|column| format!("{}{}", column.name, self.direction())).collect();
        let rest = if self.random.chance(80) { format!(" LIMIT {count}{offset}") } else { offset };
        vec![Tree::option(Tree::text(format!(" ORDER BY {}{rest}", by.join(", "))))]
    }

    /// DISTINCT ON the first column: its list and the order, which leaves no ties.
    pub(super) fn distinct_on(&mut self, columns: &[Column]) -> Option<(Tree, Tree)> {
        if !columns.iter().all(|column| column.ty.equal_is_same() && column.certainty == Certainty::Exact) {
            return None;
        }
        let by: Vec<String> = columns.iter().map(|column| format!("{}{}", column.name, self.direction())).collect();
        let on = Tree::text(format!("DISTINCT ON ({}) ", columns[0].name));
        Some((on, Tree::text(format!(" ORDER BY {}", by.join(", ")))))
    }

    /// GROUPING SETS over keys, and GROUPING() of the first or of all.
    pub(super) fn grouping_sets(&mut self, keys: Vec<Tree>) -> (Tree, Option<Leaf>) {
        let first = keys[0].clone();
        let of = if self.random.chance(50) { vec![first.clone()] } else { keys.clone() };
        let tree = Tree::some("grouping(", ", ", ")", of);
        let leaf = Leaf { tree, ty: Type::Int4, certainty: Certainty::Exact };
        let rest = keys[1..].to_vec();
        let distinct = self.random.chance(30);
        let by = if distinct { " GROUP BY DISTINCT " } else { " GROUP BY " };
        let sets = match self.random.below(6) {
            0 => Tree::some("ROLLUP (", ", ", ")", keys),
            1 => Tree::some("CUBE (", ", ", ")", keys),
            // A key, and sets of the others, one of them none.
            2 if !rest.is_empty() => {
                let parts = vec![Tree::text("("), first, Tree::text("), "), Tree::some("CUBE (", ", ", ")", rest)];
                Tree::all(parts)
            }
            // Products of sets: the same set comes out more than once.
            3 => {
                let all = Tree::some("ROLLUP (", ", ", ")", keys);
                Tree::all(vec![all, Tree::text(", ROLLUP ("), first, Tree::text(")")])
            }
            4 => {
                let nested = Tree::some("ROLLUP (", ", ", ")", keys);
                Tree::some("GROUPING SETS (", ", ", ")", vec![nested, Tree::text("()"), first])
            }
            _ => {
                let whole = Tree::some("(", ", ", ")", keys);
                let sets = vec![whole, Tree::text("()"), Tree::all(vec![Tree::text("("), first, Tree::text(")")])];
                Tree::some("GROUPING SETS (", ", ", ")", sets)
            }
        };
        (Tree::all(vec![Tree::text(by), sets]), self.random.chance(60).then_some(leaf))
    }
}
