//! What recursive queries come to while the tables change.

use super::*;

#[test]
fn e12_a_transitive_closure_follows_circles_that_close_and_break() {
    let case = Case { plan: plan(closure_plan()), expected: closure, upwards: false };
    seeds(12).for_each(|seed| follow(seed, &case, nothing));
}

#[test]
fn e12_union_all_counts_every_path_of_a_graph_without_circles() {
    let case = Case { plan: plan(paths_plan(ROUNDS)), expected: paths, upwards: true };
    seeds(12).for_each(|seed| follow(seed, &case, nothing));
}

/// Bill of materials: the quantities along every path multiplied, then added up outside of the recursion.
#[test]
fn e12_a_bill_of_materials_multiplies_along_and_adds_up_outside() {
    // (part, sub-part, quantity); an edge's quantity is that of OTHER's row, which the step looks up as well.
    fn quantities(tables: &BTreeMap<SourceId, Table>) -> Vec<(i64, Option<i64>, i64, i64)> {
        let mut all = Vec::new();
        for (from, to, n) in edges(tables) {
            for (row, m) in &tables[&OTHER].rows {
                if let (Some(from), Some(quantity)) = (from, int8(row, 1)) {
                    if int8(row, 0) == Some(from) {
                        all.push((from, to, quantity, n * m));
                    }
                }
            }
        }
        all
    }
    fn expected(tables: &BTreeMap<SourceId, Table>) -> Bag {
        let parts = quantities(tables);
        let mut base = Bag::new();
        for (from, to, quantity, n) in &parts {
            add(&mut base, row8(&[Some(*from), *to, Some(*quantity)]), *n);
        }
        let (all, _) = evaluate(base, true, ROUNDS, |work| {
            let mut out = Bag::new();
            for (row, count) in work {
                for (from, to, quantity, n) in &parts {
                    if Some(*from) == int8(row, 1) {
                        let product = int8(row, 2).expect("not null") * quantity;
                        add(&mut out, row8(&[int8(row, 0), *to, Some(product)]), count * n);
                    }
                }
            }
            out
        });
        let mut counts: BTreeMap<(Option<i64>, Option<i64>), i64> = BTreeMap::new();
        for (row, n) in all {
            *counts.entry((int8(&row, 0), int8(&row, 1))).or_default() += n;
        }
        counts.into_iter().map(|((from, to), n)| (row8(&[from, to, Some(n)]), 1)).collect()
    }
    // Quantities NULL: they are never looked up as such here, so they are filtered out of OTHER.
    let known = |at: usize| Expr::Not(Box::new(Expr::IsNull(Box::new(column(at)))));
    let other = JoinInput { relation: source(OTHER, &[1, 2]), width: 2, filter: vec![known(1)] };
    // edges (0, 1) JOIN other (2, 3) ON from = other.0
    let base = Rel::Join(Join {
        inputs: vec![join_input(source(EDGES, &[1, 2]), 2), other.clone()],
        paths: vec![vec![step(1, 0, 0)], vec![step(0, 2, 0)]],
        residual: Vec::new(),
        site: 0,
    });
    let base = project_rel(base, &[0, 1, 3]);
    // r (0, 1, 2) JOIN edges (3, 4) ON r.1 = from JOIN other (5, 6) ON from = other.0
    let join = Rel::Join(Join {
        inputs: vec![join_input(recursive(3), 3), join_input(source(EDGES, &[1, 2]), 2), other],
        paths: vec![
            vec![step(1, 1, 0), step(2, 3, 0)],
            vec![step(2, 3, 0), step(0, 3, 1)],
            vec![step(1, 5, 0), step(0, 3, 1)],
        ],
        residual: Vec::new(),
        site: 0,
    });
    let product = call(INT8MUL, column(2), column(6), Kind::Int8);
    let step = Rel::Map { input: Box::new(join), expressions: vec![product], site: 1 };
    let all = fixpoint(append(vec![base, project_rel(step, &[0, 4, 7])]));
    let sums = Rel::Reduce(Reduce {
        input: Box::new(all),
        keys: vec![group_key(0), group_key(1)],
        aggregates: vec![Aggregate {
            function: AggregateFunction::CountRows,
            argument: None,
            distinct: None,
            filter: None,
        }],
        collected: None,
        global: false,
        site: 0,
    });
    let case = Case { plan: plan(sums), expected, upwards: true };
    seeds(9).for_each(|seed| follow(seed, &case, nothing));
}

