//! What a query refers to in the queries around it.

use super::node::{Node, Var, View};
use super::query::Query;
use pgrx::pg_sys;

/// A column of a query further out.
#[derive(Clone, Copy)]
pub struct Reference<'t> {
    /// Counted from the expression or query that was asked: 1 is the query around it.
    pub levels_up: u32,
    pub entry: usize,
    pub attribute: i16,
    /// As it is written where it was found first; only its type is to be read.
    pub node: Node<'t>,
}

/// All that something refers to.
#[derive(Clone, Default)]
pub struct References<'t> {
    pub columns: Vec<Reference<'t>>,
    /// How often columns are referred to.
    pub count: usize,
    /// Common table expressions of queries further out, by level and name.
    pub ctes: Vec<(u32, String)>,
}

impl Reference<'_> {
    pub fn is(&self, levels_up: u32, entry: usize, attribute: i16) -> bool {
        self.levels_up == levels_up && self.entry == entry && self.attribute == attribute
    }
}

impl<'t> References<'t> {
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    fn add(&mut self, reference: Reference<'t>) {
        self.count += 1;
        let Reference { levels_up, entry, attribute, .. } = reference;
        if !self.columns.iter().any(|known| known.is(levels_up, entry, attribute)) {
            self.columns.push(reference);
        }
    }

    pub fn extend(&mut self, other: References<'t>) {
        let count = self.count + other.count;
        other.columns.into_iter().for_each(|reference| self.add(reference));
        self.count = count;
        self.ctes.extend(other.ctes);
    }
}

/// A walk: how many queries deeper it is than what was asked.
struct Walk<'t> {
    depth: i64,
    found: References<'t>,
    anchor: Node<'t>,
}

impl<'t> Node<'t> {
    /// What an expression refers to outside of its own query.
    pub fn references(self) -> References<'t> {
        // Entering a query that is asked itself is no step deeper.
        self.references_from(if self.tag() == pg_sys::NodeTag::T_Query { -1 } else { 0 })
    }

    /// What an expression refers to, its own query included: that is level 1.
    pub fn all_references(self) -> References<'t> {
        self.references_from(-1)
    }

    fn references_from(self, depth: i64) -> References<'t> {
        let mut walk = Walk { depth, found: References::default(), anchor: self };
        // SAFETY: `look` gets back the pointer passed here, which outlives the call; the tree is only read.
        unsafe { look(self.raw(), (&raw mut walk).cast()) };
        walk.found
    }
}

impl<'t> Query<'t> {
    /// The names of its own common table expressions, each as often as something within the query refers to it.
    pub fn uses_of_ctes(self) -> Vec<String> {
        let all = self.node().references_from(-2).ctes;
        all.into_iter().filter(|(level, _)| *level == 1).map(|(_, name)| name).collect()
    }

    /// What the query refers to outside of itself.
    pub fn references(self) -> References<'t> {
        self.node().references()
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn look(node: *mut pg_sys::Node, context: *mut std::ffi::c_void) -> bool {
    use pg_sys::NodeTag::*;
    if node.is_null() {
        return false;
    }
    // SAFETY: `context` is what `references` passed; nodes are cast to the structs of their tags; the walkers call us for
    // children, within a query with the depth that is set meanwhile.
    unsafe {
        let walk = &mut *context.cast::<Walk<'_>>();
        let depth = walk.depth;
        let out = |level: u32| u32::try_from(i64::from(level) - depth).ok().filter(|level| *level > 0);
        match (*node).type_ {
            T_Query => {
                walk.depth += 1;
                let flags = (pg_sys::QTW_EXAMINE_RTES_BEFORE | pg_sys::QTW_IGNORE_JOINALIASES) as i32;
                let stopped = pg_sys::query_tree_walker_impl(node.cast(), Some(look), context, flags);
                (*context.cast::<Walk<'_>>()).depth -= 1;
                return stopped;
            }
            T_RangeTblEntry => {
                let entry = &*node.cast::<pg_sys::RangeTblEntry>();
                if entry.rtekind == pg_sys::RTEKind::RTE_CTE {
                    // A reference has a name.
                    let level = out(entry.ctelevelsup);
                    walk.found.ctes.extend(level.map(|level| (level, super::query::text(entry.ctename))));
                }
                return false;
            }
            T_Var => {
                let levels_up = out((*node.cast::<pg_sys::Var>()).varlevelsup);
                if let (Some(node), Some(levels_up)) = (walk.anchor.child(node), levels_up) {
                    if let View::Var(Var { entry, attribute, .. }) = node.view() {
                        walk.found.add(Reference { levels_up, entry, attribute, node });
                    }
                }
                return false;
            }
            _ => {}
        }
        pg_sys::expression_tree_walker_impl(node, Some(look), context)
    }
}
