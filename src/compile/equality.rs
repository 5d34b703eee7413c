//! Keys: which equality a column is compared by, and whether the engine can tell it from images.

use super::{Lowered, NotIncremental};
use crate::pg::catalog_lookup;
use trickle_operators::expr::Expr;
use trickle_operators::plan::{Equality, KeyColumn};
use trickle_operators::value::{ColumnType, Kind};

/// A key column over `expression`, whose value has type `ty`; `what` names it in the reason why there is none.
pub(super) fn key_column(expression: Expr, ty: &ColumnType, nulls_equal: bool, what: &str) -> Lowered<KeyColumn> {
    if !catalog_lookup::deterministic(ty.collation) {
        let collation = catalog_lookup::collation_name(ty.collation);
        return Err(NotIncremental::new(
            format!("{what} has a nondeterministic collation"),
            format!("Equality of {what} depends on the nondeterministic collation \"{collation}\"."),
        ));
    }
    let equality = match ty.kind {
        Kind::Opaque if catalog_lookup::equal_image(ty) => Equality::Image,
        Kind::Opaque => {
            let name = catalog_lookup::type_name(ty.oid);
            return Err(NotIncremental::new(
                format!("{what} has type {name}"),
                format!("Equal values of type {name}, the type of {what}, may be stored differently."),
            ));
        }
        _ => Equality::Sql,
    };
    Ok(KeyColumn { expression, kind: ty.kind, equality, nulls_equal })
}

/// A column that is only ever compared with itself: the same image is the same value, whatever the type.
pub(super) fn image_column(column: usize, ty: &ColumnType) -> KeyColumn {
    KeyColumn { expression: Expr::Column(column, ty.kind), kind: ty.kind, equality: Equality::Image, nulls_equal: true }
}