/// `… UNION SELECT r.from, e.to, r.length + 1 … WHERE r.length < 5`, then the shortest of each pair.
#[test]
fn e12_shortest_paths_grow_longer_when_an_edge_goes() {
    fn expected(tables: &BTreeMap<SourceId, Table>) -> Bag {
        let edges = edges(tables);
        let mut least: BTreeMap<(Option<i64>, Option<i64>), i64> = BTreeMap::new();
        let base = edges.iter().map(|(from, to, _)| (row8(&[*from, *to, Some(1)]), 1)).collect();
        let (all, _) = evaluate(base, false, ROUNDS, |work| {
            let mut out = Bag::new();
            for row in work.keys() {
                for (from, to, _) in &edges {
                    let length = int8(row, 2).expect("not null");
                    if from.is_some() && *from == int8(row, 1) && length < 5 {
                        add(&mut out, row8(&[int8(row, 0), *to, Some(length + 1)]), 1);
                    }
                }
            }
            out
        });
        for row in all.keys() {
            let length = int8(row, 2).expect("not null");
            let known = least.entry((int8(row, 0), int8(row, 1))).or_insert(length);
            *known = length.min(*known);
        }
        least.into_iter().map(|((from, to), length)| (row8(&[from, to, Some(length)]), 1)).collect()
    }
    let one = Rel::Map { input: Box::new(source(EDGES, &[1, 2])), expressions: vec![literal(1)], site: 0 };
    let short = call(INT8LT, column(2), literal(5), Kind::Bool);
    let short = Rel::Filter { input: Box::new(recursive(3)), predicates: vec![short], site: 0 };
    let longer = call(INT8PL, column(2), literal(1), Kind::Int8);
    let step = Rel::Map { input: Box::new(next(short, 3)), expressions: vec![longer], site: 0 };
    let all = fixpoint(distinct(append(vec![one, project_rel(step, &[0, 4, 5])]), 3));
    let least = Rel::Reduce(Reduce {
        input: Box::new(all),
        keys: vec![group_key(0), group_key(1)],
        aggregates: vec![Aggregate {
            function: AggregateFunction::Min(Kind::Int8),
            argument: Some(2),
            distinct: None,
            filter: None,
        }],
        collected: None,
        global: false,
        site: 0,
    });
    let case = Case { plan: plan(least), expected, upwards: false };
    seeds(9).for_each(|seed| follow(seed, &case, nothing));
}

fn int8_type() -> ColumnType {
    ColumnType { kind: Kind::Int8, oid: 20, typmod: -1, collation: 0, length: 8, by_value: true, align: b'd' }
}

/// Ten times the argument and one; too large from 100000 on.
fn tenfold(value: Option<i64>) -> Result<Option<i64>, EvalError> {
    match value {
        Some(value) if value >= 100_000 => Err(EvalError::new(b"22003", "too large")),
        value => Ok(value.map(|value| value * 10 + 1)),
    }
}

fn answer(request: &EvaluationRequest) -> EvaluationReply {
    let arguments: BTreeSet<&Row> = request.rows.iter().map(|(_, row)| row).collect();
    assert_eq!(arguments.len(), request.rows.len(), "arguments are sent once");
    let result = |row: &Row| tenfold(int8(row, 0)).map(|value| row8(&[value]));
    let results = request.rows.iter().rev().map(|(item, row)| (*item, result(row))).collect();
    EvaluationReply { id: request.id, worker: request.worker, graph: request.graph, results }
}

/// `SELECT from, to, from AS path … UNION ALL SELECT r.from, e.to, f(r.path) …`, f by PostgreSQL.
fn path_plan(rounds: u64) -> Rel {
    let base = project_rel(source(EDGES, &[1, 2]), &[0, 1, 0]);
    let map = Rel::PgMap { input: Box::new(next(recursive(3), 3)), fragment: 0, arguments: vec![2], site: 3 };
    fixpoint_of(0, rounds, append(vec![base, project_rel(map, &[0, 4, 5])]))
}

