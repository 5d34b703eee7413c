//! The type of a column: what PostgreSQL calls it, and which of the engine's native readings fits.

use serde::{Deserialize, Serialize};

/// How the engine reads an image. Widths and epochs are PostgreSQL's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    /// On-disk numeric payload, short or long header.
    Numeric,
    /// text and varchar: bytes in the server encoding (native functions assume UTF-8; otherwise PostgreSQL evaluates).
    Text,
    /// character(n), blank-padded.
    Bpchar,
    Bytea,
    /// Days since 2000-01-01, i32.
    Date,
    /// Microseconds, i64.
    Time,
    /// i64 microseconds, i32 zone seconds west.
    TimeTz,
    /// Microseconds since 2000-01-01, i64.
    Timestamp,
    TimestampTz,
    /// i64 microseconds, i32 days, i32 months.
    Interval,
    Uuid,
    /// Any other type: equal images are equal values, nothing else is known.
    Opaque,
}

/// A column's type: enough to turn an image back into a datum without any catalog look-up.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ColumnType {
    pub kind: Kind,
    /// pg_type.oid
    pub oid: u32,
    pub typmod: i32,
    /// pg_collation.oid, 0 if none
    pub collation: u32,
    /// pg_type.typlen
    pub length: i16,
    pub by_value: bool,
    /// pg_type.typalign: b'c', b's', b'i' or b'd'
    pub align: u8,
}
