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

/// A hundred rows change in tables of different sizes: the same rows go through the loop.
#[test]
fn e12_a_change_costs_the_same_in_a_large_table() {
    // SELECT a, 1 FROM edges WHERE b > 95 UNION SELECT e.a, r.n + 1 FROM r JOIN edges e ON e.a = r.a + 1 WHERE r.n < 4
    let found = Rel::Filter {
        input: Box::new(source(EDGES, &[1, 2])),
        predicates: vec![call(INT8LT, literal(95), column(1), Kind::Bool)],
        site: 0,
    };
    let base = project_rel(Rel::Map { input: Box::new(found), expressions: vec![literal(1)], site: 0 }, &[0, 2]);
    let next_of = |at| call(INT8PL, column(at), literal(1), Kind::Int8);
    let short = call(INT8LT, column(1), literal(4), Kind::Bool);
    let near = |probe, at| Lookup { input: probe, probe: vec![next_of(0)], key: vec![key(at)], filter: Vec::new() };
    let back = KeyColumn { expression: next_of(0), ..key(0) };
    let back = Lookup { input: 0, probe: vec![column(2)], key: vec![back], filter: Vec::new() };
    let join = Rel::Join(Join {
        inputs: vec![
            JoinInput { filter: vec![short], ..join_input(recursive(2), 2) },
            join_input(source(EDGES, &[1, 2]), 2),
        ],
        paths: vec![vec![near(1, 0)], vec![back]],
        residual: Vec::new(),
        site: 0,
    });
    let step = Rel::Map { input: Box::new(join), expressions: vec![next_of(1)], site: 0 };
    let body = distinct(append(vec![base, project_rel(step, &[2, 4])]), 2);
    let root = plan(fixpoint(body));
    let cost = |size: i64| {
        let mut driver = Driver::new(1, |_| {});
        driver.table(EDGES, 2);
        let row = |id: i64, shift: i64| row8(&[Some(id), Some((id * 37 + shift) % 100)]);
        let hydrations = driver.engine.attach(2, Arc::clone(&root));
        assert!(hydrations.is_empty());
        for hydration in driver.engine.install(2) {
            driver.engine.hydrate(hydration.id, (0..size).map(|id| (row(id, 0), 1)).collect());
            driver.engine.hydrated(hydration.id);
        }
        let reported = |driver: &mut Driver| loop {
            match driver.engine.poll() {
                Some(Event::Output { rows, .. }) => break rows.len(),
                Some(other) => panic!("{other:?}"),
                None => driver.wake.recv_timeout(Duration::from_secs(120)).expect("the engine answers"),
            }
        };
        reported(&mut driver);
        let worked = |driver: &Driver| -> u64 {
            driver.engine.statistics(2).expect("attached").operators.iter().map(|operator| operator.rows_in).sum()
        };
        let (mut rows, mut most) = (0, Duration::MAX);
        for round in 0..5 {
            let before = worked(&driver);
            let changed = |id: i64| id * (size / 100);
            let changes = (0..100).flat_map(|id| [(row(changed(id), round), -1), (row(changed(id), round + 1), 1)]);
            let began = Instant::now();
            let time = driver.engine.open();
            driver.engine.feed(time, EDGES, &[1, 2], changes.collect());
            driver.engine.advance(time, &[EDGES]);
            reported(&mut driver);
            most = most.min(began.elapsed());
            rows = worked(&driver) - before;
        }
        println!("{size} rows: {rows} rows worked on, {most:?}");
        driver.stop();
        rows
    };
    let (small, large) = (cost(10_000), cost(300_000));
    assert!(large < 2 * small, "{small} and {large}");
}
