//! Window functions: a query's windows and calls, and the fragments that evaluate them.
//!
//! A fragment gets whole partitions: each is one item, its first argument numbers the rows, and so does its first result.
//! Its windows are those of the query, partitioned by item alone.

use super::fragment_query::{named_columns, named_tuplestore, INT8_EQUAL_OPERATOR};
use super::node::{make, pointers, Arena, Node};
use super::ordering::SortKey;
use super::query::{select_from, text, Query};
use pgrx::pg_sys;
use std::ffi::CString;
use std::marker::PhantomData;
use std::ptr::NonNull;
use trickle_operators::plan::WindowFrame;
use trickle_operators::value::ColumnType;

/// A window of a query, or one that stands for it.
#[derive(Clone, Copy)]
pub struct Frame<'t> {
    /// None: the default frame.
    clause: Option<NonNull<pg_sys::WindowClause>>,
    arena: PhantomData<&'t Arena>,
}

/// A window clause, its columns as indexes into the query's targets.
#[derive(Clone)]
pub struct WindowClause<'t> {
    pub number: u32,
    pub partition: Vec<SortKey<'t>>,
    pub order: Vec<SortKey<'t>>,
    pub frame: Frame<'t>,
}

/// A call of a window function.
pub struct WindowCall<'t> {
    pub function: u32,
    pub window: u32,
    pub arguments: Vec<Node<'t>>,
    /// Whether the function is an ordinary aggregate.
    pub aggregate: bool,
    pub filter: Option<Node<'t>>,
    pub collation: u32,
}

/// The server's own window functions whose values the engine can compute.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum BuiltIn {
    RowNumber,
    Rank,
    DenseRank,
    Lag,
    Lead,
    FirstValue,
    LastValue,
    NthValue,
}

impl BuiltIn {
    /// OIDs fixed by pg_proc.dat.
    pub fn of(function: u32) -> Option<Self> {
        Some(match function {
            ROW_NUMBER => BuiltIn::RowNumber,
            RANK => BuiltIn::Rank,
            3102 => BuiltIn::DenseRank,
            3106..=3108 => BuiltIn::Lag,
            3109..=3111 => BuiltIn::Lead,
            3112 => BuiltIn::FirstValue,
            3113 => BuiltIn::LastValue,
            3114 => BuiltIn::NthValue,
            _ => return None,
        })
    }
}

/// A window of a fragment: expressions over the fragment's arguments.
pub struct Over<'t> {
    pub frame: Frame<'t>,
    pub order: Vec<(Node<'t>, SortKey<'t>)>,
    /// Whether rows that are equal in the order are sorted by their number.
    pub total: bool,
    /// Calls of window functions.
    pub calls: Vec<Node<'t>>,
}

/// row_number() and rank(), fixed by pg_proc.dat.
const ROW_NUMBER: u32 = 3100;
const RANK: u32 = 3101;
/// `int8 > int8` and `int8 <= int8`, fixed by pg_operator.dat.
const INT8_GREATER: u32 = 413;
const INT8_LESS_OR_EQUAL: u32 = 414;
const INT8_LESS: u32 = 412;

impl<'t> Query<'t> {
    pub fn windows(self) -> Vec<WindowClause<'t>> {
        // SAFETY: a list of window clauses; they live as long as the query.
        unsafe {
            pointers::<pg_sys::WindowClause>(self.get().windowClause)
                .into_iter()
                .filter_map(|clause| {
                    Some(WindowClause {
                        number: (*clause).winref,
                        partition: self.sort_keys_of((*clause).partitionClause),
                        order: self.sort_keys_of((*clause).orderClause),
                        frame: Frame { clause: Some(NonNull::new(clause)?), arena: PhantomData },
                    })
                })
                .collect()
        }
    }
}

impl<'t> Frame<'t> {
    /// Everything up to the current row and its peers.
    pub fn default() -> Self {
        Frame { clause: None, arena: PhantomData }
    }

    fn options(&self) -> u32 {
        // SAFETY: valid for as long as the arena, and never changed after rewriting.
        self.clause.map_or(pg_sys::FRAMEOPTION_DEFAULTS, |clause| unsafe { clause.as_ref() }.frameOptions as u32)
    }

