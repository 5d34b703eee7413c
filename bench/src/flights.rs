//! The flights that the demo replays: all that left New York in 2013 (nycflights13, CC0), or a set like it, generated.

use std::collections::HashMap;
use std::path::Path;

/// A row of a CSV file by column name; `NA` is NULL.
type Record = HashMap<String, Option<String>>;

/// A table's rows, ready for COPY.
pub struct Table {
    pub name: &'static str,
    pub columns: Vec<&'static str>,
    pub rows: Vec<Vec<Option<String>>>,
}

/// One flight. Minutes are counted from the start of 2013-01-01.
#[derive(Clone, Debug)]
pub struct Flight {
    pub id: usize,
    pub carrier: String,
    pub number: i32,
    pub tail: Option<String>,
    pub origin: String,
    pub destination: String,
    pub distance: i32,
    /// As it was planned.
    pub scheduled: i64,
    /// Minutes late at departure; none if it was cancelled.
    pub departure_delay: Option<i32>,
    pub arrival_delay: Option<i32>,
    pub air_time: Option<i32>,
}

pub struct Data {
    /// Where it is from, for people.
    pub source: String,
    pub dimensions: Vec<Table>,
    pub flights: Vec<Flight>,
}

/// The data set in `folder` if it is there, else a generated one.
pub fn load(folder: &Path) -> Data {
    if folder.join("flights.csv").exists() {
        match read(folder) {
            Ok(data) => return data,
            Err(error) => println!("demo: the flights' data set cannot be read ({error}): replaying a generated set"),
        }
    }
    generate()
}

fn records(folder: &Path, name: &str) -> Result<Vec<Record>, csv::Error> {
    let mut reader = csv::Reader::from_path(folder.join(format!("{name}.csv")))?;
    let headers: Vec<String> = reader.headers()?.iter().map(str::to_string).collect();
    let mut found = Vec::new();
    for record in reader.records() {
        let values = record?;
        let known = |value: &str| (value != "NA" && !value.is_empty()).then(|| value.to_string());
        found.push(headers.iter().cloned().zip(values.iter().map(known)).collect());
    }
    Ok(found)
}

fn table(folder: &Path, file: &str, name: &'static str, columns: &[(&'static str, &str)]) -> Result<Table, csv::Error> {
    let rows = records(folder, file)?
        .into_iter()
        .map(|record| columns.iter().map(|(_, from)| record.get(*from).cloned().flatten()).collect())
        .collect();
    Ok(Table { name, columns: columns.iter().map(|(to, _)| *to).collect(), rows })
}

fn read(folder: &Path) -> Result<Data, csv::Error> {
    let mut dimensions = vec![
        table(folder, "airlines", "airlines", &[("carrier", "carrier"), ("name", "name")])?,
        table(
            folder,
            "airports",
            "airports",
            &[("code", "faa"), ("name", "name"), ("zone", "tzone"), ("altitude", "alt")],
        )?,
        table(
            folder,
            "planes",
            "planes",
            &[
                ("tail", "tailnum"),
                ("built", "year"),
                ("manufacturer", "manufacturer"),
                ("model", "model"),
                ("seats", "seats"),
            ],
        )?,
    ];
    let mut weather = Table {
        name: "weather",
        columns: vec!["origin", "hour", "temperature", "wind", "visibility"],
        rows: Vec::new(),
    };
    for record in records(folder, "weather")? {
        let number = |name: &str| record.get(name).cloned().flatten().and_then(|text| text.parse::<i64>().ok());
        let (Some(month), Some(day), Some(hour)) = (number("month"), number("day"), number("hour")) else { continue };
        let at = minute(month, day, hour * 60);
        let get = |name: &str| record.get(name).cloned().flatten();
        weather.rows.push(vec![get("origin"), Some(timestamp(at)), get("temp"), get("wind_speed"), get("visib")]);
    }
    dimensions.push(weather);
    let mut flights = Vec::new();
    for record in records(folder, "flights")? {
        let get = |name: &str| record.get(name).cloned().flatten();
        let number = |name: &str| get(name).and_then(|text| text.parse::<f64>().ok()).map(|value| value as i32);
        let (Some(month), Some(day), Some(planned)) = (number("month"), number("day"), number("sched_dep_time")) else {
            continue;
        };
        flights.push(Flight {
            id: flights.len() + 1,
            carrier: get("carrier").unwrap_or_default(),
            number: number("flight").unwrap_or(0),
            tail: get("tailnum"),
            origin: get("origin").unwrap_or_default(),
            destination: get("dest").unwrap_or_default(),
            distance: number("distance").unwrap_or(0),
            scheduled: minute(month.into(), day.into(), i64::from(planned / 100 * 60 + planned % 100)),
            departure_delay: number("dep_delay"),
            arrival_delay: number("arr_delay"),
            air_time: number("air_time"),
        });
    }
    Ok(Data { source: "nycflights13".into(), dimensions, flights })
}

