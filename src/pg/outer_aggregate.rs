//! Aggregates that stand in a subquery and belong to a query around it: `(SELECT sum(t.a) …) FROM t`.

use super::node::{Arena, Node, View};
use pgrx::pg_sys;

/// How many queries deeper the walk is than what was asked, and what stands for an aggregate.
struct Walk<'a, 't> {
    arena: &'t Arena,
    depth: u32,
    replace: &'a mut dyn FnMut(Node<'t>) -> Node<'t>,
}

impl Arena {
    /// The expression with columns in the place of those aggregates and calls of GROUPING() in its subqueries that belong to
    /// its own query. `replace` gets each as it would be written outside of the subquery, and gives a column of the query.
    pub fn replace_aggregates_in_subqueries<'t>(
        &'t self,
        expression: Node<'t>,
        replace: &mut dyn FnMut(Node<'t>) -> Node<'t>,
    ) -> Node<'t> {
        let mut walk = Walk { arena: self, depth: 0, replace };
        // SAFETY: `mutate` gets back the pointer passed here, which outlives the call; the tree is copied, not changed.
        unsafe { self.some(mutate(expression.raw(), (&raw mut walk).cast())) }
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn mutate(node: *mut pg_sys::Node, context: *mut std::ffi::c_void) -> *mut pg_sys::Node {
    use pg_sys::NodeTag::*;
    if node.is_null() {
        return node;
    }
    // SAFETY: `context` is what `replace_aggregates_in_subqueries` passed; nodes are cast to the structs of their tags; the
    // mutators copy the node and call us for children, within a query with the depth that is set meanwhile.
    unsafe {
        let walk = &mut *context.cast::<Walk<'_, '_>>();
        let depth = walk.depth;
        let own = match (*node).type_ {
            T_Query => {
                walk.depth += 1;
                let copy = pg_sys::query_tree_mutator_impl(node.cast(), Some(mutate), context, 0);
                (*context.cast::<Walk<'_, '_>>()).depth -= 1;
                return copy.cast();
            }
            T_Aggref => (*node.cast::<pg_sys::Aggref>()).agglevelsup == depth,
            T_GroupingFunc => (*node.cast::<pg_sys::GroupingFunc>()).agglevelsup == depth,
            T_JsonConstructorExpr => {
                // Without its aggregate it means nothing.
                let constructor = walk.arena.some(node);
                let (Some((call, _)), true) = (constructor.json_aggregate(), depth > 0) else {
                    return pg_sys::expression_tree_mutator_impl(node, Some(mutate), context);
                };
                match call.view() {
                    View::Aggregate(call) if call.levels_up == depth => {
                        let plain = walk.arena.plain_json_aggregates(constructor);
                        return mutate(plain.raw(), context);
                    }
                    _ => false,
                }
            }
            _ => false,
        };
        if !own || depth == 0 {
            return pg_sys::expression_tree_mutator_impl(node, Some(mutate), context);
        }
        let outside = pg_sys::copyObjectImpl(node as *const _) as *mut pg_sys::Node;
        pg_sys::IncrementVarSublevelsUp(outside, -(depth as i32), depth as i32);
        let column = (walk.replace)(walk.arena.some(outside));
        let inside = pg_sys::copyObjectImpl(column.raw() as *const _) as *mut pg_sys::Node;
        pg_sys::IncrementVarSublevelsUp(inside, depth as i32, 0);
        inside
    }
}
