//! Temporal filters: rows enter and leave as time passes, woken by the clock, and the content is at any moment the query as
//! of the clock that is stored with it.

use std::time::Duration;

use trickle_regress::random::Random;
use trickle_regress::{Cluster, Session};

/// Name and query; all read `t` or each other. Shifts are short, so that the clock decides much in a few seconds.
const QUERIES: &[(&str, &str)] = &[
    ("recent", "SELECT id, g, ts FROM t WHERE ts > now() - interval '2 seconds'"),
    ("past", "SELECT id FROM t WHERE ts <= current_timestamp"),
    ("between_shifts", "SELECT id, ts FROM t WHERE ts BETWEEN now() - interval '1 second' AND now() + '1 second'"),
    ("shifted_row", "SELECT id FROM t WHERE ts + interval '1.5 s' >= transaction_timestamp()"),
    ("valid", "SELECT id, until FROM t WHERE ts <= now() AND (until IS NULL OR now() < until)"),
    ("not_over", "SELECT id FROM t WHERE NOT (ts < now() AND until < now()) OR id % 7 = 0"),
    ("guarded", "SELECT id FROM t WHERE g = 0 OR ts + interval '1 s' / g > now()"),
    ("guarded_and", "SELECT id FROM t WHERE g = 1 OR (g <> 0 AND 10 / g > 1 AND ts > now() - interval '1 s')"),
    ("guarded_not", "SELECT id FROM t WHERE g = 0 OR NOT (10 / g > 1 AND ts > now())"),
    ("age", "SELECT id FROM t WHERE now() - ts < interval '1 second' AND ts - now() <= '1 s'"),
    ("today", "SELECT id, d FROM t WHERE d = current_date"),
    ("week", "SELECT id FROM t WHERE d > current_date - 7 AND isfinite(d) AND current_date - d < 3"),
    ("this_hour", "SELECT id FROM t WHERE date_trunc('hour', ts) = date_trunc('hour', now())"),
    ("since_midnight", "SELECT id FROM t WHERE ts >= current_date AND l >= date_trunc('week', now())::date"),
    ("elsewhere", "SELECT id FROM t WHERE l < now() AT TIME ZONE 'UTC' - interval '1 second'"),
    ("seconds", "SELECT id FROM t WHERE date_trunc('second', now()) > ts"),
    ("counts", "SELECT g, count(*) AS n, max(ts) AS latest FROM t WHERE ts > now() - interval '2 s' GROUP BY g"),
    ("late", "SELECT g, count(*) AS n FROM t GROUP BY g HAVING max(ts) < now() - interval '1 second'"),
    ("joined", "SELECT t.id, d.name FROM t JOIN d ON d.g = t.g AND t.ts > now() - interval '1 s' WHERE d.since < now()"),
    ("one_of", "SELECT id FROM t WHERE g IN (SELECT g FROM d WHERE since > now() - interval '3 s')"),
    ("none", "SELECT d.name FROM d WHERE NOT EXISTS (SELECT FROM t WHERE t.g = d.g AND t.ts > now())"),
    ("outer_side", "SELECT d.name, r.id FROM d LEFT JOIN (SELECT * FROM t WHERE ts > now() - '1 s'::interval) r USING (g)"),
    ("on_side", "SELECT d.name, t.id FROM d LEFT JOIN t ON t.g = d.g AND t.ts > now() - interval '1 s' AND t.id > 5"),
    ("closed", "SELECT id FROM t WHERE tstzrange(least(ts, until), greatest(ts, until), '[]') @> now()"),
    ("span", "SELECT id FROM t WHERE now() <@ tstzrange(ts, NULL, '(]') OR tsrange(l, l + '1 s') @> now() AT TIME ZONE 'UTC'"),
    ("days", "SELECT id FROM t WHERE daterange(d, d + 2) @> current_date AND isfinite(d)"),
    ("scalar", "SELECT d.g, (SELECT count(*) FROM t WHERE t.g = d.g AND t.ts > now() - interval '1 s') AS n FROM d"),
    ("correlated", "SELECT d.g FROM d WHERE EXISTS (SELECT FROM t WHERE t.g = d.g AND t.ts + (d.g || ' s')::interval < now())"),
    ("lateral_side", "SELECT d.g, r.id FROM d, LATERAL (SELECT id FROM t WHERE t.g = d.g AND ts > now() ORDER BY id LIMIT 2) r"),
    ("top", "SELECT id, ts FROM t WHERE ts <= now() ORDER BY ts DESC, id LIMIT 5"),
    ("over_recent", "SELECT g, count(*) AS n FROM recent GROUP BY g"),
    ("twice", "SELECT id FROM recent WHERE ts < now() - interval '1 second'"),
    ("apart", "SELECT id FROM t WHERE ts < now() - interval '1 s' UNION ALL SELECT id FROM t WHERE ts >= now() + '1 s'::interval"),
    ("digits", "SELECT id FROM t WHERE ts > current_timestamp(1) - interval '1 s' AND until >= now()::timestamptz(0)"),
    ("digits_elsewhere", "SELECT id FROM t WHERE l < (now() AT TIME ZONE 'UTC')::timestamp(1) OR current_timestamp(6) < until"),
    ("is_what", "SELECT id FROM t WHERE (ts > now()) IS NOT FALSE AND (until < now() AND g > 2) IS NOT TRUE"),
    ("unknown", "SELECT id FROM t WHERE (ts > now()) IS UNKNOWN OR (until > now() AND g > 3) IS FALSE"),
    ("or_else", "SELECT id FROM t WHERE coalesce(until > now(), g = 3) AND coalesce(ts > now() - interval '2 s', until < now(), true)"),
    ("distinct", "SELECT id FROM t WHERE date_trunc('second', ts) IS NOT DISTINCT FROM date_trunc('second', now()) OR d IS DISTINCT FROM current_date"),
    ("between", "SELECT id FROM t WHERE now() BETWEEN ts AND until OR now() BETWEEN SYMMETRIC until AND ts + interval '1 s'"),
    ("ranges", "SELECT id FROM t WHERE tstzmultirange(tstzrange(least(ts, until), greatest(ts, until)), tstzrange(greatest(ts, until) + '1 s', NULL, '(]')) @> now()"),
    ("not_in_ranges", "SELECT id, g FROM t WHERE NOT now() AT TIME ZONE 'UTC' <@ tsmultirange(tsrange(l, l + '1 s', '[]'), tsrange(l + '2 s', l + '3 s', '(]'), tsrange(l - interval '2 s', l - interval '1 s', '()'))"),
    ("day_ranges", "SELECT id FROM t WHERE datemultirange(daterange(d, d + 1), daterange(d + 2, d + 3)) @> current_date AND isfinite(d)"),
    ("far", "SELECT id FROM t WHERE d > now() - interval '30 hours' OR l < now() - interval '1 s'"),
    ("far_days", "SELECT id FROM t WHERE NOT d <= now() AND d <> current_timestamp"),
    ("guarded_subquery", "SELECT id FROM t WHERE ts > now() AND (SELECT max(since) FROM d WHERE d.g >= t.g) > now() - interval '2 s' OR id % 9 = 0"),
    ("guarded_exists", "SELECT id FROM t WHERE ts > now() + interval '1 s' OR EXISTS (SELECT FROM d WHERE d.g = t.g AND d.since > t.until)"),
    ("guarded_case", "SELECT id FROM t WHERE coalesce(until < now(), g IN (SELECT g FROM d WHERE since > now() AND d.g > t.id % 3), false)"),
    ("looking_out", "SELECT d.g FROM d WHERE EXISTS (SELECT FROM t WHERE t.g = d.g AND (t.ts > now() OR d.since > now() + '1 s'::interval))"),
    ("looking_out_not", "SELECT d.g FROM d WHERE NOT EXISTS (SELECT FROM t WHERE t.g = d.g AND (d.since + t.id * interval '10 ms' > now()) IS NOT TRUE)"),
    ("looking_out_in", "SELECT d.g FROM d WHERE d.g IN (SELECT t.g FROM t WHERE coalesce(t.until, d.since) > now())"),
    ("looking_out_value", "SELECT d.g, (SELECT count(*) FROM t WHERE t.g < d.g AND coalesce(d.since < now(), t.ts < now())) AS n FROM d"),
    ("recursive_base", "WITH RECURSIVE r AS (SELECT id, g FROM t WHERE ts > now() - interval '1 s' UNION SELECT t.id, t.g FROM r JOIN t ON t.g = r.g + 1 AND t.id > r.id) SELECT * FROM r"),
    ("recursive_step", "WITH RECURSIVE r AS (SELECT id, g FROM t WHERE id < 20 UNION ALL SELECT t.id, t.g FROM r JOIN t ON t.id = r.id + 7 WHERE t.ts > now() - interval '1 s') SELECT * FROM r"),
    ("clock_alone", "SELECT 1 AS one WHERE now() > '2020-01-01'"),
];

