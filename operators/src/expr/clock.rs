//! Expressions over the clock alone: `now() - interval '1 hour'`, `current_date + 7`, `date_trunc('day', now())`.
//!
//! A temporal filter compares a value of the row with such an expression. Where the expression never goes back as the clock
//! goes on, the comparison changes its truth at most at two instants of each row, and these are found by bisection over the
//! clock: the steps are evaluated forwards only, exactly as PostgreSQL does it, and nothing has to be inverted.
//!
//! Whether it never goes back is decided by [`ClockExpression::is_monotone`] when the plan is made. Steps are monotone
//! between the changes of a time zone's offset from UTC, so only those are looked at. They are data of the plan: the engine
//! has no time zone database, and asks nobody.

use crate::value::read::DAY;
use serde::{Deserialize, Serialize};

/// Microseconds since 2000-01-01 00:00 UTC.
pub type Instant = i64;

/// A time zone from some instant on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Zone {
    pub name: String,
    /// Offset from UTC in microseconds, east positive, before the first change.
    pub first: i64,
    /// Changes in the order of time: from the instant on, the offset is this.
    pub changes: Vec<(Instant, i64)>,
}

impl Zone {
    fn offset_at(&self, instant: Instant) -> i64 {
        match self.changes.partition_point(|(from, _)| *from <= instant) {
            0 => self.first,
            passed => self.changes[passed - 1].1,
        }
    }

    /// What the clock on the wall shows.
    fn local(&self, instant: Instant) -> i64 {
        instant.saturating_add(self.offset_at(instant))
    }

    /// PostgreSQL's reading of a local time: of one that is skipped, by the offset before; of one that comes twice, by the
    /// offset after. Both mean that a new offset begins where the wall first shows what it makes of the change's instant.
    fn instant(&self, local: i64) -> Instant {
        let offset = match self.changes.partition_point(|(from, offset)| from.saturating_add(*offset) <= local) {
            0 => self.first,
            passed => self.changes[passed - 1].1,
        };
        local.saturating_sub(offset)
    }
}

/// What `date_trunc` cuts off to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
}

impl Unit {
    /// Whether the unit is a fixed time, which is cut off without another look at the time zone.
    pub fn is_time(self) -> bool {
        self.fixed().is_some()
    }

    fn fixed(self) -> Option<i64> {
        Some(match self {
            Unit::Microsecond => 1,
            Unit::Millisecond => 1_000,
            Unit::Second => 1_000_000,
            Unit::Minute => 60_000_000,
            Unit::Hour => 3_600_000_000,
            _ => return None,
        })
    }

    fn truncate(self, local: i64) -> i64 {
        if let Some(unit) = self.fixed() {
            return floor(local, unit);
        }
        let day = local.div_euclid(DAY);
        let (year, month) = year_and_month(day);
        let of_year = |year: i64| first_of_month(year, 1);
        let first = match self {
            Unit::Day => day,
            // 2000-01-03 was a Monday.
            Unit::Week => floor(day - 2, 7) + 2,
            Unit::Month => first_of_month(year, month),
            Unit::Quarter => first_of_month(year, floor(month - 1, 3) + 1),
            Unit::Year => of_year(year),
            Unit::Decade => of_year(floor(year, 10)),
            // They begin with a year 1.
            Unit::Century => of_year(floor(year - 1, 100) + 1),
            _ => of_year(floor(year - 1, 1000) + 1),
        };
        first.saturating_mul(DAY)
    }
}

fn floor(value: i64, unit: i64) -> i64 {
    value.div_euclid(unit).saturating_mul(unit)
}

/// Days from 0000-03-01 to 2000-01-01 in the proleptic Gregorian calendar.
const TO_2000: i64 = 730_425;
const DAYS_IN_400_YEARS: i64 = 146_097;

/// Of a day since 2000-01-01. Years are counted from March, so that a leap day is the last of its year.
fn year_and_month(day: i64) -> (i64, i64) {
    let day = day + TO_2000;
    let era = day.div_euclid(DAYS_IN_400_YEARS);
    let of_era = day.rem_euclid(DAYS_IN_400_YEARS);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month)
}

/// The first day of a month, since 2000-01-01.
fn first_of_month(year: i64, month: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5;
    era * DAYS_IN_400_YEARS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - TO_2000
}

