//! Named races: writers, refreshes and DDL that overlap in the ways that have lost rows elsewhere. What runs at random is
//! seeded; what must hold at every moment is read in one statement, which is one snapshot.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use trickle_regress::cluster::signal;
use trickle_regress::oracle::Oracle;
use trickle_regress::random::Random;
use trickle_regress::session::wait_until;
use trickle_regress::{Cluster, Session};

fn create(session: &mut Session, name: &str, query: &str) {
    session.run(&format!("SELECT pgtrickle.create_stream_table('{name}', $query${query}$query$, schedule => '1 ms')"));
}

fn refresh(session: &mut Session, name: &str) {
    session.rows(&format!("SELECT pgtrickle.refresh_stream_table('{name}')"));
}

/// Raises a flag when it goes, by a panic too, so that the threads of a scope end.
struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Reads a condition in one statement all the time until told to end; how often it was read.
fn hold(session: &mut Session, over: &AtomicBool, what: &str, condition: &str) -> u64 {
    let mut read = 0;
    while !over.load(Ordering::Relaxed) {
        let row = session.rows(condition).remove(0);
        assert!(row[0].as_deref() == Some("t"), "{what} does not hold: {row:?}");
        read += 1;
    }
    read
}

#[test]
fn a_writer_open_across_a_refresh_commits_later() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (k int, v int); INSERT INTO t SELECT i % 3, i FROM generate_series(1, 10) i");
    let query = "SELECT k, count(*) AS n, sum(v) AS s FROM t GROUP BY k";
    create(&mut session, "st", query);
    let oracle = Oracle::new("st", query);
    oracle.assert_equal(&mut session);
    let mut writer = cluster.session();
    for end in ["COMMIT", "ROLLBACK", "COMMIT"] {
        writer.run("BEGIN; INSERT INTO t VALUES (1, 100), (7, 7); DELETE FROM t WHERE v = 4 AND k = 1");
        session.run("INSERT INTO t VALUES (2, 1)");
        oracle.assert_equal(&mut session);
        session.run("UPDATE t SET v = v + 1 WHERE k = 2");
        oracle.assert_equal(&mut session);
        writer.run(end);
        oracle.assert_equal(&mut session);
    }
}

/// The second committer's xid is newer than the idle one's: whoever remembers "everything up to" loses the idle one's rows.
#[test]
fn an_idle_writer_a_second_committer_and_two_refreshes() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (k int)");
    let query = "SELECT k, count(*) AS n FROM t GROUP BY k";
    create(&mut session, "st", query);
    let oracle = Oracle::new("st", query);
    oracle.assert_equal(&mut session);
    let (mut idle, mut second) = (cluster.session(), cluster.session());
    for _ in 0..5 {
        idle.run("BEGIN; INSERT INTO t VALUES (1)");
        second.run("BEGIN; INSERT INTO t VALUES (2); SAVEPOINT s; INSERT INTO t VALUES (3); ROLLBACK TO s; COMMIT");
        oracle.assert_equal(&mut session);
        idle.run("SAVEPOINT a; INSERT INTO t VALUES (4)");
        second.run("INSERT INTO t VALUES (2)");
        oracle.assert_equal(&mut session);
        idle.run("COMMIT");
        oracle.assert_equal(&mut session);
    }
    assert_eq!(session.value("SELECT string_agg(k || ':' || n, ' ' ORDER BY k) FROM st"), "1:5 2:10 4:5");
}

