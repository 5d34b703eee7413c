//! [`EvalError`]: what PostgreSQL would have raised for one row.

use serde::{Deserialize, Serialize};

/// What PostgreSQL would have raised for one row: data, not an exception (DESIGN 8.6).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EvalError {
    pub sqlstate: [u8; 5],
    pub message: String,
}

impl EvalError {
    pub fn new(sqlstate: &[u8; 5], message: impl Into<String>) -> Self {
        EvalError { sqlstate: *sqlstate, message: message.into() }
    }

    /// numeric_value_out_of_range
    pub fn out_of_range(what: &str) -> Self {
        EvalError::new(b"22003", format!("{what} out of range"))
    }

    pub fn division_by_zero() -> Self {
        EvalError::new(b"22012", "division by zero")
    }

    pub fn float_overflow() -> Self {
        EvalError::new(b"22003", "value out of range: overflow")
    }

    pub fn float_underflow() -> Self {
        EvalError::new(b"22003", "value out of range: underflow")
    }

    /// datetime_field_overflow
    pub fn datetime_out_of_range(what: &str) -> Self {
        EvalError::new(b"22008", format!("{what} out of range"))
    }

    /// program_limit_exceeded: rows occur more often than can be counted.
    pub fn count() -> Self {
        EvalError::new(b"54000", "more rows than can be counted")
    }

    pub fn is_count(&self) -> bool {
        *self == EvalError::count()
    }

    /// An image that its kind does not allow: the bytes are damaged, or the plan is wrong.
    pub fn malformed(kind: super::Kind) -> Self {
        EvalError::new(b"XX001", format!("stored image is not a valid value of kind {kind:?}"))
    }
}

impl std::fmt::Display for EvalError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, String::from_utf8_lossy(&self.sqlstate))
    }
}

impl std::error::Error for EvalError {}