/// One step on the way from the clock to the value that is compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ClockStep {
    /// Microseconds to an instant or a local time, days to a date.
    Add(i64),
    /// An instant becomes a local time.
    Local(Zone),
    /// A local time becomes an instant.
    Instant(Zone),
    /// A local time becomes a date, days since 2000-01-01.
    Date,
    /// A date becomes a local time.
    Midnight,
    /// Of a local time.
    Truncate(Unit),
    /// Of an instant, by the clock on the wall, to a unit of fixed length.
    TruncateInstant(Zone, Unit),
    /// To a multiple of so many microseconds, halves away from zero.
    Round(i64),
}

/// An expression over the clock: its steps, applied in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClockExpression {
    /// The clock never shows an earlier instant: the zones know none.
    pub since: Instant,
    pub steps: Vec<ClockStep>,
}

/// PostgreSQL's last timestamp is a little before this.
pub const END: Instant = 9_223_371_331_200_000_000;

impl ClockExpression {
    /// The value when the clock shows `instant`. Beyond the range of PostgreSQL's types it is the nearest that fits.
    pub fn at(&self, instant: Instant) -> i64 {
        self.steps.iter().fold(instant, |value, step| match step {
            ClockStep::Add(amount) => value.saturating_add(*amount),
            ClockStep::Local(zone) => zone.local(value),
            ClockStep::Instant(zone) => zone.instant(value),
            ClockStep::Date => value.div_euclid(DAY),
            ClockStep::Midnight => value.saturating_mul(DAY),
            ClockStep::Truncate(unit) => unit.truncate(value),
            ClockStep::TruncateInstant(zone, unit) => {
                let offset = zone.offset_at(value);
                unit.truncate(value.saturating_add(offset)).saturating_sub(offset)
            }
            ClockStep::Round(unit) => round(value, *unit),
        })
    }

    /// The first instant at which the value has come to `bound` (or passed it, if `beyond`); `None`: it never does. Any
    /// instant before `since` stands for "always". The expression must be monotone.
    pub fn reaches(&self, bound: i64, beyond: bool) -> Option<Instant> {
        let reached = |instant: Instant| {
            let value = self.at(instant);
            value > bound || (value == bound && !beyond)
        };
        if let Some(shift) = self.shift() {
            let bound = if beyond { bound.checked_add(1)? } else { bound };
            let instant = bound.saturating_sub(shift).max(self.since);
            return (instant <= END && reached(instant)).then_some(instant);
        }
        if reached(self.since) {
            return Some(self.since);
        }
        // Doubling from the beginning: what is reached soon is found soon.
        let (mut before, mut distance) = (self.since, DAY);
        let mut after = loop {
            let next = before.saturating_add(distance).min(END);
            if reached(next) {
                break next;
            }
            if next == END {
                return None;
            }
            before = next;
            distance = distance.saturating_mul(2);
        };
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            if reached(middle) {
                after = middle;
            } else {
                before = middle;
            }
        }
        Some(after)
    }

    /// The whole expression, if it is but an addition to the clock.
    fn shift(&self) -> Option<i64> {
        self.steps.iter().try_fold(0i64, |sum, step| match step {
            ClockStep::Add(amount) => sum.checked_add(*amount),
            _ => None,
        })
    }

    /// Whether the value never goes back, as far as the zones' changes are known. A value can only jump where a zone's
    /// offset changes: on the wall (for what is made of an instant), or where a local time passes it (for what is made of
    /// that). These clock readings are found by going back through the steps; a step that cuts off is passed as it is,
    /// because what is cut off cannot bring a jump nearer than the unit's beginning, which is looked at too.
    pub fn is_monotone(&self) -> bool {
        self.critical().into_iter().all(|instant| {
            let neighbours = [instant.saturating_sub(1), instant, instant.saturating_add(1)];
            neighbours.windows(2).all(|pair| pair[0] < self.since || self.at(pair[0]) <= self.at(pair[1]))
        })
    }

    /// Readings of the clock at which some step meets a change of its zone.
    fn critical(&self) -> Vec<Instant> {
        let mut found = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            let points: Vec<i64> = match step {
                ClockStep::Local(zone) | ClockStep::TruncateInstant(zone, _) => {
                    zone.changes.iter().map(|(from, _)| *from).collect()
                }
                ClockStep::Instant(zone) => zone.changes.iter().map(|(from, offset)| from + offset).collect(),
                _ => continue,
            };
            for point in points {
                self.back(index, point, &mut found);
            }
        }
        found.retain(|instant| *instant >= self.since);
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Readings of the clock at which the first `steps` steps give `point`, or first pass it.
    fn back(&self, steps: usize, point: i64, found: &mut Vec<Instant>) {
        let Some(step) = steps.checked_sub(1).map(|last| &self.steps[last]) else {
            found.push(point);
            return;
        };
        let mut on = |point: i64| self.back(steps - 1, point, found);
        match step {
            ClockStep::Add(amount) => on(point.saturating_sub(*amount)),
            ClockStep::Local(zone) => {
                // Under every offset that holds near it: a local time may come twice.
                let offsets = [zone.offset_at(point - 2 * DAY), zone.offset_at(point), zone.offset_at(point + 2 * DAY)];
                offsets.into_iter().for_each(|offset| on(point.saturating_sub(offset)));
            }
            ClockStep::Instant(zone) => {
                let offsets = [zone.offset_at(point - 1), zone.offset_at(point)];
                offsets.into_iter().for_each(|offset| on(point.saturating_add(offset)));
            }
            ClockStep::Date => on(point.saturating_mul(DAY)),
            ClockStep::Midnight => on(point.div_euclid(DAY) + 1),
            // The value jumps to `point`, or past it, where a unit begins.
            ClockStep::Truncate(unit) => {
                on(point);
                on(next_unit(*unit, point));
            }
            ClockStep::TruncateInstant(zone, unit) => {
                let offset = zone.offset_at(point);
                on(point);
                on(next_unit(*unit, point.saturating_add(offset)).saturating_sub(offset));
            }
            ClockStep::Round(unit) => {
                on(point);
                on(next_multiple(*unit, point).saturating_sub(unit / 2));
            }
        }
    }
}