/// Segments fill, close, are sealed and given back while writers of all kinds are in them.
#[test]
fn h08_segments_are_sealed_and_freed_under_writers() {
    let seed = Random::seed("h08_segments");
    let mut random = Random::new(seed);
    let cluster = Cluster::builder().set("max_prepared_transactions", "20").start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_trickle; CREATE TABLE t (id bigserial, w int, pad text)");
    let query = "SELECT w, count(*) AS n, sum(id) AS ids, max(length(pad)) AS l FROM t GROUP BY w";
    create(&mut session, "st", query);
    refresh(&mut session, "st");
    let mut idle = cluster.session();
    idle.run("BEGIN; INSERT INTO t (w, pad) VALUES (99, 'idle')");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|number| {
                let (mut random, mut writer) = (random.fork(), cluster.session());
                scope.spawn(move || {
                    for round in 0..60 {
                        let rows = [1, 20, 400][random.below(3)];
                        let insert = format!(
                            "INSERT INTO t (w, pad) SELECT {number}, (SELECT string_agg(md5((i * {round})::text || j), '') \
                             FROM generate_series(1, 20) j) FROM generate_series(1, {rows}) i"
                        );
                        let rest = match random.below(6) {
                            0 => format!("BEGIN; SAVEPOINT s; {insert}; ROLLBACK TO s; {insert}; COMMIT"),
                            1 => format!("BEGIN; {insert}; SAVEPOINT s; {insert}; ROLLBACK TO s; COMMIT"),
                            2 => format!("BEGIN; {insert}; PREPARE TRANSACTION 'p{number}'"),
                            3 => format!("BEGIN; {insert}; ROLLBACK"),
                            4 => format!("UPDATE t SET pad = pad || 'x' WHERE w = {number} AND id % 10 = {}", round % 10),
                            _ => insert,
                        };
                        writer.run(&rest);
                        if rest.contains("PREPARE") {
                            let end = if random.chance(70) { "COMMIT" } else { "ROLLBACK" };
                            writer.run(&format!("{end} PREPARED 'p{number}'"));
                        }
                    }
                })
            })
            .collect();
        let ends = OnDrop(&over);
        while !writers.iter().all(|writer| writer.is_finished()) {
            refresh(&mut session, "st");
        }
        drop(ends);
    });
    let oracle = Oracle::new("st", query);
    oracle.assert_equal(&mut session);
    idle.run("COMMIT");
    oracle.assert_equal(&mut session);
    assert_eq!(session.value("SELECT n FROM st WHERE w = 99"), "1");
    // What everybody has read is given back, whatever is still open elsewhere.
    session.wait(
        "the buffer's segments to be freed",
        "SELECT sum(pg_relation_size(relation)) < 40 * 1024 * 1024 FROM pgtrickle.segment",
    );
}

