//! [`canonical`]: one image for all images that are equal in SQL.
//!
//! Invariants: two images of a kind are SQL-equal exactly if their canonical forms are the same bytes; a canonical form is
//! itself a valid image of the kind, equal to what it stands for, and canonical. Text is taken to be under a deterministic
//! collation; for [`Kind::Opaque`] the caller vouches for image equality.

use super::error::EvalError;
use super::numeric::Numeric;
use super::read::{self, Interval};
use super::Kind;
use std::borrow::Cow;

/// Whether [`canonical`] is the identity for this kind: SQL-equal values have equal images.
pub fn is_identity(kind: Kind) -> bool {
    !matches!(kind, Kind::Numeric | Kind::Float4 | Kind::Float8 | Kind::Bpchar | Kind::Interval)
}

/// The canonical form of `image`.
pub fn canonical(kind: Kind, image: &[u8]) -> Result<Cow<'_, [u8]>, EvalError> {
    match kind {
        Kind::Numeric => match Numeric::read(image)? {
            Numeric::Finite(decimal) => {
                let canonical = Numeric::Finite(decimal.trimmed()).to_image()?;
                Ok(if canonical == image { Cow::Borrowed(image) } else { Cow::Owned(canonical) })
            }
            _ => Ok(Cow::Borrowed(image)),
        },
        Kind::Float4 => {
            let float = read::float4(kind, image)?;
            Ok(if float.is_nan() {
                Cow::Owned(f32::NAN.to_ne_bytes().to_vec())
            } else if float == 0.0 {
                Cow::Owned(0f32.to_ne_bytes().to_vec())
            } else {
                Cow::Borrowed(image)
            })
        }
        Kind::Float8 => {
            let float = read::float8(kind, image)?;
            Ok(if float.is_nan() {
                Cow::Owned(f64::NAN.to_ne_bytes().to_vec())
            } else if float == 0.0 {
                Cow::Owned(0f64.to_ne_bytes().to_vec())
            } else {
                Cow::Borrowed(image)
            })
        }
        Kind::Bpchar => Ok(Cow::Borrowed(read::without_blanks(image))),
        Kind::Interval => {
            let interval = Interval::read(image)?;
            let canonical = Interval::of_span(interval.span());
            if canonical == interval {
                return Ok(Cow::Borrowed(image));
            }
            let mut bytes = Vec::with_capacity(16);
            canonical.write(&mut bytes);
            Ok(Cow::Owned(bytes))
        }
        Kind::Bool
        | Kind::Int2
        | Kind::Int4
        | Kind::Int8
        | Kind::Oid
        | Kind::Text
        | Kind::Bytea
        | Kind::Date
        | Kind::Time
        | Kind::TimeTz
        | Kind::Timestamp
        | Kind::TimestampTz
        | Kind::Uuid
        | Kind::Opaque => Ok(Cow::Borrowed(image)),
    }
}
