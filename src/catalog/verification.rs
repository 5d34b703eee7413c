//! `pgtrickle.verification`: how the answer to a verify request comes from the worker to the session that asked.

use crate::pg::role::as_extension;
use crate::pg::spi;
use crate::pg::txn::Failure;

/// A row in which content and query differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// In the query and not in the table, or the other way round.
    pub missing: bool,
    pub occurrences: i64,
    pub row_text: String,
}

/// Stores the answer to `request`.
pub fn put(request: u64, differences: &[Difference]) -> Result<(), Failure> {
    as_extension(|| {
        for difference in differences {
            spi::execute(
                "INSERT INTO pgtrickle.verification (request, difference, occurrences, row_text)
                 VALUES ($1::int8, $2, $3::int8, $4)",
                &[
                    Some(&request.to_string()),
                    Some(if difference.missing { "missing" } else { "unexpected" }),
                    Some(&difference.occurrences.to_string()),
                    Some(&difference.row_text),
                ],
            );
        }
    });
    Ok(())
}

/// Takes the answer to `request`.
pub fn take(request: u64) -> Vec<Difference> {
    let rows = as_extension(|| {
        spi::query(
            "DELETE FROM pgtrickle.verification WHERE request = $1::int8 RETURNING difference, occurrences, row_text",
            &[Some(&request.to_string())],
        )
    });
    let mut differences: Vec<Difference> = rows
        .into_iter()
        .filter_map(|row| {
            let [difference, occurrences, row_text] = <[Option<String>; 3]>::try_from(row).ok()?;
            Some(Difference {
                missing: difference? == "missing",
                occurrences: occurrences?.parse().ok()?,
                row_text: row_text?,
            })
        })
        .collect();
    differences.sort_by(|a, b| (b.missing, &a.row_text).cmp(&(a.missing, &b.row_text)));
    differences
}

/// Forgets answers that nobody took. At a worker's start.
pub fn clear() -> Result<(), Failure> {
    as_extension(|| spi::execute("DELETE FROM pgtrickle.verification", &[]));
    Ok(())
}
