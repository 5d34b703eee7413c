//! EXISTS of a query with LIMIT or OFFSET: which of its rows come first does not matter, only how many there are.

use super::node::{make, Arena};
use super::query::{select_from, Query};
use super::sublink::{SubLink, SubLinkKind};
use pgrx::pg_sys;

/// pg_proc: count(*)
const COUNT: u32 = 2803;

impl Arena {
    /// The query with neither ORDER BY nor LIMIT.
    pub fn unlimited<'t>(&'t self, query: Query<'t>) -> Option<Query<'t>> {
        // SAFETY: a flat copy in the arena; what it points to is shared, and nobody changes it.
        unsafe {
            let copy = make::<pg_sys::Query>(pg_sys::NodeTag::T_Query);
            copy.copy_from(query.get(), 1);
            (*copy).sortClause = std::ptr::null_mut();
            (*copy).limitCount = std::ptr::null_mut();
            (*copy).limitOffset = std::ptr::null_mut();
            (*copy).limitOption = pg_sys::LimitOption::LIMIT_OPTION_COUNT;
            Query::from_node(self.some(copy))
        }
    }

    /// `(SELECT count(*) FROM (query))`
    pub fn count_of<'t>(&'t self, query: Query<'t>) -> Option<SubLink<'t>> {
        // SAFETY: the query is copied into the arena before it is changed, and the rest is made of nodes of the arena as parse
        // analysis makes them.
        unsafe {
            let copy = pg_sys::copyObjectImpl(query.node().raw() as *const _) as *mut pg_sys::Query;
            pg_sys::IncrementVarSublevelsUp(copy.cast(), 1, 1);
            let mut names = std::ptr::null_mut();
            for _ in query.targets().iter().filter(|target| !target.junk) {
                names = pg_sys::lappend(names, pg_sys::makeString(c"column".as_ptr().cast_mut()).cast());
            }
            let entry = make::<pg_sys::RangeTblEntry>(pg_sys::NodeTag::T_RangeTblEntry);
            (*entry).rtekind = pg_sys::RTEKind::RTE_SUBQUERY;
            (*entry).subquery = copy;
            (*entry).lateral = true;
            (*entry).inFromCl = true;
            (*entry).eref = pg_sys::makeAlias(c"rows".as_ptr(), names);
            let call = make::<pg_sys::Aggref>(pg_sys::NodeTag::T_Aggref);
            (*call).aggfnoid = pg_sys::Oid::from(COUNT);
            (*call).aggtype = pg_sys::INT8OID;
            (*call).aggtranstype = pg_sys::INT8OID;
            (*call).aggstar = true;
            (*call).aggkind = b'n' as std::ffi::c_char;
            (*call).aggsplit = pg_sys::AggSplit::AGGSPLIT_SIMPLE;
            (*call).aggno = -1;
            (*call).aggtransno = -1;
            (*call).location = -1;
            let around = select_from(entry);
            (*around).hasAggs = true;
            let name = pg_sys::pstrdup(c"count".as_ptr());
            let target = pg_sys::makeTargetEntry(call.cast(), 1, name, false);
            (*around).targetList = pg_sys::lappend(std::ptr::null_mut(), target.cast());
            let query = Query::from_node(self.some(around))?;
            Some(SubLink { kind: SubLinkKind::Scalar, test: None, query })
        }
    }
}
