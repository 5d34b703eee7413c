//! The worker and the server are killed in the middle of their work; nothing may be lost, nothing may be there twice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;
use std::time::Duration;

use trickle_regress::oracle::Oracle;
use trickle_regress::random::Random;
use trickle_regress::session::{wait_until, ServerError};
use trickle_regress::{Cluster, Session};

const ROWS: &str = "SELECT t.id, t.g, t.v, d.name FROM t JOIN d ON d.g = t.g";
const GROUPS: &str = "SELECT name, count(*) AS n, sum(v) AS s, min(v) AS lo FROM rows GROUP BY name";

fn prepare(cluster: &Cluster) {
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_trickle; CREATE TABLE t (id int PRIMARY KEY, g int, v int)");
    session.run("CREATE TABLE d (g int PRIMARY KEY, name text); INSERT INTO d SELECT g, 'g' || g % 5 FROM generate_series(0, 19) g");
    session.run("INSERT INTO t SELECT i, i % 20, i FROM generate_series(1, 20000) i");
    for (name, query) in [("rows", ROWS), ("groups", GROUPS)] {
        session.run(&format!("SELECT pgtrickle.create_stream_table('{name}', '{query}', schedule => '1 ms')"));
    }
    session.rows("SELECT pgtrickle.refresh_all()");
}

/// A change big enough that its apply takes a while, and a small one behind it.
fn change(session: &mut Session, random: &mut Random) {
    let g = random.below(20);
    session.run(&format!("UPDATE t SET v = v + 1 WHERE g IN ({g}, {}, {})", (g + 1) % 20, (g + 2) % 20));
    session.run(&format!("UPDATE d SET name = name || 'x' WHERE g = {g}; DELETE FROM t WHERE id % 997 = {g}"));
}

fn verify(cluster: &Cluster) {
    let mut session = cluster.session();
    Oracle::new("rows", ROWS).assert_equal(&mut session);
    Oracle::new("groups", GROUPS).assert_equal(&mut session);
}

#[test]
fn the_worker_is_killed_in_the_middle_of_an_apply() {
    let seed = Random::seed("the_worker_is_killed");
    let mut random = Random::new(seed);
    let cluster = Cluster::builder().start();
    prepare(&cluster);
    let mut cluster = cluster;
    for _ in 0..6 {
        let worker = cluster.worker_pid("postgres");
        change(&mut cluster.session(), &mut random);
        std::thread::sleep(Duration::from_millis(random.below(250) as u64));
        cluster.kill_process(worker);
        // Written before the worker is back.
        change(&mut cluster.session(), &mut random);
        verify(&cluster);
    }
}

#[test]
fn the_server_is_killed_in_the_middle_of_an_apply() {
    let seed = Random::seed("the_server_is_killed");
    let mut random = Random::new(seed);
    let mut cluster = Cluster::builder().start();
    prepare(&cluster);
    for round in 0..5 {
        change(&mut cluster.session(), &mut random);
        std::thread::sleep(Duration::from_millis(random.below(250) as u64));
        if round % 2 == 0 {
            cluster.kill_server();
        } else {
            cluster.stop_immediately();
        }
        cluster.start();
        change(&mut cluster.session(), &mut random);
        verify(&cluster);
    }
}