fn path_rows(tables: &BTreeMap<SourceId, Table>, rounds: u64) -> Bag {
    let edges = edges(tables);
    let mut base = Bag::new();
    edges.iter().for_each(|(from, to, n)| add(&mut base, row8(&[*from, *to, *from]), *n));
    let (all, _) = evaluate(base, true, rounds, |work| {
        let mut out = Bag::new();
        for (row, count) in work {
            for (from, to, n) in &edges {
                if from.is_some() && *from == int8(row, 1) {
                    if let Ok(path) = tenfold(int8(row, 2)) {
                        add(&mut out, row8(&[int8(row, 0), *to, path]), count * n);
                    }
                }
            }
        }
        out
    });
    all
}

#[test]
fn e12_e15_postgresql_evaluates_in_the_loop() {
    let fragments = vec![Fragment {
        query: String::new(),
        arguments: vec![int8_type()],
        results: vec![int8_type()],
        text: "f(path)".to_owned(),
    }];
    let plan = Arc::new(Plan { root: path_plan(ROUNDS), columns: Vec::new(), key: None, fragments, sites: Vec::new() });
    let case = Case { plan, expected: |tables| path_rows(tables, ROUNDS), upwards: true };
    seeds(9).for_each(|seed| follow(seed, &case, answer));
}

/// A recursion over what a recursion gives, and the first one used again beside it.
#[test]
fn e12_a_recursion_reads_another_one() {
    fn expected(tables: &BTreeMap<SourceId, Table>) -> Bag {
        let reach = closure(tables);
        let other: Vec<(Option<i64>, Option<i64>)> =
            tables[&OTHER].rows.keys().map(|row| (int8(row, 0), int8(row, 1))).collect();
        let base: Bag = other.iter().map(|(from, to)| (row8(&[*from, *to]), 1)).collect();
        let (mut all, _) = evaluate(base, false, ROUNDS, |work| {
            let mut out = Bag::new();
            for row in work.keys() {
                for pair in reach.keys() {
                    if int8(row, 1).is_some() && int8(row, 1) == int8(pair, 0) {
                        add(&mut out, row8(&[int8(row, 0), int8(pair, 1)]), 1);
                    }
                }
            }
            out
        });
        reach.into_iter().for_each(|(row, n)| add(&mut all, row, n));
        all
    }
    let step = Rel::Join(Join {
        inputs: vec![join_input(Rel::Recursive { id: 1, width: 2 }, 2), join_input(closure_plan(), 2)],
        paths: vec![vec![step(1, 1, 0)], vec![step(0, 2, 1)]],
        residual: Vec::new(),
        site: 0,
    });
    let second = fixpoint_of(1, ROUNDS, distinct(append(vec![source(OTHER, &[1, 2]), project_rel(step, &[0, 3])]), 2));
    let case = Case { plan: plan(append(vec![second, closure_plan()])), expected, upwards: false };
    seeds(9).for_each(|seed| follow(seed, &case, nothing));
}

/// What an expression in the step fails on stands among the errors for as long as the row does, in however many rounds the
/// rows around it move.
#[test]
fn e12_e24_errors_of_the_step_come_and_go_with_their_rows() {
    // 12 / to, for every pair that is reached: fails where 0 is reached, and such a row is no row.
    fn steps(tables: &BTreeMap<SourceId, Table>) -> (Bag, BTreeSet<Row>) {
        let edges = edges(tables);
        let mut failed = BTreeSet::new();
        let base: Bag = edges.iter().map(|(from, to, _)| (row8(&[*from, *to]), 1)).collect();
        let failed_in_step = std::cell::RefCell::new(&mut failed);
        let (all, _) = evaluate(base, false, ROUNDS, |work| {
            let mut out = Bag::new();
            for row in work.keys() {
                for (from, to, _) in &edges {
                    if from.is_some() && *from == int8(row, 1) {
                        match *to {
                            Some(0) => {
                                let joined = row8(&[int8(row, 0), int8(row, 1), *from, *to]);
                                failed_in_step.borrow_mut().insert(joined);
                            }
                            to => add(&mut out, row8(&[int8(row, 0), to]), 1),
                        }
                    }
                }
            }
            out
        });
        (all, failed)
    }
    let quotient = call(INT8DIV, literal(12), column(3), Kind::Int8);
    let map = Rel::Map { input: Box::new(next(recursive(2), 2)), expressions: vec![quotient], site: 5 };
    let body = distinct(append(vec![source(EDGES, &[1, 2]), project_rel(map, &[0, 3])]), 2);
    let mut seen = 0;
    for seed in seeds(9) {
        let workers = 1 + (seed % 3) as usize;
        println!("seed {seed}, {workers} workers");
        let mut random = Random(seed);
        let mut driver = Driver::new(workers, |_| {});
        driver.table(EDGES, 2);
        driver.attach(1, plan(fixpoint(body.clone())), 3, Box::new(|tables| steps(tables).0), |_| {});
        for _ in 0..40 {
            let rows = change(&mut random, &driver.tables[&EDGES], 5, false, 3);
            driver.cut(BTreeMap::from([(EDGES, rows)]));
            driver.settle();
            let wanted = steps(&driver.tables).1;
            let errors: BTreeSet<Row> = driver.errors(1).keys().map(|error| error.row.clone()).collect();
            assert_eq!(errors, wanted);
            seen += errors.len();
        }
        driver.stop();
    }
    assert!(seen > 0);
}

