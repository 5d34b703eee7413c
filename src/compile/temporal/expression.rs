//! What a side of a comparison is that is made of the clock alone: steps from the clock's reading to its value.

use super::super::{Compiler, Lowered, NotIncremental};
use crate::pg::catalog_lookup;
use crate::pg::clock::{self, reads_clock as is_clock};
use crate::pg::fragment_query;
use crate::pg::node::{Node, View};
use crate::pg::process;
use std::ops::Range;
use trickle_operators::expr::clock::{ClockExpression, ClockStep, Unit, Zone, END};
use trickle_operators::value::read::{Interval, DAY};
use trickle_operators::value::Kind;

/// What is made of the clock alone.
pub(super) struct Clock {
    pub kind: Kind,
    pub steps: Vec<ClockStep>,
}

/// pg_type OIDs of what can be compared with the clock.
const DATE: u32 = 1082;
const TIMESTAMP: u32 = 1114;
const TIMESTAMPTZ: u32 = 1184;

impl<'t> Compiler<'t, '_> {
    /// The steps from the clock to an expression made of it.
    pub(super) fn clock(&self, node: Node<'t>, place: &str) -> Lowered<Clock> {
        let not_known = || {
            NotIncremental::new(
                "expression over the clock that is not known to be monotone",
                format!("{} in {place} is not known to move on with the clock.", self.clock_text(node)),
            )
        };
        let zoned = Clock { kind: Kind::TimestampTz, steps: Vec::new() };
        let typmod = node.column_type().typmod;
        match node.view() {
            View::CurrentTime("CURRENT_TIMESTAMP") => Ok(rounded(zoned, typmod)),
            View::CurrentTime("LOCALTIMESTAMP") => Ok(rounded(self.convert(zoned, Kind::Timestamp)?, typmod)),
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
                    ("timestamp" | "timestamptz", [clock, _]) => Ok(rounded(self.clock(*clock, place)?, typmod)),
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
    pub(super) fn converted(&self, mut steps: Vec<ClockStep>, from: Kind, to: Kind) -> Lowered<Vec<ClockStep>> {
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
    pub(super) fn monotone(&self, steps: Vec<ClockStep>, node: Node<'t>, place: &str) -> Lowered<ClockExpression> {
        let expression = ClockExpression { since: since(), steps };
        if !in_range(&expression) {
            return Err(NotIncremental::new(
                "expression over the clock that is out of range",
                format!("{} in {place} is out of the range of its type.", self.clock_text(node)),
            ));
        }
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
    pub(super) fn constant(&self, node: Node<'t>) -> Option<Vec<u8>> {
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

    pub(super) fn clock_text(&self, node: Node<'t>) -> String {
        fragment_query::deparse(self.arena, node, &[])
    }
}

/// Whether what each step gives at present is a date or a timestamp.
fn in_range(expression: &ClockExpression) -> bool {
    let mut days = false;
    (0..expression.steps.len()).all(|last| {
        let value =
            ClockExpression { since: expression.since, steps: expression.steps[..=last].to_vec() }.at(expression.since);
        days = match expression.steps[last] {
            ClockStep::Date => true,
            ClockStep::Midnight => false,
            _ => days,
        };
        if days {
            DATES.contains(&value)
        } else {
            TIMESTAMPS.contains(&value)
        }
    })
}

/// Days and microseconds since 2000-01-01 that are dates and timestamps: from 4714-11-24 BC on.
const DATES: Range<i64> = -2_451_545..2_145_031_949;
const TIMESTAMPS: Range<i64> = -2_451_545 * DAY..END;

/// With so many digits of the second; all, if that is negative.
fn rounded(clock: Clock, digits: i32) -> Clock {
    let Clock { kind, mut steps } = clock;
    let cut = u32::try_from(6 - digits).ok().filter(|cut| (1..=6).contains(cut));
    steps.extend(cut.map(|cut| ClockStep::Round(10i64.pow(cut))));
    Clock { kind, steps }
}

/// No clock shows an earlier instant than this to what is compiled now: a day of grace, should it be put back.
fn since() -> i64 {
    (process::now() - DAY).div_euclid(DAY) * DAY
}

pub(super) fn name_of(function: u32) -> Option<String> {
    catalog_lookup::function(function).filter(|facts| facts.builtin).map(|facts| facts.name)
}

pub(super) fn kind_of(ty: u32) -> Option<Kind> {
    Some(match ty {
        DATE => Kind::Date,
        TIMESTAMP => Kind::Timestamp,
        TIMESTAMPTZ => Kind::TimestampTz,
        _ => return None,
    })
}

pub(super) fn type_of(kind: Kind) -> u32 {
    match kind {
        Kind::Date => DATE,
        Kind::Timestamp => TIMESTAMP,
        _ => TIMESTAMPTZ,
    }
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
