//! Makes a failing case small: what can go while the failure stays, goes.

use std::time::{Duration, Instant};

use super::case::Case;
use super::run::{Failure, Runner};

/// The smallest case that was found in the time, and its failure.
pub fn shrink(runner: &mut Runner<'_>, case: Case, failure: Failure, time: Duration) -> (Case, Failure) {
    let end = Instant::now() + time;
    let (mut case, mut failure) = (case, failure);
    let mut at = 0;
    let mut changed = false;
    while Instant::now() < end {
        // A step that worked leaves its place to the next one; at the end it all begins anew, if anything changed.
        let Some(smaller) = case.smaller().into_iter().nth(at) else {
            if !changed {
                break;
            }
            (at, changed) = (0, false);
            continue;
        };
        match runner.run(&smaller) {
            Err(same) if same.kind == failure.kind => (case, failure, changed) = (smaller, same, true),
            _ => at += 1,
        }
    }
    (case, failure)
}
