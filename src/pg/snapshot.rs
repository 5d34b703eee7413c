//! [`Frontier`]: a snapshot as a value, which says what a batch or a stream table covers.
//!
//! Values of this type are totally ordered on a primary *provided* that none forgets its taker's own transaction: a
//! snapshot shows its taker's writes by command id, not by xid, and does not list the taker as running although for
//! everybody else it is (HAZARDS H1). [`Frontier::take`] is the only constructor from the server's state, and adds the
//! taker. In recovery the running xids are not where a primary has them, so none is ever taken there.

use super::txn::Failure;
use pgrx::pg_sys;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Which transactions are visible: those below `xmin`, and those below `xmax` that are not in `xip`.
///
/// Kept in canonical form, so that equal visibility is equality: `xmin` is the least xid that is not visible, the last
/// xid below `xmax` is visible, `xip` is sorted and without repeats.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Frontier {
    xmin: u64,
    xmax: u64,
    xip: Vec<u64>,
}

impl Frontier {
    /// What the active snapshot shows, less the transaction that takes it. An ERROR without an active snapshot and in
    /// recovery.
    pub fn take() -> Frontier {
        // SAFETY: plain reads of the server's and this backend's state. The active snapshot stays valid while it is on
        // the stack, which nothing here changes, and holds `xcnt` xids. Its xids are within one epoch of the next xid,
        // because the snapshot holds back the horizon.
        let (xmin, xmax, mut xip, own) = unsafe {
            if pg_sys::RecoveryInProgress() {
                Failure::new(b"55000", "cannot take a frontier during recovery").raise();
            }
            if !pg_sys::ActiveSnapshotSet() {
                Failure::new(b"25P01", "cannot take a frontier without an active snapshot").raise();
            }
            let snapshot = &*pg_sys::GetActiveSnapshot();
            let next = pg_sys::ReadNextFullTransactionId().value;
            let running = match snapshot.xcnt {
                0 => &[][..],
                count => std::slice::from_raw_parts(snapshot.xip, count as usize),
            };
            (
                widen(snapshot.xmin, next),
                widen(snapshot.xmax, next),
                running.iter().map(|xid| widen(*xid, next)).collect::<Vec<u64>>(),
                pg_sys::GetTopFullTransactionIdIfAny().value,
            )
        };
        // An own xid from `xmax` on is not visible anyway.
        if own >= xmin && own < xmax {
            xip.push(own);
        }
        Frontier::new(xmax, xip)
    }

    fn new(mut xmax: u64, mut xip: Vec<u64>) -> Frontier {
        xip.sort_unstable();
        xip.dedup();
        while xip.last().is_some_and(|last| last + 1 == xmax) {
            xip.pop();
            xmax -= 1;
        }
        Frontier { xmin: xip.first().copied().unwrap_or(xmax), xmax, xip }
    }

    /// Whether the effects of top-level transaction `xid` are included, if it committed.
    pub fn visible(&self, xid: u64) -> bool {
        xid < self.xmin || (xid < self.xmax && self.xip.binary_search(&xid).is_err())
    }

    /// From where on nothing is visible, and what is not visible before.
    pub fn hidden(&self) -> (u64, &[u64]) {
        (self.xmax, &self.xip)
    }

    /// The least xid that is not visible.
    pub fn oldest_hidden(&self) -> u64 {
        self.xmin
    }

    /// Whether everything that `other` shows is shown here.
    pub fn covers(&self, other: &Frontier) -> bool {
        // What is not visible here is `xip` and everything from `xmax` on; none of it may be visible there.
        let beyond = other.xmax.saturating_sub(self.xmax);
        let hidden = other.xip.len() - other.xip.partition_point(|xid| *xid < self.xmax);
        beyond == hidden as u64 && self.xip.iter().all(|xid| !other.visible(*xid))
    }
}

/// Frontiers of one primary are totally ordered; `None` means that one of them is foreign.
impl PartialOrd for Frontier {
    fn partial_cmp(&self, other: &Frontier) -> Option<Ordering> {
        match (self.covers(other), other.covers(self)) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Greater),
            (false, true) => Some(Ordering::Less),
            (false, false) => None,
        }
    }
}

/// The text form of pg_snapshot: `xmin:xmax:xid,xid,...`.
impl fmt::Display for Frontier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.xmin, self.xmax)?;
        for (index, xid) in self.xip.iter().enumerate() {
            write!(f, "{}{xid}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// A text that is not a frontier's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidFrontier(String);

impl fmt::Display for InvalidFrontier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid frontier \"{}\"", self.0)
    }
}

impl std::error::Error for InvalidFrontier {}

impl FromStr for Frontier {
    type Err = InvalidFrontier;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let mut parts = text.splitn(3, ':');
            let xmin: u64 = parts.next()?.parse().ok()?;
            let xmax: u64 = parts.next()?.parse().ok()?;
            let list = parts.next()?;
            let mut xip = Vec::new();
            for xid in list.split(',').filter(|xid| !xid.is_empty()) {
                xip.push(xid.parse().ok().filter(|xid| (xmin..xmax).contains(xid))?);
            }
            (xmin >= 1 && xmin <= xmax).then(|| Frontier::new(xmax, xip))
        };
        parse().ok_or_else(|| InvalidFrontier(text.to_owned()))
    }
}

const FIRST_NORMAL_XID: u64 = 3;

/// The epoch of a 32-bit xid that is at most one epoch behind `next`, as FullTransactionIdFromAllowableAt.
fn widen(xid: pg_sys::TransactionId, next: u64) -> u64 {
    let xid = u64::from(xid.into_inner());
    if xid < FIRST_NORMAL_XID {
        return xid;
    }
    let epoch = next >> 32;
    let epoch = if xid > (next & 0xffff_ffff) { epoch.saturating_sub(1) } else { epoch };
    (epoch << 32) | xid
}
