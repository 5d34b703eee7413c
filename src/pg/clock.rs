//! Time zones as data, and expressions over the clock as the compiler and the verifier need them.

use super::node::{list, make, Arena, Node};
use pgrx::pg_sys;
use std::ffi::{c_void, CString};
use trickle_operators::expr::clock::{Instant, Zone};

/// Microseconds between PostgreSQL's epoch and Unix's.
const UNIX_EPOCH: i64 = 946_684_800;
const SECOND: i64 = 1_000_000;
/// Changes of a zone are followed for so long: no process lives to see the end of it.
const YEARS: i64 = 100;
const YEAR_SECONDS: i64 = 366 * 86_400;

/// A time zone's offsets from `since` on, as PostgreSQL knows them; the session's if no name is given. `None`: there is no
/// such zone, or its name is an abbreviation that means different offsets at different times.
pub fn zone(name: Option<&str>, since: Instant) -> Option<Zone> {
    // SAFETY: a zone that was found stays loaded for the life of the process; all out parameters are ours.
    unsafe {
        let zone = match name {
            None => pg_sys::session_timezone,
            Some(name) => {
                let text = CString::new(name).ok()?;
                let (mut offset, mut found) = (0, std::ptr::null_mut());
                match pg_sys::DecodeTimezoneName(text.as_ptr(), &mut offset, &mut found) as u32 {
                    pg_sys::TZNAME_FIXED_OFFSET => {
                        let first = i64::from(offset) * SECOND;
                        return Some(Zone { name: name.to_string(), first, changes: Vec::new() });
                    }
                    pg_sys::TZNAME_ZONE => found,
                    _ => return None,
                }
            }
        };
        let name = std::ffi::CStr::from_ptr(pg_sys::pg_get_timezone_name(zone)).to_string_lossy().into_owned();
        let mut at: pg_sys::pg_time_t = since.div_euclid(SECOND) + UNIX_EPOCH;
        let end = at + YEARS * YEAR_SECONDS;
        let mut first = None;
        let mut changes: Vec<(Instant, i64)> = Vec::new();
        while at < end {
            let (mut before, mut after, mut summer, mut winter) = (0, 0, 0, 0);
            let mut boundary: pg_sys::pg_time_t = 0;
            let found = pg_sys::pg_next_dst_boundary(
                &at,
                &mut before,
                &mut summer,
                &mut boundary,
                &mut after,
                &mut winter,
                zone,
            );
            if found < 0 {
                return None;
            }
            let last = *first.get_or_insert(before);
            if found == 0 {
                break;
            }
            let known = changes.last().map_or(last * SECOND, |(_, offset)| *offset);
            if after * SECOND != known {
                changes.push(((boundary - UNIX_EPOCH) * SECOND, after * SECOND));
            }
            at = boundary;
        }
        Some(Zone { name, first: first? * SECOND, changes })
    }
}

/// What a range is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangePart {
    Lower,
    LowerInclusive,
    LowerInfinite,
    Upper,
    UpperInclusive,
    UpperInfinite,
    IsEmpty,
}

impl Arena {
    /// A call of the function that gives a part of a range of `element`.
    pub fn range_part<'t>(&'t self, part: RangePart, range: Node<'t>, element: u32) -> Node<'t> {
        // pg_proc OIDs, fixed by pg_proc.dat.
        let (function, bound) = match part {
            RangePart::Lower => (3848, true),
            RangePart::Upper => (3849, true),
            RangePart::IsEmpty => (3850, false),
            RangePart::LowerInclusive => (3851, false),
            RangePart::UpperInclusive => (3852, false),
            RangePart::LowerInfinite => (3853, false),
            RangePart::UpperInfinite => (3854, false),
        };
        let ty = if bound { pg_sys::Oid::from(element) } else { pg_sys::BOOLOID };
        // SAFETY: the functions take any range, and the bounds are of its element type; all nodes are made in the arena.
        unsafe {
            let arguments = pg_sys::lappend(std::ptr::null_mut(), range.raw().cast());
            let (none, form) = (pg_sys::InvalidOid, pg_sys::CoercionForm::COERCE_EXPLICIT_CALL);
            let function = pg_sys::Oid::from(function);
            self.some(pg_sys::makeFuncExpr(function, ty, arguments, none, none, form))
        }
    }

    /// The expression as a constant, if it is one: without columns, parameters and anything that is not immutable.
    /// PostgreSQL evaluates it, so nothing in it may be a user's.
    pub fn folded<'t>(&'t self, node: Node<'t>) -> Option<Node<'t>> {
        // SAFETY: the copy is in the arena; without a planner's state nothing but immutable functions of constants is
        // evaluated.
        let folded = unsafe {
            let copy = pg_sys::copyObjectImpl(node.raw() as *const _) as *mut pg_sys::Node;
            self.some(pg_sys::eval_const_expressions(std::ptr::null_mut(), copy))
        };
        (folded.tag() == pg_sys::NodeTag::T_Const).then_some(folded)
    }

