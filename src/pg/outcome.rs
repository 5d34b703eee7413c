//! [`Outcome`]: what a transaction saw and what it did, as a value; and how another transaction is made to see exactly that.
//!
//! It is the moment at which a cycle's stream tables are true: the sources as the cut's snapshot shows them, the stream
//! tables as the cycle has written them. No snapshot that PostgreSQL takes shows it, for other transactions commit between
//! the cut and the cycle's commit; and an exported snapshot shows the stream tables as they were before.
//!
//! Why the made snapshot is sound: it shows less than everything that is committed and more than the adopter's own snapshot,
//! which was taken before the cut and is what holds back VACUUM. So no row version that it shows can be gone.

use crate::pg::snapshot::Frontier;
use crate::pg::txn::{self, Failure};
use crate::pg::xact;
use pgrx::pg_sys;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    frontier: Frontier,
    /// The transaction's xid, and the greatest xid of it and its subtransactions; `None` if it has written nothing.
    writer: Option<(u64, u64)>,
}

impl Outcome {
    /// That of the running transaction, which has the snapshot `frontier` and has written all that counts.
    pub fn so_far(frontier: &Frontier) -> Outcome {
        Outcome { frontier: frontier.clone(), writer: xact::xids_if_any() }
    }

    /// From here on this REPEATABLE READ transaction sees exactly the outcome, in place of its snapshot, which it must have
    /// taken before the other transaction took its own. The other must have committed.
    pub fn adopt(&self) -> Result<(), Failure> {
        let (xmax, hidden) = self.hidden();
        // SAFETY: the transaction's snapshot is this backend's own copy, kept until the end of the transaction, as is the
        // memory of the list. `xmin` stays: it is lower than need be, which is right for visibility, and by it the
        // registered snapshots are in order. With `suboverflowed` subtransactions are looked up by their parents, so the
        // list needs top-level xids only.
        unsafe {
            let snapshot = pg_sys::GetTransactionSnapshot();
            let oldest = self.frontier.oldest_hidden().min(xmax) as u32;
            if !pg_sys::TransactionIdPrecedesOrEquals((*snapshot).xmin, oldest.into()) {
                return Err(Failure::new(b"XX000", "a snapshot is older than the one that holds back VACUUM"));
            }
            if let Some((xid, _)) = self.writer {
                let xid = (xid as u32).into();
                // A row of a transaction that still runs would be marked as aborted for everybody.
                if pg_sys::TransactionIdIsInProgress(xid) || !pg_sys::TransactionIdDidCommit(xid) {
                    return Err(Failure::new(
                        b"XX000",
                        "the transaction whose outcome is to be seen has not committed",
                    ));
                }
            }
            let bytes = hidden.len().max(1) * size_of::<u32>();
            let list = pg_sys::MemoryContextAlloc(pg_sys::TopTransactionContext, bytes).cast::<u32>();
            std::ptr::copy_nonoverlapping(hidden.as_ptr(), list, hidden.len());
            (*snapshot).xmax = (xmax as u32).into();
            (*snapshot).xip = list.cast();
            (*snapshot).xcnt = hidden.len() as u32;
            (*snapshot).subxip = std::ptr::null_mut();
            (*snapshot).subxcnt = 0;
            (*snapshot).suboverflowed = true;
        }
        txn::make_own_writes_visible();
        Ok(())
    }

    /// The snapshot's end and what is hidden before it: what the frontier hides and what began after it, less the writer.
    fn hidden(&self) -> (u64, Vec<u32>) {
        let (mut xmax, running) = self.frontier.hidden();
        let mut hidden: Vec<u32> = running.iter().map(|xid| *xid as u32).collect();
        if let Some((writer, last)) = self.writer {
            hidden.retain(|xid| *xid != writer as u32);
            hidden.extend((xmax..=last).filter(|xid| *xid != writer).map(|xid| xid as u32));
            xmax = xmax.max(last + 1);
        }
        (xmax, hidden)
    }
}
