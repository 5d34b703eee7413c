//! Datum <-> image: the one codec of the extension.
//!
//! An image is defined in `trickle_operators::value`. Capture triggers, table scans, evaluated fragments and the sink all
//! go through this module, because a DELETE's old image must be the INSERT's new image byte for byte (HAZARDS H26). The
//! caller's part of that: take values from a slot, or from a descriptor that knows the missing attributes, so that rows
//! older than an ADD COLUMN ... DEFAULT show the default; and never ask for a dropped column.

use super::txn::Failure;
use pgrx::pg_sys;
use trickle_operators::value::{ColumnType, Kind, RowBuilder};

/// How a type's datums are laid out in memory: all that encoding needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storage {
    /// pg_type.typlen
    pub length: i16,
    /// pg_type.typbyval
    pub by_value: bool,
}

impl From<&ColumnType> for Storage {
    fn from(ty: &ColumnType) -> Self {
        Storage { length: ty.length, by_value: ty.by_value }
    }
}

impl From<&pg_sys::FormData_pg_attribute> for Storage {
    fn from(attribute: &pg_sys::FormData_pg_attribute) -> Self {
        Storage { length: attribute.attlen, by_value: attribute.attbyval }
    }
}

/// Appends the image of a datum to a row under construction. Detoasting works in the current memory context, and leaves
/// nothing behind.
///
/// # Safety
/// `datum` must be a valid datum of a type with this storage, unless `isnull`. A TOAST pointer in it must still be
/// fetchable: a snapshot is active.
pub unsafe fn append(builder: &mut RowBuilder, datum: pg_sys::Datum, isnull: bool, storage: Storage) {
    if isnull {
        builder.push(None);
    } else if storage.by_value {
        // The low-order bytes of a pass-by-value datum are the value; only its length of them is defined.
        let bytes = (datum.value() as u64).to_ne_bytes();
        let length = storage.length as usize;
        let from = if cfg!(target_endian = "big") { bytes.len() - length } else { 0 };
        builder.push(Some(&bytes[from..from + length]));
    } else if storage.length > 0 {
        // SAFETY: a pass-by-reference datum of a fixed-length type points to that many bytes.
        let bytes = unsafe { std::slice::from_raw_parts(datum.cast_mut_ptr::<u8>(), storage.length as usize) };
        builder.push(Some(bytes));
    } else if storage.length == -1 {
        let original = datum.cast_mut_ptr::<pg_sys::varlena>();
        // SAFETY: the datum is a varlena by its length -1. Detoasting flattens what is external, compressed or expanded
        // into a fresh allocation and returns everything else as it is; both kinds of length word are left out.
        unsafe {
            let plain = pg_sys::pg_detoast_datum_packed(original);
            builder.push(Some(pgrx::varlena_to_byte_slice(plain)));
            if plain != original {
                pg_sys::pfree(plain.cast());
            }
        }
    } else {
        // SAFETY: length -2 is a null-terminated string.
        let string = unsafe { std::ffi::CStr::from_ptr(datum.cast_mut_ptr()) };
        builder.push(Some(string.to_bytes()));
    }
}

/// The datum of an image, and whether it is NULL. What is passed by reference is allocated in the current memory context.
pub fn to_datum(image: Option<&[u8]>, ty: &ColumnType) -> (pg_sys::Datum, bool) {
    let Some(image) = image else {
        return (pg_sys::Datum::null(), true);
    };
    if ty.length > 0 && image.len() != ty.length as usize {
        let text = format!("image of {} bytes does not fit type {} of {} bytes", image.len(), ty.oid, ty.length);
        Failure::new(b"XX001", text).raise();
    }
    if ty.by_value {
        return (by_value_datum(image), false);
    }
    let (header, trailer) = match ty.length {
        -1 => (pg_sys::VARHDRSZ, 0),
        -2 => (0, 1),
        _ => (0, 0),
    };
    // SAFETY: the allocation holds header, image and trailer, and is aligned for any type; the length word and the final
    // zero are written where the type's layout wants them.
    unsafe {
        let memory = pg_sys::palloc(header + image.len() + trailer).cast::<u8>();
        std::ptr::copy_nonoverlapping(image.as_ptr(), memory.add(header), image.len());
        if header > 0 {
            pgrx::set_varsize_4b(memory.cast(), (header + image.len()) as i32);
        }
        if trailer > 0 {
            *memory.add(image.len()) = 0;
        }
        (pg_sys::Datum::from(memory), false)
    }
}

/// As PostgreSQL's fetch_att: sign-extended, so that comparing whole datums is right too.
fn by_value_datum(image: &[u8]) -> pg_sys::Datum {
    let value = match *image {
        [a] => i64::from(i8::from_ne_bytes([a])),
        [a, b] => i64::from(i16::from_ne_bytes([a, b])),
        [a, b, c, d] => i64::from(i32::from_ne_bytes([a, b, c, d])),
        [a, b, c, d, e, f, g, h] => i64::from_ne_bytes([a, b, c, d, e, f, g, h]),
        _ => {
            let text = format!("pass-by-value image of {} bytes", image.len());
            Failure::new(b"XX001", text).raise()
        }
    };
    pg_sys::Datum::from(value as usize)
}

/// The type of a column, as the catalogs have it now. An ERROR if there is no such type.
pub fn column_type(oid: pg_sys::Oid, typmod: i32, collation: pg_sys::Oid) -> ColumnType {
    let (mut length, mut by_value, mut align) = (0i16, false, 0);
    // SAFETY: catalog look-ups by OID that fill the three out parameters or raise an ERROR.
    let base = unsafe {
        pg_sys::get_typlenbyvalalign(oid, &mut length, &mut by_value, &mut align);
        pg_sys::getBaseType(oid)
    };
    ColumnType {
        kind: kind(base.to_u32()),
        oid: oid.to_u32(),
        typmod,
        collation: collation.to_u32(),
        length,
        by_value,
        align: align as u8,
    }
}

/// The engine's reading of a base type. A domain has its base type's images.
pub fn kind(base: u32) -> Kind {
    match pg_sys::Oid::from(base) {
        pg_sys::BOOLOID => Kind::Bool,
        pg_sys::INT2OID => Kind::Int2,
        pg_sys::INT4OID => Kind::Int4,
        pg_sys::INT8OID => Kind::Int8,
        pg_sys::OIDOID => Kind::Oid,
        pg_sys::FLOAT4OID => Kind::Float4,
        pg_sys::FLOAT8OID => Kind::Float8,
        pg_sys::NUMERICOID => Kind::Numeric,
        pg_sys::TEXTOID | pg_sys::VARCHAROID => Kind::Text,
        pg_sys::BPCHAROID => Kind::Bpchar,
        pg_sys::BYTEAOID => Kind::Bytea,
        pg_sys::DATEOID => Kind::Date,
        pg_sys::TIMEOID => Kind::Time,
        pg_sys::TIMETZOID => Kind::TimeTz,
        pg_sys::TIMESTAMPOID => Kind::Timestamp,
        pg_sys::TIMESTAMPTZOID => Kind::TimestampTz,
        pg_sys::INTERVALOID => Kind::Interval,
        pg_sys::UUIDOID => Kind::Uuid,
        _ => Kind::Opaque,
    }
}