fn round(value: i64, unit: i64) -> i64 {
    let size = |value: i64| value.saturating_add(unit / 2) / unit * unit;
    if value < 0 {
        -size(value.saturating_neg())
    } else {
        size(value)
    }
}

/// The first multiple of a unit that is not before `value`.
fn next_multiple(unit: i64, value: i64) -> i64 {
    floor(value.saturating_add(unit - 1), unit)
}

/// Where the first unit begins that is not before `local`.
fn next_unit(unit: Unit, local: i64) -> i64 {
    if unit.truncate(local) == local {
        return local;
    }
    let length = match unit {
        Unit::Microsecond | Unit::Millisecond | Unit::Second | Unit::Minute | Unit::Hour => unit.fixed().unwrap_or(1),
        Unit::Day => DAY,
        Unit::Week => 7 * DAY,
        Unit::Month => 31 * DAY,
        Unit::Quarter => 92 * DAY,
        Unit::Year => 366 * DAY,
        Unit::Decade => 3_653 * DAY,
        Unit::Century => 36_525 * DAY,
        Unit::Millennium => 365_250 * DAY,
    };
    unit.truncate(unit.truncate(local).saturating_add(length))
}

/// How a value of the row is compared with the clock's: `value op clock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ClockComparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    /// `value @> clock`: the value is instants in their order, at each of which what it contains begins or ends.
    Within,
}

impl ClockComparison {
    /// The same with its sides changed.
    pub fn commuted(self) -> Self {
        match self {
            ClockComparison::Eq | ClockComparison::Ne | ClockComparison::Within => self,
            ClockComparison::Lt => ClockComparison::Gt,
            ClockComparison::Le => ClockComparison::Ge,
            ClockComparison::Gt => ClockComparison::Lt,
            ClockComparison::Ge => ClockComparison::Le,
        }
    }

    pub fn holds(self, value: i64, clock: i64) -> bool {
        match self {
            ClockComparison::Eq => value == clock,
            ClockComparison::Ne => value != clock,
            ClockComparison::Lt => value < clock,
            ClockComparison::Le => value <= clock,
            ClockComparison::Gt => value > clock,
            ClockComparison::Ge => value >= clock,
            // Of one instant: from then on.
            ClockComparison::Within => value <= clock,
        }
    }

