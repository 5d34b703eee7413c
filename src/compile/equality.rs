//! Keys: which equality a column is compared by, and whether the engine can tell it from images.
//!
//! Where it cannot, because equal values of the type may be stored differently in ways it does not know, PostgreSQL makes
//! the key's canonical image of the value, and the engine compares that.

use super::{Compiler, Lowered, NotIncremental};
use crate::pg::node::Node;
use crate::pg::{canonical, catalog_lookup};
use trickle_operators::expr::Expr;
use trickle_operators::plan::{Equality, KeyColumn};
use trickle_operators::value::{ColumnType, Kind};

/// A key column over `expression`, whose value has type `ty`; `what` names it in the reason why there is none.
pub(super) fn key_column(expression: Expr, ty: &ColumnType, nulls_equal: bool, what: &str) -> Lowered<KeyColumn> {
    if let Some(equality) = native_equality(ty) {
        return Ok(KeyColumn { expression, kind: ty.kind, equality, nulls_equal });
    }
    if !catalog_lookup::deterministic(ty.collation) {
        let collation = catalog_lookup::collation_name(ty.collation);
        return Err(NotIncremental::new(
            format!("{what} has a nondeterministic collation"),
            format!("Equality of {what} depends on the nondeterministic collation \"{collation}\"."),
        ));
    }
    let name = catalog_lookup::type_name(ty.oid);
    Err(NotIncremental::new(
        format!("{what} has type {name}"),
        format!("Equal values of type {name}, the type of {what}, may be stored differently."),
    ))
}

/// The equality of the type's values as the engine tells it from images.
fn native_equality(ty: &ColumnType) -> Option<Equality> {
    match ty.kind {
        Kind::Opaque => catalog_lookup::equal_image(ty).then_some(Equality::Image),
        Kind::Text | Kind::Bpchar => catalog_lookup::deterministic(ty.collation).then_some(Equality::Sql),
        _ => Some(Equality::Sql),
    }
}

/// Whether the engine can tell equal values of the type from images.
pub(super) fn has_key(ty: &ColumnType) -> bool {
    native_equality(ty).is_some()
}

/// A column that is only ever compared with itself: the same image is the same value, whatever the type.
pub(super) fn image_column(column: usize, ty: &ColumnType) -> KeyColumn {
    KeyColumn { expression: Expr::Column(column, ty.kind), kind: ty.kind, equality: Equality::Image, nulls_equal: true }
}

/// The types of a key's columns, over columns of these types: what an error of a whole group shows. A key that is no column
/// ends it.
pub(super) fn key_types(keys: &[KeyColumn], types: &[ColumnType]) -> Vec<ColumnType> {
    let of = |key: &KeyColumn| match key.expression {
        Expr::Column(column, _) => types.get(column).cloned(),
        _ => None,
    };
    keys.iter().map_while(of).collect()
}

impl<'t> Compiler<'t, '_> {
    /// What stands for an expression in a key, if that is not the expression: its value's canonical image, under the
    /// collation by which it is compared. None too if there is no such image; then there is no key column either.
    pub(super) fn canonical(&self, expression: Node<'t>, collation: u32) -> Option<Node<'t>> {
        let ty = ColumnType { collation, ..expression.column_type() };
        (!has_key(&ty) && canonical::applies(expression, collation))
            .then(|| canonical::call(self.arena, expression, collation))
    }
}
