//! Rows as people read them: each column through its type's output function.

use crate::pg::image;
use pgrx::pg_sys;
use std::ffi::CStr;
use trickle_operators::value::{ColumnType, Kind, RowRef};

/// `(a, b, NULL)`: the columns as their types print them, quoted where the text would be ambiguous.
pub fn row(row: RowRef<'_>, columns: &[ColumnType]) -> String {
    let texts: Vec<String> = row.columns().zip(columns).map(|(image, ty)| column(image, ty)).collect();
    format!("({})", texts.join(", "))
}

fn column(image: Option<&[u8]>, ty: &ColumnType) -> String {
    let Some(image) = image else { return "NULL".into() };
    let text = output(image, ty);
    if text.is_empty() || text == "NULL" || text.contains([',', '(', ')', '\'', '"']) {
        format!("'{}'", text.replace('\'', "''"))
    } else {
        text
    }
}

/// What the type's output function says.
fn output(image: &[u8], ty: &ColumnType) -> String {
    let (value, _) = image::to_datum(Some(image), ty);
    let (mut output, mut varlena) = (pg_sys::InvalidOid, false);
    // SAFETY: the datum is of this type; a type that is gone raises. The text is copied before its memory is freed.
    unsafe {
        pg_sys::getTypeOutputInfo(pg_sys::Oid::from(ty.oid), &mut output, &mut varlena);
        let text = pg_sys::OidOutputFunctionCall(output, value);
        let copy = CStr::from_ptr(text).to_string_lossy().into_owned();
        pg_sys::pfree(text.cast());
        copy
    }
}

/// A constant as SQL writes it: numbers and booleans as they are, others quoted, with their type.
pub fn literal(image: &[u8], kind: Kind) -> String {
    let oid = match kind {
        Kind::Bool => pg_sys::BOOLOID,
        Kind::Int2 => pg_sys::INT2OID,
        Kind::Int4 => pg_sys::INT4OID,
        Kind::Int8 => pg_sys::INT8OID,
        Kind::Oid => pg_sys::OIDOID,
        Kind::Float4 => pg_sys::FLOAT4OID,
        Kind::Float8 => pg_sys::FLOAT8OID,
        Kind::Numeric => pg_sys::NUMERICOID,
        Kind::Text => pg_sys::TEXTOID,
        Kind::Bpchar => pg_sys::BPCHAROID,
        Kind::Bytea => pg_sys::BYTEAOID,
        Kind::Date => pg_sys::DATEOID,
        Kind::Time => pg_sys::TIMEOID,
        Kind::TimeTz => pg_sys::TIMETZOID,
        Kind::Timestamp => pg_sys::TIMESTAMPOID,
        Kind::TimestampTz => pg_sys::TIMESTAMPTZOID,
        Kind::Interval => pg_sys::INTERVALOID,
        Kind::Uuid => pg_sys::UUIDOID,
        Kind::Opaque => return "(constant)".into(),
    };
    let text = output(image, &image::column_type(oid, -1, pg_sys::InvalidOid));
    match kind {
        Kind::Bool => if text == "t" { "true" } else { "false" }.into(),
        Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid => text,
        Kind::Numeric | Kind::Float4 | Kind::Float8 if text.parse::<f64>().is_ok_and(f64::is_finite) => text,
        _ => format!("'{}'::{}", text.replace('\'', "''"), super::catalog_lookup::type_name(oid.to_u32())),
    }
}
