//! Where the time of refreshes went, as `refresh_history()` tells it.

use trickle_regress::Session;

/// Medians of a refresh's parts in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Split {
    pub cut: f64,
    pub decode: f64,
    pub dataflow: f64,
    pub apply: f64,
    pub commit: f64,
}

/// The worker's clock now, from which [`Split::since`] counts.
pub fn mark(session: &mut Session) -> String {
    session.value("SELECT clock_timestamp()")
}

impl Split {
    /// Of the last `count` refreshes of `table`, all of them since `mark`, once they have been written. More than eight in a
    /// second are written as one.
    pub fn since(session: &mut Session, table: &str, mark: &str, count: usize) -> Split {
        if count == 0 {
            return Split::default();
        }
        let history =
            format!("pgtrickle.refresh_history('{table}') WHERE refreshed_at > '{mark}' AND rows_changed > 0");
        session.wait("the history to be written", &format!("SELECT count(*) >= {count} FROM {history}"));
        let median = |part: &str| format!("percentile_cont(0.5) WITHIN GROUP (ORDER BY {part})");
        let dataflow = median("delta_compute_ms - cut_ms - decode_ms");
        let row = session.rows(&format!(
            "SELECT {}, {}, {dataflow}, {}, {} FROM {history}",
            median("cut_ms"),
            median("decode_ms"),
            median("merge_apply_ms"),
            median("commit_ms"),
        ));
        let part = |at: usize| row[0][at].as_deref().and_then(|text| text.parse().ok()).unwrap_or_default();
        Split { cut: part(0), decode: part(1), dataflow: part(2), apply: part(3), commit: part(4) }
    }
}

impl std::fmt::Display for Split {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Split { cut, decode, dataflow, apply, commit } = self;
        write!(f, "cut {cut:.2}, decode {decode:.2}, dataflow {dataflow:.2}, apply {apply:.2}, commit {commit:.2}")
    }
}
