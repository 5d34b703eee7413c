//! Predicates that the compiler makes.

use super::node::{list, make, Arena, Node};
use pgrx::pg_sys;

impl Arena {
    /// `node IS NULL`
    pub fn is_null<'t>(&'t self, node: Node<'t>) -> Node<'t> {
        // SAFETY: zeroed memory of the struct's size in the arena, with a node of the same arena put in.
        unsafe {
            let test = make::<pg_sys::NullTest>(pg_sys::NodeTag::T_NullTest);
            (*test).arg = node.raw().cast();
            (*test).nulltesttype = pg_sys::NullTestType::IS_NULL;
            (*test).location = -1;
            self.some(test)
        }
    }

    pub fn truth(&self) -> Node<'_> {
        self.boolean(true)
    }

    pub fn boolean(&self, value: bool) -> Node<'_> {
        // SAFETY: makeBoolConst allocates in the current context, which is the arena's.
        unsafe { self.some(pg_sys::makeBoolConst(value, false)) }
    }

    /// `left IS NOT DISTINCT FROM right`, two values of one type, by its default equality; none if it has none.
    pub fn not_distinct<'t>(&'t self, left: Node<'t>, right: Node<'t>) -> Option<Node<'t>> {
        // SAFETY: the type cache's entry lives for ever; the nodes are zeroed memory of their structs' sizes in the arena, and
        // what is put in are nodes of the same arena.
        unsafe {
            let ty = pg_sys::exprType(left.raw());
            let equality = (*pg_sys::lookup_type_cache(ty, pg_sys::TYPECACHE_EQ_OPR as i32)).eq_opr;
            if equality == pg_sys::InvalidOid {
                return None;
            }
            let distinct = make::<pg_sys::OpExpr>(pg_sys::NodeTag::T_DistinctExpr);
            (*distinct).opno = equality;
            (*distinct).opfuncid = pg_sys::get_opcode(equality);
            (*distinct).opresulttype = pg_sys::BOOLOID;
            (*distinct).inputcollid = pg_sys::exprCollation(left.raw());
            (*distinct).args = list(&[left, right]);
            (*distinct).location = -1;
            let distinct = self.some(distinct);
            Some(self.some(pg_sys::makeBoolExpr(pg_sys::BoolExprType::NOT_EXPR, list(&[distinct]), -1)))
        }
    }
}
