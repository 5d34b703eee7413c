//! ORDER BY, DISTINCT ON and LIMIT of a query.

use super::node::{pointers, Arena, Node};
use super::query::Query;
use pgrx::pg_sys;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// One column of ORDER BY, or of what looks like it.
#[derive(Clone, Copy)]
pub struct SortKey<'t> {
    /// Index into the query's targets.
    pub target: usize,
    /// The "less than" or "greater than" operator by which it is sorted; 0 if it is only grouped.
    pub operator: u32,
    pub descending: bool,
    pub nulls_first: bool,
    clause: NonNull<pg_sys::SortGroupClause>,
    arena: PhantomData<&'t Arena>,
}

pub struct LimitClause<'t> {
    pub count: Option<Node<'t>>,
    pub offset: Option<Node<'t>>,
    pub with_ties: bool,
}

impl<'t> Query<'t> {
    /// ORDER BY; empty if there is none.
    pub fn sort_keys(self) -> Vec<SortKey<'t>> {
        self.sort_keys_of(self.get().sortClause)
    }

    /// The expressions of DISTINCT ON; those of DISTINCT are all targets.
    pub fn distinct_keys(self) -> Vec<SortKey<'t>> {
        self.sort_keys_of(self.get().distinctClause)
    }

    pub(super) fn sort_keys_of(self, clauses: *mut pg_sys::List) -> Vec<SortKey<'t>> {
        // SAFETY: lists of sort clauses and of target entries, to which the clauses refer by number.
        unsafe {
            let targets = pointers::<pg_sys::TargetEntry>(self.get().targetList);
            pointers::<pg_sys::SortGroupClause>(clauses)
                .into_iter()
                .filter_map(|clause| {
                    let target = targets.iter().position(|one| (**one).ressortgroupref == (*clause).tleSortGroupRef)?;
                    Some(SortKey {
                        target,
                        operator: (*clause).sortop.to_u32(),
                        descending: (*clause).reverse_sort,
                        nulls_first: (*clause).nulls_first,
                        clause: NonNull::new(clause)?,
                        arena: PhantomData,
                    })
                })
                .collect()
        }
    }

    pub fn limit_clause(self) -> LimitClause<'t> {
        let query = self.get();
        LimitClause {
            count: self.optional(query.limitCount),
            offset: self.optional(query.limitOffset),
            with_ties: query.limitOption == pg_sys::LimitOption::LIMIT_OPTION_WITH_TIES,
        }
    }
}

impl<'t> SortKey<'t> {
    /// The same of another target.
    pub fn at(self, target: usize) -> Self {
        SortKey { target, ..self }
    }

    /// A clause that says the same of another target.
    ///
    /// # Safety
    /// The current context is the arena's.
    pub(super) unsafe fn clause(&self, reference: u32) -> *mut pg_sys::SortGroupClause {
        // SAFETY: the original lives as long as the arena; what is changed is a copy.
        unsafe {
            let copy = pg_sys::copyObjectImpl(self.clause.as_ptr().cast()).cast::<pg_sys::SortGroupClause>();
            (*copy).tleSortGroupRef = reference;
            copy
        }
    }

    /// The functions by which values are sorted and held equal.
    pub fn functions(&self) -> Vec<u32> {
        // SAFETY: the clause lives as long as the arena; an unknown operator has function 0.
        let both = unsafe {
            let clause = self.clause.as_ref();
            [pg_sys::get_opcode(clause.eqop), pg_sys::get_opcode(clause.sortop)]
        };
        both.into_iter().map(|function| function.to_u32()).filter(|function| *function != 0).collect()
    }
}

impl Arena {
    pub fn falsehood(&self) -> Node<'_> {
        // SAFETY: makeBoolConst allocates in the current context, which is the arena's.
        unsafe { self.some(pg_sys::makeBoolConst(false, false)) }
    }
}

/// Whether the operator is the one by which values of the type are sorted without more being said, up or down.
pub fn default_order(ty: u32, operator: u32, descending: bool) -> bool {
    let (wanted, flag) = match descending {
        false => (pg_sys::TYPECACHE_LT_OPR, false),
        true => (pg_sys::TYPECACHE_GT_OPR, true),
    };
    // SAFETY: the type cache's entry lives for ever.
    let entry = unsafe { &*pg_sys::lookup_type_cache(pg_sys::Oid::from(ty), wanted as i32) };
    let default = if flag { entry.gt_opr } else { entry.lt_opr };
    default.to_u32() == operator
}