    /// The same of a value that is several instants.
    pub fn holds_for(self, values: &[i64], clock: i64) -> bool {
        match (self, values) {
            (ClockComparison::Within, _) => values.partition_point(|value| *value <= clock) % 2 == 1,
            (_, [value]) => self.holds(*value, clock),
            _ => false,
        }
    }

    /// As SQL writes it.
    pub fn operator(self) -> &'static str {
        match self {
            ClockComparison::Eq => "=",
            ClockComparison::Ne => "<>",
            ClockComparison::Lt => "<",
            ClockComparison::Le => "<=",
            ClockComparison::Gt => ">",
            ClockComparison::Ge => ">=",
            ClockComparison::Within => "@>",
        }
    }

    /// Where the truth may change: when the clock's value comes to the row's, and when it passes it.
    pub fn turns(self) -> (bool, bool) {
        match self {
            ClockComparison::Eq | ClockComparison::Ne => (true, true),
            ClockComparison::Gt | ClockComparison::Le | ClockComparison::Within => (true, false),
            ClockComparison::Lt | ClockComparison::Ge => (false, true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    fn days(year: i64, month: i64, day: i64) -> i64 {
        first_of_month(year, month) + day - 1
    }

    fn at(year: i64, month: i64, day: i64, hour: i64) -> i64 {
        days(year, month, day) * DAY + hour * HOUR
    }

    fn utc() -> Zone {
        Zone { name: "UTC".into(), first: 0, changes: Vec::new() }
    }

    /// Berlin in 2025 and 2026.
    fn berlin() -> Zone {
        let changes = [(2025, 3, 30, 2), (2025, 10, 26, 1), (2026, 3, 29, 2), (2026, 10, 25, 1)];
        let changes = changes.map(|(year, month, day, offset)| (at(year, month, day, 1), offset * HOUR)).to_vec();
        Zone { name: "Europe/Berlin".into(), first: HOUR, changes }
    }

    /// A zone whose clock goes back from midnight to 23:00.
    fn at_midnight(minutes_past: i64) -> Zone {
        let back = at(2026, 2, 21, 2) + minutes_past * 60_000_000;
        Zone { name: "midnight".into(), first: -2 * HOUR, changes: vec![(back, -3 * HOUR)] }
    }

    fn expression(steps: Vec<ClockStep>) -> ClockExpression {
        ClockExpression { since: at(2025, 1, 1, 0), steps }
    }

    #[test]
    fn units_are_those_of_the_calendar() {
        assert_eq!(days(2000, 1, 1), 0);
        assert_eq!(days(2000, 3, 1), 60);
        assert_eq!(days(1999, 12, 31), -1);
        for day in -800_000..800_000 {
            let (year, month) = year_and_month(day);
            let first = first_of_month(year, month);
            assert!(first <= day && day - first < 31, "{day}");
            assert_eq!(year_and_month(first), (year, month));
        }
        let local = at(2026, 11, 26, 17) + 61_001_001;
        let cut = |unit: Unit| unit.truncate(local);
        assert_eq!(cut(Unit::Second), at(2026, 11, 26, 17) + 61_000_000);
        assert_eq!(cut(Unit::Minute), at(2026, 11, 26, 17) + 60_000_000);
        assert_eq!(cut(Unit::Hour), at(2026, 11, 26, 17));
        assert_eq!(cut(Unit::Week), at(2026, 11, 23, 0));
        assert_eq!(cut(Unit::Quarter), at(2026, 10, 1, 0));
        assert_eq!(cut(Unit::Year), at(2026, 1, 1, 0));
        assert_eq!(cut(Unit::Decade), at(2020, 1, 1, 0));
        assert_eq!(cut(Unit::Century), at(2001, 1, 1, 0));
        assert_eq!(cut(Unit::Millennium), at(2001, 1, 1, 0));
    }

    #[test]
    fn e32_what_goes_back_is_noticed() {
        let (local, back) = (ClockStep::Local(berlin()), ClockStep::Instant(berlin()));
        let day = ClockStep::Add(-DAY);
        // The clock on the wall goes back an hour every autumn.
        assert!(!expression(vec![local.clone()]).is_monotone());
        assert!(expression(vec![ClockStep::Local(utc())]).is_monotone());
        // A day before is not 24 hours before.
        assert!(!expression(vec![local.clone(), day.clone(), back.clone()]).is_monotone());
        assert!(expression(vec![day.clone()]).is_monotone());
        // But dates only go on, and so does midnight.
        assert!(expression(vec![local.clone(), ClockStep::Date]).is_monotone());
        assert!(expression(vec![local.clone(), ClockStep::Date, ClockStep::Add(-7)]).is_monotone());
        assert!(expression(vec![local.clone(), ClockStep::Truncate(Unit::Day), back.clone()]).is_monotone());
        assert!(expression(vec![local.clone(), ClockStep::Truncate(Unit::Month), back.clone()]).is_monotone());
        assert!(expression(vec![ClockStep::TruncateInstant(berlin(), Unit::Hour)]).is_monotone());
        // The hour that comes twice is one hour, its minutes are not.
        assert!(expression(vec![local.clone(), ClockStep::Truncate(Unit::Hour)]).is_monotone());
        assert!(!expression(vec![local, ClockStep::Truncate(Unit::Minute)]).is_monotone());
        // Unless the clock goes back over midnight, and not just to it.
        let date = |minutes| expression(vec![ClockStep::Local(at_midnight(minutes)), ClockStep::Date]);
        assert!(date(0).is_monotone());
        assert!(!date(1).is_monotone());
    }

    #[test]
    fn instants_are_the_first_at_which_a_value_is_reached() {
        let (zone, shift) = (berlin(), -3 * HOUR);
        let all = [
            vec![ClockStep::Add(shift)],
            vec![ClockStep::Local(utc()), ClockStep::Add(shift)],
            vec![ClockStep::Local(zone.clone()), ClockStep::Truncate(Unit::Day), ClockStep::Instant(zone.clone())],
            vec![ClockStep::Local(zone.clone()), ClockStep::Truncate(Unit::Week), ClockStep::Instant(zone)],
        ];
        for steps in all {
            let expression = expression(steps);
            assert!(expression.is_monotone());
            for hour in 0..24 * 400 {
                for odd in [-1, 0, 1] {
                    let bound = at(2025, 6, 1, 0) + hour * HOUR + odd;
                    for beyond in [false, true] {
                        let instant = expression.reaches(bound, beyond).expect("time goes on");
                        let reached = |at: i64| expression.at(at) > bound || !beyond && expression.at(at) == bound;
                        assert!(reached(instant) && !reached(instant - 1), "{expression:?} {bound} {beyond}");
                    }
                }
            }
            assert_eq!(expression.reaches(i64::MAX, false), None);
            assert_eq!(expression.reaches(i64::MAX, true), None);
            assert_eq!(expression.reaches(i64::MIN, true), Some(expression.since));
        }
    }

    #[test]
    fn a_rounded_clock_goes_on() {
        for unit in [10, 100, 1_000, 10_000, 100_000, 1_000_000] {
            let rounded = expression(vec![ClockStep::Add(-3), ClockStep::Round(unit)]);
            assert!(rounded.is_monotone());
            for bound in [0, 1, unit - 1, unit, unit + 1].map(|odd| at(2025, 6, 1, 0) + odd) {
                for beyond in [false, true] {
                    let instant = rounded.reaches(bound, beyond).expect("time goes on");
                    let reached = |at: i64| rounded.at(at) > bound || !beyond && rounded.at(at) == bound;
                    assert!(reached(instant) && !reached(instant - 1), "{unit} {bound} {beyond}");
                }
            }
        }
        // As PostgreSQL rounds, on either side of its epoch.
        assert_eq!([4, 5, 14, 15, -4, -5, -14, -15].map(|at| round(at, 10)), [0, 10, 10, 20, 0, -10, -10, -20]);
    }

    #[test]
    fn local_times_are_read_as_postgresql_reads_them() {
        let zone = berlin();
        // Skipped: by the offset before.
        assert_eq!(zone.instant(at(2026, 3, 29, 2) + 1), at(2026, 3, 29, 1) + 1);
        assert_eq!(zone.instant(at(2026, 3, 29, 3)), at(2026, 3, 29, 1));
        // Twice: by the offset after.
        assert_eq!(zone.instant(at(2026, 10, 25, 2)), at(2026, 10, 25, 1));
        assert_eq!(zone.instant(at(2026, 10, 25, 2) - 1), at(2026, 10, 25, 0) - 1);
    }
}
