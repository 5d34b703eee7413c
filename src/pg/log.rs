//! The server log.

use pgrx::PgLogLevel;

fn write(level: PgLogLevel, message: &str) {
    pgrx::ereport!(level, pgrx::PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION, message.to_string());
}

/// LOG: a change of state that an administrator should find.
pub fn log(message: &str) {
    write(PgLogLevel::LOG, message);
}

/// DEBUG1: what happens in every cycle.
pub fn debug(message: &str) {
    write(PgLogLevel::DEBUG1, message);
}

/// FATAL: ends this process, in good order.
pub fn fatal(message: &str) -> ! {
    pgrx::ereport!(PgLogLevel::FATAL, pgrx::PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, message.to_string());
    unreachable!("a report at FATAL does not return")
}
