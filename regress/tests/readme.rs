//! What the README says, held against what is there.

use std::collections::BTreeSet;

use trickle_regress::installation::project;
use trickle_regress::Cluster;

fn readme() -> String {
    std::fs::read_to_string(project().join("README.md")).expect("there is a README")
}

/// The cells of the tables under a heading, without the tables' heads.
fn rows(text: &str, heading: &str) -> Vec<Vec<String>> {
    let under = text.split(&format!("\n## {heading}\n")).nth(1).expect("the heading is there");
    let section = under.split("\n## ").next().unwrap_or_default();
    let lines = section.lines().filter(|line| line.starts_with('|'));
    lines
        .skip(2)
        .map(|line| line.trim_matches('|').split(" |").map(|cell| cell.trim().replace('`', "")).collect())
        .collect()
}

/// The first example, word for word, and the result that it shows.
#[test]
fn the_example_works() {
    let cluster = Cluster::builder().start();
    let mut session = cluster.session();
    let text = readme();
    let example = text.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let (statements, result) = example.split_once("SELECT * FROM revenue;").expect("the last statement");
    for statement in statements.split(";\n").filter(|statement| !statement.trim().is_empty()) {
        session.run(statement);
    }
    let shown: Vec<Vec<String>> = result
        .lines()
        .filter_map(|line| line.strip_prefix("--"))
        .map(|line| line.split('|').map(|cell| cell.trim().to_string()).collect())
        .collect();
    let columns = session.columns("SELECT * FROM revenue");
    let content = session.rows("SELECT * FROM revenue");
    let content = content.into_iter().map(|row| row.into_iter().flatten().collect::<Vec<String>>());
    assert_eq!(shown, std::iter::once(columns).chain(content).collect::<Vec<_>>());
}

#[test]
fn settings_are_complete() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    let said: BTreeSet<(String, String)> =
        rows(&readme(), "Settings").into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    let there = session.rows("SELECT name, current_setting(name) FROM pg_settings WHERE name LIKE 'pg_trickle.%'");
    let there: BTreeSet<(String, String)> =
        there.into_iter().map(|row| (row[0].clone().unwrap_or_default(), row[1].clone().unwrap_or_default())).collect();
    assert_eq!(said, there);
}

#[test]
fn functions_are_complete() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    let name = |before: &str| {
        let start = before.rfind(|c: char| !c.is_ascii_lowercase() && c != '_').map_or(0, |at| at + 1);
        before[start..].to_string()
    };
    let said: BTreeSet<String> = rows(&readme(), "Functions")
        .iter()
        .flat_map(|row| row[0].match_indices('(').map(|(at, _)| name(&row[0][..at])).collect::<Vec<_>>())
        .collect();
    // Those that are for indexes and triggers are nobody's to call.
    let there = session.rows(
        "SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'pgtrickle'::regnamespace \
            AND proname NOT IN ('row_hash', 'canonical_image', 'multirange_instants', 'single') \
            AND EXISTS (SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) WHERE grantee = 0)",
    );
    let there: BTreeSet<String> = there.into_iter().filter_map(|row| row[0].clone()).collect();
    assert_eq!(said, there);
}
