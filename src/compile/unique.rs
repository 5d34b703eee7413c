//! Which columns identify a row: of a table by its unique indexes, of a group by its keys, of a join by what its inputs'
//! keys determine through the join's equalities. The sink finds rows by it.

use super::block::Block;
use super::equality::has_key;
use super::stage::Finished;
use crate::pg::catalog_lookup;
use crate::pg::node::{Node, View};
use std::collections::BTreeSet;
use trickle_operators::value::Kind;

/// A unique index has at most this many columns.
const INDEX_COLUMNS: usize = 32;

/// (leaf, column from 0)
type Place = (usize, usize);

/// Sets of outputs that are unique together in the rows of a block, NULLs equal.
pub(super) fn of_block(block: &Block<'_>) -> Vec<Vec<usize>> {
    let equalities = equalities(block);
    // One key of each leaf together identify a row; then leaves go whose key the others determine.
    let mut combinations: Vec<Vec<&Vec<usize>>> = vec![Vec::new()];
    for leaf in &block.leaves {
        let mut next = Vec::new();
        for combination in &combinations {
            for key in &leaf.keys {
                next.push(combination.iter().copied().chain([key]).collect::<Vec<_>>());
            }
        }
        next.truncate(16);
        combinations = next;
    }
    let mut found: Vec<Vec<usize>> = Vec::new();
    for combination in combinations {
        let mut kept: BTreeSet<usize> = (0..block.leaves.len()).collect();
        for leaf in (0..block.leaves.len()).rev() {
            kept.remove(&leaf);
            let fixed = kept.iter().flat_map(|leaf| combination[*leaf].iter().map(|column| (*leaf, *column)));
            if !determines_all(block, fixed.collect(), &equalities) {
                kept.insert(leaf);
            }
        }
        let places = kept.iter().flat_map(|leaf| combination[*leaf].iter().map(|column| (*leaf, *column)));
        let key: Option<Vec<usize>> = places.map(|place| output_of(block, place, &equalities)).collect();
        if let Some(mut key) = key {
            key.sort_unstable();
            key.dedup();
            if !found.contains(&key) {
                found.push(key);
            }
        }
    }
    found
}

/// Whether there is at most one row of a block for all values of its first outputs: where they, and the constants that
/// columns are compared with, fix a row of every leaf.
pub(super) fn has_one_row(block: &Block<'_>, outputs: usize) -> bool {
    let place = |expression: Node<'_>| column(expression).map(|(leaf, attribute)| (leaf, attribute as usize - 1));
    let mut fixed: BTreeSet<Place> =
        block.outputs[..outputs].iter().filter_map(|output| place(output.expression)).collect();
    for predicate in &block.predicates {
        let View::Operator(call) = predicate.view() else { continue };
        let [left, right] = call.arguments[..] else { continue };
        let known = catalog_lookup::is_equality(call.operator)
            && catalog_lookup::deterministic(call.collation)
            && one_to_one(left, right);
        match (known, left.view(), right.view()) {
            (true, _, View::Const(_)) => fixed.extend(place(left)),
            (true, View::Const(_), _) => fixed.extend(place(right)),
            _ => {}
        }
    }
    determines_all(block, fixed, &equalities(block))
}

/// Pairs of columns that are equal in every row, or both NULL.
fn equalities(block: &Block<'_>) -> Vec<(Place, Place)> {
    let mut pairs = Vec::new();
    for predicate in &block.predicates {
        let call = match predicate.view() {
            View::Operator(call) => call,
            View::Not(inner) => match inner.view() {
                View::Distinct(call) => call,
                _ => continue,
            },
            _ => continue,
        };
        let [left, right] = call.arguments[..] else { continue };
        // The same image is equal too.
        if call.operator != 0 && !catalog_lookup::is_equality(call.operator)
            || !catalog_lookup::deterministic(call.collation)
        {
            continue;
        }
        if !one_to_one(left, right) {
            continue;
        }
        if let (Some(left), Some(right)) = (column(left), column(right)) {
            pairs.push(((left.0, left.1 as usize - 1), (right.0, right.1 as usize - 1)));
        }
    }
    pairs
}

/// The leaf and attribute number, if the expression is a column under the equality that it has there.
fn column(expression: Node<'_>) -> Option<(usize, i16)> {
    match expression.view() {
        View::Var(var) => Some((var.entry - 1, var.attribute)),
        View::Relabel(inner) => {
            column(inner).filter(|_| catalog_lookup::same_equality(inner.type_oid(), expression.type_oid()))
        }
        _ => None,
    }
}

/// Whether a value of one is equal to one value of the other at most.
fn one_to_one(left: Node<'_>, right: Node<'_>) -> bool {
    let integer = |node: Node<'_>| matches!(node.column_type().kind, Kind::Int2 | Kind::Int4 | Kind::Int8);
    catalog_lookup::same_equality(left.type_oid(), right.type_oid()) || integer(left) && integer(right)
}

/// Whether these columns' values fix a row of every leaf.
fn determines_all(block: &Block<'_>, mut fixed: BTreeSet<Place>, equalities: &[(Place, Place)]) -> bool {
    let mut leaves: BTreeSet<usize> = BTreeSet::new();
    loop {
        let before = (fixed.len(), leaves.len());
        for (left, right) in equalities {
            let known = |place: &Place| fixed.contains(place) || leaves.contains(&place.0);
            match (known(left), known(right)) {
                (true, false) => fixed.insert(*right),
                (false, true) => fixed.insert(*left),
                _ => false,
            };
        }
        for (number, leaf) in block.leaves.iter().enumerate() {
            if leaf.keys.iter().any(|key| key.iter().all(|column| fixed.contains(&(number, *column)))) {
                leaves.insert(number);
            }
        }
        if leaves.len() == block.leaves.len() {
            return true;
        }
        if before == (fixed.len(), leaves.len()) {
            return false;
        }
    }
}

/// The output that shows a column, or one that equals it.
fn output_of(block: &Block<'_>, place: Place, equalities: &[(Place, Place)]) -> Option<usize> {
    let shows = |place: Place| {
        block.outputs.iter().position(|output| {
            column(output.expression).is_some_and(|(leaf, attribute)| (leaf, attribute as usize - 1) == place)
        })
    };
    shows(place).or_else(|| {
        equalities.iter().find_map(|(left, right)| match () {
            () if *left == place => shows(*right),
            () if *right == place => shows(*left),
            () => None,
        })
    })
}

/// The key by which rows of the stream table are found: the one with the fewest columns that an index can hold. Values of
/// types that the engine does not compare itself (jsonb, arrays) may be longer than an entry of an index.
pub(super) fn for_sink(finished: &Finished) -> Option<Vec<usize>> {
    let usable = |key: &&Vec<usize>| {
        key.len() <= INDEX_COLUMNS
            && key.iter().all(|column| {
                let ty = &finished.columns[*column].ty;
                catalog_lookup::has_btree(ty.oid) && has_key(ty)
            })
    };
    finished.keys.iter().filter(usable).min_by_key(|key| key.len()).cloned()
}