const DAYS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

fn minute(month: i64, day: i64, minutes: i64) -> i64 {
    let before: i64 = DAYS[..(month - 1).clamp(0, 11) as usize].iter().sum();
    (before + day - 1) * 1440 + minutes
}

/// A minute of 2013 (and some days beyond) as a timestamp.
pub fn timestamp(minute: i64) -> String {
    let (mut day, mut month) = (minute.div_euclid(1440), 0);
    while month < 11 && day >= DAYS[month] {
        day -= DAYS[month];
        month += 1;
    }
    let within = minute.rem_euclid(1440);
    format!("2013-{:02}-{:02} {:02}:{:02}", month + 1, (day + 1).min(31), within / 60, within % 60)
}

/// A year of a made-up airport system: the same shape, no data set needed.
fn generate() -> Data {
    let mut random = trickle_regress::random::Random::new(2013);
    let carriers = ["AA", "B6", "DL", "EV", "UA", "WN", "HA"];
    let places = ["ATL", "BOS", "CLT", "DEN", "DFW", "FLL", "LAX", "MCO", "MIA", "ORD", "SEA", "SFO"];
    let text = |value: &str| Some(value.to_string());
    let table = |name, columns: &[&'static str], rows| Table { name, columns: columns.to_vec(), rows };
    let airlines = carriers.iter().map(|code| vec![text(code), Some(format!("Airline {code}"))]).collect();
    let airports = places
        .iter()
        .chain(&["EWR", "JFK", "LGA"])
        .map(|code| vec![text(code), Some(format!("Airport {code}")), text("America/New_York"), text("20")])
        .collect();
    let planes = (0..800)
        .map(|n| {
            vec![
                Some(format!("N{n}")),
                Some((1990 + n % 24).to_string()),
                text(["BOEING", "AIRBUS"][n % 2]),
                Some(format!("M{}", n % 17)),
                Some((80 + n % 200).to_string()),
            ]
        })
        .collect();
    let weather = (0..365 * 24)
        .flat_map(|hour| ["EWR", "JFK", "LGA"].map(|origin| (origin, hour)))
        .map(|(origin, hour)| {
            vec![
                text(origin),
                Some(timestamp(hour * 60)),
                Some((30 + hour % 50).to_string()),
                Some((hour % 31).to_string()),
                text("10"),
            ]
        })
        .collect();
    let flights = (0..120_000usize)
        .map(|n| {
            let cancelled = random.chance(2);
            let late = random.below(60) as i32 - 10;
            Flight {
                id: n + 1,
                carrier: carriers[random.below(carriers.len())].into(),
                number: random.below(3000) as i32,
                tail: Some(format!("N{}", random.below(900))),
                origin: ["EWR", "JFK", "LGA"][random.below(3)].into(),
                destination: places[random.below(places.len())].into(),
                distance: 200 + random.below(2400) as i32,
                scheduled: (n as i64 * 365 * 1440) / 120_000,
                departure_delay: (!cancelled).then_some(late),
                arrival_delay: (!cancelled).then_some(late - 5),
                air_time: (!cancelled).then_some(40 + random.below(300) as i32),
            }
        })
        .collect();
    let dimensions = vec![
        table("airlines", &["carrier", "name"], airlines),
        table("airports", &["code", "name", "zone", "altitude"], airports),
        table("planes", &["tail", "built", "manufacturer", "model", "seats"], planes),
        table("weather", &["origin", "hour", "temperature", "wind", "visibility"], weather),
    ];
    Data { source: "a generated year of flights".into(), dimensions, flights }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_and_timestamps_agree() {
        assert_eq!(timestamp(0), "2013-01-01 00:00");
        assert_eq!(timestamp(minute(3, 1, 61)), "2013-03-01 01:01");
        assert_eq!(timestamp(minute(12, 31, 1439)), "2013-12-31 23:59");
    }
}
