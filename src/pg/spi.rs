//! SQL statements of our own, with text in and text out, under a snapshot that is always the latest.
//!
//! A caller's REPEATABLE READ snapshot may be older than the catalog rows that matter (HAZARDS H18); so, as foreign-key
//! checks do, every statement here sees what is committed now, and what this transaction did.

use super::role::cstring;
use super::txn::Failure;
use pgrx::pg_sys;
use std::ffi::CStr;

/// One row: its columns as text, `None` for NULL.
pub type TextRow = Vec<Option<String>>;

/// Runs one statement with text parameters `$1` … and returns its rows. Cast parameters in the statement.
pub fn query(statement: &str, parameters: &[Option<&str>]) -> Vec<TextRow> {
    run(statement, parameters).0
}

/// Runs one statement; how many rows it processed.
pub fn execute(statement: &str, parameters: &[Option<&str>]) -> u64 {
    run(statement, parameters).1
}

fn run(statement: &str, parameters: &[Option<&str>]) -> (Vec<TextRow>, u64) {
    let text = cstring(statement);
    // SAFETY: connect, prepare, execute, finish in the order that SPI wants; parameters live in SPI's memory context until
    // the end; results are copied into Rust before SPI_finish frees them. After an ERROR the abort cleans SPI up.
    unsafe {
        check(pg_sys::SPI_connect(), statement);
        let mut types = vec![pg_sys::TEXTOID; parameters.len()];
        let plan = pg_sys::SPI_prepare(text.as_ptr(), parameters.len() as i32, types.as_mut_ptr());
        if plan.is_null() {
            check(pg_sys::SPI_result, statement);
        }
        let mut values: Vec<pg_sys::Datum> = parameters
            .iter()
            .map(|parameter| match parameter {
                Some(value) => {
                    let bytes = value.as_bytes();
                    pg_sys::Datum::from(pg_sys::cstring_to_text_with_len(bytes.as_ptr().cast(), bytes.len() as i32))
                }
                None => pg_sys::Datum::null(),
            })
            .collect();
        let nulls: Vec<std::ffi::c_char> =
            parameters.iter().map(|parameter| if parameter.is_some() { b' ' } else { b'n' } as _).collect();
        check(
            pg_sys::SPI_execute_snapshot(
                plan,
                values.as_mut_ptr(),
                nulls.as_ptr(),
                pg_sys::GetLatestSnapshot(),
                std::ptr::null_mut(),
                false,
                true,
                0,
            ),
            statement,
        );
        let processed = pg_sys::SPI_processed;
        let table = pg_sys::SPI_tuptable;
        let mut rows = Vec::new();
        if !table.is_null() {
            let descriptor = (*table).tupdesc;
            for index in 0..processed as usize {
                let tuple = *(*table).vals.add(index);
                rows.push(
                    (1..=(*descriptor).natts)
                        .map(|column| {
                            let value = pg_sys::SPI_getvalue(tuple, descriptor, column);
                            (!value.is_null()).then(|| CStr::from_ptr(value).to_string_lossy().into_owned())
                        })
                        .collect(),
                );
            }
        }
        check(pg_sys::SPI_finish(), statement);
        (rows, processed)
    }
}

fn check(result: i32, statement: &str) {
    if result < 0 {
        Failure::new(b"XX000", format!("SPI failed with code {result} on: {statement}")).raise();
    }
}
