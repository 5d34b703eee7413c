//! What a change costs.

use super::*;

/// A change of one row costs what follows from it: at a leaf of a large tree, next to nothing; at an inner node, its part.
#[test]
fn e12_a_change_costs_its_consequences_and_not_the_tree() {
    const NODES: i64 = 1 << 16;
    let mut driver = Driver::new(1, |_| {});
    driver.table(EDGES, 2);
    let edge = |from: i64, to: i64| row8(&[Some(from), Some(to)]);
    let tree: Vec<(Row, i64)> = (2..NODES).map(|node| (edge(node / 2, node), 1)).collect();
    driver.cut(BTreeMap::from([(EDGES, tree)]));
    // SELECT to FROM edges WHERE from < 2 UNION SELECT e.to FROM r JOIN edges e ON e.from = r.to
    let roots = Rel::Filter {
        input: Box::new(source(EDGES, &[1, 2])),
        predicates: vec![call(INT8LT, column(0), literal(2), Kind::Bool)],
        site: 0,
    };
    let below = Rel::Join(Join {
        inputs: vec![join_input(recursive(1), 1), join_input(source(EDGES, &[1, 2]), 2)],
        paths: vec![vec![step(1, 0, 0)], vec![step(0, 1, 0)]],
        residual: Vec::new(),
        site: 0,
    });
    let body = distinct(append(vec![project_rel(roots, &[1]), project_rel(below, &[2])]), 1);
    // Everything that hangs on the root: here, the targets of all edges but those of parts that are cut off below.
    let expected = |tables: &BTreeMap<SourceId, Table>| {
        let mut below: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for (from, to, _) in edges(tables) {
            below.entry(from.expect("not null")).or_default().push(to.expect("not null"));
        }
        let mut found = Bag::new();
        let mut open = vec![1];
        while let Some(node) = open.pop() {
            for child in below.get(&node).into_iter().flatten() {
                found.insert(row8(&[Some(*child)]), 1);
                open.push(*child);
            }
        }
        found
    };
    driver.attach(1, plan(fixpoint(body)), 10_000, Box::new(expected), |_| {});
    driver.settle();
    let worked = |driver: &Driver| -> u64 {
        let statistics = driver.engine.statistics(1).expect("attached");
        statistics.operators.iter().map(|operator| operator.rows_in).sum()
    };
    let mut before = worked(&driver);
    let mut cost = |driver: &mut Driver, change: (Row, i64)| {
        driver.cut(BTreeMap::from([(EDGES, vec![change])]));
        driver.settle();
        let now = worked(driver);
        now - std::mem::replace(&mut before, now)
    };
    let leaf = NODES - 1;
    let (gone, back) = (cost(&mut driver, (edge(leaf / 2, leaf), -1)), cost(&mut driver, (edge(leaf / 2, leaf), 1)));
    println!("{gone} and {back} rows for a leaf");
    assert!(gone < 100 && back < 100, "{gone} and {back} rows for a leaf");
    // 1024 nodes hang on this one.
    let inner = NODES / 1024 + 1;
    let gone = cost(&mut driver, (edge(inner / 2, inner), -1));
    println!("{gone} rows for 1023 nodes");
    assert!((1023..30_000).contains(&gone), "{gone} rows for 1023 nodes");
    let held = driver.engine.held_bytes(1);
    assert!(held > 60_000 * 20, "what the loop holds is counted: {held}");
    driver.stop();
}
