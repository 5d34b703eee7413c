//! Temporal filters: conditions that compare a value of the row with the clock.
//!
//! ```text
//! WHERE ts > now() - interval '1 hour'
//! WHERE valid_from <= now() AND (valid_to IS NULL OR now() < valid_to)
//! WHERE d = current_date
//! ```
//!
//! A condition of WHERE, of an inner join or of HAVING may read the clock in comparisons combined by AND, OR and NOT. One
//! side of each comparison is any expression over the row; the other is made of the clock alone, and must not go back while
//! the clock goes on (HAZARDS E32): only then has each row at most two instants at which the comparison turns. A difference
//! from the clock that is compared with a constant is such a comparison too. All other conditions come first, so that what
//! the clock decides sees the fewest rows.

use super::block::{conjuncts, plain_column};
use super::stage::Stage;
use super::{Compiler, Lowered, NotIncremental};
use crate::pg::catalog_lookup;
use crate::pg::clock::{self, reads_clock as is_clock, RangePart};
use crate::pg::fragment_query;
use crate::pg::node::{Call, Node, View};
use crate::pg::process;
use crate::pg::query::Query;
use trickle_operators::expr::clock::{ClockComparison, ClockExpression, ClockStep, Unit, Zone};
use trickle_operators::expr::Expr;
use trickle_operators::plan::{ClockTest, Rel, Temporal};
use trickle_operators::value::read::{Interval, DAY};
use trickle_operators::value::Kind;

