//! Raising errors and writing to the log with SQLSTATE, DETAIL and HINT.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode};

/// What a message says; see PostgreSQL's error message style guide.
#[derive(Clone, Debug)]
pub struct Message {
    pub code: PgSqlErrorCode,
    pub text: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

impl Message {
    pub fn new(code: PgSqlErrorCode, text: impl Into<String>) -> Message {
        Message { code, text: text.into(), detail: None, hint: None }
    }

    pub fn detail(mut self, detail: impl Into<String>) -> Message {
        self.detail = Some(detail.into());
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Message {
        self.hint = Some(hint.into());
        self
    }

    /// Raises it as an ERROR.
    pub fn raise(self) -> ! {
        self.report(PgLogLevel::ERROR);
        unreachable!("an ERROR does not return")
    }

    /// Sends it at `level`.
    pub fn report(self, level: PgLogLevel) {
        let mut report = ErrorReport::new(self.code, self.text, "pg_trickle");
        if let Some(detail) = self.detail {
            report = report.set_detail(detail);
        }
        if let Some(hint) = self.hint {
            report = report.set_hint(hint);
        }
        report.report(level);
    }
}
