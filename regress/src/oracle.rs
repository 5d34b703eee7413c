//! PostgreSQL as the oracle: a stream table must be what its query gives, both ways, in one snapshot, as text.
//!
//! Columns that the content does not determine (float sums, whose last bits depend on the order of addition) are
//! compared with a relative tolerance; all others by their text, display scale included.

use std::collections::HashMap;

use crate::session::{ServerError, Session, TextRow};

/// What is compared with what.
#[derive(Clone, Debug)]
pub struct Oracle {
    pub name: String,
    pub query: String,
    /// Names of columns compared with tolerance.
    pub approximate: Vec<String>,
    /// Names of columns that are not compared.
    pub ignored: Vec<String>,
}

/// Settings of the planner, by which it looks at rows in other orders.
const PLANS: &[&str] = &[
    "enable_hashjoin = off, enable_mergejoin = off",
    "enable_nestloop = off, enable_hashjoin = off",
    "enable_nestloop = off, enable_mergejoin = off",
    "join_collapse_limit = 1, from_collapse_limit = 1",
    "enable_hashagg = off, enable_hashjoin = off, enable_material = off",
    "enable_sort = off, enable_memoize = off",
];

impl Oracle {
    pub fn new(name: &str, query: &str) -> Oracle {
        Oracle { name: name.into(), query: query.into(), approximate: Vec::new(), ignored: Vec::new() }
    }

    /// Creates the stream table, to be refreshed at every change, and waits for it to be its query.
    pub fn follow(session: &mut Session, name: &str, query: &str) -> Oracle {
        session
            .run(&format!("SELECT pgtrickle.create_stream_table('{name}', $query${query}$query$, schedule => '1 ms')"));
        let oracle = Oracle::new(name, query);
        oracle.assert_equal(session);
        oracle
    }

    pub fn approximate(mut self, columns: &[&str]) -> Oracle {
        self.approximate.extend(columns.iter().map(|column| column.to_string()));
        self
    }

    /// Refreshes, then compares. Nobody may write to the sources meanwhile.
    pub fn assert_equal(&self, session: &mut Session) {
        session.rows(&format!("SELECT pgtrickle.refresh_stream_table('{}')", self.name));
        self.assert_equal_now(session);
    }

    /// Compares without refreshing.
    pub fn assert_equal_now(&self, session: &mut Session) {
        if let Some(difference) = self.difference(session) {
            panic!("stream table {} is not its query\n{difference}\n  query: {}", self.name, self.query);
        }
    }

    /// The rows on either side alone, in words; None if the two are equal.
    pub fn difference(&self, session: &mut Session) -> Option<String> {
        match self.try_difference(session) {
            Ok(difference) => difference,
            Err(error) => panic!("{}: {} {:?}\n  in: {}", error.sqlstate, error.message, error.detail, self.query),
        }
    }

    /// Compares with what the query gives by some plan of PostgreSQL: on an error that another plan does not meet, because
    /// it looks at fewer rows. The error if every plan meets it.
    pub fn difference_by_any_plan(&self, session: &mut Session) -> Result<Option<String>, ServerError> {
        let mut result = self.try_difference(session);
        for settings in PLANS {
            if result.is_ok() {
                break;
            }
            result = planned(session, settings, |session| self.try_difference(session));
        }
        result
    }

    /// Whether the query fails by some plan of PostgreSQL, though it need not by all of them.
    pub fn fails_by_some_plan(&self, session: &mut Session) -> bool {
        PLANS.iter().any(|settings| {
            let query = format!("SELECT q::text FROM ({}) AS q", self.query);
            planned(session, settings, |session| session.try_rows(&query)).is_err()
        })
    }

