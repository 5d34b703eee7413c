//! `ARRAY(SELECT …)` as what it stands for: an aggregate of the rows in their order, or an empty array.

use super::node::{make, pointers, Arena};
use super::query::{select_from, Query};
use super::sublink::{SubLink, SubLinkKind};
use pgrx::pg_sys;

/// pg_proc: array_agg(anynonarray) and array_agg(anyarray)
const ARRAY_AGG: u32 = 2335;
const ARRAY_AGG_OF_ARRAYS: u32 = 4053;

impl Arena {
    /// `(SELECT coalesce(array_agg(column ORDER BY …), '{}') FROM (query))`
    pub fn array_as_aggregate<'t>(&'t self, link: SubLink<'t>) -> Option<SubLink<'t>> {
        // SAFETY: the query is copied into the arena before it is changed, and the rest is made of nodes of the arena as parse
        // analysis makes them: one column that is shown, and those of ORDER BY, each a column of the range table's only entry.
        unsafe {
            let query = pg_sys::copyObjectImpl(link.query.node().raw() as *const _) as *mut pg_sys::Query;
            pg_sys::IncrementVarSublevelsUp(query.cast(), 1, 1);
            let order = pointers::<pg_sys::SortGroupClause>((*query).sortClause);
            let targets = pointers::<pg_sys::TargetEntry>((*query).targetList);
            let mut names = std::ptr::null_mut();
            // The targets that the aggregate reads, by which clause they are referred to.
            let (mut shown, mut sorted) = (None, Vec::new());
            let mut resno = 0;
            for target in targets {
                let key = order.iter().find(|clause| {
                    (***clause).tleSortGroupRef == (*target).ressortgroupref && (*target).ressortgroupref != 0
                });
                if (*target).resjunk && key.is_none() {
                    continue;
                }
                resno += 1;
                let column = pg_sys::makeVarFromTargetEntry(1, target);
                (*column).varattno = resno;
                (*column).varattnosyn = resno;
                if !(*target).resjunk {
                    shown = Some((column, (*target).ressortgroupref));
                } else {
                    sorted.push((column, (*target).ressortgroupref));
                    (*target).resjunk = false;
                }
                names = pg_sys::lappend(names, pg_sys::makeString(c"column".as_ptr().cast_mut()).cast());
            }
            let (value, reference) = shown?;
            let entry = make::<pg_sys::RangeTblEntry>(pg_sys::NodeTag::T_RangeTblEntry);
            (*entry).rtekind = pg_sys::RTEKind::RTE_SUBQUERY;
            (*entry).subquery = query;
            (*entry).lateral = true;
            (*entry).inFromCl = true;
            (*entry).eref = pg_sys::makeAlias(c"rows".as_ptr(), names);

            let ty = pg_sys::exprType(value.cast());
            let collation = pg_sys::exprCollation(value.cast());
            let of_arrays = pg_sys::get_element_type(ty) != pg_sys::InvalidOid;
            let call = make::<pg_sys::Aggref>(pg_sys::NodeTag::T_Aggref);
            (*call).aggfnoid = pg_sys::Oid::from(if of_arrays { ARRAY_AGG_OF_ARRAYS } else { ARRAY_AGG });
            (*call).aggtype = pg_sys::get_promoted_array_type(ty);
            (*call).aggcollid = collation;
            (*call).inputcollid = collation;
            (*call).aggtranstype = pg_sys::INTERNALOID;
            (*call).aggargtypes = pg_sys::lappend_oid(std::ptr::null_mut(), ty);
            (*call).aggkind = b'n' as std::ffi::c_char;
            (*call).aggsplit = pg_sys::AggSplit::AGGSPLIT_SIMPLE;
            (*call).aggno = -1;
            (*call).aggtransno = -1;
            (*call).location = -1;
            let argument = pg_sys::makeTargetEntry(value.cast(), 1, std::ptr::null_mut(), false);
            (*argument).ressortgroupref = reference;
            (*call).args = pg_sys::lappend(std::ptr::null_mut(), argument.cast());
            for (number, (column, reference)) in (2..).zip(sorted) {
                let argument = pg_sys::makeTargetEntry(column.cast(), number, std::ptr::null_mut(), true);
                (*argument).ressortgroupref = reference;
                (*call).args = pg_sys::lappend((*call).args, argument.cast());
            }
            (*call).aggorder = pg_sys::copyObjectImpl((*query).sortClause.cast()) as *mut pg_sys::List;

            let empty = pg_sys::construct_empty_array(pg_sys::get_element_type((*call).aggtype));
            let empty = pg_sys::makeConst((*call).aggtype, -1, collation, -1, empty.into(), false, false);
            let coalesce = make::<pg_sys::CoalesceExpr>(pg_sys::NodeTag::T_CoalesceExpr);
            (*coalesce).coalescetype = (*call).aggtype;
            (*coalesce).coalescecollid = collation;
            (*coalesce).args = pg_sys::lappend(pg_sys::lappend(std::ptr::null_mut(), call.cast()), empty.cast());
            (*coalesce).location = -1;

            let around = select_from(entry);
            (*around).hasAggs = true;
            let name = pg_sys::pstrdup(c"array".as_ptr());
            let target = pg_sys::makeTargetEntry(coalesce.cast(), 1, name, false);
            (*around).targetList = pg_sys::lappend(std::ptr::null_mut(), target.cast());
            let query = Query::from_node(self.some(around))?;
            Some(SubLink { kind: SubLinkKind::Scalar, test: None, query })
        }
    }
}