    /// Whether peers of a row, which are equal in the order, all have the same frame but for themselves.
    pub fn by_peers(&self) -> bool {
        let options = self.options();
        let whole = pg_sys::FRAMEOPTION_START_UNBOUNDED_PRECEDING | pg_sys::FRAMEOPTION_END_UNBOUNDED_FOLLOWING;
        options & pg_sys::FRAMEOPTION_ROWS == 0 || options & whole == whole
    }

    /// The frame, if it begins with the partition and ends with it or with the current row, and leaves nothing out.
    pub fn since_the_start(&self) -> Option<WindowFrame> {
        let options = self.options();
        let has = |option: u32| options & option != 0;
        if has(pg_sys::FRAMEOPTION_EXCLUSION) || !has(pg_sys::FRAMEOPTION_START_UNBOUNDED_PRECEDING) {
            return None;
        }
        if has(pg_sys::FRAMEOPTION_END_UNBOUNDED_FOLLOWING) {
            return Some(WindowFrame::All);
        }
        let rows = if has(pg_sys::FRAMEOPTION_ROWS) { WindowFrame::Rows } else { WindowFrame::Peers };
        has(pg_sys::FRAMEOPTION_END_CURRENT_ROW).then_some(rows)
    }

    /// Start and end, if the frame is of rows, counted from the current one, and leaves nothing out: whether each counts
    /// ahead, and how far; none is the current row.
    pub fn rows_around(&self, call: Node<'t>) -> Option<[(bool, Option<Node<'t>>); 2]> {
        let options = self.options();
        let has = |option: u32| options & option != 0;
        if has(pg_sys::FRAMEOPTION_EXCLUSION) || !has(pg_sys::FRAMEOPTION_ROWS) {
            return None;
        }
        // SAFETY: as above; offsets are expressions of the same arena.
        let (start, end) = unsafe {
            let clause = self.clause?.as_ref();
            (call.child(clause.startOffset), call.child(clause.endOffset))
        };
        let bound = |current: u32, preceding: u32, following: u32, offset: Option<Node<'t>>| {
            if has(current) {
                return Some((false, None));
            }
            (has(preceding) || has(following)).then_some((has(following), Some(offset?)))
        };
        Some([
            bound(
                pg_sys::FRAMEOPTION_START_CURRENT_ROW,
                pg_sys::FRAMEOPTION_START_OFFSET_PRECEDING,
                pg_sys::FRAMEOPTION_START_OFFSET_FOLLOWING,
                start,
            )?,
            bound(
                pg_sys::FRAMEOPTION_END_CURRENT_ROW,
                pg_sys::FRAMEOPTION_END_OFFSET_PRECEDING,
                pg_sys::FRAMEOPTION_END_OFFSET_FOLLOWING,
                end,
            )?,
        ])
    }

    /// Start and end, where they are expressions.
    pub fn offsets(&self, query: Query<'t>) -> Vec<Node<'t>> {
        let Some(clause) = self.clause else { return Vec::new() };
        // SAFETY: as above.
        let clause = unsafe { clause.as_ref() };
        [clause.startOffset, clause.endOffset].into_iter().filter_map(|offset| query.optional(offset)).collect()
    }

    /// The functions by which RANGE compares with an offset.
    pub fn functions(&self) -> Vec<u32> {
        let Some(clause) = self.clause else { return Vec::new() };
        // SAFETY: as above.
        let clause = unsafe { clause.as_ref() };
        let both = [clause.startInRangeFunc.to_u32(), clause.endInRangeFunc.to_u32()];
        both.into_iter().filter(|function| *function != 0).collect()
    }
}

impl<'t> Node<'t> {
    /// The call, if the expression is just that.
    pub fn window_call(self) -> Option<WindowCall<'t>> {
        if self.tag() != pg_sys::NodeTag::T_WindowFunc {
            return None;
        }
        // SAFETY: the tag says what it is; its arguments are expressions of the same arena.
        unsafe {
            let call = &*self.raw().cast::<pg_sys::WindowFunc>();
            Some(WindowCall {
                function: call.winfnoid.to_u32(),
                window: call.winref,
                arguments: self.children(call.args),
                aggregate: call.winagg,
                filter: self.child(call.aggfilter),
                collation: call.inputcollid.to_u32(),
            })
        }
    }
}