fn prepare(cluster: &Cluster, zone: &str) -> Session {
    let mut session = cluster.session();
    session.run(&format!("SET TimeZone = '{zone}'"));
    session.run(
        "CREATE TABLE t (id int PRIMARY KEY, g int, ts timestamptz, until timestamptz, l timestamp, d date);
         CREATE TABLE d (g int PRIMARY KEY, name text, since timestamptz);
         INSERT INTO d SELECT g, 'g' || g, now() + (g - 3) * interval '1 s' FROM generate_series(0, 6) g",
    );
    for (name, query) in QUERIES {
        session.run(&format!(
            "SELECT pgtrickle.create_stream_table('{name}', $q${query}$q$, schedule => '1 ms',
                    refresh_mode => 'differential')"
        ));
    }
    session.rows("SELECT pgtrickle.refresh_all()");
    session
}

fn verify(session: &mut Session, name: &str) {
    let differences = session.rows(&format!("SELECT * FROM pgtrickle.verify('{name}')"));
    assert!(differences.is_empty(), "stream table {name} is not its query: {differences:?}");
}

/// Rows around now; some of them gone for ever, some not to be seen for years, some with NULLs and infinities.
fn change(session: &mut Session, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let id = random.below(60);
        let statement = match random.below(5) {
            0 => format!("DELETE FROM t WHERE id = {id}"),
            1 => format!("UPDATE t SET ts = ts + interval '1 s', g = (g + 1) % 7 WHERE id % 5 = {}", id % 5),
            2 => format!("UPDATE d SET since = clock_timestamp() WHERE g = {}", id % 7),
            _ => {
                let mut instant = |unit: &str| match random.below(16) {
                    0 => "NULL".to_string(),
                    1 => "'infinity'".into(),
                    2 => "'-infinity'".into(),
                    3 => "now() - interval '3 days'".into(),
                    _ => format!("now() + {} * interval '{unit}'", random.below(60) as i64 - 25),
                };
                let (ts, until, mut local, mut day) =
                    (instant("0.1 s"), instant("0.1 s"), instant("0.1 s"), instant("6 hours"));
                // Beyond what is a timestamp, or one with a time zone, somewhere.
                match random.below(12) {
                    0 => day = "'300000-01-01'".into(),
                    1 => local = "'294276-12-31 23:00'".into(),
                    2 => local = "'4714-11-24 00:00:05 BC'".into(),
                    _ => {}
                }
                format!(
                    "INSERT INTO t VALUES ({id}, {}, {ts}, {until}, {local}, {day})
                     ON CONFLICT (id) DO UPDATE SET ts = excluded.ts, until = excluded.until, d = excluded.d",
                    id % 7
                )
            }
        };
        session.run(&statement);
    }
}

