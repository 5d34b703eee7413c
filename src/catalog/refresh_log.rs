//! `pgtrickle.refresh_log`: history of refreshes, written in batches and kept for `pg_trickle.history_retention`.

use crate::pg::role::as_extension;
use crate::pg::spi;
use crate::pg::txn::Failure;

/// One refresh that changed something, or failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Refresh {
    pub table: u32,
    /// Microseconds since 2000-01-01.
    pub at: i64,
    pub micros: u64,
    pub rows: u64,
    pub cut_micros: u64,
    pub decode_micros: u64,
    pub dataflow_micros: u64,
    pub apply_micros: u64,
    pub commit_micros: u64,
    pub index_micros: Option<u64>,
    pub error: Option<String>,
}

/// Appends entries.
pub fn append(refreshes: &[Refresh]) -> Result<(), Failure> {
    let milliseconds = |micros: u64| (micros as f64 / 1000.0).to_string();
    as_extension(|| {
        for refresh in refreshes {
            spi::execute(
                "INSERT INTO pgtrickle.refresh_log (relid, refreshed_at, duration_ms, rows_changed, delta_compute_ms,
                        merge_apply_ms, index_update_ms, error, cut_ms, decode_ms, commit_ms)
                 VALUES ($1::oid, '2000-01-01 00:00:00+00'::timestamptz + $2::int8 * '1 microsecond'::interval,
                         $3::float8, $4::int8, $5::float8, $6::float8, $7::float8, $8, $9::float8, $10::float8,
                         $11::float8)",
                &[
                    Some(&refresh.table.to_string()),
                    Some(&refresh.at.to_string()),
                    Some(&milliseconds(refresh.micros)),
                    Some(&refresh.rows.to_string()),
                    Some(&milliseconds(refresh.cut_micros + refresh.decode_micros + refresh.dataflow_micros)),
                    Some(&milliseconds(refresh.apply_micros)),
                    refresh.index_micros.map(milliseconds).as_deref(),
                    refresh.error.as_deref(),
                    Some(&milliseconds(refresh.cut_micros)),
                    Some(&milliseconds(refresh.decode_micros)),
                    Some(&milliseconds(refresh.commit_micros)),
                ],
            );
        }
    });
    Ok(())
}

/// Removes what is older than the retention.
pub fn expire() -> Result<(), Failure> {
    let minutes = crate::settings::HISTORY_RETENTION.get().to_string();
    as_extension(|| {
        spi::execute(
            "DELETE FROM pgtrickle.refresh_log
              WHERE refreshed_at < pg_catalog.clock_timestamp() - $1::int4 * '1 minute'::interval",
            &[Some(&minutes)],
        )
    });
    Ok(())
}
