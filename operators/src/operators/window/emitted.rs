//! The values that were emitted for the copies of one row, packed: a partition keeps them for each of its rows.
//!
//! Encoding: a [`Row`] of three columns for each run of copies with the same outcome: how many they are, NULL for one; the
//! SQLSTATE of an error, NULL for values; the values as a row, or the error's message.

use super::Changes;
use crate::expr::EvalError;
use crate::operators::border::Diff;
use crate::operators::consolidate;
use crate::value::{Row, RowBuilder, RowRef};

/// What a row's functions came to.
pub type Outcome = Result<Row, EvalError>;

/// See above; equal bytes are equal outcomes.
#[derive(Default, PartialEq)]
pub struct Emitted(Box<[u8]>);

/// Outcomes of the copies of a row, one run after the other.
#[derive(Default)]
pub struct Runs {
    packed: RowBuilder,
    last: Option<(Outcome, u64)>,
}

impl Runs {
    pub fn push(&mut self, outcome: Outcome, copies: u64) {
        match &mut self.last {
            Some((last, count)) if *last == outcome => *count += copies,
            _ => {
                self.pack();
                self.last = Some((outcome, copies));
            }
        }
    }

    fn pack(&mut self) {
        let Some((outcome, copies)) = self.last.take() else { return };
        let count = copies.to_ne_bytes();
        self.packed.push((copies != 1).then_some(&count));
        match outcome {
            Ok(values) => {
                self.packed.push(None);
                self.packed.push(Some(values.bytes()));
            }
            Err(error) => {
                self.packed.push(Some(&error.sqlstate));
                self.packed.push(Some(error.message.as_bytes()));
            }
        }
    }

    pub fn finish(&mut self) -> Emitted {
        self.pack();
        let packed = self.packed.as_ref().bytes().into();
        self.packed.clear();
        Emitted(packed)
    }
}

impl Emitted {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The runs: a sqlstate or none, values or message, copies.
    fn runs(&self) -> impl Iterator<Item = (Option<&[u8]>, &[u8], Diff)> {
        let mut columns = RowRef::new(&self.0).columns();
        std::iter::from_fn(move || {
            let count = columns.next()?;
            let copies = count.and_then(|count| count.try_into().ok()).map_or(1, Diff::from_ne_bytes);
            Some((columns.next()?, columns.next()?.unwrap_or_default(), copies))
        })
    }

    /// What has to be emitted of `row` for `new` to stand in place of `self`.
    pub fn replaced(&self, new: &Emitted, row: RowRef<'_>, changes: &mut Changes) {
        if self == new {
            return;
        }
        let mut outcomes: Vec<((Option<&[u8]>, &[u8]), Diff)> = Vec::new();
        outcomes.extend(self.runs().map(|(state, bytes, copies)| ((state, bytes), -copies)));
        outcomes.extend(new.runs().map(|(state, bytes, copies)| ((state, bytes), copies)));
        consolidate(&mut outcomes);
        for ((sqlstate, bytes), diff) in outcomes {
            match sqlstate {
                None => {
                    let mut whole = RowBuilder::default();
                    whole.extend(row);
                    whole.extend(RowRef::new(bytes));
                    changes.rows.push((whole.finish(), diff));
                }
                Some(sqlstate) => {
                    let sqlstate = sqlstate.try_into().unwrap_or(*b"XX000");
                    let error = EvalError { sqlstate, message: String::from_utf8_lossy(bytes).into_owned() };
                    changes.errors.push((error, row.to_owned(), diff));
                }
            }
        }
    }
}
