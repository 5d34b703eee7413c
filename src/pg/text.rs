//! Rows as people read them: each column through its type's output function.

use crate::pg::image;
use pgrx::pg_sys;
use std::ffi::CStr;
use trickle_operators::value::{ColumnType, RowRef};

/// `(a, b, NULL)`: the columns as their types print them, quoted where the text would be ambiguous.
pub fn row(row: RowRef<'_>, columns: &[ColumnType]) -> String {
    let texts: Vec<String> = row.columns().zip(columns).map(|(image, ty)| column(image, ty)).collect();
    format!("({})", texts.join(", "))
}

fn column(image: Option<&[u8]>, ty: &ColumnType) -> String {
    let (value, null) = image::to_datum(image, ty);
    if null {
        return "NULL".into();
    }
    let (mut output, mut varlena) = (pg_sys::InvalidOid, false);
    // SAFETY: the datum is of this type; a type that is gone raises. The text is copied before its memory is freed.
    let text = unsafe {
        pg_sys::getTypeOutputInfo(pg_sys::Oid::from(ty.oid), &mut output, &mut varlena);
        let text = pg_sys::OidOutputFunctionCall(output, value);
        let copy = CStr::from_ptr(text).to_string_lossy().into_owned();
        pg_sys::pfree(text.cast());
        copy
    };
    if text.is_empty() || text == "NULL" || text.contains([',', '(', ')', '\'', '"']) {
        format!("'{}'", text.replace('\'', "''"))
    } else {
        text
    }
}