impl Arena {
    /// `row_number() OVER w`, or `rank() OVER w`.
    pub fn place_in_order(&self, ties: bool) -> Node<'_> {
        // SAFETY: zeroed memory of the struct's size in the arena.
        unsafe {
            let call = make::<pg_sys::WindowFunc>(pg_sys::NodeTag::T_WindowFunc);
            (*call).winfnoid = pg_sys::Oid::from(if ties { RANK } else { ROW_NUMBER });
            (*call).wintype = pg_sys::INT8OID;
            (*call).winref = 1;
            (*call).location = -1;
            self.some(call)
        }
    }

    /// `number > bound`
    pub fn above<'t>(&'t self, number: Node<'t>, bound: u64) -> Node<'t> {
        self.compared(number, INT8_GREATER, bound)
    }

    /// `number <= bound`
    pub fn at_most<'t>(&'t self, number: Node<'t>, bound: u64) -> Node<'t> {
        self.compared(number, INT8_LESS_OR_EQUAL, bound)
    }

    fn compared<'t>(&'t self, number: Node<'t>, operator: u32, bound: u64) -> Node<'t> {
        let bound = i64::try_from(bound).unwrap_or(i64::MAX);
        // SAFETY: both make nodes in the arena, of an operator that takes two int8 and yields a boolean.
        unsafe {
            let datum = pg_sys::Datum::from(bound);
            let bound = pg_sys::makeConst(pg_sys::INT8OID, -1, pg_sys::InvalidOid, 8, datum, false, true);
            let none = pg_sys::InvalidOid;
            let operator = pg_sys::Oid::from(operator);
            let call =
                pg_sys::make_opclause(operator, pg_sys::BOOLOID, false, number.raw().cast(), bound.cast(), none, none);
            (*call.cast::<pg_sys::OpExpr>()).opfuncid = pg_sys::get_opcode(operator);
            self.some(call)
        }
    }
}

/// `SELECT item, number, calls… FROM batch`, as nodeToString() writes it. `arguments` begin with the number.
pub fn build<'t>(arena: &'t Arena, arguments: &[ColumnType], windows: &[Over<'t>]) -> String {
    // SAFETY: everything is allocated in the arena (the current context); nodes in it outlive the call; nodeToString copies.
    unsafe {
        let query = query(arena, named_tuplestore(arguments), windows, true);
        text(pg_sys::nodeToString(query.cast()))
    }
}

/// The calls as a person would write them; the columns that expressions refer to are called by `names`.
pub fn deparse<'t>(arena: &'t Arena, names: &[String], windows: &[Over<'t>]) -> String {
    // SAFETY: as for `build`; ruleutils only reads.
    let written = unsafe {
        let query = query(arena, named_columns(names), windows, false);
        (*(*query).jointree).fromlist = std::ptr::null_mut();
        text(pg_sys::pg_get_querydef(query, true))
    };
    let written = written.trim().trim_end_matches(';').trim();
    let written = written.strip_prefix("SELECT").unwrap_or(written);
    let mut written = written.split_whitespace().collect::<Vec<_>>().join(" ").replace(" AS \"?column?\"", "");
    for name in names.iter().filter(|name| name.contains(['.', '(', ' '])) {
        written = written.replace(&format!("\"{}\"", name.replace('"', "\"\"")), name);
    }
    written
}

/// The batch's columns that are there in every fragment, and how clauses refer to them.
const ITEM: u32 = 1;
const NUMBER: u32 = 2;

/// Ascending, by a target that is an int8.
///
/// # Safety
/// The current context is the arena's.
unsafe fn by_int8(reference: u32) -> *mut pg_sys::SortGroupClause {
    // SAFETY: zeroed memory of the struct's size.
    unsafe {
        let clause = make::<pg_sys::SortGroupClause>(pg_sys::NodeTag::T_SortGroupClause);
        (*clause).tleSortGroupRef = reference;
        (*clause).eqop = pg_sys::Oid::from(INT8_EQUAL_OPERATOR);
        (*clause).sortop = pg_sys::Oid::from(INT8_LESS);
        (*clause).hashable = true;
        clause
    }
}