#[test]
fn e32_content_is_the_query_as_of_the_stored_clock() {
    let mut random = Random::new(Random::seed("e32_content_is_the_query"));
    let cluster = Cluster::with_extension();
    // Where the clocks go forward and back, west and east of Greenwich.
    let zone = random.pick(&["America/New_York", "Europe/Berlin", "UTC", "Asia/Kolkata", "Australia/Lord_Howe"]);
    let mut session = prepare(&cluster, zone);
    for round in 0..25 {
        if round % 4 != 3 {
            change(&mut session, &mut random);
        }
        for _ in 0..4 {
            verify(&mut session, QUERIES[random.below(QUERIES.len())].0);
        }
    }
    QUERIES.iter().for_each(|(name, _)| verify(&mut session, name));
}

#[test]
fn e32_rows_enter_and_leave_with_no_change_and_nobody_asking() {
    let cluster = Cluster::with_extension();
    let mut session = prepare(&cluster, "UTC");
    session.run("INSERT INTO t SELECT i, 0, now() + i * interval '1 ms' FROM generate_series(1, 1000, 100) i");
    session.wait("rows to be in", "SELECT count(*) = 10 FROM recent");
    session.wait("the reader to follow", "SELECT n = 10 FROM over_recent");
    // No row is let go before its instant: what is left is never less than what must be left.
    let kept = "SELECT (SELECT count(*) FROM t WHERE ts > clock_timestamp() - interval '2 s') <= (SELECT count(*) FROM recent)";
    for _ in 0..40 {
        assert_eq!(session.value(kept), "t");
    }
    session.wait("rows to leave", "SELECT NOT EXISTS (SELECT FROM recent)");
    let gone = session.value("SELECT clock_timestamp() - max(ts) < interval '5 s' FROM t");
    assert_eq!(gone, "t", "rows leave soon after their instant");
    session.wait("the reader to follow", "SELECT NOT EXISTS (SELECT FROM over_recent)");
    session.wait("rows to have entered", "SELECT count(*) = 10 FROM past");
    // Now nothing is to come: the worker sleeps, and says that all is current.
    for (name, _) in QUERIES {
        verify(&mut session, name);
    }
}

