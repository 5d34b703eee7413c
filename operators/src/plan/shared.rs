//! Subplans that occur several times in a plan: outer joins and subqueries read their inputs more than once, and so do those
//! around them. As trees such plans would grow by a factor with each level.

use super::Rel;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A subplan of which there may be many copies. Neither copying, hashing nor comparing walks through it: two that were made
/// apart are the same if 128 bits of hash are. To compare them relation by relation would take as long as their trees are
/// large.
#[derive(Clone)]
pub struct Shared(Arc<Inner>);

struct Inner {
    rel: Rel,
    hashes: [u64; 2],
}

impl Shared {
    pub fn new(rel: Rel) -> Self {
        let hashes = [0u8, 1].map(|salt| {
            let mut hasher = DefaultHasher::new();
            (salt, &rel).hash(&mut hasher);
            hasher.finish()
        });
        Shared(Arc::new(Inner { rel, hashes }))
    }

    pub fn rel(&self) -> &Rel {
        &self.0.rel
    }

    /// What copies have in common.
    pub fn address(&self) -> *const Rel {
        std::ptr::from_ref(&self.0.rel)
    }
}

impl PartialEq for Shared {
    fn eq(&self, other: &Self) -> bool {
        self.0.hashes == other.0.hashes
    }
}

impl Eq for Shared {}

impl Hash for Shared {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hashes.hash(state);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.rel.fmt(f)
    }
}

impl Serialize for Shared {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.rel.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Shared {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Rel::deserialize(deserializer).map(Shared::new)
    }
}

impl Rel {
    /// Visits every relation from the root down, a shared one once. What `visit` says false of is not entered.
    pub fn visit_once<'r>(&'r self, visit: &mut dyn FnMut(&'r Rel) -> bool) {
        self.visit_unseen(visit, &mut HashSet::new());
    }

    fn visit_unseen<'r>(&'r self, visit: &mut dyn FnMut(&'r Rel) -> bool, seen: &mut HashSet<*const Rel>) {
        if let Rel::Shared(shared) = self {
            if !seen.insert(shared.address()) {
                return;
            }
        }
        if visit(self) {
            self.inputs().into_iter().for_each(|input| input.visit_unseen(visit, seen));
        }
    }

    /// How many relations the plan would have if nothing were shared.
    pub fn tree_size(&self) -> usize {
        fn size(rel: &Rel, known: &mut HashMap<*const Rel, usize>) -> usize {
            match rel {
                Rel::Shared(shared) => match known.get(&shared.address()) {
                    Some(size) => *size,
                    None => {
                        let found = size(shared.rel(), known);
                        known.insert(shared.address(), found);
                        found
                    }
                },
                _ => rel.inputs().into_iter().fold(1, |sum, input| sum.saturating_add(size(input, known))),
            }
        }
        size(self, &mut HashMap::new())
    }

    /// The plan with everything written out as often as it occurs.
    pub fn unshared(&self) -> Rel {
        match self {
            Rel::Shared(shared) => shared.rel().unshared(),
            _ => self.with_inputs(&mut Rel::unshared),
        }
    }

    /// The plan with only that shared which occurs several times.
    pub fn settled(&self) -> Rel {
        let mut counts: HashMap<*const Rel, usize> = HashMap::new();
        self.visit_once(&mut |rel| {
            for input in rel.inputs() {
                if let Rel::Shared(shared) = input {
                    *counts.entry(shared.address()).or_default() += 1;
                }
            }
            true
        });
        fn settle(rel: &Rel, counts: &HashMap<*const Rel, usize>, done: &mut HashMap<*const Rel, Rel>) -> Rel {
            let Rel::Shared(shared) = rel else {
                return rel.with_inputs(&mut |input| settle(input, counts, done));
            };
            if let Some(known) = done.get(&shared.address()) {
                return known.clone();
            }
            let below = settle(shared.rel(), counts, done);
            // Chains of row-by-row nodes are run as one where nothing is between them.
            let several = counts.get(&shared.address()).is_some_and(|count| *count > 1);
            let settled = if several { Rel::Shared(Shared::new(below)) } else { below };
            done.insert(shared.address(), settled.clone());
            settled
        }
        settle(self, &counts, &mut HashMap::new())
    }

    /// The same node over other inputs.
    fn with_inputs(&self, replace: &mut dyn FnMut(&Rel) -> Rel) -> Rel {
        let mut copy = self.clone();
        for input in copy.inputs_mut() {
            *input = replace(input);
        }
        copy
    }

    /// The relations directly below, unless they are shared with others.
    fn inputs_mut(&mut self) -> Vec<&mut Rel> {
        match self {
            Rel::Source { .. }
            | Rel::StreamTable { .. }
            | Rel::Values { .. }
            | Rel::Recursive { .. }
            | Rel::Shared(_) => Vec::new(),
            Rel::Map { input, .. }
            | Rel::PgMap { input, .. }
            | Rel::PgFlatMap { input, .. }
            | Rel::Repeat { input, .. }
            | Rel::Filter { input, .. }
            | Rel::Project { input, .. }
            | Rel::Negate { input } => vec![input],
            Rel::Union { inputs } => inputs.iter_mut().collect(),
            Rel::Join(join) => join.inputs.iter_mut().map(|input| &mut input.relation).collect(),
            Rel::Reduce(reduce) => vec![&mut reduce.input],
            Rel::Temporal(temporal) => vec![&mut temporal.input],
            Rel::TopK(top_k) => vec![&mut top_k.input],
            Rel::Window(window) => vec![&mut window.input],
            Rel::Fixpoint(fixpoint) => vec![&mut fixpoint.body],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubled(rel: Rel) -> Rel {
        let shared = Rel::Shared(Shared::new(rel));
        Rel::Union { inputs: vec![shared.clone(), Rel::Negate { input: Box::new(shared) }] }
    }

    fn source() -> Rel {
        Rel::Source { source: 1, columns: vec![1] }
    }

    /// As a tree this plan has more than 2^60 relations.
    fn deep() -> Rel {
        (0..60).fold(source(), |rel, _| doubled(rel))
    }

    #[test]
    fn a_deep_plan_is_walked_in_linear_time() {
        let deep = deep();
        let mut visited = 0;
        deep.visit_once(&mut |_| {
            visited += 1;
            true
        });
        assert_eq!(visited, 60 * 3 + 1);
        assert_eq!(deep.tree_size(), (1 << 60) + (2 * ((1 << 60) - 1)));
        assert!(deep.settled() == deep);
        assert!(deep != (0..59).fold(source(), |rel, _| doubled(rel)));
        assert!(!deep.is_recursive(0));
        assert_eq!(deep.width(&[]), 1);
    }

    #[test]
    fn what_occurs_once_is_not_shared() {
        let once = Rel::Negate { input: Box::new(Rel::Shared(Shared::new(doubled(source())))) };
        assert_eq!(once.settled(), Rel::Negate { input: Box::new(doubled(source())) });
        let tree = doubled(source()).unshared();
        assert_eq!(tree, Rel::Union { inputs: vec![source(), Rel::Negate { input: Box::new(source()) }] });
    }
}