/// # Safety
/// The current context is the arena's; expressions are over the entry.
unsafe fn query<'t>(
    _arena: &'t Arena,
    entry: *mut pg_sys::RangeTblEntry,
    windows: &[Over<'t>],
    by_item: bool,
) -> *mut pg_sys::Query {
    // SAFETY: zeroed structs of the right tags, linked as parse analysis does; what is changed are copies.
    unsafe {
        let query = select_from(entry);
        (*query).hasWindowFuncs = true;
        let mut shown: Vec<*mut pg_sys::TargetEntry> = Vec::new();
        let mut hidden: Vec<(Node<'t>, *mut pg_sys::TargetEntry)> = Vec::new();
        let mut references = NUMBER;
        if by_item {
            for reference in [ITEM, NUMBER] {
                let var = pg_sys::makeVar(1, reference as i16, pg_sys::INT8OID, -1, pg_sys::InvalidOid, 0);
                let target = pg_sys::makeTargetEntry(var.cast(), 0, std::ptr::null_mut(), false);
                (*target).ressortgroupref = reference;
                shown.push(target);
            }
        }
        for (at, over) in windows.iter().enumerate() {
            let clause = match over.frame.clause {
                Some(clause) => pg_sys::copyObjectImpl(clause.as_ptr().cast()).cast::<pg_sys::WindowClause>(),
                None => {
                    let clause = make::<pg_sys::WindowClause>(pg_sys::NodeTag::T_WindowClause);
                    (*clause).frameOptions = pg_sys::FRAMEOPTION_DEFAULTS as i32;
                    clause
                }
            };
            (*clause).name = std::ptr::null_mut();
            (*clause).refname = std::ptr::null_mut();
            (*clause).copiedOrder = false;
            (*clause).winref = at as u32 + 1;
            let mut refer = |columns: &[(Node<'t>, SortKey<'t>)]| {
                let mut clauses = std::ptr::null_mut();
                for (expression, key) in columns {
                    let target = match hidden.iter().find(|(known, _)| known == expression) {
                        Some((_, target)) => *target,
                        None => {
                            references += 1;
                            let target =
                                pg_sys::makeTargetEntry(expression.raw().cast(), 0, std::ptr::null_mut(), true);
                            (*target).ressortgroupref = references;
                            hidden.push((*expression, target));
                            target
                        }
                    };
                    clauses = pg_sys::lappend(clauses, key.clause((*target).ressortgroupref).cast());
                }
                clauses
            };
            (*clause).partitionClause = match by_item {
                false => std::ptr::null_mut(),
                true => pg_sys::lappend(std::ptr::null_mut(), by_int8(ITEM).cast()),
            };
            (*clause).orderClause = refer(&over.order);
            if by_item && over.total {
                (*clause).orderClause = pg_sys::lappend((*clause).orderClause, by_int8(NUMBER).cast());
            }
            (*query).windowClause = pg_sys::lappend((*query).windowClause, clause.cast());
            for call in &over.calls {
                let copy = pg_sys::copyObjectImpl(call.raw().cast()).cast::<pg_sys::WindowFunc>();
                (*copy).winref = at as u32 + 1;
                let name = pg_sys::pstrdup(c"?column?".as_ptr());
                shown.push(pg_sys::makeTargetEntry(copy.cast(), 0, name, false));
            }
        }
        let hidden = hidden.into_iter().map(|(_, target)| target);
        let mut targets = std::ptr::null_mut();
        for (at, target) in shown.into_iter().chain(hidden).enumerate() {
            (*target).resno = at as i16 + 1;
            if (*target).resname.is_null() {
                let name = CString::new(format!("r{}", at + 1)).expect("no null byte in a number");
                (*target).resname = pg_sys::pstrdup(name.as_ptr());
            }
            targets = pg_sys::lappend(targets, target.cast());
        }
        (*query).targetList = targets;
        query
    }
}
