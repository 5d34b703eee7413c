//! Subqueries in expressions.

use super::node::Node;
use super::query::Query;
use pgrx::pg_sys;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubLinkKind {
    Exists,
    /// `left op ANY (…)`, IN among them.
    Any,
    /// `left op ALL (…)`
    All,
    /// A value.
    Scalar,
    /// `(left, …) op (…)` with the one row of the subquery.
    Row,
    /// `ARRAY(…)`
    Array,
    Other,
}

/// A subquery in an expression.
#[derive(Clone, Copy)]
pub struct SubLink<'t> {
    pub kind: SubLinkKind,
    /// Of ANY, ALL and a row: the comparison, in which the subquery's columns are parameters.
    pub test: Option<Node<'t>>,
    pub query: Query<'t>,
}

impl<'t> Node<'t> {
    /// The subquery, if the expression is just that.
    pub fn sublink(self) -> Option<SubLink<'t>> {
        if self.tag() != pg_sys::NodeTag::T_SubLink {
            return None;
        }
        // SAFETY: the tag says what it is.
        let link = unsafe { &*self.raw().cast::<pg_sys::SubLink>() };
        let kind = match link.subLinkType {
            pg_sys::SubLinkType::EXISTS_SUBLINK => SubLinkKind::Exists,
            pg_sys::SubLinkType::ANY_SUBLINK => SubLinkKind::Any,
            pg_sys::SubLinkType::ALL_SUBLINK => SubLinkKind::All,
            pg_sys::SubLinkType::EXPR_SUBLINK => SubLinkKind::Scalar,
            pg_sys::SubLinkType::ROWCOMPARE_SUBLINK => SubLinkKind::Row,
            pg_sys::SubLinkType::ARRAY_SUBLINK => SubLinkKind::Array,
            _ => SubLinkKind::Other,
        };
        // SAFETY: both are nodes of the same tree, of which the subquery is never null.
        let (test, query) = unsafe { (self.child(link.testexpr), self.child(link.subselect)?) };
        Some(SubLink { kind, test, query: Query::from_node(query)? })
    }

    /// Whether parts of the node are evaluated for each element of an array, which stands where CASE has its argument.
    pub fn tests_elements(self) -> bool {
        matches!(self.tag(), pg_sys::NodeTag::T_ArrayCoerceExpr | pg_sys::NodeTag::T_JsonConstructorExpr)
    }

    /// Whether it is the same node, not one like it.
    pub fn is(self, other: Node<'_>) -> bool {
        std::ptr::eq(self.raw(), other.raw())
    }

    /// Which column of the subquery (from 1), if the expression stands for one in its comparison.
    pub fn sublink_column(self) -> Option<usize> {
        if self.tag() != pg_sys::NodeTag::T_Param {
            return None;
        }
        // SAFETY: the tag says what it is.
        let parameter = unsafe { &*self.raw().cast::<pg_sys::Param>() };
        let column = usize::try_from(parameter.paramid).ok()?;
        (parameter.paramkind == pg_sys::ParamKind::PARAM_SUBLINK).then_some(column)
    }
}
