//! Comparisons with the clock, and containment of the clock in a range or multirange.

use super::super::{Compiler, Lowered, NotIncremental};
use super::expression::{kind_of, name_of, type_of, Clock};
use super::{not_compared, reads_clock, reads_row, Condition};
use crate::pg::clock::RangePart;
use crate::pg::node::{Call, Node, View};
use trickle_operators::expr::clock::{ClockComparison, ClockExpression, ClockStep};
use trickle_operators::value::read::{Interval, DAY};
use trickle_operators::value::Kind;

/// `value comparison clock`
pub(super) struct Test<'t> {
    /// The value as it is written.
    pub shown: Node<'t>,
    pub value: Node<'t>,
    pub kind: Kind,
    pub comparison: ClockComparison,
    pub clock: ClockExpression,
    pub text: String,
}

impl<'t> Compiler<'t, '_> {
    /// The range and the clock of `range @> clock` and `clock <@ range`, and whether it is a multirange.
    pub(super) fn range(&self, call: &Call<'t>) -> Option<(Node<'t>, Node<'t>, bool)> {
        let (range, clock, several) = match (name_of(call.function)?.as_str(), &call.arguments[..]) {
            ("range_contains_elem", [range, clock]) | ("elem_contained_by_range", [clock, range]) => {
                (*range, *clock, false)
            }
            ("multirange_contains_elem", [range, clock]) | ("elem_contained_by_multirange", [clock, range]) => {
                (*range, *clock, true)
            }
            _ => return None,
        };
        (reads_clock(clock) && !reads_clock(range)).then_some((range, clock, several))
    }

    /// `multirange @> clock`: whether the clock has come to an odd number of the instants at which its ranges begin and end.
    pub(super) fn within_any(&self, multirange: Node<'t>, clock: Node<'t>, place: &str) -> Lowered<Test<'t>> {
        self.check_expression(multirange, place)?;
        let Clock { kind, steps } = self.clock(clock, place)?;
        let value = self.arena.instants(multirange);
        let expression = self.monotone(steps, clock, place)?;
        let text = self.clock_text(clock);
        Ok(Test { shown: multirange, value, kind, comparison: ClockComparison::Within, clock: expression, text })
    }

    /// `range @> clock`, which is:
    ///
    /// ```text
    /// NOT isempty(range)
    ///   AND (lower(range) < clock OR (lower_inc(range) AND lower(range) = clock) OR lower_inf(range))
    ///   AND (upper(range) > clock OR (upper_inc(range) AND upper(range) = clock) OR upper_inf(range))
    /// ```
    pub(super) fn within(&self, range: Node<'t>, clock: Node<'t>, place: &str) -> Lowered<Condition<'t>> {
        self.check_expression(range, place)?;
        let of = |part: RangePart| self.arena.range_part(part, range, clock.type_oid());
        let side = |[bound, infinite, inclusive]: [RangePart; 3], comparison| -> Lowered<Condition<'t>> {
            let test = |comparison| self.compared(of(bound), clock, comparison, place).map(Condition::Test);
            let at = vec![Condition::Ordinary(of(inclusive)), test(ClockComparison::Eq)?];
            // None of them raises, so none needs to be kept from being evaluated: what decides comes last.
            Ok(Condition::Or(vec![test(comparison)?, Condition::And(at), Condition::Ordinary(of(infinite))]))
        };
        Ok(Condition::And(vec![
            Condition::Not(Box::new(Condition::Ordinary(of(RangePart::IsEmpty)))),
            side([RangePart::Lower, RangePart::LowerInfinite, RangePart::LowerInclusive], ClockComparison::Lt)?,
            side([RangePart::Upper, RangePart::UpperInfinite, RangePart::UpperInclusive], ClockComparison::Gt)?,
        ]))
    }

    /// A comparison of which at least one side reads the clock.
    pub(super) fn test(&self, call: &Call<'t>, place: &str) -> Lowered<Test<'t>> {
        let whole = || not_compared(place);
        let ([left, right], Some(comparison)) = (&call.arguments[..], comparison(call.function)) else {
            return Err(whole());
        };
        let (left, right) = (*left, *right);
        let (clock, other, comparison) = match (reads_clock(left), reads_clock(right)) {
            (false, true) => (right, left, comparison),
            (true, false) => (left, right, comparison.commuted()),
            _ => return Err(whole()),
        };
        if reads_row(clock) {
            return self.difference(clock, other, comparison.commuted(), place);
        }
        self.check_expression(other, place)?;
        self.compared(other, clock, comparison, place)
    }

    /// `value comparison clock`
    fn compared(
        &self,
        value: Node<'t>,
        clock: Node<'t>,
        comparison: ClockComparison,
        place: &str,
    ) -> Lowered<Test<'t>> {
        let Clock { kind, steps } = self.clock(clock, place)?;
        // As what the two are compared: the later of date, timestamp, timestamptz.
        let common = kind_of(value.type_oid()).ok_or_else(|| not_compared(place))?.max(kind);
        let steps = self.converted(steps, kind, common)?;
        let shown = self.arena.coerce(value, type_of(common));
        let value = self.arena.as_instant(value, type_of(common));
        let expression = self.monotone(steps, clock, place)?;
        Ok(Test { shown, value, kind: common, comparison, text: self.clock_text(clock), clock: expression })
    }

    /// `clock - value op constant` or `value - clock op constant`.
    fn difference(
        &self,
        difference: Node<'t>,
        limit: Node<'t>,
        comparison: ClockComparison,
        place: &str,
    ) -> Lowered<Test<'t>> {
        let whole = || {
            NotIncremental::new(
                "comparison with the clock in which a row shifts it",
                format!("A comparison in {place} does not have the row on one side and the clock, shifted by a constant, on the other."),
            )
        };
        let View::Operator(call) = difference.view() else { return Err(whole()) };
        let [left, right] = call.arguments[..] else { return Err(whole()) };
        let (clock, mut value, from_clock) = match (reads_clock(left), reads_clock(right)) {
            (true, false) => (left, right, true),
            (false, true) => (right, left, false),
            _ => return Err(whole()),
        };
        if reads_row(clock) || reads_row(limit) {
            return Err(whole());
        }
        let image = self.constant(limit).ok_or_else(whole)?;
        self.check_expression(value, place)?;
        let amount = match name_of(call.function).as_deref() {
            Some("timestamptz_mi" | "timestamp_mi") => {
                let Interval { microseconds, days, months } = Interval::read(&image).map_err(|_| whole())?;
                // What comparisons of intervals hold equal; the difference of two timestamps has no months.
                let days = i64::from(days) + 30 * i64::from(months);
                days.checked_mul(DAY).and_then(|days| days.checked_add(microseconds)).ok_or_else(whole)?
            }
            Some("date_mi") => {
                // Infinite dates cannot be subtracted, and must fail here too.
                value = self.arena.days(value);
                let days = <[u8; 4]>::try_from(&image[..]).map_err(|_| whole())?;
                i32::from_ne_bytes(days).into()
            }
            _ => return Err(whole()),
        };
        let Clock { kind, mut steps } = self.clock(clock, place)?;
        // clock - value < n: value > clock - n; value - clock < n: value < clock + n.
        let (amount, comparison) = if from_clock { (-amount, comparison.commuted()) } else { (amount, comparison) };
        steps.push(ClockStep::Add(amount));
        let expression = self.monotone(steps, clock, place)?;
        let sign = if from_clock { "-" } else { "+" };
        let text = format!("{} {sign} {}", self.clock_text(clock), self.clock_text(limit));
        Ok(Test { shown: value, value, kind, comparison, clock: expression, text })
    }
}

/// What a comparison function of dates, timestamps, and of the differences between them, compares.
fn comparison(function: u32) -> Option<ClockComparison> {
    let name = name_of(function)?;
    let rest =
        ["timestamptz_", "timestamp_", "date_", "interval_", "int4"].iter().find_map(|ty| name.strip_prefix(ty))?;
    let (comparison, other) = rest.split_at_checked(2)?;
    if !matches!(other, "" | "_date" | "_timestamp" | "_timestamptz") {
        return None;
    }
    Some(match comparison {
        "eq" => ClockComparison::Eq,
        "ne" => ClockComparison::Ne,
        "lt" => ClockComparison::Lt,
        "le" => ClockComparison::Le,
        "gt" => ClockComparison::Gt,
        "ge" => ClockComparison::Ge,
        _ => return None,
    })
}
