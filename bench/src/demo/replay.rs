//! The replay: a year of flights as transactions of two sessions, in time order.
//!
//! Each transaction holds what happened to its session's flights in some minutes: departures are inserts, arrivals are
//! updates, cancellations are deletes. Paced, the minutes of a transaction grow when the server does not keep up, so that
//! the year takes the time it should; unpaced, each holds six hours.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use trickle_regress::Session;

pub const SESSIONS: usize = 2;

/// A paced transaction holds at least these minutes, an unpaced one just these.
const MINUTES_PACED: i64 = 15;
const MINUTES_UNPACED: i64 = 360;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Departure,
    Arrival,
    Cancellation,
}

struct Event {
    minute: i64,
    kind: Kind,
    flight: i32,
}

/// What happens, in order, in minutes since the first event.
pub struct Timetable {
    events: Vec<Event>,
    minutes: i64,
}

impl Timetable {
    /// Reads the events that are in the database.
    pub fn read(session: &mut Session) -> Timetable {
        let rows = session
            .client()
            .query(
                "SELECT id, kind, (extract(epoch FROM at - min(at) OVER ()) / 60)::int8 FROM replay.events ORDER BY at, id",
                &[],
            )
            .unwrap_or_else(|error| panic!("could not read the timetable: {error}"));
        let events: Vec<Event> = rows
            .iter()
            .map(|row| Event {
                flight: row.get(0),
                kind: match row.get::<_, &str>(1) {
                    "departure" => Kind::Departure,
                    "arrival" => Kind::Arrival,
                    _ => Kind::Cancellation,
                },
                minute: row.get(2),
            })
            .collect();
        let minutes = events.last().map_or(0, |event| event.minute + 1);
        Timetable { events, minutes }
    }

    pub fn len(&self) -> usize {
        self.events.len()
    }
}

/// What the sessions tell the display while they run.
#[derive(Default)]
pub struct Progress {
    /// Rows written and committed.
    pub rows: AtomicU64,
    pub transactions: AtomicU64,
    /// The replayed minute.
    pub minute: AtomicI64,
    /// When each session's transactions were committed: tick n at n - 1.
    pub commits: [Mutex<Vec<Instant>>; SESSIONS],
}

/// One session's share of the timetable, in `time` or as fast as it goes.
pub fn replay(
    session: &mut Session,
    number: usize,
    timetable: &Timetable,
    time: Option<Duration>,
    progress: &Progress,
) {
    let prepare = |session: &mut Session, sql: &str| {
        session.client().prepare(sql).unwrap_or_else(|error| panic!("could not prepare a statement: {error}\n  {sql}"))
    };
    let insert = prepare(
        session,
        "INSERT INTO flights (id, carrier, flight, tailnum, origin, dest, distance, scheduled, departed, dep_delay, time_hour)
         SELECT id, carrier, flight, tailnum, origin, dest, distance, scheduled, departed, dep_delay, time_hour
           FROM replay.timetable WHERE id = ANY ($1)",
    );
    let update = prepare(
        session,
        "UPDATE flights f SET landed = t.landed, arr_delay = t.arr_delay, air_time = t.air_time
           FROM replay.timetable t WHERE t.id = f.id AND f.id = ANY ($1) AND t.id = ANY ($1)",
    );
    let delete = prepare(session, "DELETE FROM flights WHERE id = ANY ($1)");
    let tick = prepare(session, "UPDATE ticks SET tick = $2 WHERE session = $1");

    let mine: Vec<&Event> =
        timetable.events.iter().filter(|event| event.flight as usize % SESSIONS == number).collect();
    let start = Instant::now();
    let (mut at, mut minute, mut ticks) = (0, 0, 0);
    while at < mine.len() {
        let next = match time {
            None => minute + MINUTES_UNPACED,
            Some(time) => {
                let due = (minute + MINUTES_PACED) as f64 / timetable.minutes as f64 * time.as_secs_f64();
                if let Some(early) = Duration::from_secs_f64(due).checked_sub(start.elapsed()) {
                    std::thread::sleep(early);
                }
                let now = start.elapsed().as_secs_f64() / time.as_secs_f64() * timetable.minutes as f64;
                (minute + MINUTES_PACED).max(now as i64)
            }
        };
        let end = at + mine[at..].partition_point(|event| event.minute < next);
        minute = next;
        if end == at {
            continue;
        }
        ticks += 1;
        let of = |kind: Kind| -> Vec<i32> {
            mine[at..end].iter().filter(|event| event.kind == kind).map(|event| event.flight).collect()
        };
        let done = (|| -> Result<u64, postgres::Error> {
            let mut transaction = session.client().transaction()?;
            let mut rows = 0;
            for (statement, kind) in
                [(&insert, Kind::Departure), (&update, Kind::Arrival), (&delete, Kind::Cancellation)]
            {
                let flights = of(kind);
                if !flights.is_empty() {
                    rows += transaction.execute(statement, &[&flights])?;
                }
            }
            transaction.execute(&tick, &[&(number as i32), &ticks])?;
            transaction.commit()?;
            Ok(rows)
        })();
        let rows = done.unwrap_or_else(|error| panic!("a transaction of the replay failed: {error}"));
        progress.commits[number].lock().expect("no panic in between").push(Instant::now());
        progress.rows.fetch_add(rows, Ordering::Relaxed);
        progress.transactions.fetch_add(1, Ordering::Relaxed);
        progress.minute.fetch_max(minute, Ordering::Relaxed);
        at = end;
    }
}
