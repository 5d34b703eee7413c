//! An engine without work uses no processor. In a process of its own: other tests' engines would be counted too.

mod common;

use common::*;
use std::sync::Arc;
use std::time::Duration;
use trickle_operators::engine::api::Event;
use trickle_operators::engine::{Config, Engine};
use trickle_operators::value::Row;

#[test]
fn e08_an_engine_without_work_uses_no_processor() {
    let (sender, wake) = crossbeam_channel::unbounded();
    let notify = Arc::new(move || {
        // The receiver lives as long as the engine.
        let _ = sender.send(());
    });
    let mut engine = Engine::start(Config::new(2, Arc::new(Unlimited), notify)).expect("threads start");
    let many: Vec<Row> = (0..1000).map(|number| row8(&[Some(number)])).collect();
    let graph = plan(source(1, &[1]));
    let hydrations = [engine.attach(1, graph), engine.install(1)].concat();
    for hydration in hydrations {
        engine.hydrate(hydration.id, many.iter().map(|row| (row.clone(), 1)).collect());
        engine.hydrated(hydration.id);
    }
    let mut reported = false;
    while !reported {
        wake.recv_timeout(Duration::from_secs(60)).expect("the engine answers");
        while let Some(event) = engine.poll() {
            reported |= matches!(event, Event::Output { complete: true, .. });
        }
    }
    let ticks = || {
        let mut sum = 0;
        for task in std::fs::read_dir("/proc/self/task").expect("Linux") {
            let path = task.expect("a task").path();
            let name = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
            if name.starts_with("trickle engine") {
                let text = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
                sum += text.split(' ').next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
            }
        }
        sum
    };
    std::thread::sleep(Duration::from_millis(200));
    let before = ticks();
    std::thread::sleep(Duration::from_millis(1000));
    let used = Duration::from_nanos(ticks() - before);
    assert!(used < Duration::from_millis(20), "{used:?} of processor time in a second without work");
    assert!(engine.stop(Duration::from_secs(20)));
}
