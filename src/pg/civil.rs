//! Instants as wall-clock time in the server's time zone, and back.

use pgrx::pg_sys;

/// Year, month, day.
pub type Date = (i16, i8, i8);
/// Hour, minute, second.
pub type Time = (i8, i8, i8);

/// What the clock on the wall shows at an instant (microseconds since 2000-01-01 UTC); `None` if it is out of range.
pub fn from_timestamp(micros: i64) -> Option<(Date, Time)> {
    let (mut tm, mut fraction, mut zone) = (pg_sys::pg_tm::default(), 0, 0);
    // SAFETY: all out parameters are ours; the session's time zone is used where none is given.
    let result = unsafe {
        pg_sys::timestamp2tm(micros, &mut zone, &mut tm, &mut fraction, std::ptr::null_mut(), std::ptr::null_mut())
    };
    let date = (tm.tm_year.try_into().ok()?, tm.tm_mon as i8, tm.tm_mday as i8);
    (result == 0).then_some((date, (tm.tm_hour as i8, tm.tm_min as i8, tm.tm_sec as i8)))
}

/// The instant at which the clock on the wall shows this; `None` if it is out of range.
pub fn to_timestamp(date: Date, time: Time) -> Option<i64> {
    let mut tm = pg_sys::pg_tm {
        tm_year: date.0.into(),
        tm_mon: date.1.into(),
        tm_mday: date.2.into(),
        tm_hour: time.0.into(),
        tm_min: time.1.into(),
        tm_sec: time.2.into(),
        tm_isdst: -1,
        ..Default::default()
    };
    let mut micros = 0;
    // SAFETY: `session_timezone` is set in every process; the out parameters are ours.
    let result = unsafe {
        let mut zone = pg_sys::DetermineTimeZoneOffset(&mut tm, pg_sys::session_timezone);
        pg_sys::tm2timestamp(&mut tm, 0, &mut zone, &mut micros)
    };
    (result == 0).then_some(micros)
}
