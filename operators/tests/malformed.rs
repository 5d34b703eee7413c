//! Images that their kind does not allow: the bytes are damaged, or the plan is wrong. No row may vanish over them.

mod common;

use common::*;
use std::sync::Arc;
use std::time::Duration;
use trickle_operators::engine::api::{Event, Hydration, StopReason};
use trickle_operators::engine::{Config, Engine};
use trickle_operators::expr::Expr;
use trickle_operators::plan::*;
use trickle_operators::value::{Kind, Row};

const A: SourceId = 1;
const B: SourceId = 2;

// pg_proc's number.
const INT8LT: u32 = 469;

fn start(workers: usize) -> (Engine, crossbeam_channel::Receiver<()>) {
    let (sender, wake) = crossbeam_channel::unbounded();
    let notify = Arc::new(move || {
        let _ = sender.send(());
    });
    (Engine::start(Config::new(workers, Arc::new(Unlimited), notify)).expect("threads start"), wake)
}

fn next(engine: &mut Engine, wake: &crossbeam_channel::Receiver<()>) -> Event {
    loop {
        if let Some(event) = engine.poll() {
            return event;
        }
        wake.recv_timeout(Duration::from_secs(30)).expect("the engine answers");
    }
}

fn fill(engine: &mut Engine, hydrations: Vec<Hydration>, row: &Row) {
    for hydration in hydrations {
        engine.hydrate(hydration.id, vec![(row.clone(), 1)]);
        engine.hydrated(hydration.id);
    }
}

fn numeric(index: usize) -> KeyColumn {
    KeyColumn {
        expression: Expr::Column(index, Kind::Numeric),
        kind: Kind::Numeric,
        equality: Equality::Sql,
        nulls_equal: false,
    }
}

/// FROM a JOIN b ON a.1 = b.1; with `below`, a is a map first, and so not shared.
fn join(below: bool) -> Rel {
    let step = |input, probe| Lookup {
        input,
        probe: vec![Expr::Column(probe, Kind::Numeric)],
        key: vec![numeric(0)],
        filter: Vec::new(),
    };
    let a = source(A, &[1]);
    let a = if below { Rel::Map { input: Box::new(a), expressions: vec![column(0)], site: 0 } } else { a };
    let width = if below { 2 } else { 1 };
    Rel::Join(Join {
        inputs: vec![join_input(a, width), join_input(source(B, &[1]), 1)],
        paths: vec![vec![step(1, 0)], vec![step(0, width)]],
        residual: Vec::new(),
        site: 0,
    })
}

fn grouped() -> Rel {
    let keys = vec![KeyColumn { nulls_equal: true, ..numeric(0) }];
    let count = Aggregate { function: AggregateFunction::CountRows, argument: None, distinct: None, filter: None };
    let input = Box::new(source(A, &[1]));
    Rel::Reduce(Reduce { input, keys, aggregates: vec![count], collected: None, global: false, site: 0 })
}

/// A filter that cannot fail but on such an image.
fn filtered() -> Rel {
    let less = Expr::Call { function: INT8LT, arguments: vec![column(0), column(0)], kind: Kind::Bool, collation: 0 };
    Rel::Filter { input: Box::new(source(A, &[1])), predicates: vec![less], site: 0 }
}

#[test]
fn e34_a_malformed_image_stops_the_graph_with_a_reason_and_no_row_vanishes() {
    // One byte is neither a numeric nor an int8.
    let damaged = Row::from_columns([Some(&[1u8][..])]);
    for workers in [1, 2] {
        for root in [grouped(), join(true), join(false), filtered()] {
            let (mut engine, wake) = start(workers);
            let sound = plan(source(A, &[1]));
            engine.attach(1, sound);
            let hydrations = engine.install(1);
            fill(&mut engine, hydrations, &damaged);
            assert!(matches!(next(&mut engine, &wake), Event::Output { graph: 1, .. }));
            let shown = format!("{root:?}");
            let hydrations = engine.attach(2, plan(root));
            fill(&mut engine, hydrations, &damaged);
            if engine.is_installable(2) {
                let hydrations = engine.install(2);
                fill(&mut engine, hydrations, &damaged);
            }
            match next(&mut engine, &wake) {
                Event::Stopped { graph: 2, reason: StopReason::Malformed { error, .. } } => {
                    assert_eq!(&error.sqlstate, b"XX001", "{shown}");
                }
                other => panic!("{shown}: {other:?}"),
            }
            // The other graph, which does not look into the value, goes on.
            assert_eq!(engine.graphs(), vec![1]);
            let time = engine.open();
            engine.feed(time, A, &[1], vec![(damaged.clone(), 1)]);
            engine.advance(time, &[A]);
            assert!(matches!(next(&mut engine, &wake), Event::Output { graph: 1, .. }));
            assert!(engine.stop(Duration::from_secs(20)));
        }
    }
}

/// Readers that come while the arrangement that cannot go on is still there get one of their own.
#[test]
fn e34_a_shared_arrangement_that_stopped_is_not_joined_by_others() {
    let damaged = Row::from_columns([Some(&[1u8][..])]);
    let (mut engine, wake) = start(2);
    let hydrations = engine.attach(1, plan(join(false)));
    assert_eq!(engine.attach(2, plan(join(false))), vec![], "both are shared");
    for hydration in hydrations {
        engine.hydrate(hydration.id, vec![(damaged.clone(), 1)]);
    }
    let mut stopped = Vec::new();
    while stopped.len() < 2 {
        match next(&mut engine, &wake) {
            Event::Stopped { graph, reason: StopReason::Malformed { .. } } => stopped.push(graph),
            other => panic!("{other:?}"),
        }
    }
    stopped.sort_unstable();
    assert_eq!((stopped, engine.graphs()), (vec![1, 2], vec![]));
    let hydrations = engine.attach(3, plan(join(false)));
    let one = Row::from_columns([None]);
    fill(&mut engine, hydrations, &one);
    let hydrations = engine.install(3);
    fill(&mut engine, hydrations, &one);
    assert!(matches!(next(&mut engine, &wake), Event::Output { graph: 3, .. }));
    assert!(engine.stop(Duration::from_secs(20)));
}
