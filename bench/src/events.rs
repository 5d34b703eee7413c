//! What happens to flights, in the order of time, as transactions.

use crate::flights::{timestamp, Flight};

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// It leaves (or should have left): an insert.
    Departure(usize),
    /// It has landed: an update.
    Arrival(usize),
    /// It is cancelled after all: a delete.
    Cancellation(usize),
}

/// All events by minute, in order; the index is into `flights`.
pub fn of(flights: &[Flight]) -> Vec<(i64, Event)> {
    let mut events = Vec::with_capacity(flights.len() * 2);
    for (at, flight) in flights.iter().enumerate() {
        let departs = flight.scheduled + i64::from(flight.departure_delay.unwrap_or(0));
        events.push((departs, Event::Departure(at)));
        match (flight.departure_delay, flight.arrival_delay) {
            (None, _) => events.push((departs + 60, Event::Cancellation(at))),
            (Some(_), Some(_)) => {
                let flown = i64::from(flight.air_time.unwrap_or(120)) + 25;
                events.push((departs + flown, Event::Arrival(at)));
            }
            // Diverted: nobody knows when it arrived.
            (Some(_), None) => {}
        }
    }
    events.sort_by_key(|(minute, event)| (*minute, matches!(event, Event::Arrival(_) | Event::Cancellation(_))));
    events
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn number(value: Option<i32>) -> String {
    value.map_or("NULL".into(), |value| value.to_string())
}

/// The statements of one transaction over these events, and how many rows they change. An arrival in the same transaction
/// as its departure is one, because statements run in this order: inserts, updates, deletes.
pub fn statements(flights: &[Flight], events: &[(i64, Event)]) -> (Vec<String>, usize) {
    let (mut inserts, mut updates, mut deletes) = (Vec::new(), Vec::new(), Vec::new());
    for (_, event) in events {
        match *event {
            Event::Departure(at) => {
                let flight = &flights[at];
                inserts.push(format!(
                    "({}, {}, {}, {}, {}, {}, {}, '{}', {})",
                    flight.id,
                    quoted(&flight.carrier),
                    flight.number,
                    flight.tail.as_deref().map_or("NULL".into(), quoted),
                    quoted(&flight.origin),
                    quoted(&flight.destination),
                    flight.distance,
                    timestamp(flight.scheduled),
                    number(flight.departure_delay)
                ));
            }
            Event::Arrival(at) => {
                let flight = &flights[at];
                updates.push(format!("({}, {}, {})", flight.id, number(flight.arrival_delay), number(flight.air_time)));
            }
            Event::Cancellation(at) => deletes.push(flights[at].id.to_string()),
        }
    }
    let rows = inserts.len() + updates.len() + deletes.len();
    let mut statements = Vec::new();
    if !inserts.is_empty() {
        statements.push(format!(
            "INSERT INTO flights (id, carrier, number, tail, origin, destination, distance, scheduled, departure_delay) VALUES {}",
            inserts.join(", ")
        ));
    }
    if !updates.is_empty() {
        statements.push(format!(
            "UPDATE flights SET arrival_delay = n.delay, air_time = n.air_time \
             FROM (VALUES {}) AS n (id, delay, air_time) WHERE flights.id = n.id",
            updates.join(", ")
        ));
    }
    if !deletes.is_empty() {
        statements.push(format!("DELETE FROM flights WHERE id IN ({})", deletes.join(", ")));
    }
    (statements, rows)
}
