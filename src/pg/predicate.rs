//! Predicates that the compiler makes.

use super::node::{list, make, Arena, Node};
use pgrx::pg_sys;
use trickle_operators::value::ColumnType;

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

    pub fn or<'t>(&'t self, arms: &[Node<'t>]) -> Node<'t> {
        // SAFETY: the list and the node are allocated in the arena; the members are boolean expressions in it.
        unsafe { self.some(pg_sys::makeBoolExpr(pg_sys::BoolExprType::OR_EXPR, list(arms), -1)) }
    }

    pub fn truth(&self) -> Node<'_> {
        self.boolean(true)
    }

    pub fn boolean(&self, value: bool) -> Node<'_> {
        // SAFETY: makeBoolConst allocates in the current context, which is the arena's.
        unsafe { self.some(pg_sys::makeBoolConst(value, false)) }
    }

    pub fn oid(&self, value: u32) -> Node<'_> {
        // SAFETY: makeConst allocates in the current context, which is the arena's; an OID is passed by value.
        unsafe {
            let datum = pg_sys::Datum::from(value);
            self.some(pg_sys::makeConst(pg_sys::OIDOID, -1, pg_sys::InvalidOid, 4, datum, false, true))
        }
    }

    /// A NULL of a type.
    pub fn null(&self, ty: &ColumnType) -> Node<'_> {
        let (oid, collation) = (pg_sys::Oid::from(ty.oid), pg_sys::Oid::from(ty.collation));
        // SAFETY: makeNullConst allocates in the current context, which is the arena's.
        unsafe { self.some(pg_sys::makeNullConst(oid, ty.typmod, collation)) }
    }

    pub fn not<'t>(&'t self, node: Node<'t>) -> Node<'t> {
        // SAFETY: makeBoolExpr allocates in the arena; its argument is a boolean expression in it.
        unsafe { self.some(pg_sys::makeBoolExpr(pg_sys::BoolExprType::NOT_EXPR, list(&[node]), -1)) }
    }

    /// A comparison by the negator of its operator; none if it has none.
    pub fn negated<'t>(&'t self, node: Node<'t>) -> Option<Node<'t>> {
        if node.tag() != pg_sys::NodeTag::T_OpExpr {
            return None;
        }
        // SAFETY: the tag says what it is; the copy is in the arena, and nobody has seen it before it is changed.
        unsafe {
            let negator = pg_sys::get_negator((*node.raw().cast::<pg_sys::OpExpr>()).opno);
            if negator == pg_sys::InvalidOid {
                return None;
            }
            let copy = pg_sys::copyObjectImpl(node.raw() as *const _) as *mut pg_sys::OpExpr;
            (*copy).opno = negator;
            (*copy).opfuncid = pg_sys::get_opcode(negator);
            Some(self.some(copy))
        }
    }

    /// `node IS NOT TRUE`, or `node IS NOT FALSE`
    pub fn is_not<'t>(&'t self, node: Node<'t>, value: bool) -> Node<'t> {
        use pg_sys::BoolTestType::{IS_NOT_FALSE, IS_NOT_TRUE};
        // SAFETY: zeroed memory of the struct's size in the arena, with a node of the same arena put in.
        unsafe {
            let test = make::<pg_sys::BooleanTest>(pg_sys::NodeTag::T_BooleanTest);
            (*test).arg = node.raw().cast();
            (*test).booltesttype = if value { IS_NOT_TRUE } else { IS_NOT_FALSE };
            (*test).location = -1;
            self.some(test)
        }
    }

    /// `coalesce(value, 0)` of an int8.
    pub fn coalesce_zero<'t>(&'t self, value: Node<'t>) -> Node<'t> {
        // SAFETY: zeroed memory of the struct's size in the arena, with nodes of the same arena put in; an int8 is passed by
        // value.
        unsafe {
            let zero = pg_sys::makeConst(pg_sys::INT8OID, -1, pg_sys::InvalidOid, 8, 0.into(), false, true);
            let coalesce = make::<pg_sys::CoalesceExpr>(pg_sys::NodeTag::T_CoalesceExpr);
            (*coalesce).coalescetype = pg_sys::INT8OID;
            (*coalesce).args = list(&[value, self.some(zero)]);
            (*coalesce).location = -1;
            self.some(coalesce)
        }
    }

    /// An aggregate of those rows only for which the condition is true too.
    pub fn filtered<'t>(&'t self, aggregate: Node<'t>, condition: Node<'t>) -> Node<'t> {
        if aggregate.tag() != pg_sys::NodeTag::T_Aggref {
            return aggregate;
        }
        // SAFETY: the tag says what it is; the copy is in the arena, and nobody has seen it before it is changed.
        unsafe {
            let copy = pg_sys::copyObjectImpl(aggregate.raw() as *const _) as *mut pg_sys::Aggref;
            let filter = match self.node((*copy).aggfilter) {
                Some(filter) => self.and(&[filter, condition]),
                None => condition,
            };
            (*copy).aggfilter = filter.raw().cast();
            self.some(copy)
        }
    }

    /// Whether two columns of one type have the same image, NULLs being the same. It has no operator and means something as
    /// the key of a join only.
    pub fn same_image<'t>(&'t self, left: Node<'t>, right: Node<'t>) -> Node<'t> {
        // SAFETY: zeroed memory of the struct's size in the arena, with nodes of the same arena put in.
        unsafe {
            let distinct = make::<pg_sys::OpExpr>(pg_sys::NodeTag::T_DistinctExpr);
            (*distinct).opresulttype = pg_sys::BOOLOID;
            (*distinct).args = list(&[left, right]);
            (*distinct).location = -1;
            self.not(self.some(distinct))
        }
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