/// A row that is gone before it would have entered never enters, and one that is deleted after it left does not leave again.
#[test]
fn e32_deleted_rows_do_not_come_and_do_not_go_twice() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int, ts timestamptz)");
    let query = "SELECT id, count(*) AS n FROM t WHERE ts BETWEEN now() - interval '1 s' AND now() GROUP BY id";
    session.run(&format!("SELECT pgtrickle.create_stream_table('s', $q${query}$q$, schedule => '1 ms')"));
    session
        .run("INSERT INTO t VALUES (1, now() - interval '0.5 s'), (2, now() + interval '0.5 s'), (3, now() + '1 s')");
    session.run("INSERT INTO t SELECT * FROM t WHERE id = 3");
    session.run("SELECT pgtrickle.wait_for('s')");
    session.run("DELETE FROM t WHERE id = 2");
    session.wait("the first to leave", "SELECT NOT EXISTS (SELECT FROM s WHERE id = 1)");
    session.run("DELETE FROM t WHERE id = 1");
    session.wait("the third to come, twice", "SELECT EXISTS (SELECT FROM s WHERE id = 3 AND n = 2)");
    assert_eq!(session.value("SELECT count(*) FROM s WHERE id <> 3"), "0");
    verify(&mut session, "s");
    session.wait("the third to leave", "SELECT NOT EXISTS (SELECT FROM s)");
    session.run("DELETE FROM t");
    session.run("SELECT pgtrickle.refresh_stream_table('s')");
    assert_eq!(session.value("SELECT count(*) FROM s"), "0");
    verify(&mut session, "s");
}