    /// A date as a number of days: `date - '2000-01-01'`, which infinite dates fail on.
    pub fn days<'t>(&'t self, date: Node<'t>) -> Node<'t> {
        // SAFETY: the operator's function takes two dates; all nodes are made in the arena.
        unsafe {
            let (none, zero) = (pg_sys::InvalidOid, pg_sys::Datum::from(0i32));
            let epoch = pg_sys::makeConst(pg_sys::DATEOID, -1, none, 4, zero, false, true);
            let arguments = pg_sys::lappend(pg_sys::lappend(std::ptr::null_mut(), date.raw().cast()), epoch.cast());
            let form = pg_sys::CoercionForm::COERCE_EXPLICIT_CALL;
            let function = pg_sys::Oid::from(DATE_MINUS_DATE);
            self.some(pg_sys::makeFuncExpr(function, pg_sys::INT4OID, arguments, none, none, form))
        }
    }

    /// A date or a timestamp as type `ty`, a later one of date, timestamp and timestamptz, to be compared with the clock.
    /// What a cast would fail on, because it is out of that type's range, is infinite: no clock comes so far.
    pub fn as_instant<'t>(&'t self, value: Node<'t>, ty: u32) -> Node<'t> {
        let from = value.type_oid();
        if from == ty {
            return value;
        }
        let cast = self.coerce(value, ty);
        let date = from == pg_sys::DATEOID.to_u32();
        let (less, greater) = if date { (DATE_LESS, DATE_GREATER) } else { (TIMESTAMP_LESS, TIMESTAMP_GREATER) };
        let ends = if date { ENDS_OF_DATES } else { ENDS_OF_TIMESTAMPS };
        let constant = |ty: u32, value: i64| {
            let (length, datum) = match ty == pg_sys::DATEOID.to_u32() {
                true => (4, pg_sys::Datum::from(value as i32)),
                false => (8, pg_sys::Datum::from(value)),
            };
            // SAFETY: both types are passed by value; the node is made in the arena.
            unsafe {
                self.some(pg_sys::makeConst(pg_sys::Oid::from(ty), -1, pg_sys::InvalidOid, length, datum, false, true))
            }
        };
        let compared = |function: u32, bound: i64| {
            // SAFETY: the functions take two values of the value's type; all nodes are made in the arena.
            unsafe {
                let arguments = list(&[value, constant(from, bound)]);
                let (none, form) = (pg_sys::InvalidOid, pg_sys::CoercionForm::COERCE_EXPLICIT_CALL);
                let function = pg_sys::Oid::from(function);
                self.some(pg_sys::makeFuncExpr(function, pg_sys::BOOLOID, arguments, none, none, form))
            }
        };
        let [first, last] = ends;
        let branches =
            [(compared(less, first), constant(ty, i64::MIN)), (compared(greater, last), constant(ty, i64::MAX))];
        self.case(&branches, cast)
    }

    /// `pgtrickle.multirange_instants(multirange)`
    pub fn instants<'t>(&'t self, multirange: Node<'t>) -> Node<'t> {
        super::multirange::instants(self, multirange)
    }

    /// `CASE WHEN (one OR other …) IS NOT TRUE THEN value END`
    pub fn unless_any<'t>(&'t self, conditions: &[Node<'t>], value: Node<'t>) -> Node<'t> {
        let any = match conditions {
            [] => return value,
            [one] => *one,
            // SAFETY: the list and the node are allocated in the arena; the members are boolean expressions in it.
            several => unsafe { self.some(pg_sys::makeBoolExpr(pg_sys::BoolExprType::OR_EXPR, list(several), -1)) },
        };
        // SAFETY: zeroed memory of the struct's size in the arena; its argument is a boolean expression.
        let otherwise = unsafe {
            let test = make::<pg_sys::BooleanTest>(pg_sys::NodeTag::T_BooleanTest);
            (*test).arg = any.raw().cast();
            (*test).booltesttype = pg_sys::BoolTestType::IS_NOT_TRUE;
            (*test).location = -1;
            self.some(test)
        };
        self.case_when(otherwise, value)
    }
}