/// A condition that reads the clock.
enum Condition<'t> {
    And(Vec<Condition<'t>>),
    Or(Vec<Condition<'t>>),
    Not(Box<Condition<'t>>),
    /// Does not read it.
    Ordinary(Node<'t>),
    Test(Test<'t>),
}

/// `value comparison clock`
struct Test<'t> {
    value: Node<'t>,
    kind: Kind,
    comparison: ClockComparison,
    clock: ClockExpression,
    text: String,
}

/// What is made of the clock alone.
struct Clock {
    kind: Kind,
    steps: Vec<ClockStep>,
}

/// What a row must have for the condition, before the clock is asked.
#[derive(Default)]
struct Needed<'t> {
    /// Expressions that become columns: as written, and as they are evaluated.
    computed: Vec<(Node<'t>, Node<'t>)>,
    tests: Vec<(usize, Test<'t>)>,
}

/// A condition whose parts are columns, native predicates and tests by number.
enum Placed {
    And(Vec<Placed>),
    Or(Vec<Placed>),
    Not(Box<Placed>),
    Native(Expr),
    Computed(usize),
    Test(usize),
}

/// pg_type OIDs of what can be compared with the clock.
const DATE: u32 = 1082;
const TIMESTAMP: u32 = 1114;
const TIMESTAMPTZ: u32 = 1184;

/// Whether any part of the expression is the transaction's clock, or what is made of it.
pub(super) fn reads_clock(expression: Node<'_>) -> bool {
    expression.visit(&mut |node| match node.view() {
        View::CurrentTime(_) => true,
        View::Function(call) => is_clock(call.function),
        _ => false,
    })
}

/// Whether a comparison with the clock refers to the query around its own: no join condition may, a filter of that query's
/// rows with their bindings may.
pub(super) fn looks_out_by_clock(query: Query<'_>) -> bool {
    query.node().visit(&mut |node| {
        matches!(node.view(), View::Operator(_)) && reads_clock(node) && super::semi_join::looks_out(node)
    })
}

/// Whether any part of the expression is a column.
fn reads_row(expression: Node<'_>) -> bool {
    expression.visit(&mut |node| matches!(node.view(), View::Var(_) | View::Aggregate(_)))
}

impl<'t> Compiler<'t, '_> {
    /// As [`Compiler::check_expression`], for a condition whose rows are filtered.
    pub(super) fn check_condition(&self, condition: Node<'t>, place: &str) -> Lowered<()> {
        let mut parts = Vec::new();
        conjuncts(condition, &mut parts);
        parts.into_iter().try_for_each(|part| match reads_clock(part) {
            true if self.correlated.is_some() && super::semi_join::looks_out(part) => Err(NotIncremental::new(
                "temporal filter over another query level",
                format!("A comparison with the clock in {place} refers to the query around its own."),
            )),
            true => self.temporal_condition(part, place).map(|_| ()),
            false => self.check_expression(part, place),
        })
    }

    /// Keeps the rows for which conditions that read the clock are true at the time that it shows.
    pub(super) fn filter_by_clock(&mut self, stage: &mut Stage, conditions: &[Node<'t>]) -> Lowered<()> {
        if conditions.is_empty() {
            return Ok(());
        }
        let mut needed = Needed::default();
        let mut placed = Vec::new();
        for condition in conditions {
            let condition = self.temporal_condition(*condition, "WHERE")?;
            placed.push(self.place(stage, condition, &[], &mut needed));
        }
        let Needed { computed, tests } = needed;
        let (written, evaluated): (Vec<_>, Vec<_>) = computed.into_iter().unzip();
        let texts: Vec<String> = written.iter().map(|node| self.text(stage, *node)).collect();
        let columns = self.compute(stage, &evaluated)?;
        let names = written.iter().zip(&columns).zip(texts);
        let names = names.filter(|((node, _), _)| plain_column(**node).is_none()).map(|((_, at), text)| (*at, text));
        let names = names.collect();
        let width = stage.columns.len();
        let condition = Placed::And(placed).expression(&columns, width);
        let tests = tests
            .into_iter()
            .map(|(value, test)| {
                let Test { value: _, kind, comparison, clock, text } = test;
                ClockTest { value: columns[value], kind, comparison, clock, text }
            })
            .collect();
        let input = stage.rel();
        stage.rel = Rel::Temporal(Temporal { input, width, tests, condition, names });
        Ok(())
    }

    /// Finds places for a condition's parts. `before`: where one of these is true, the part does not matter, and is not
    /// reached, as PostgreSQL would not reach it (HAZARDS E25).
    fn place(&self, stage: &Stage, condition: Condition<'t>, before: &[Node<'t>], needed: &mut Needed<'t>) -> Placed {
        match condition {
            Condition::And(parts) => {
                let mut before = before.to_vec();
                let mut placed = Vec::new();
                for part in parts {
                    let decides = match part {
                        Condition::Ordinary(node) => Some(self.arena.not(node)),
                        _ => None,
                    };
                    placed.push(self.place(stage, part, &before, needed));
                    before.extend(decides);
                }
                Placed::And(placed)
            }
            Condition::Or(parts) => {
                let mut before = before.to_vec();
                let mut placed = Vec::new();
                for part in parts {
                    let decides = match part {
                        Condition::Ordinary(node) => Some(node),
                        _ => None,
                    };
                    placed.push(self.place(stage, part, &before, needed));
                    before.extend(decides);
                }
                Placed::Or(placed)
            }
            Condition::Not(part) => Placed::Not(Box::new(self.place(stage, *part, before, needed))),
            Condition::Ordinary(node) => match self.certain(node, &stage.positions) {
                Some(expression) => Placed::Native(expression),
                None => Placed::Computed(needed.compute(node, self.arena.unless_any(before, node))),
            },
            Condition::Test(test) => {
                let certain = self.certain(test.value, &stage.positions).is_some();
                let value = if certain { test.value } else { self.arena.unless_any(before, test.value) };
                let column = needed.compute(test.value, value);
                needed.tests.push((column, test));
                Placed::Test(needed.tests.len() - 1)
            }
        }
    }

    fn temporal_condition(&self, condition: Node<'t>, place: &str) -> Lowered<Condition<'t>> {
        if !reads_clock(condition) {
            self.check_expression(condition, place)?;
            return Ok(Condition::Ordinary(condition));
        }
        let all = |parts: Vec<Node<'t>>| -> Lowered<Vec<_>> {
            parts.into_iter().map(|part| self.temporal_condition(part, place)).collect()
        };
        match condition.view() {
            View::And(parts) => Ok(Condition::And(all(parts)?)),
            View::Or(parts) => Ok(Condition::Or(all(parts)?)),
            View::Not(part) => Ok(Condition::Not(Box::new(self.temporal_condition(part, place)?))),
            View::Operator(call) => match self.range(&call) {
                Some((range, clock)) => self.within(range, clock, place),
                None => self.test(&call, place).map(Condition::Test),
            },
            _ => Err(not_compared(place)),
        }
    }

    /// The range and the clock of `range @> clock` and `clock <@ range`.
    fn range(&self, call: &Call<'t>) -> Option<(Node<'t>, Node<'t>)> {
        let (range, clock) = match (name_of(call.function)?.as_str(), &call.arguments[..]) {
            ("range_contains_elem", [range, clock]) | ("elem_contained_by_range", [clock, range]) => (*range, *clock),
            _ => return None,
        };
        (reads_clock(clock) && !reads_clock(range)).then_some((range, clock))
    }

    /// `range @> clock`, which is:
    ///
    /// ```text
    /// NOT isempty(range)
    ///   AND (lower(range) < clock OR (lower_inc(range) AND lower(range) = clock) OR lower_inf(range))
    ///   AND (upper(range) > clock OR (upper_inc(range) AND upper(range) = clock) OR upper_inf(range))
    /// ```
    fn within(&self, range: Node<'t>, clock: Node<'t>, place: &str) -> Lowered<Condition<'t>> {
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
    fn test(&self, call: &Call<'t>, place: &str) -> Lowered<Test<'t>> {
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
        let value = self.arena.coerce(value, type_of(common));
        let expression = self.monotone(steps, clock, place)?;
        Ok(Test { value, kind: common, comparison, text: self.clock_text(clock), clock: expression })
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
        Ok(Test { value, kind, comparison, clock: expression, text })
    }

    /// The steps from the clock to an expression made of it.
    fn clock(&self, node: Node<'t>, place: &str) -> Lowered<Clock> {
        let not_known = || {
            NotIncremental::new(
                "expression over the clock that is not known to be monotone",
                format!("{} in {place} is not known to move on with the clock.", self.clock_text(node)),
            )
        };
        let zoned = Clock { kind: Kind::TimestampTz, steps: Vec::new() };
        let typmod = node.column_type().typmod;
        match node.view() {
            View::CurrentTime("CURRENT_TIMESTAMP") if typmod < 0 => Ok(zoned),
            View::CurrentTime("LOCALTIMESTAMP") if typmod < 0 => self.convert(zoned, Kind::Timestamp),
            View::CurrentTime("CURRENT_DATE") => self.convert(zoned, Kind::Date),
            View::CurrentTime(name @ ("CURRENT_TIME" | "LOCALTIME")) => Err(NotIncremental::new(
                format!("{name} is not monotone"),
                format!("{name} in {place} goes back at midnight."),
            )),
            View::Relabel(inner) => self.clock(inner, place),
            View::Function(call) if is_clock(call.function) => Ok(zoned),
            View::Function(call) | View::Operator(call) => {
                let name = name_of(call.function).ok_or_else(not_known)?;
                match (&name[..], &call.arguments[..]) {
                    (
                        "timestamptz_pl_interval" | "timestamp_pl_interval" | "date_pl_interval" | "date_add",
                        [clock, shift],
                    )
                    | ("interval_pl_timestamptz" | "interval_pl_timestamp" | "interval_pl_date", [shift, clock]) => {
                        self.shifted(*clock, *shift, 1, node, place)
                    }
                    (
                        "timestamptz_mi_interval" | "timestamp_mi_interval" | "date_mi_interval" | "date_subtract",
                        [clock, shift],
                    ) => self.shifted(*clock, *shift, -1, node, place),
                    ("date_pli", [clock, days]) | ("integer_pl_date", [days, clock]) => {
                        self.days_later(*clock, *days, 1, place).and_then(|found| found.ok_or_else(not_known))
                    }
                    ("date_mii", [clock, days]) => {
                        self.days_later(*clock, *days, -1, place).and_then(|found| found.ok_or_else(not_known))
                    }
                    ("timestamp" | "timestamptz" | "date", [clock]) => {
                        let kind = kind_of(node.type_oid()).ok_or_else(not_known)?;
                        self.convert(self.clock(*clock, place)?, kind)
                    }
                    ("date_trunc", [unit, clock]) => {
                        let unit = self.constant(*unit).and_then(|unit| unit_of(&unit)).ok_or_else(not_known)?;
                        self.truncated(self.clock(*clock, place)?, unit, &self.zone(None)?)
                    }
                    ("date_trunc", [unit, clock, zone]) => {
                        let unit = self.constant(*unit).and_then(|unit| unit_of(&unit)).ok_or_else(not_known)?;
                        let zone = self.constant(*zone).ok_or_else(not_known)?;
                        self.truncated(self.clock(*clock, place)?, unit, &self.zone(Some(&zone))?)
                    }
                    ("timezone", [zone, clock]) => {
                        let zone = self.zone(Some(&self.constant(*zone).ok_or_else(not_known)?))?;
                        let Clock { kind, mut steps } = self.clock(*clock, place)?;
                        let kind = match kind {
                            Kind::TimestampTz => {
                                steps.push(ClockStep::Local(zone));
                                Kind::Timestamp
                            }
                            Kind::Timestamp => {
                                steps.push(ClockStep::Instant(zone));
                                Kind::TimestampTz
                            }
                            _ => return Err(not_known()),
                        };
                        Ok(Clock { kind, steps })
                    }
                    _ => Err(not_known()),
                }
            }
            _ => Err(not_known()),
        }
    }

    /// An interval's days are added to the local time, its time to what that gives.
    fn shifted(&self, clock: Node<'t>, shift: Node<'t>, sign: i64, whole: Node<'t>, place: &str) -> Lowered<Clock> {
        let not_constant = || {
            NotIncremental::new(
                "shift of the clock that is not constant",
                format!("The clock in {place} is shifted by what is not a constant."),
            )
        };
        let image = self.constant(shift).ok_or_else(not_constant)?;
        let interval = Interval::read(&image).map_err(|_| not_constant())?;
        if interval == Interval::INFINITY || interval == Interval::NEGATIVE_INFINITY {
            return Err(not_constant());
        }
        if interval.months != 0 {
            return Err(NotIncremental::new(
                "shift of the clock by months is not monotone",
                format!(
                    "{} in {place} goes back where a month is longer than the one it is shifted to: March 29 and March 28, less a month, are both February 28.",
                    self.clock_text(whole)
                ),
            ));
        }
        let Clock { mut kind, mut steps } = self.clock(clock, place)?;
        let days = i64::from(interval.days).checked_mul(sign * DAY).ok_or_else(not_constant)?;
        let time = sign.checked_mul(interval.microseconds).ok_or_else(not_constant)?;
        if kind == Kind::Date {
            steps.push(ClockStep::Midnight);
            kind = Kind::Timestamp;
        }
        let zone = self.zone(None)?;
        let fixed = kind == Kind::Timestamp || zone.changes.is_empty();
        match (days, fixed) {
            (0, _) => {}
            (_, true) => steps.push(ClockStep::Add(days)),
            (_, false) => {
                steps.extend([ClockStep::Local(zone.clone()), ClockStep::Add(days), ClockStep::Instant(zone)])
            }
        }
        if time != 0 {
            steps.push(ClockStep::Add(time));
        }
        Ok(Clock { kind, steps })
    }

    fn days_later(&self, clock: Node<'t>, days: Node<'t>, sign: i64, place: &str) -> Lowered<Option<Clock>> {
        let Clock { kind, mut steps } = self.clock(clock, place)?;
        let days = self.constant(days).and_then(|image| <[u8; 4]>::try_from(&image[..]).ok());
        let (Some(days), Kind::Date) = (days, kind) else { return Ok(None) };
        steps.push(ClockStep::Add(sign * i64::from(i32::from_ne_bytes(days))));
        Ok(Some(Clock { kind, steps }))
    }

    fn truncated(&self, clock: Clock, unit: Unit, zone: &Zone) -> Lowered<Clock> {
        let Clock { mut kind, mut steps } = clock;
        if kind == Kind::Date {
            // There is date_trunc() of timestamptz, and a date is cast to it.
            steps.push(ClockStep::Midnight);
            steps.push(ClockStep::Instant(zone.clone()));
            kind = Kind::TimestampTz;
        }
        match (kind, unit.is_time()) {
            (Kind::TimestampTz, true) => steps.push(ClockStep::TruncateInstant(zone.clone(), unit)),
            (Kind::TimestampTz, false) => steps.extend([
                ClockStep::Local(zone.clone()),
                ClockStep::Truncate(unit),
                ClockStep::Instant(zone.clone()),
            ]),
            _ => steps.push(ClockStep::Truncate(unit)),
        }
        Ok(Clock { kind, steps })
    }

    fn convert(&self, clock: Clock, kind: Kind) -> Lowered<Clock> {
        Ok(Clock { kind, steps: self.converted(clock.steps, clock.kind, kind)? })
    }

    /// The steps of a cast between date, timestamp and timestamptz, in the session's time zone.
    fn converted(&self, mut steps: Vec<ClockStep>, from: Kind, to: Kind) -> Lowered<Vec<ClockStep>> {
        if from == to {
            return Ok(steps);
        }
        match from {
            Kind::Date => steps.push(ClockStep::Midnight),
            Kind::TimestampTz => steps.push(ClockStep::Local(self.zone(None)?)),
            _ => {}
        }
        match to {
            Kind::Date => steps.push(ClockStep::Date),
            Kind::TimestampTz => steps.push(ClockStep::Instant(self.zone(None)?)),
            _ => {}
        }
        Ok(steps)
    }

    /// The expression, if it never goes back (HAZARDS E32).
    fn monotone(&self, steps: Vec<ClockStep>, node: Node<'t>, place: &str) -> Lowered<ClockExpression> {
        let expression = ClockExpression { since: since(), steps };
        if expression.is_monotone() {
            return Ok(expression);
        }
        let zone = expression.steps.iter().find_map(|step| match step {
            ClockStep::Local(zone) | ClockStep::Instant(zone) | ClockStep::TruncateInstant(zone, _) => Some(&zone.name),
            _ => None,
        });
        let zone = zone.map_or("", |name| name.as_str());
        Err(NotIncremental::new(
            format!("expression over the clock that is not monotone in time zone {zone}"),
            format!(
                "{} in {place} goes back when the clocks of time zone \"{zone}\" are put back: shift now() by hours, or compare dates.",
                self.clock_text(node)
            ),
        ))
    }

    /// The session's time zone, or the one that a text names.
    fn zone(&self, name: Option<&[u8]>) -> Lowered<Zone> {
        let name = name.map(String::from_utf8_lossy);
        clock::zone(name.as_deref(), since()).ok_or_else(|| {
            NotIncremental::new(
                "time zone abbreviation",
                format!("What \"{}\" means as a time zone changes with time.", name.unwrap_or_default()),
            )
        })
    }

    /// The image of an expression that is a constant, and not NULL. Only what PostgreSQL itself brings is evaluated.
    fn constant(&self, node: Node<'t>) -> Option<Vec<u8>> {
        let foreign = node.visit(&mut |node| {
            let plain =
                matches!(node.view(), View::Const(_) | View::Function(_) | View::Operator(_) | View::Relabel(_));
            let list = !node.is_expression();
            !(plain || list)
                || !node.functions().into_iter().all(|function| {
                    catalog_lookup::function(function)
                        .is_some_and(|facts| facts.builtin && facts.volatility == catalog_lookup::Volatility::Immutable)
                })
        });
        if foreign {
            return None;
        }
        match self.arena.folded(node)?.view() {
            View::Const(constant) => constant.image(),
            _ => None,
        }
    }

    fn clock_text(&self, node: Node<'t>) -> String {
        fragment_query::deparse(self.arena, node, &[])
    }
}

impl<'t> Needed<'t> {
    fn compute(&mut self, written: Node<'t>, evaluated: Node<'t>) -> usize {
        self.computed.push((written, evaluated));
        self.computed.len() - 1
    }
}

impl Placed {
    /// The expression over the columns, in which test `n` is column `width + n`.
    fn expression(self, columns: &[usize], width: usize) -> Expr {
        let all = |parts: Vec<Placed>| parts.into_iter().map(|part| part.expression(columns, width)).collect();
        match self {
            Placed::And(mut parts) if parts.len() == 1 => parts.remove(0).expression(columns, width),
            Placed::And(parts) => Expr::And(all(parts)),
            Placed::Or(parts) => Expr::Or(all(parts)),
            Placed::Not(part) => Expr::Not(Box::new(part.expression(columns, width))),
            Placed::Native(expression) => expression,
            Placed::Computed(at) => Expr::Column(columns[at], Kind::Bool),
            Placed::Test(number) => Expr::Column(width + number, Kind::Bool),
        }
    }
}

fn not_compared(place: &str) -> NotIncremental {
    NotIncremental::new(
        "condition on the clock that is not a comparison",
        format!("The clock is read in {place} other than in a comparison of a date or timestamp with it."),
    )
}

/// No clock shows an earlier instant than this to what is compiled now: a day of grace, should it be put back.
fn since() -> i64 {
    (process::now() - DAY).div_euclid(DAY) * DAY
}

fn name_of(function: u32) -> Option<String> {
    catalog_lookup::function(function).filter(|facts| facts.builtin).map(|facts| facts.name)
}

fn kind_of(ty: u32) -> Option<Kind> {
    Some(match ty {
        DATE => Kind::Date,
        TIMESTAMP => Kind::Timestamp,
        TIMESTAMPTZ => Kind::TimestampTz,
        _ => return None,
    })
}

fn type_of(kind: Kind) -> u32 {
    match kind {
        Kind::Date => DATE,
        Kind::Timestamp => TIMESTAMP,
        _ => TIMESTAMPTZ,
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

fn unit_of(text: &[u8]) -> Option<Unit> {
    let text = String::from_utf8_lossy(text).to_lowercase();
    Some(match text.as_str() {
        "microsecond" | "microseconds" => Unit::Microsecond,
        "millisecond" | "milliseconds" => Unit::Millisecond,
        "second" | "seconds" => Unit::Second,
        "minute" | "minutes" => Unit::Minute,
        "hour" | "hours" => Unit::Hour,
        "day" | "days" => Unit::Day,
        "week" | "weeks" => Unit::Week,
        "month" | "months" => Unit::Month,
        "quarter" => Unit::Quarter,
        "year" | "years" => Unit::Year,
        "decade" | "decades" => Unit::Decade,
        "century" | "centuries" => Unit::Century,
        "millennium" | "millennia" => Unit::Millennium,
        _ => return None,
    })
}