/// Writers that go on while the server crashes: what was committed is there, what was not is not.
#[test]
fn writers_go_on_through_crashes() {
    let seed = Random::seed("writers_go_on");
    let mut random = Random::new(seed);
    let mut cluster = Cluster::builder().set("synchronous_commit", "off").start();
    prepare(&cluster);
    for _ in 0..3 {
        let folder = cluster.folder().to_owned();
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let (mut random, folder) = (random.fork(), folder.clone());
                std::thread::spawn(move || {
                    let mut session = Session::connect(&folder, "postgres", "postgres").expect("a session");
                    loop {
                        let id = 1 + random.below(30_000);
                        let statement = match random.below(3) {
                            0 => format!("INSERT INTO t VALUES ({id}, {}, 1) ON CONFLICT DO NOTHING", id % 20),
                            1 => {
                                format!("UPDATE t SET v = v + 1, g = (g + 1) % 20 WHERE id BETWEEN {id} AND {id} + 20")
                            }
                            _ => format!("DELETE FROM t WHERE id = {id}"),
                        };
                        match session.attempt(&statement) {
                            Ok(()) => {}
                            Err(error) if error.sqlstate == "40P01" => {}
                            Err(_) => return,
                        }
                    }
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(300 + random.below(500) as u64));
        cluster.kill_server();
        for writer in writers {
            writer.join().expect("a writer ends with the connection");
        }
        cluster.start();
        verify(&cluster);
    }
}

/// A clean restart, and a restart with changes that nobody has applied.
#[test]
fn a_restart_goes_on_where_it_was() {
    let mut cluster = Cluster::builder().start();
    prepare(&cluster);
    cluster.restart();
    verify(&cluster);
    let mut session = cluster.session();
    session.run("ALTER SYSTEM SET pg_trickle.enabled = off");
    session.rows("SELECT pg_reload_conf()");
    session.wait("maintenance to be off", "SELECT current_setting('pg_trickle.enabled') = 'off'");
    session.run("UPDATE t SET v = -v WHERE g < 4; DELETE FROM t WHERE g = 5; INSERT INTO t VALUES (0, 0, 0)");
    drop(session);
    cluster.restart();
    let mut session = cluster.session();
    session.run("ALTER SYSTEM RESET pg_trickle.enabled");
    session.rows("SELECT pg_reload_conf()");
    wait_until("maintenance to be on", || session.value("SHOW pg_trickle.enabled") == "on");
    verify(&cluster);
}

/// H57: a fast shutdown in the middle of long work is answered at once; `stop` fails after its limit.
#[test]
fn h57_a_fast_shutdown_does_not_wait_for_the_engine() {
    let mut cluster = Cluster::builder().start();
    prepare(&cluster);
    let mut session = cluster.session();
    session.run("INSERT INTO t SELECT i, i % 20, i FROM generate_series(100000, 400000) i");
    drop(session);
    let started = std::time::Instant::now();
    cluster.stop();
    assert!(started.elapsed() < Duration::from_secs(20), "it took {:?}", started.elapsed());
    cluster.start();
    verify(&cluster);
}

/// A prepared transaction outlives the server's crash, and its changes the freeing of segments around them; what a killed
/// session had not committed is never seen.
#[test]
fn h08_prepared_transactions_outlive_crashes() {
    let mut cluster = Cluster::builder().set("max_prepared_transactions", "8").start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_trickle; CREATE TABLE t (id int, pad text)");
    let oracle = Oracle::new("st", "SELECT id, pad FROM t");
    session.run("SELECT pgtrickle.create_stream_table('st', 'SELECT id, pad FROM t', schedule => '1 ms', refresh_mode => 'differential')");
    oracle.assert_equal(&mut session);
    let insert = |id: i32, rows: i32| {
        format!("INSERT INTO t SELECT {id}, repeat(md5(i::text), 30) FROM generate_series(1, {rows}) i")
    };
    for (id, name) in ["kept", "undone", "late"].iter().enumerate() {
        let id = id as i32;
        session.run(&format!(
            "BEGIN; {}; SAVEPOINT s; {}; ROLLBACK TO s; SAVEPOINT s; {}; RELEASE s; PREPARE TRANSACTION '{name}'",
            insert(id, 10),
            insert(id + 10, 10),
            insert(id + 20, 10)
        ));
    }
    let mut open = cluster.session();
    open.run(&format!("BEGIN; {}", insert(900, 10)));
    let pid = open.value("SELECT pg_backend_pid()");
    // Enough to close segments behind the prepared changes, and to have them given back.
    for id in 100..110 {
        session.run(&insert(id, 2000));
        oracle.assert_equal(&mut session);
    }
    session.wait(
        "segments to be given back beside those that the prepared transactions hold",
        "SELECT bool_or(state = 'f') AND bool_or(state = 'c') FROM pgtrickle.segment",
    );
    // A killed backend takes every session with it, and the server recovers by itself; then the whole server is killed.
    cluster.kill_process(pid.parse().expect("a pid"));
    cluster.kill_server();
    cluster.start();
    let mut session = cluster.session();
    oracle.assert_equal(&mut session);
    session.run("COMMIT PREPARED 'kept'");
    session.run("ROLLBACK PREPARED 'undone'");
    oracle.assert_equal(&mut session);
    assert_eq!(session.value("SELECT count(*) FROM st WHERE id IN (0, 20)"), "20");
    assert_eq!(session.value("SELECT count(*) FROM st WHERE id IN (1, 10, 11, 12, 21, 900)"), "0");
    session.run(&insert(200, 2000));
    oracle.assert_equal(&mut session);
    cluster.kill_server();
    cluster.start();
    let mut session = cluster.session();
    session.run("COMMIT PREPARED 'late'");
    oracle.assert_equal(&mut session);
    assert_eq!(session.value("SELECT count(*) FROM st WHERE id IN (2, 22)"), "20");
}

/// Risk 2: one of eight writers is killed in mid-transaction while segments are rotated, sealed and freed; the server starts
/// all its processes anew. Every other round ends in peace, so that what was missed is not found again by a new start. What
/// arrives in the stream table is counted row by row: nothing comes twice, nothing not at all.
#[test]
fn h08_one_writer_of_eight_is_killed_during_rotation() {
    const ROUNDS: usize = 10;
    let seed = Random::seed("h08_one_writer_is_killed");
    let mut random = Random::new(seed);
    let mut cluster = Cluster::builder().set("pg_trickle.segment_size", "64kB").start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_trickle; CREATE TABLE t (id bigserial, w int, pad text)");
    let query = "SELECT id, w, length(pad) AS l FROM t";
    session.run(&format!(
        "SELECT pgtrickle.create_stream_table('st', '{query}', schedule => '1 ms', refresh_mode => 'differential')"
    ));
    let oracle = Oracle::new("st", query);
    oracle.assert_equal(&mut session);
    session.run("CREATE TABLE arrival (id bigint)");
    session.run(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql
             AS 'BEGIN INSERT INTO public.arrival VALUES (NEW.id); RETURN NULL; END'",
    );
    session.run("CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON st FOR EACH ROW EXECUTE FUNCTION note()");
    drop(session);
    for round in 0..ROUNDS {
        let (folder, open, over) = (cluster.folder().to_owned(), Mutex::new(Vec::new()), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for number in 0..8 {
                let (mut random, folder, open, over) = (random.fork(), folder.clone(), &open, &over);
                scope.spawn(move || {
                    let mut session = Session::connect(&folder, "postgres", "postgres").expect("a session");
                    let pid: u32 = session.value("SELECT pg_backend_pid()").parse().expect("a pid");
                    open.lock().expect("no writer has panicked").push(pid);
                    // What a client was not told is committed may be: only the table itself says so.
                    while !over.load(Ordering::Relaxed) && write(&mut session, &mut random, number).is_ok() {}
                });
            }
            wait_until("all writers are there", || open.lock().expect("no writer has panicked").len() == 8);
            // Segments go round: some were freed and are filled again, others wait for their writers.
            let mut session = cluster.session();
            let frontier = "SELECT max(sealed) FROM pgtrickle.segment";
            for _ in 0..4 {
                let sealed = session.value(frontier);
                session.wait("segments to be rotated", &format!("SELECT ({frontier}) IS DISTINCT FROM '{sealed}'"));
            }
            if round % 2 == 1 {
                over.store(true, Ordering::Relaxed);
                return;
            }
            let pids = open.lock().expect("no writer has panicked").clone();
            let victim = pids[random.below(pids.len())];
            session.wait(
                "the writer to be in the middle of a transaction",
                &format!("SELECT backend_xid IS NOT NULL FROM pg_stat_activity WHERE pid = {victim}"),
            );
            cluster.kill_process(victim);
        });
        let mut session = cluster.session();
        oracle.assert_equal(&mut session);
        let wrong = session.value(
            "SELECT count(*) FROM (SELECT id FROM arrival GROUP BY id HAVING count(*) > 1) AS twice
               FULL JOIN (SELECT id FROM t EXCEPT SELECT id FROM arrival) AS missing USING (id)",
        );
        assert_eq!(wrong, "0", "round {round}: rows that came twice or not at all");
        let strangers = session.value("SELECT count(*) FROM (SELECT id FROM arrival EXCEPT SELECT id FROM t) AS gone");
        assert_eq!(strangers, "0", "round {round}: rows that were never committed");
    }
    assert_eq!(cluster.log().matches("was terminated by signal 9").count(), ROUNDS / 2);
    cluster.session().wait(
        "the change buffer to be given back",
        "SELECT count(*) FILTER (WHERE state IN ('c', 's')) = 0 FROM pgtrickle.segment",
    );
}

/// One transaction of a writer, statement by statement, so that it is open between them; the error, if the server is gone.
fn write(session: &mut Session, random: &mut Random, number: i32) -> Result<(), ServerError> {
    let insert = |random: &mut Random| {
        let (rows, width) = ([1, 3, 20][random.below(3)], [10, 100, 700][random.below(3)]);
        format!(
            "INSERT INTO t (w, pad) SELECT {number}, (SELECT string_agg(md5(i::text || j), '') FROM generate_series(1, {width}) j)
               FROM generate_series(1, {rows}) i"
        )
    };
    session.attempt("BEGIN")?;
    for _ in 0..1 + random.below(3) {
        match random.below(4) {
            0 => {
                session.attempt("SAVEPOINT s")?;
                session.attempt(&insert(random))?;
                session.attempt("ROLLBACK TO s")?;
            }
            1 => {
                session.attempt("SAVEPOINT s")?;
                session.attempt(&insert(random))?;
                session.attempt("RELEASE s")?;
            }
            _ => session.attempt(&insert(random))?,
        }
    }
    session.attempt(if random.chance(85) { "COMMIT" } else { "ROLLBACK" })
}
