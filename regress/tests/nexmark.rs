//! The queries of Nexmark as stream tables, over events as they come and corrections of them.

use trickle_regress::nexmark::{self, Events};
use trickle_regress::oracle::Oracle;
use trickle_regress::random::Random;
use trickle_regress::{cases, Cluster};

#[test]
fn the_queries_of_nexmark_follow() {
    let random = Random::new(Random::seed("Nexmark"));
    let cluster = Cluster::builder().purpose("nexmark").start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_trickle");
    session.run(nexmark::SCHEMA);
    let mut events = Events::new(random);
    events.run(&mut session, 4000);
    session.run("ANALYZE");
    let queries = nexmark::queries();
    assert_eq!(queries.len(), 23);
    for query in &queries {
        query.create(&mut session, "1 hour").unwrap_or_else(|error| panic!("{error}"));
    }
    session.rows("SELECT pgtrickle.refresh_all()");
    let otherwise = cases::otherwise(&mut session, &queries);
    assert!(otherwise.is_empty(), "modes that are not as marked:\n{}", otherwise.join("\n"));
    let oracles: Vec<Oracle> = queries.iter().map(cases::Case::oracle).collect();
    for round in 0..12 {
        events.run(&mut session, 300);
        if round > 0 {
            for _ in 0..10 {
                session.run(&events.correction());
            }
        }
        session.rows("SELECT pgtrickle.refresh_all()");
        let wrong: Vec<String> = oracles
            .iter()
            .filter_map(|oracle| Some(format!("{}:\n{}", oracle.name, oracle.difference(&mut session)?)))
            .collect();
        assert!(wrong.is_empty(), "round {round}:\n{}", wrong.join("\n"));
    }
    for query in &queries {
        let rows = session.value(&format!("SELECT count(*) FROM {}", query.name));
        assert_ne!(rows, "0", "{} has no rows to compare", query.name);
    }
}