/// The schedule bounds how late rows leave, as it bounds how late changes are shown; who asks gets the present.
#[test]
fn e32_the_schedule_is_a_bound_and_a_refresh_moves_the_clock() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int, ts timestamptz); INSERT INTO t VALUES (1, now())");
    let query = "SELECT id FROM t WHERE ts > now() - interval '1 s'";
    for (name, schedule) in [("slow", "1 hour"), ("fast", "1 ms")] {
        session
            .run(&format!("SELECT pgtrickle.create_stream_table('{name}', $q${query}$q$, schedule => '{schedule}')"));
    }
    session.rows("SELECT pgtrickle.refresh_all()");
    session.run("UPDATE t SET ts = clock_timestamp()");
    session.rows("SELECT pgtrickle.refresh_stream_table('slow')");
    session.wait("the row to leave", "SELECT NOT EXISTS (SELECT FROM fast)");
    assert_eq!(session.value("SELECT count(*) FROM slow"), "1", "not due for an hour");
    session.rows("SELECT pgtrickle.refresh_stream_table('slow')");
    assert_eq!(session.value("SELECT count(*) FROM slow"), "0");
    let late = "SELECT staleness_secs < 5 FROM pgtrickle.stream_table_status() WHERE name LIKE '%slow'";
    assert_eq!(session.value(late), "t");
}

/// The clock is kept with the content, and goes on after a crash: rows whose instant passed meanwhile leave, others later.
#[test]
fn e32_a_crash_loses_neither_the_clock_nor_the_rows_that_wait() {
    let mut cluster = Cluster::with_extension();
    let mut session = prepare(&cluster, "Europe/Berlin");
    session.run("INSERT INTO t SELECT i, i % 7, now() + i * interval '0.5 s' FROM generate_series(-4, 30) i");
    session.rows("SELECT pgtrickle.refresh_all()");
    let stored =
        "SELECT count(*) > 0 AND bool_and(clock IS NOT NULL) FROM pgtrickle.frontier WHERE relid = 'recent'::regclass";
    assert_eq!(session.value(stored), "t");
    let clock = session.value("SELECT max(clock) FROM pgtrickle.frontier");
    drop(session);
    cluster.kill_server();
    std::thread::sleep(Duration::from_millis(300));
    cluster.start();
    let mut session = cluster.session();
    session.rows("SELECT pgtrickle.refresh_all()");
    QUERIES.iter().for_each(|(name, _)| verify(&mut session, name));
    let worker = cluster.worker_pid("postgres");
    cluster.kill_process(worker);
    let mut session = cluster.session();
    session.wait("rows to leave", "SELECT NOT EXISTS (SELECT FROM recent WHERE id < 0)");
    session.wait("the last to enter", "SELECT EXISTS (SELECT FROM past WHERE id = 30)");
    session.wait("all to leave", "SELECT NOT EXISTS (SELECT FROM recent)");
    let on = session.value(&format!("SELECT max(clock) > {clock} FROM pgtrickle.frontier"));
    assert_eq!(on, "t", "the clock goes on");
    QUERIES.iter().for_each(|(name, _)| verify(&mut session, name));
}

/// Should the server's clock be put back, that of the content is not: it waits.
#[test]
fn e32_a_clock_that_was_ahead_does_not_go_back() {
    let mut cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int, ts timestamptz)");
    let query = "SELECT id FROM t WHERE ts > now()";
    session.run(&format!("SELECT pgtrickle.create_stream_table('s', $q${query}$q$, schedule => '1 ms')"));
    session.run("INSERT INTO t VALUES (1, now() + interval '1 hour'), (2, now() + interval '1 day')");
    session.rows("SELECT pgtrickle.refresh_stream_table('s')");
    assert_eq!(session.value("SELECT count(*) FROM s"), "2");
    // As if it had been two hours later when the content was last written.
    session.run("UPDATE pgtrickle.frontier SET clock = clock + 7200000000");
    let worker = cluster.worker_pid("postgres");
    cluster.kill_process(worker);
    let mut session = cluster.session();
    session.wait("the first to have left", "SELECT NOT EXISTS (SELECT FROM s WHERE id = 1)");
    session.rows("SELECT pgtrickle.refresh_stream_table('s')");
    assert_eq!(session.value("SELECT string_agg(id::text, ',') FROM s"), "2");
    verify(&mut session, "s");
}