    fn try_difference(&self, session: &mut Session) -> Result<Option<String>, ServerError> {
        let mut columns = session.columns(&format!("SELECT * FROM {}", self.name));
        columns.retain(|column| !self.ignored.contains(column));
        let listed: Vec<String> =
            columns.iter().map(|column| format!("\"{}\"::text", column.replace('"', "\"\""))).collect();
        // Without a column there is still the number of rows.
        let listed = if listed.is_empty() { "1".to_string() } else { listed.join(", ") };
        session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        let content = session.rows(&format!("SELECT {listed} FROM {}", self.name));
        let expected =
            session.try_rows(&format!("SELECT {listed} FROM ({}) AS expected", self.query.trim_end_matches(';')));
        session.run(if expected.is_ok() { "COMMIT" } else { "ROLLBACK" });
        let expected = expected?;

        let approximate: Vec<bool> = columns.iter().map(|column| self.approximate.contains(column)).collect();
        let (extra, missing) = compare(content, expected, &approximate);
        if extra.is_empty() && missing.is_empty() {
            return Ok(None);
        }
        let mut text = format!("columns: {}\n", columns.join(", "));
        for (side, rows) in [("in the table only", &extra), ("in the query only", &missing)] {
            text.push_str(&format!("{side}: {} rows\n", rows.len()));
            for row in rows.iter().take(10) {
                let values: Vec<&str> = row.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
                text.push_str(&format!("    ({})\n", values.join(", ")));
            }
        }
        Ok(Some(text))
    }
}

/// What happens under settings of the planner.
fn planned<T>(session: &mut Session, settings: &str, run: impl FnOnce(&mut Session) -> T) -> T {
    let names = settings.split(", ");
    names.clone().for_each(|setting| session.run(&format!("SET {setting}")));
    let result = run(session);
    names.for_each(|setting| session.run(&format!("RESET {}", setting.split(' ').next().unwrap_or(setting))));
    result
}

/// The rows that the two bags do not share: those of the first alone and those of the second alone.
fn compare(content: Vec<TextRow>, expected: Vec<TextRow>, approximate: &[bool]) -> (Vec<TextRow>, Vec<TextRow>) {
    let mut counts: HashMap<TextRow, i64> = HashMap::new();
    for row in content {
        *counts.entry(row).or_default() += 1;
    }
    for row in expected {
        *counts.entry(row).or_default() -= 1;
    }
    let (mut extra, mut missing) = (Vec::new(), Vec::new());
    for (row, count) in counts {
        let side = if count > 0 { &mut extra } else { &mut missing };
        side.extend(std::iter::repeat_n(row, count.unsigned_abs() as usize));
    }
    if approximate.contains(&true) {
        extra.retain(|row| match missing.iter().position(|other| near(row, other, approximate)) {
            Some(partner) => {
                missing.swap_remove(partner);
                false
            }
            None => true,
        });
    }
    extra.sort();
    missing.sort();
    (extra, missing)
}

fn near(left: &TextRow, right: &TextRow, approximate: &[bool]) -> bool {
    left.iter().zip(right).zip(approximate).all(|((left, right), approximate)| {
        if left == right {
            return true;
        }
        let (true, Some(left), Some(right)) = (*approximate, left, right) else { return false };
        match (left.parse::<f64>(), right.parse::<f64>()) {
            (Ok(left), Ok(right)) => (left - right).abs() <= 1e-6 * left.abs().max(right.abs()).max(1.0),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[&str]) -> TextRow {
        values.iter().map(|value| Some(value.to_string())).collect()
    }

    #[test]
    fn counts_and_scale_are_compared() {
        let (extra, missing) =
            compare(vec![row(&["1.0"]), row(&["1.0"])], vec![row(&["1.0"]), row(&["1.00"])], &[false]);
        assert_eq!((extra, missing), (vec![row(&["1.0"])], vec![row(&["1.00"])]));
    }

    #[test]
    fn only_marked_columns_are_approximate() {
        let (left, right) = (row(&["a", "0.30000000000000004"]), row(&["a", "0.3"]));
        assert_eq!(compare(vec![left.clone()], vec![right.clone()], &[false, true]), (vec![], vec![]));
        assert_eq!(compare(vec![left.clone()], vec![right.clone()], &[false, false]), (vec![left], vec![right]));
    }
}
