//! What depends on an order: windows, LIMIT, DISTINCT ON; and grouping sets. The order is made total where ties would show.

use super::expression::Leaf;
use super::functions::Certainty;
use super::query::{Column, Queries};
use super::tree::Tree;
use super::types::Type;

/// Window functions: the call, its type, and whether ties show.
const WINDOWS: &[(&str, Type, bool)] = &[
    ("count(*)", Type::Int8, false),
    ("sum({int4})", Type::Int8, false),
    ("max({text})", Type::Text, false),
    ("avg({int4})", Type::Numeric, false),
    ("rank()", Type::Int8, false),
    ("dense_rank()", Type::Int8, false),
    ("percent_rank()", Type::Float8, false),
    ("cume_dist()", Type::Float8, false),
    ("row_number()", Type::Int8, true),
    ("ntile(3)", Type::Int4, true),
    ("lag({int4})", Type::Int4, true),
    ("lead({text}, 2, 'none')", Type::Text, true),
    ("first_value({int4})", Type::Int4, true),
    ("last_value({int4})", Type::Int4, true),
    ("nth_value({text}, 2)", Type::Text, true),
];

const FRAMES: &[(&str, bool)] = &[
    ("", false),
    ("", false),
    (" ROWS BETWEEN 1 PRECEDING AND CURRENT ROW", true),
    (" ROWS BETWEEN UNBOUNDED PRECEDING AND 1 FOLLOWING", true),
    (" RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING", false),
    (" GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING", false),
    (" RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE TIES", true),
    (" ROWS BETWEEN 2 PRECEDING AND 2 FOLLOWING EXCLUDE CURRENT ROW", true),
];

impl Queries<'_> {
    /// A window function whose values are determined, if only as a bag.
    pub(super) fn window(&mut self, scope: &[Leaf]) -> Leaf {
        let (call, ty, mut ties) = WINDOWS[self.random.below(WINDOWS.len())];
        let (mut frame, shows) = FRAMES[self.random.below(FRAMES.len())];
        // No order is total with what is not determined in it.
        let determined = scope.iter().all(|leaf| leaf.certainty == Certainty::Exact);
        if !determined && (ties || shows) {
            let by = self.partition(scope);
            let tree = Tree::all(vec![Tree::text("count(*) OVER ("), by, Tree::text(")")]);
            return Leaf { tree, ty: Type::Int8, certainty: Certainty::Exact };
        }
        ties |= shows;
        let call = self.expressions().template(call, scope, 1);
        let partition = self.partition(scope);
        let mut order = Vec::new();
        if self.random.chance(80) || ties {
            let ty = self.expressions().type_in(scope);
            let by = self.expressions().operand(scope, if ty == Type::Bool { Type::Int4 } else { ty }, 1);
            order.push(Tree::all(vec![by, Tree::text(self.direction())]));
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
        let order = Tree::list(" ORDER BY ", ", ", "", order);
        let tree = Tree::all(vec![
            call,
            Tree::text(" OVER ("),
            partition,
            order,
            Tree::text(frame.to_string()),
            Tree::text(")"),
        ]);
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

    /// GROUPING SETS over keys, and GROUPING() of the first.
    pub(super) fn grouping_sets(&mut self, keys: Vec<Tree>) -> (Tree, Option<Leaf>) {
        let first = keys[0].clone();
        let leaf = Leaf {
            tree: Tree::all(vec![Tree::text("grouping("), first.clone(), Tree::text(")")]),
            ty: Type::Int4,
            certainty: Certainty::Exact,
        };
        let tree = match self.random.below(3) {
            0 => Tree::some(" GROUP BY ROLLUP (", ", ", ")", keys),
            1 => Tree::some(" GROUP BY CUBE (", ", ", ")", keys),
            _ => {
                let whole = Tree::some("(", ", ", ")", keys);
                let sets = vec![whole, Tree::text("()"), Tree::all(vec![Tree::text("("), first, Tree::text(")")])];
                Tree::some(" GROUP BY GROUPING SETS (", ", ", ")", sets)
            }
        };
        (tree, self.random.chance(60).then_some(leaf))
    }
}
