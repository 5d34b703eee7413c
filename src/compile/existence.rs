//! EXISTS of a query with LIMIT or OFFSET. Which rows come first does not matter to it, only how many there are.

use super::subquery::unknown;
use super::{Compiler, Lowered};
use crate::pg::sublink::SubLink;

/// When an EXISTS is true.
pub(super) enum Existence<'t> {
    Never,
    /// If this one is.
    Any(SubLink<'t>),
    /// If the value of this one is larger.
    Beyond(SubLink<'t>, u64),
}

impl<'t> Compiler<'t, '_> {
    pub(super) fn existence(&self, link: SubLink<'t>) -> Lowered<Existence<'t>> {
        if !link.query.has_limit() {
            return Ok(Existence::Any(link));
        }
        let limit = self.limit(link.query)?;
        if limit.is_some_and(|limit| limit.count == Some(0)) {
            return Ok(Existence::Never);
        }
        let query = self.arena.unlimited(link.query).ok_or_else(unknown)?;
        Ok(match limit.map_or(0, |limit| limit.offset) {
            0 => Existence::Any(SubLink { query, ..link }),
            offset => Existence::Beyond(self.arena.count_of(query).ok_or_else(unknown)?, offset),
        })
    }
}
