//! Whether the second arm of a recursive common table expression maps each row by itself.
//!
//! PostgreSQL sees to it that the arm refers to the expression once, and not from within an aggregate of the same level, a side
//! of an outer join that may be missing, the right of EXCEPT, or a subquery of an expression. What it takes of the expression in a
//! WITH clause of its own, though, it may use anywhere and as often as it likes: there, the same is asked of each use.

use super::{Lowered, NotIncremental};
use crate::pg::query::{Cte, FromItem, JoinKind, Query, RangeKind, SetKind, SetTree};
use std::collections::HashMap;

/// As what the rows of a round are taken.
#[derive(Clone, Copy, PartialEq)]
enum Over {
    Bags,
    Sets,
}

/// A walk through the arm.
struct Walk<'c, 't> {
    cte: &'c Cte<'t>,
    over: Over,
    /// The query levels around what is looked at, the arm's first.
    levels: Vec<Level>,
}

/// The common table expressions of a query level.
#[derive(Default)]
struct Level {
    /// Whether they take their rows from the recursive one; in the order in which they are defined.
    refers: HashMap<String, bool>,
    /// How often each was met.
    met: HashMap<String, usize>,
}

/// Whether the second arm maps each row by itself.
pub(super) fn check(cte: &Cte<'_>, arm: &SetTree, all: bool) -> Lowered<()> {
    let over = if all { Over::Bags } else { Over::Sets };
    Walk { cte, over, levels: Vec::new() }.tree(cte.query, arm).map(|_| ())
}

pub(super) fn refused(cte: &Cte<'_>, what: &str) -> NotIncremental {
    NotIncremental::new(
        "WITH RECURSIVE",
        format!("The recursive part of the common table expression \"{}\" {what}.", cte.name),
    )
}

impl<'t> Walk<'_, 't> {
    /// Whether a tree of set operations refers to the expression, if it then maps each row by itself.
    fn tree(&mut self, query: Query<'t>, tree: &SetTree) -> Lowered<bool> {
        match tree {
            SetTree::Arm(entry) => match query.range_table()[entry - 1].kind() {
                RangeKind::Subquery(arm) => self.query(arm),
                _ => Ok(false),
            },
            SetTree::Operation { kind, all, left, right, .. } => {
                let sides = (self.tree(query, left)?, self.tree(query, right)?);
                match (kind, sides) {
                    (_, (false, false)) => Ok(false),
                    (SetKind::Union, (true, true)) if *all || self.over == Over::Sets => Ok(true),
                    (SetKind::Union, (true, true)) => Err(self.refused("contains UNION below UNION ALL")),
                    // The other arm's rows would come again in every round.
                    (SetKind::Union, _) => Err(self.refused("is a UNION of its own")),
                    _ if *all || self.over == Over::Bags => Err(self.refused("contains INTERSECT or EXCEPT")),
                    (SetKind::Intersect | SetKind::Except, (true, false)) | (SetKind::Intersect, (false, true)) => {
                        Ok(true)
                    }
                    _ => Err(self.refused(TWICE)),
                }
            }
        }
    }

    fn query(&mut self, query: Query<'t>) -> Lowered<bool> {
        self.levels.push(Level::default());
        let refers = self.level(query);
        let level = self.levels.pop();
        let refers = refers?;
        let level = level.unwrap_or_default();
        // Whoever is not met by way of FROM uses it in an expression.
        let uses = query.uses_of_ctes();
        for (name, _) in level.refers.iter().filter(|(_, refers)| **refers) {
            let all = uses.iter().filter(|used| *used == name).count();
            if all > level.met.get(name).copied().unwrap_or(0) {
                return Err(self.refused("uses what it takes of the expression in a subquery of an expression"));
            }
        }
        Ok(refers)
    }

    fn level(&mut self, query: Query<'t>) -> Lowered<bool> {
        for inner in query.ctes() {
            let refers = self.query(inner.query)?;
            if refers && inner.recursive {
                return Err(self.refused("contains another recursive query that depends on it"));
            }
            if let Some(level) = self.levels.last_mut() {
                level.refers.insert(inner.name, refers);
            }
        }
        if let Some(tree) = query.set_operations() {
            let refers = self.tree(query, &tree)?;
            if refers && query.has_limit() {
                return Err(self.refused("contains LIMIT"));
            }
            return Ok(refers);
        }
        let mut entries = Vec::new();
        for (at, entry) in query.range_table().into_iter().enumerate() {
            let refers = match entry.kind() {
                RangeKind::Cte { name, levels_up, recursive } => self.reference(&name, levels_up as usize, recursive),
                RangeKind::Subquery(subquery) => self.query(subquery)?,
                _ => false,
            };
            if refers {
                entries.push(at + 1);
            }
        }
        let entry = match entries[..] {
            [] => return Ok(false),
            [entry] => entry,
            _ => return Err(self.refused(TWICE)),
        };
        if query.items_of_from().0.iter().any(|item| may_be_missing(item, entry)) {
            return Err(self.refused("contains an outer join in which its rows may be missing"));
        }
        let grouped = query.has_group_by() || query.has_distinct();
        let clauses = [
            (
                query.has_aggregates() || query.having().is_some() || query.grouping_sets().is_some(),
                "contains an aggregate",
            ),
            (query.has_windows(), "contains a window function"),
            (query.has_limit() || query.has_distinct_on(), "contains LIMIT or DISTINCT ON"),
            (grouped && self.over == Over::Bags, "contains DISTINCT or GROUP BY below UNION ALL"),
        ];
        match clauses.into_iter().find(|(present, _)| *present) {
            Some((_, what)) => Err(self.refused(what)),
            None => Ok(true),
        }
    }

    /// Whether a name in FROM stands for the expression, or for what takes its rows from it.
    fn reference(&mut self, name: &str, levels_up: usize, recursive: bool) -> bool {
        match self.levels.len().checked_sub(levels_up + 1) {
            Some(at) => {
                let level = &mut self.levels[at];
                *level.met.entry(name.to_string()).or_default() += 1;
                level.refers.get(name).copied().unwrap_or(false)
            }
            // The arm is a level below the tree that it belongs to, and that below the query that defines the expression.
            None => recursive && levels_up == self.levels.len() + 1 && name == self.cte.name,
        }
    }

    fn refused(&self, what: &str) -> NotIncremental {
        refused(self.cte, what)
    }
}

const TWICE: &str = "uses what it takes of the expression more than once";

/// Whether rows of an entry may be missing where a join shows a row.
fn may_be_missing(item: &FromItem<'_>, entry: usize) -> bool {
    let FromItem::Join { kind, left, right, .. } = item else { return false };
    match kind {
        JoinKind::Inner => may_be_missing(left, entry) || may_be_missing(right, entry),
        JoinKind::Left => contains(right, entry) || may_be_missing(left, entry),
        JoinKind::Right => contains(left, entry) || may_be_missing(right, entry),
        JoinKind::Full | JoinKind::Other => contains(left, entry) || contains(right, entry),
    }
}

fn contains(item: &FromItem<'_>, entry: usize) -> bool {
    match item {
        FromItem::Entry(at) => *at == entry,
        FromItem::Join { left, right, .. } => contains(left, entry) || contains(right, entry),
    }
}