/// Each transaction writes both tables so that the sum over the join stays; so the stream table's must, at every moment.
#[test]
fn eight_sessions_write_two_joined_tables() {
    let seed = Random::seed("eight_sessions");
    let mut random = Random::new(seed);
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE l (k int PRIMARY KEY, v int); CREATE TABLE r (k int PRIMARY KEY, w int)");
    session.run("INSERT INTO l SELECT k, 12 FROM generate_series(1, 50) k; INSERT INTO r SELECT k, 1 FROM l");
    let joined = "SELECT sum(v * w) AS total, count(*) AS n FROM l JOIN r USING (k)";
    create(&mut session, "joined", joined);
    create(&mut session, "by_key", "SELECT l.k, l.v * r.w AS p FROM l JOIN r ON r.k = l.k");
    create(&mut session, "lefts", "SELECT count(*) AS n FROM l");
    refresh(&mut session, "joined");
    session.rows("SELECT pgtrickle.refresh_all()");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut reader = cluster.session();
        let watch = &over;
        let reading = scope.spawn(move || {
            hold(
                &mut reader,
                watch,
                "the total over two tables",
                "SELECT total = 12 * joined.n AND joined.n = lefts.n AND sums.n = lefts.n AND sums.p = total,
                        joined.*, lefts.n, sums.*
                   FROM joined, lefts, (SELECT count(*) AS n, sum(p) AS p FROM by_key) AS sums",
            )
        });
        let ends = OnDrop(&over);
        let writers: Vec<_> = (0..8)
            .map(|number| {
                let (mut random, mut writer) = (random.fork(), cluster.session());
                scope.spawn(move || {
                    for round in 0..120 {
                        let k = 1 + random.below(50);
                        let (v, w) = [(12, 1), (1, 12), (6, 2), (2, 6), (3, 4), (4, 3)][random.below(6)];
                        let fresh = 1000 + number * 1000 + round;
                        let change = match random.below(4) {
                            0 => format!("INSERT INTO l VALUES ({fresh}, {v}); INSERT INTO r VALUES ({fresh}, {w})"),
                            1 => format!(
                                "DELETE FROM l WHERE k = {fresh} - 1; SAVEPOINT s; DELETE FROM r; ROLLBACK TO s; \
                                 DELETE FROM r WHERE k = {fresh} - 1"
                            ),
                            _ => format!("UPDATE l SET v = {v} WHERE k = {k}; UPDATE r SET w = {w} WHERE k = {k}"),
                        };
                        let end = if random.chance(90) { "COMMIT" } else { "ROLLBACK" };
                        if let Err(error) = writer.attempt(&format!("BEGIN; {change}; {end}")) {
                            assert_eq!(error.sqlstate, "40P01", "{error:?}");
                            writer.run("ROLLBACK");
                        }
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().expect("a writer ends well");
        }
        session.rows("SELECT pgtrickle.refresh_all()");
        drop(ends);
        let read = reading.join().expect("the invariant holds");
        assert!(read > 100, "it was read {read} times");
    });
    Oracle::new("joined", joined).assert_equal(&mut session);
}

/// H1: what a transaction writes before and after it creates the stream table; with and without capture on the source
/// before, with and without others who commit in between.
#[test]
fn h01_create_in_the_transaction_of_writes() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    let mut other = cluster.session();
    let query = "SELECT k, count(*) AS n FROM t GROUP BY k";
    for captured in [false, true] {
        for between in [false, true] {
            for savepoint in [false, true] {
                session.run("CREATE TABLE t (k int); INSERT INTO t VALUES (0), (1)");
                if captured {
                    create(&mut session, "first", "SELECT k FROM t");
                    refresh(&mut session, "first");
                }
                session.run("BEGIN; INSERT INTO t VALUES (1), (2)");
                if savepoint {
                    session.run("SAVEPOINT s; INSERT INTO t VALUES (3); ROLLBACK TO s; DELETE FROM t WHERE k = 0");
                }
                if between {
                    other.run("INSERT INTO t VALUES (10)");
                }
                create(&mut session, "st", query);
                if between {
                    other.run("INSERT INTO t VALUES (11)");
                }
                session.run("INSERT INTO t VALUES (2), (4); DELETE FROM t WHERE k = 1");
                session.run("COMMIT");
                let oracle = Oracle::new("st", query);
                oracle.assert_equal(&mut session);
                session.run("INSERT INTO t SELECT generate_series(1, 12)");
                oracle.assert_equal(&mut session);
                session.run("DROP TABLE t CASCADE");
                assert_eq!(session.value("SELECT count(*) FROM pgtrickle.stream_table_status()"), "0");
            }
        }
    }
    // And nothing is left of one that is rolled back.
    session.run("CREATE TABLE t (k int)");
    session.run("BEGIN; INSERT INTO t VALUES (1)");
    create(&mut session, "st", query);
    session.run("ROLLBACK");
    session.run("INSERT INTO t VALUES (2)");
    assert_eq!(session.value("SELECT to_regclass('st') IS NULL"), "t");
    create(&mut session, "st", query);
    Oracle::new("st", query).assert_equal(&mut session);
}

/// Changes of one source wait in memory while another source of the component is locked. What is attached meanwhile has them
/// from its snapshot already, and must not get them a second time when the lock is gone.
#[test]
fn changes_that_wait_for_a_lock_are_counted_once() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE TABLE locked (k int); CREATE TABLE w (k int, v int); CREATE TABLE e (k int); CREATE TABLE x (k int)",
    );
    session.run("INSERT INTO locked VALUES (1), (2); INSERT INTO e VALUES (1), (2); INSERT INTO w VALUES (1, 1)");
    let queries = [
        ("with_locked", "SELECT l.k, w.v FROM locked l JOIN w ON w.k = l.k"),
        ("broken", "SELECT e.k, w.v FROM e JOIN w ON w.k = e.k"),
        ("alone", "SELECT k, sum(v) AS s FROM w GROUP BY k"),
        ("late", "SELECT v, count(*) AS n FROM w GROUP BY v"),
        ("late_join", "SELECT a.k, a.v, b.v AS other FROM w a JOIN w b ON a.k = b.k"),
    ];
    create(&mut session, "elsewhere", "SELECT k FROM x");
    for (name, query) in &queries[..3] {
        create(&mut session, name, query);
    }
    session.rows("SELECT pgtrickle.refresh_all()");
    // A refresh of something else is a cut in which the rest has been looked at, and its changes read.
    let cuts = |session: &mut Session| {
        for _ in 0..5 {
            session.run("INSERT INTO x VALUES (1)");
            refresh(session, "elsewhere");
        }
    };
    let mut locker = cluster.session();
    for round in 1..=3 {
        locker.run("BEGIN; LOCK TABLE locked");
        session.run("INSERT INTO w VALUES (1, 2), (2, 3); DELETE FROM w WHERE v = 1");
        cuts(&mut session);
        session.run("BEGIN; TRUNCATE e; INSERT INTO e VALUES (1), (2); COMMIT");
        cuts(&mut session);
        for (name, query) in &queries[3..] {
            if round > 1 {
                session.rows(&format!("SELECT pgtrickle.drop_stream_table('{name}')"));
            }
            create(&mut session, name, query);
        }
        cuts(&mut session);
        session.run("INSERT INTO w VALUES (2, 4)");
        cuts(&mut session);
        // Nobody is told that a table is current whose changes wait.
        let waits = session.error("SET statement_timeout = '500ms'; SELECT pgtrickle.refresh_stream_table('alone')");
        assert_eq!(waits.sqlstate, "57014", "{waits:?}");
        locker.run("COMMIT");
        for (name, query) in &queries {
            Oracle::new(name, query).assert_equal(&mut session);
        }
    }
}

