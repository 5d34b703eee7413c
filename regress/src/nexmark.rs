//! Nexmark: an auction site's persons, auctions and bids, made one event after the other; and its queries.

use crate::cases::{self, Case};
use crate::random::Random;
use crate::session::Session;

pub const SCHEMA: &str = include_str!("../nexmark/schema.sql");

pub fn queries() -> Vec<Case> {
    cases::parse(include_str!("../nexmark/queries.sql"))
}

/// Makes events. Of each fifty, one is a person, three are auctions, and the others bids; a tenth of a second passes from
/// one to the next.
pub struct Events {
    random: Random,
    number: u64,
    persons: u64,
    auctions: u64,
}

const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const CITIES: [&str; 5] = ["Phoenix", "Los Angeles", "Boise", "Portland", "Kent"];
const CHANNELS: [&str; 6] = ["Apple", "Google", "Facebook", "Baidu", "channel-7", "channel-9"];

impl Events {
    pub fn new(random: Random) -> Events {
        Events { random, number: 0, persons: 0, auctions: 0 }
    }

    fn time(&self, ahead: u64) -> String {
        format!("timestamp '2024-01-01 05:30' + {} * interval '1 millisecond'", (self.number + ahead) * 100)
    }

    /// The id of someone or something that is rather new, or of nobody any more.
    fn recent(&mut self, of: u64) -> u64 {
        let back = if self.random.chance(50) { self.random.below(8) } else { self.random.below(200) };
        of.saturating_sub(back as u64)
    }

    fn words(&mut self) -> String {
        let count = self.random.below(6);
        (0..count).map(|_| ["ccc", "abc", "sea", "cold"][self.random.below(4)]).collect::<Vec<_>>().join(" ")
    }

    /// The statement of the next event.
    pub fn next_event(&mut self) -> String {
        let at = self.number % 50;
        let now = self.time(0);
        self.number += 1;
        let extra = self.words();
        let of = |random: &mut Random, names: &[&'static str]| names[random.below(names.len())];
        match at {
            0 => {
                self.persons += 1;
                let (id, random) = (self.persons, &mut self.random);
                let (city, state) = (of(random, &CITIES), of(random, &STATES));
                format!("INSERT INTO person VALUES ({id}, 'p{id}', 'p{id}@x', '0000', '{city}', '{state}', {now}, '{extra}')")
            }
            1..4 => {
                self.auctions += 1;
                let seller = self.recent(self.persons);
                let (expires, id) = (self.time(20 + self.auctions % 200), self.auctions);
                let (initial, category) = (self.random.below(1000), 10 + self.random.below(5));
                format!(
                    "INSERT INTO auction VALUES ({id}, 'item {id}', '{extra}', {initial}, {}, {now}, {expires}, {seller}, \
                     {category}, NULL)",
                    initial * 2
                )
            }
            _ => {
                let (auction, bidder) = (self.recent(self.auctions), self.recent(self.persons));
                let price = 10u64.pow(2 + self.random.below(6) as u32) + self.random.below(50) as u64;
                let channel = of(&mut self.random, &CHANNELS);
                let id = match self.random.below(3) {
                    0 => String::new(),
                    _ => format!("&channel_id={}", self.random.below(9)),
                };
                format!(
                    "INSERT INTO bid VALUES ({auction}, {bidder}, {price}, '{channel}', \
                     'https://www.nexmark.com/a{}/b/item.htm?query=1{id}', {now}, '{extra}')",
                    auction % 5
                )
            }
        }
    }

    /// A statement that corrects what was said before.
    pub fn correction(&mut self) -> String {
        let (auction, person) = (self.recent(self.auctions), self.recent(self.persons));
        match self.random.below(9) {
            0 => format!("DELETE FROM bid WHERE auction = {auction} AND price > 50000"),
            1 => format!("UPDATE bid SET price = price + 7 WHERE auction = {auction}"),
            2 => format!("UPDATE bid SET date_time = date_time + interval '3 seconds' WHERE bidder = {person}"),
            3 => format!("UPDATE auction SET category = 10 + (category + 1) % 5 WHERE id = {auction}"),
            4 => format!("UPDATE auction SET expires = date_time + interval '1 minute' WHERE seller = {person}"),
            5 => format!("UPDATE person SET state = 'OR', name = name || 'x' WHERE id = {person}"),
            6 => format!("DELETE FROM person WHERE id = {person}"),
            7 => format!("DELETE FROM auction WHERE id = {auction}"),
            _ => format!("UPDATE side_input SET value = value || '!' WHERE key % 10 = {}", auction % 10),
        }
    }

    /// Runs so many events, a transaction each hundred.
    pub fn run(&mut self, session: &mut Session, events: usize) {
        for start in (0..events).step_by(100) {
            let statements: Vec<String> = (start..events.min(start + 100)).map(|_| self.next_event()).collect();
            session.run(&format!("BEGIN; {}; COMMIT", statements.join("; ")));
        }
    }
}