/// A condition that may fail, beside one on the clock, fails for the rows that are in alone.
#[test]
fn e32_conditions_fail_for_no_row_that_has_left() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, g int, ts timestamptz)");
    let queries = [
        ("by_engine", "SELECT id FROM t WHERE 12 / g > 1 AND ts > now() - interval '5 s'"),
        ("by_server", "SELECT id FROM t WHERE repeat('x', 12 / g) LIKE 'x%' AND ts > now() - interval '5 s'"),
    ];
    for (name, query) in queries {
        session.run(&format!(
            "SELECT pgtrickle.create_stream_table('{name}', $q${query}$q$, schedule => '1 ms', refresh_mode => 'differential')"
        ));
    }
    session.run("INSERT INTO t VALUES (1, 3, 'infinity'), (2, 0, now() - interval '1 hour'), (3, 0, NULL)");
    session.rows("SELECT pgtrickle.refresh_all()");
    for (name, _) in queries {
        assert_eq!(session.value(&format!("SELECT count(*) FROM pgtrickle.errors('{name}')")), "0");
        assert_eq!(session.value(&format!("SELECT array_agg(id) = ARRAY[1] FROM {name}")), "t");
    }
    session.run("INSERT INTO t VALUES (4, 0, now()), (5, 1, now())");
    for (name, _) in queries {
        session.wait("the row fails", &format!("SELECT EXISTS (SELECT FROM pgtrickle.errors('{name}'))"));
    }
    for (name, _) in queries {
        session.wait("the row has left", &format!("SELECT NOT EXISTS (SELECT FROM pgtrickle.errors('{name}'))"));
        session.wait("the others are there", &format!("SELECT array_agg(id) = ARRAY[1] FROM {name}"));
    }
}

/// What is kept of many frontiers is the last, whatever the server's clock showed then, and the latest that the table's own
/// has shown.
#[test]
fn e32_a_clock_put_back_does_not_decide_what_is_kept() {
    let mut cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int, ts timestamptz)");
    let query = "SELECT id FROM t WHERE ts > now()";
    session.run(&format!("SELECT pgtrickle.create_stream_table('s', $q${query}$q$, schedule => '1 ms')"));
    session.rows("SELECT pgtrickle.refresh_stream_table('s')");
    let last = session.value("SELECT max(pg_snapshot_xmax(frontier::pg_snapshot)) FROM pgtrickle.frontier");
    // As if the server's clock had been a day ahead for a while.
    session.run(
        "INSERT INTO pgtrickle.frontier
         SELECT relid, '3:3:', applied_at + interval '1 day', clock - 1000 FROM pgtrickle.frontier, generate_series(1, 400)",
    );
    let clock = session.value("SELECT max(clock) FROM pgtrickle.frontier");
    // A worker begins by tidying up.
    let worker = cluster.worker_pid("postgres");
    cluster.kill_process(worker);
    let mut session = cluster.session();
    session.wait("the frontiers to be compacted", "SELECT count(*) < 100 FROM pgtrickle.frontier");
    let kept = session.value(&format!(
        "SELECT bool_and(clock >= {clock}) AND bool_and(pg_snapshot_xmax(frontier::pg_snapshot) >= '{last}') FROM pgtrickle.frontier"
    ));
    assert_eq!(kept, "t");
}

/// A row that fails is forgotten when it leaves, though nobody commits.
#[test]
fn e32_a_failing_row_that_leaves_is_forgotten() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, g int, ts timestamptz)");
    session.run(
        "SELECT pgtrickle.create_stream_table('st', $q$SELECT id, 12 / g AS q FROM t WHERE ts > now() - interval '2 s'$q$, \
         schedule => '1 ms', refresh_mode => 'differential')",
    );
    session.run("INSERT INTO t VALUES (1, 3, 'infinity'), (2, 0, now())");
    session.wait("the row fails", "SELECT EXISTS (SELECT FROM pgtrickle.errors('st'))");
    session.wait("the row has left", "SELECT NOT EXISTS (SELECT FROM pgtrickle.errors('st'))");
    session.wait("the others are there", "SELECT array_agg(id) = ARRAY[1] FROM st");
}
