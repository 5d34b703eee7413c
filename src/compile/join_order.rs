//! The order in which a delta join looks its inputs up, starting from each of them in turn: decided once, from keys and from
//! what ANALYZE has found.

use std::collections::{BTreeSet, HashMap};
use trickle_operators::expr::Expr;
use trickle_operators::plan::{KeyColumn, Lookup};

/// An equality between expressions of two inputs; a side's expression is in its input's own numbering.
pub(super) struct Edge {
    pub left: Side,
    pub right: Side,
}

pub(super) struct Side {
    pub input: usize,
    pub key: KeyColumn,
    /// The same expression in the global numbering.
    pub global: Expr,
}

/// A native predicate that cannot raise, in the global numbering, over the inputs listed.
pub(super) struct Condition {
    pub inputs: BTreeSet<usize>,
    pub expression: Expr,
}

impl Edge {
    /// What is looked up in `input`, and the side that is known by then.
    fn leads_to(&self, input: usize, bound: &BTreeSet<usize>) -> Option<(&Side, &Side)> {
        if self.left.input == input && bound.contains(&self.right.input) {
            return Some((&self.left, &self.right));
        }
        (self.right.input == input && bound.contains(&self.left.input)).then_some((&self.right, &self.left))
    }
}

/// What is known of an input for an estimate of how many rows a lookup in it finds.
#[derive(Default)]
pub(super) struct Size {
    /// None if nobody has counted.
    pub rows: Option<f64>,
    /// Sets of columns, in the input's own numbering, that are unique together.
    pub unique: Vec<Vec<usize>>,
    /// How many different values a column has, where that is known.
    pub distinct: HashMap<usize, f64>,
    /// How many conditions filter it.
    pub filters: usize,
}

/// Of an input of which nothing is known.
const UNKNOWN_ROWS: f64 = 1e6;
/// What one equality leaves where nothing is known.
const UNKNOWN_MATCHES: f64 = 100.0;
/// What a filter leaves.
const FILTERED: f64 = 0.5;

impl Size {
    /// How many rows a lookup by these key columns finds, about.
    fn matches(&self, key: &[&KeyColumn]) -> f64 {
        let filtered = FILTERED.powi(self.filters as i32);
        let rows = self.rows.unwrap_or(UNKNOWN_ROWS);
        if key.is_empty() {
            return rows * filtered;
        }
        let columns: Vec<usize> = key
            .iter()
            .filter_map(|column| match column.expression {
                Expr::Column(at, _) => Some(at),
                _ => None,
            })
            .collect();
        if self.unique.iter().any(|unique| unique.iter().all(|column| columns.contains(column))) {
            return filtered;
        }
        let distinct = columns.iter().filter_map(|column| self.distinct.get(column)).copied().fold(0.0, f64::max);
        let matches = if distinct > 0.0 { rows / distinct } else { UNKNOWN_MATCHES };
        // Several keys leave less than each of them; how much, nobody knows.
        (matches / key.len() as f64).max(1.0) * filtered
    }
}

/// The lookups that start from a change of `start`. Next is always the input in which an equality finds the fewest rows, the
/// first of those; a product with all rows only where no equality leads on, then with the fewest rows.
pub(super) fn path(start: usize, inputs: &[Size], edges: &[Edge], conditions: &[Condition]) -> Vec<Lookup> {
    let mut bound = BTreeSet::from([start]);
    let mut path = Vec::new();
    while bound.len() < inputs.len() {
        let cost = |input: &usize| {
            let links = edges.iter().filter_map(|edge| edge.leads_to(*input, &bound));
            let key: Vec<&KeyColumn> = links.map(|(sought, _)| &sought.key).collect();
            (key.is_empty(), inputs[*input].matches(&key))
        };
        let open = (0..inputs.len()).filter(|input| !bound.contains(input));
        let cheaper = |a: &usize, b: &usize| {
            let (a, b) = (cost(a), cost(b));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        };
        let Some(next) = open.min_by(cheaper) else { break };
        let mut lookup = Lookup { input: next, probe: Vec::new(), key: Vec::new(), filter: Vec::new() };
        let mut pairs: Vec<(&Side, &Side)> = edges.iter().filter_map(|edge| edge.leads_to(next, &bound)).collect();
        // In one order whatever the path, so that paths with the same key share an arrangement. One column may be compared
        // with several that are known: then it is a key for each.
        pairs.sort_by(|a, b| a.0.key.cmp(&b.0.key));
        for (sought, known) in pairs {
            lookup.key.push(sought.key.clone());
            lookup.probe.push(known.global.clone());
        }
        let before = bound.clone();
        bound.insert(next);
        let due = |condition: &&Condition| condition.inputs.is_subset(&bound) && !condition.inputs.is_subset(&before);
        lookup.filter = conditions.iter().filter(due).map(|condition| condition.expression.clone()).collect();
        path.push(lookup);
    }
    path
}