/// H4: rewrites and TRUNCATE are not MVCC-safe: a snapshot taken before the lock sees an empty table.
#[test]
fn h04_rewrites_and_truncate_are_never_seen_half() {
    let cluster = Cluster::builder().set("deadlock_timeout", "200ms").start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_trickle; CREATE TABLE t (k int PRIMARY KEY, v int, unused int)");
    session.run("INSERT INTO t SELECT k, 1 FROM generate_series(1, 10) k");
    let incremental = "SELECT count(*) AS n, sum(v) AS s FROM t";
    let full = "SELECT count(*) AS n, sum(v) AS s FROM (SELECT v, row_number() OVER () FROM t LIMIT 1000000) AS w";
    create(&mut session, "i", incremental);
    create(&mut session, "f", full);
    session.rows("SELECT pgtrickle.refresh_all()");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = &over;
        for table in ["i", "f"] {
            let mut reader = cluster.session();
            let condition = format!("SELECT n = 10 AND s = 10, n, s FROM {table}");
            scope.spawn(move || hold(&mut reader, watch, table, &condition));
        }
        let mut asking = cluster.session();
        scope.spawn(move || {
            while !watch.load(Ordering::Relaxed) {
                asking.rows("SELECT pgtrickle.refresh_all()");
            }
        });
        let ends = OnDrop(&over);
        let until = Instant::now() + Duration::from_secs(6);
        let mut round = 0;
        while Instant::now() < until {
            round += 1;
            match round % 6 {
                0 => session.run("BEGIN; TRUNCATE t; INSERT INTO t SELECT k, 1 FROM generate_series(1, 10) k; COMMIT"),
                1 => session.run("ALTER TABLE t ALTER unused TYPE bigint"),
                2 => session.run("VACUUM FULL t"),
                3 => session.run("ALTER TABLE t ALTER unused TYPE int"),
                4 => session.run("CLUSTER t USING t_pkey"),
                _ => session.run("UPDATE t SET k = k + 100; UPDATE t SET k = k - 100"),
            }
        }
        drop(ends);
    });
    Oracle::new("i", incremental).assert_equal(&mut session);
    Oracle::new("f", full).assert_equal(&mut session);
}

/// H5, risk 3: a backend that is stopped anywhere around its commit, so now and then between becoming visible and sending
/// its invalidations. The cut must not take its effect without noticing it.
#[test]
fn h05_ddl_held_in_the_gap_between_visible_and_invalidated() {
    let seed = Random::seed("h05_gap");
    let mut random = Random::new(seed);
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (k int, v int, unused int); INSERT INTO t SELECT k, 1 FROM generate_series(1, 10) k");
    let query = "SELECT count(*) AS n, sum(v) AS s FROM t";
    create(&mut session, "st", query);
    refresh(&mut session, "st");
    let mut ddl = cluster.session();
    let pid: u32 = ddl.value("SELECT pg_backend_pid()").parse().expect("a pid");
    // The last statement's time varies; the signal must fall around it.
    let longest = {
        let started = Instant::now();
        ddl.run("BEGIN; TRUNCATE t; INSERT INTO t SELECT k, 1 FROM generate_series(1, 10) k; COMMIT");
        started.elapsed()
    };
    for round in 0..60 {
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let ddl = &mut ddl;
            scope.spawn(move || {
                ddl.run(match round % 3 {
                    0 => "BEGIN; TRUNCATE t; INSERT INTO t SELECT k, 1 FROM generate_series(1, 10) k; COMMIT",
                    1 => "ALTER TABLE t ALTER unused TYPE bigint",
                    _ => {
                        "BEGIN; DELETE FROM t; ALTER TABLE t ALTER unused TYPE int; \
                          INSERT INTO t SELECT k, 1 FROM generate_series(1, 10) k; COMMIT"
                    }
                });
                sender.send(()).expect("the test waits");
            });
            let pause = longest.mul_f64(random.below(120) as f64 / 100.0);
            std::thread::sleep(pause);
            signal(pid, "STOP");
            // The worker wakes by the other table's commit, and by itself; readers must see one or the other state.
            for _ in 0..5 {
                let row = session.rows("SELECT n, s FROM st").remove(0);
                assert_eq!(row, vec![Some("10".to_string()), Some("10".to_string())], "seed {seed}, round {round}");
                std::thread::sleep(Duration::from_millis(2));
            }
            signal(pid, "CONT");
            receiver.recv().expect("the DDL ends well");
        });
        Oracle::new("st", query).assert_equal(&mut session);
    }
}