// pg_proc OIDs, fixed by pg_proc.dat.
const NOW: u32 = 1299;
const TRANSACTION_TIMESTAMP: u32 = 2647;
const STATEMENT_TIMESTAMP: u32 = 2648;
const DATE_MINUS_DATE: u32 = 1140;
const DATE_LESS: u32 = 1087;
const DATE_GREATER: u32 = 1089;
const TIMESTAMP_LESS: u32 = 2054;
const TIMESTAMP_GREATER: u32 = 2057;
const TIMESTAMP_SCALE: u32 = 1961;
const TIMESTAMPTZ_SCALE: u32 = 1967;
const DATE_OF_TIMESTAMPTZ: u32 = 1178;
const TIMESTAMP_OF_TIMESTAMPTZ: u32 = 2027;

/// Days, and microseconds, since 2000-01-01 between which every date, and every timestamp, is one in any time zone.
const ENDS_OF_DATES: [i64; 2] = [-2_451_000, 106_000_000];
const ENDS_OF_TIMESTAMPS: [i64; 2] = [-211_766_400_000_000_000, 9_158_400_000_000_000_000];

/// Whether a function returns what a transaction's clock shows.
pub fn reads_clock(function: u32) -> bool {
    matches!(function, NOW | TRANSACTION_TIMESTAMP | STATEMENT_TIMESTAMP)
}

/// The query with the clock stopped at `instant`, whatever the transaction's shows.
///
/// # Safety
/// `query` is a rewritten query of the current memory context.
pub(super) unsafe fn stopped(query: *mut pg_sys::Query, instant: Instant) -> *mut pg_sys::Query {
    let mut instant = instant;
    // SAFETY: `stop` gets back the pointer passed here, which outlives the call.
    unsafe { pg_sys::query_tree_mutator_impl(query, Some(stop), (&raw mut instant).cast(), 0) }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn stop(node: *mut pg_sys::Node, context: *mut c_void) -> *mut pg_sys::Node {
    use pg_sys::NodeTag::*;
    use pg_sys::SQLValueFunctionOp as Op;
    if node.is_null() {
        return node;
    }
    // SAFETY: `context` is what `stopped` passed; the mutators copy the node and call us for children. Nodes made are
    // complete, as parse analysis would have made them.
    unsafe {
        let instant = *context.cast::<Instant>();
        let constant = || -> *mut pg_sys::Node {
            let value = pg_sys::Datum::from(instant);
            pg_sys::makeConst(pg_sys::TIMESTAMPTZOID, -1, pg_sys::InvalidOid, 8, value, false, true).cast()
        };
        let cast = |function: u32, ty: pg_sys::Oid| -> *mut pg_sys::Node {
            let arguments = pg_sys::lappend(std::ptr::null_mut(), constant().cast());
            let (none, form) = (pg_sys::InvalidOid, pg_sys::CoercionForm::COERCE_IMPLICIT_CAST);
            pg_sys::makeFuncExpr(pg_sys::Oid::from(function), ty, arguments, none, none, form).cast()
        };
        match (*node).type_ {
            T_FuncExpr if reads_clock((*node.cast::<pg_sys::FuncExpr>()).funcid.to_u32()) => constant(),
            T_SQLValueFunction => {
                let function = &*node.cast::<pg_sys::SQLValueFunction>();
                let local = || cast(TIMESTAMP_OF_TIMESTAMPTZ, pg_sys::TIMESTAMPOID);
                let rounded = |scale: u32, ty: pg_sys::Oid, value: *mut pg_sys::Node| -> *mut pg_sys::Node {
                    let (none, digits) = (pg_sys::InvalidOid, pg_sys::Datum::from(function.typmod));
                    let digits = pg_sys::makeConst(pg_sys::INT4OID, -1, none, 4, digits, false, true);
                    let arguments = pg_sys::lappend(pg_sys::lappend(std::ptr::null_mut(), value.cast()), digits.cast());
                    let form = pg_sys::CoercionForm::COERCE_IMPLICIT_CAST;
                    pg_sys::makeFuncExpr(pg_sys::Oid::from(scale), ty, arguments, none, none, form).cast()
                };
                match function.op {
                    Op::SVFOP_CURRENT_TIMESTAMP => constant(),
                    Op::SVFOP_CURRENT_TIMESTAMP_N => rounded(TIMESTAMPTZ_SCALE, pg_sys::TIMESTAMPTZOID, constant()),
                    Op::SVFOP_CURRENT_DATE => cast(DATE_OF_TIMESTAMPTZ, pg_sys::DATEOID),
                    Op::SVFOP_LOCALTIMESTAMP => local(),
                    Op::SVFOP_LOCALTIMESTAMP_N => rounded(TIMESTAMP_SCALE, pg_sys::TIMESTAMPOID, local()),
                    // Nothing that a temporal filter may have.
                    _ => node,
                }
            }
            T_Query => pg_sys::query_tree_mutator_impl(node.cast(), Some(stop), context, 0).cast(),
            _ => pg_sys::expression_tree_mutator_impl(node, Some(stop), context),
        }
    }
}
