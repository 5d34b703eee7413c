//! Values as the engine sees them: *images*, rows of images, and the types that say how an image is read.
//!
//! An **image** is the value as PostgreSQL stores it, without headers that vary: a pass-by-value or fixed-length type is
//! its `typlen` bytes in native byte order; a variable-length type is its detoasted, decompressed payload without the
//! length word; `cstring`-like types (typlen -2) are their bytes without the final zero. Two stored values with equal
//! images are the same value, so a DELETE's old image cancels the INSERT's new image byte for byte. A type the engine
//! does not know is carried by the same rule: [`Kind::Opaque`].

pub mod accumulator;
pub mod bits;
pub mod bytes;
pub mod canonical;
pub mod error;
pub mod float;
pub mod integer;
pub mod intervals;
pub mod moments;
pub mod numeric;
pub mod order;
pub mod pairs;
pub mod read;
pub mod row;
pub mod types;

pub use error::EvalError;
pub use row::{Row, RowBuilder, RowRef};
pub use types::{ColumnType, Kind};