/// H32, risk 4: an incremental table, one in full mode over it, an incremental one over that: always of one snapshot.
#[test]
fn h32_incremental_full_incremental_at_one_snapshot() {
    let seed = Random::seed("h32_strata");
    let mut random = Random::new(seed);
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, g int, v int)");
    session.run("INSERT INTO t SELECT i, i % 7, i FROM generate_series(1, 100) i");
    let a = "SELECT g, count(*) AS n, sum(v) AS s FROM t GROUP BY g";
    let m = "SELECT g, n, s, row_number() OVER (ORDER BY g) AS nth FROM a LIMIT 1000000";
    let d = "SELECT count(*) AS groups, sum(n) AS n, sum(s) AS s FROM m";
    create(&mut session, "a", a);
    create(&mut session, "m", m);
    create(&mut session, "d", d);
    session.rows("SELECT pgtrickle.refresh_all()");
    let modes = "SELECT string_agg(effective_mode, ' ' ORDER BY name) FROM pgtrickle.stream_table_status()";
    assert_eq!(session.value(modes), "differential differential full");
    let (over, changes) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let (watch, changes) = (&over, &changes);
        let mut reader = cluster.session();
        let reading = scope.spawn(move || {
            hold(
                &mut reader,
                watch,
                "one snapshot of a, m and d",
                "SELECT (a.groups, a.n, a.s) = (m.groups, m.n, m.s) AND (m.groups, m.n, m.s) = (d.groups, d.n, d.s),
                        a.*, m.*, d.*
                   FROM (SELECT count(*) AS groups, sum(n) AS n, sum(s) AS s FROM a) AS a,
                        (SELECT count(*) AS groups, sum(n) AS n, sum(s) AS s FROM m) AS m, d",
            )
        });
        // Now and then the first is locked against the worker, which must hold back the others.
        let mut locker = cluster.session();
        scope.spawn(move || {
            while !watch.load(Ordering::Relaxed) {
                locker.run("BEGIN; LOCK TABLE a IN SHARE MODE");
                let seen = changes.load(Ordering::Relaxed);
                wait_until("the writers have gone on", || {
                    changes.load(Ordering::Relaxed) > seen + 20 || watch.load(Ordering::Relaxed)
                });
                locker.run("COMMIT");
                std::thread::sleep(Duration::from_millis(30));
            }
        });
        let ends = OnDrop(&over);
        let writers: Vec<_> = (0..4)
            .map(|number| {
                let (mut random, mut writer) = (random.fork(), cluster.session());
                scope.spawn(move || {
                    for round in 0..150 {
                        let id = 1000 * (number + 1) + round;
                        writer.run(&match random.below(3) {
                            0 => format!("INSERT INTO t VALUES ({id}, {}, {round})", random.below(12)),
                            1 => format!(
                                "UPDATE t SET g = {}, v = v + 1 WHERE id = {}",
                                random.below(9),
                                1 + number * 25 + random.below(25)
                            ),
                            _ => format!("DELETE FROM t WHERE id = {id} - 1"),
                        });
                        changes.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().expect("a writer ends well");
        }
        drop(ends);
        assert!(reading.join().expect("the tables agree") > 50);
    });
    session.rows("SELECT pgtrickle.refresh_all()");
    for (name, query) in [("a", a), ("m", m), ("d", d)] {
        Oracle::new(name, query).assert_equal_now(&mut session);
    }
}
