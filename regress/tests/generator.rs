//! Random queries over random schemas, followed through random statements: each stream table must be what its query gives,
//! and must fail when its query fails. A failure is made small and printed as a script with its seed.

use std::time::{Duration, Instant};

use trickle_regress::generator::case::Case;
use trickle_regress::generator::run::{Runner, Tally};
use trickle_regress::generator::shrink::shrink;
use trickle_regress::random::Random;
use trickle_regress::Cluster;

/// How long new cases are made, if it is said: TRICKLE_ORACLE_SECONDS.
fn time() -> Option<Duration> {
    let seconds = std::env::var("TRICKLE_ORACLE_SECONDS").ok().and_then(|text| text.parse().ok());
    seconds.map(Duration::from_secs)
}

/// The same cases each time, unless it runs for as long as it is told, or a seed is asked for.
fn seed() -> u64 {
    let asked = ["TRICKLE_SEED", "TRICKLE_ORACLE_SECONDS"].iter().any(|name| std::env::var_os(name).is_some());
    if asked {
        Random::seed("random queries")
    } else {
        1
    }
}

/// So many cases are run if no time is given, or as many as this time allows: a slow machine does not wait for the rest.
const CASES: u64 = 150;
const LONGEST: Duration = Duration::from_secs(45);

/// So many failures are made small; then the run ends.
const FAILURES: usize = 4;
/// In a long run, of which more is learnt.
const FAILURES_OF_MANY: usize = 20;

/// Settings of the server that the run is with: TRICKLE_SET="pg_trickle.native_expressions=off pg_trickle.…".
fn settings() -> Vec<(String, String)> {
    let text = std::env::var("TRICKLE_SET").unwrap_or_default();
    let settings = text.split_whitespace().filter_map(|setting| setting.split_once('='));
    settings.map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

#[test]
fn random_queries_follow() {
    let mut seed = seed();
    // Where in the code an error was raised is in the log.
    let builder = Cluster::builder().set("log_error_verbosity", "verbose");
    let settings = settings();
    let cluster = settings.iter().fold(builder, |builder, (name, value)| builder.set(name, value)).start();
    cluster.session().run("CREATE EXTENSION pg_trickle");
    let mut runner = Runner::new(&cluster);
    let asked = time();
    let end = Instant::now() + asked.unwrap_or(LONGEST);
    let (mut cases, mut sum) = (0u64, Tally::default());
    let mut failures = Vec::new();
    let more = |cases| (asked.is_some() || cases < CASES) && (cases == 0 || Instant::now() < end);
    let most = if asked.is_some() { FAILURES_OF_MANY } else { FAILURES };
    while failures.len() < most && more(cases) {
        let case = Case::random(&mut Random::new(seed));
        let clock = Instant::now();
        let result = runner.run(&case);
        if clock.elapsed() > Duration::from_secs(5) {
            println!("TRICKLE_SEED={seed} took {:.1?}: {result:?}", clock.elapsed());
        }
        match result {
            Ok(tally) => sum.add(tally),
            Err(found) => {
                let first = found.text.clone();
                // A hang takes too long to be made small.
                let time = Duration::from_secs(if found.is_hang() { 0 } else { 20 });
                let (case, failure) = shrink(&mut runner, case, found, time);
                let (kind, text, script) = (&failure.kind, &failure.text, case.script());
                let said = format!("TRICKLE_SEED={seed}: {kind}\n{text}\nin\n{script};\nat first: {first}\n");
                println!("{said}");
                failures.push(said);
            }
        }
        cases += 1;
        seed += 1;
    }
    println!("random queries: {cases} cases, {sum:?}");
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}
