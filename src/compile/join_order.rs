//! The order in which a delta join looks its inputs up, starting from each of them in turn.

use std::collections::BTreeSet;
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

/// The lookups that start from a change of `start`. Next is always the input that the most equalities lead to, the first of
/// those; a product with all rows only where no equality leads on.
pub(super) fn path(start: usize, inputs: usize, edges: &[Edge], conditions: &[Condition]) -> Vec<Lookup> {
    let mut bound = BTreeSet::from([start]);
    let mut path = Vec::new();
    while bound.len() < inputs {
        let links = |input: &usize| edges.iter().filter(|edge| edge.leads_to(*input, &bound).is_some()).count();
        let open = (0..inputs).filter(|input| !bound.contains(input));
        let Some(next) = open.max_by_key(|input| (links(input), std::cmp::Reverse(*input))) else { break };
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