/// Of rows that are equal and not the same, the one that is reached first goes round: what follows from it follows, and nothing
/// else, however they come and go.
#[test]
fn e21_of_equal_rows_the_earliest_goes_round() {
    fn expected(tables: &BTreeMap<SourceId, Table>) -> Bag {
        let edges = edges(tables);
        let mut known: BTreeMap<Option<i64>, Row> = BTreeMap::new();
        let mut work: Vec<Row> = Vec::new();
        let base = edges.iter().filter(|(from, ..)| *from == Some(0));
        let mut candidates: Vec<Row> = base.map(|(from, to, _)| row8(&[*to, *from, Some(0)])).collect();
        for round in 1.. {
            candidates.retain(|row| !known.contains_key(&int8(row, 0)));
            candidates.sort();
            for row in candidates.drain(..) {
                known.entry(int8(&row, 0)).or_insert_with(|| {
                    work.push(row.clone());
                    row
                });
            }
            for row in work.drain(..) {
                for (from, to, _) in edges.iter().filter(|(from, ..)| from.is_some() && *from == int8(&row, 0)) {
                    // What is written comes from the row before.
                    let how = int8(&row, 1).zip(*from).map(|(how, from)| (how * 7 + from) % 1000);
                    candidates.push(row8(&[*to, how, Some(round)]));
                }
            }
            if candidates.is_empty() {
                break;
            }
        }
        known.into_values().map(|row| (row, 1)).collect()
    }
    const INT8MOD: u32 = 945;
    let zero = call(INT8EQ, column(0), literal(0), Kind::Bool);
    let base = Rel::Filter { input: Box::new(source(EDGES, &[1, 2])), predicates: vec![zero], site: 0 };
    let base = Rel::Map { input: Box::new(base), expressions: vec![literal(0)], site: 0 };
    let join = Rel::Join(Join {
        inputs: vec![join_input(recursive(3), 3), join_input(source(EDGES, &[1, 2]), 2)],
        paths: vec![vec![step(1, 0, 0)], vec![step(0, 3, 0)]],
        residual: Vec::new(),
        site: 0,
    });
    let how = call(INT8PL, call(INT8MUL, column(1), literal(7), Kind::Int8), column(3), Kind::Int8);
    let how = call(INT8MOD, how, literal(1000), Kind::Int8);
    let round = call(INT8PL, column(2), literal(1), Kind::Int8);
    let step = Rel::Map { input: Box::new(join), expressions: vec![how, round], site: 0 };
    let body = append(vec![project_rel(base, &[1, 0, 2]), project_rel(step, &[4, 5, 6])]);
    let columns = ["node", "how", "round"].map(str::to_owned).to_vec();
    let earliest = Some(Earliest { keys: vec![group_key(0)], round: 2 });
    let root = Rel::Fixpoint(Fixpoint {
        id: 0,
        name: "tree".to_owned(),
        columns,
        body: Box::new(body),
        earliest,
        rounds: ROUNDS,
        site: 7,
    });
    let case = Case { plan: plan(root), expected, upwards: false };
    seeds(12).for_each(|seed| follow(seed, &case, nothing));
}
