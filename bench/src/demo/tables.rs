//! The stream tables of the demo.

pub struct StreamTable {
    pub name: &'static str,
    pub tier: &'static str,
    pub query: &'static str,
}

const fn table(name: &'static str, tier: &'static str, query: &'static str) -> StreamTable {
    StreamTable { name, tier, query }
}

pub const STREAM_TABLES: &[StreamTable] = &[
    table(
        "visible",
        "critical",
        "SELECT session, max(tick) AS tick FROM ticks GROUP BY session",
    ),
    table(
        "in_the_air",
        "critical",
        "SELECT f.id, a.name AS airline, f.flight, f.origin, p.name AS destination, f.departed
           FROM flights f JOIN airlines a ON a.carrier = f.carrier JOIN airports p ON p.faa = f.dest
          WHERE f.departed IS NOT NULL AND f.landed IS NULL",
    ),
    table(
        "punctuality",
        "critical",
        "SELECT a.name AS airline, count(*) AS flights, count(f.arr_delay) AS landed,
                count(*) FILTER (WHERE f.arr_delay > 15) AS late, avg(f.arr_delay) AS mean_delay, max(f.arr_delay) AS worst
           FROM flights f JOIN airlines a ON a.carrier = f.carrier GROUP BY a.name",
    ),
    table(
        "routes",
        "standard",
        "SELECT o.name AS origin, d.name AS destination, count(*) AS flights, min(f.air_time) AS fastest,
                avg(f.air_time) AS mean, max(f.distance) AS miles
           FROM flights f JOIN airports o ON o.faa = f.origin JOIN airports d ON d.faa = f.dest
          GROUP BY o.name, d.name HAVING count(*) >= 10",
    ),
    table(
        "daily",
        "standard",
        "SELECT date_trunc('day', scheduled) AS day, origin, count(*) AS flights, sum(distance) AS miles,
                sum(dep_delay) AS minutes_late, count(DISTINCT tailnum) AS planes
           FROM flights GROUP BY 1, 2",
    ),
    // A stream table over a stream table.
    table(
        "weekly",
        "standard",
        "SELECT date_trunc('week', day) AS week, sum(flights) AS flights, sum(miles) AS miles, max(flights) AS busiest
           FROM daily GROUP BY 1",
    ),
    // And over that one.
    table(
        "league",
        "standard",
        "SELECT airline, flights, round(100.0 * late / landed, 1) AS late_percent, round(mean_delay, 1) AS mean_delay
           FROM punctuality WHERE landed > 0",
    ),
    table(
        "weather_delays",
        "standard",
        "SELECT w.visib < 3 AS fog, width_bucket(w.wind_speed, 0, 40, 4) AS wind, count(*) AS flights,
                avg(f.dep_delay) AS mean_delay, sum(w.precip) AS rain
           FROM flights f JOIN weather w ON w.origin = f.origin AND w.time_hour = f.time_hour
          GROUP BY 1, 2",
    ),
    table(
        "fleet",
        "background",
        "SELECT p.manufacturer, p.model, count(*) AS flights, sum(f.distance * p.seats::int8) AS seat_miles,
                avg(2013 - p.year) AS mean_age
           FROM flights f JOIN planes p ON p.tailnum = f.tailnum GROUP BY p.manufacturer, p.model",
    ),
    // Only PostgreSQL can evaluate a regular expression: the engine hands it the changed rows.
    table(
        "families",
        "background",
        "SELECT regexp_replace(p.model, '[- ].*$', '') AS family, count(*) AS flights, max(f.air_time) AS longest
           FROM flights f JOIN planes p ON p.tailnum = f.tailnum GROUP BY 1",
    ),
    table(
        "tail_numbers",
        "background",
        "SELECT DISTINCT carrier, tailnum FROM flights WHERE tailnum IS NOT NULL",
    ),
];
