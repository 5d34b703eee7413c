//! The worker and the server are killed in the middle of their work; nothing may be lost, nothing may be there twice.

use std::time::Duration;

use trickle_regress::oracle::Oracle;
use trickle_regress::random::Random;
use trickle_regress::session::wait_until;
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
