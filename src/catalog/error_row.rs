//! `pgtrickle.error_row`: samples of the rows on which stream tables' queries fail at present.

use crate::pg::role::as_extension;
use crate::pg::spi;
use crate::pg::txn::Failure;

/// One kind of failing row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorSample {
    pub sqlstate: String,
    pub message: String,
    /// What raised: the site's text.
    pub expression: String,
    pub row_text: Option<String>,
    pub occurrences: i64,
}

/// Replaces what is stored for a table.
pub fn replace(table: u32, samples: &[ErrorSample]) -> Result<(), Failure> {
    let table = table.to_string();
    as_extension(|| {
        spi::execute("DELETE FROM pgtrickle.error_row WHERE relid = $1::oid", &[Some(&table)]);
        for sample in samples {
            spi::execute(
                "INSERT INTO pgtrickle.error_row
                        (relid, sqlstate, message, expression, row_text, occurrences, noticed_at)
                 VALUES ($1::oid, $2, $3, $4, $5, $6::int8, pg_catalog.clock_timestamp())",
                &[
                    Some(&table),
                    Some(&sample.sqlstate),
                    Some(&sample.message),
                    Some(&sample.expression),
                    sample.row_text.as_deref(),
                    Some(&sample.occurrences.to_string()),
                ],
            );
        }
    });
    Ok(())
}
