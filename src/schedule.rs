//! Schedules: how stale a stream table may get, as text and as a bound.
//!
//! `'5 seconds'`, `'1 hour 30 minutes'`, `'00:00:05'`; the compact `'5s'`, `'1h30m'`, `'100ms'`; cron with 5 or 6 fields or a
//! nickname (`@hourly`), in the server's time zone; `'calculated'`; `'default'`. No months: their length varies.

use crate::pg::civil;
use croner::parser::{CronParser, Year};
use croner::Cron;

const MILLISECOND: f64 = 1_000.0;
const SECOND: f64 = 1_000_000.0;

/// When a stream table must be refreshed after a change.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// At most this many microseconds later.
    Every(i64),
    /// At the next tick.
    Cron(Box<Cron>),
    /// In time for the stream tables that read it.
    Calculated,
    /// As `pg_trickle.default_schedule` says.
    Default,
}

impl Schedule {
    /// Reads a schedule; the error says what is wrong, as a full sentence.
    pub fn parse(text: &str) -> Result<Schedule, String> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("calculated") {
            return Ok(Schedule::Calculated);
        }
        if text.eq_ignore_ascii_case("default") {
            return Ok(Schedule::Default);
        }
        if let Some(micros) = parse_interval(text) {
            if micros < MILLISECOND {
                return Err("A schedule cannot be shorter than 1 ms.".into());
            }
            if micros > 100.0 * 366.0 * 86_400.0 * SECOND {
                return Err("A schedule cannot be longer than 100 years.".into());
            }
            return Ok(Schedule::Every(micros.round() as i64));
        }
        let fields = text.split_whitespace().count();
        if text.starts_with('@') || ((5..=6).contains(&fields) && looks_like_cron(text)) {
            return match CronParser::builder().year(Year::Disallowed).build().parse(text) {
                Ok(cron) if fires(&cron) => Ok(Schedule::Cron(Box::new(cron))),
                Ok(_) => Err(NEVER_FIRES.into()),
                Err(error) => Err(format!("The cron pattern is not valid: {}.", sentence(&error.to_string()))),
            };
        }
        Err("A schedule is a positive interval without months, a cron pattern of 5 or 6 fields, or \"calculated\"."
            .into())
    }

    /// Reads what the catalog has, where no schedule means the default.
    pub fn from_catalog(text: Option<&str>) -> Schedule {
        // What the catalog has was accepted once; a dump of a later version may have more, and must not stop this one.
        text.map_or(Schedule::Default, |text| Schedule::parse(text).unwrap_or(Schedule::Default))
    }

    /// The first tick of a cron schedule after `since` (microseconds since 2000-01-01, as the result); `None` if there is
    /// none, and for other schedules.
    pub fn next_tick(&self, since: i64) -> Option<i64> {
        let Schedule::Cron(cron) = self else { return None };
        let (date, time) = civil::from_timestamp(since)?;
        let start = jiff::civil::date(date.0, date.1, date.2).at(time.0, time.1, time.2, 0);
        let tick = cron.find_next_occurrence(&start, false).ok()?;
        civil::to_timestamp((tick.year(), tick.month(), tick.day()), (tick.hour(), tick.minute(), tick.second()))
            // Where the clock goes back, a local time can mean the earlier of two instants.
            .map(|micros| micros.max(since + 1))
    }

    /// The effective bound at `now` in microseconds: until the next tick for cron. `None`: its dependents say.
    pub fn bound(&self, now: i64) -> Option<i64> {
        match self {
            Schedule::Every(micros) => Some(*micros),
            Schedule::Cron(_) => self.next_tick(now).map(|tick| tick - now),
            Schedule::Calculated => None,
            Schedule::Default => Some(crate::settings::default_schedule_micros()),
        }
    }
}

/// The reason for refusing a pattern like "0 0 31 2 *".
pub const NEVER_FIRES: &str = "The cron pattern never fires.";

fn fires(cron: &Cron) -> bool {
    cron.find_next_occurrence(&jiff::civil::date(2000, 1, 1).at(0, 0, 0, 0), true).is_ok()
}

fn sentence(text: &str) -> &str {
    text.trim_end_matches('.')
}

/// Whether the fields before day, month and weekday are without letters: "5 seconds and a half" is no cron pattern.
fn looks_like_cron(text: &str) -> bool {
    let fields: Vec<&str> = text.split_whitespace().collect();
    fields[..fields.len() - 3].iter().all(|field| !field.contains(char::is_alphabetic))
}

/// Microseconds of `number unit` repeated, or of `[days] hh:mm[:ss]`; `None` if it is neither.
fn parse_interval(text: &str) -> Option<f64> {
    let mut total = 0.0;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        if number.contains(':') {
            total += parse_clock(number)?;
            rest = tail.trim_start();
            continue;
        }
        let number: f64 = number.parse().ok()?;
        let tail = tail.trim_start();
        let end = tail.find(|c: char| !c.is_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        total += number * unit_micros(unit)?;
        rest = tail.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
    }
    total.is_finite().then_some(total)
}

fn parse_clock(text: &str) -> Option<f64> {
    let parts: Vec<&str> = text.split(':').collect();
    let number = |part: &str| part.parse::<f64>().ok();
    match parts[..] {
        [hours, minutes] => Some((number(hours)? * 3600.0 + number(minutes)? * 60.0) * SECOND),
        [hours, minutes, seconds] => {
            Some((number(hours)? * 3600.0 + number(minutes)? * 60.0 + number(seconds)?) * SECOND)
        }
        _ => None,
    }
}

fn unit_micros(unit: &str) -> Option<f64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "us" | "usec" | "usecs" | "microsecond" | "microseconds" => 1.0,
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => MILLISECOND,
        "s" | "sec" | "secs" | "second" | "seconds" => SECOND,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0 * SECOND,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600.0 * SECOND,
        "d" | "day" | "days" => 86_400.0 * SECOND,
        "w" | "week" | "weeks" => 7.0 * 86_400.0 * SECOND,
        _ => return None,
    })
}
