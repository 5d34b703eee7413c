//! The engine's threads: their start, their end, and what becomes of a panic in one.

use super::registry::{LaneId, Registry};
use super::worker::{Border, EngineThread, Part};
use super::{Config, Engine};
use crate::operators::arrangement::set_idle_merging;
use crate::operators::context::current_operator;
use crate::operators::memory::Memory;
use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;
use std::thread::Thread;
use std::time::Duration;
use timely::communication::allocator::{ProcessBuilder, Thread as ThreadAllocator};
use timely::communication::{Allocator, Hooks};
use timely::worker::Worker;
use timely::WorkerConfig;

/// Stack of an engine thread: expressions and plans are trees, and walking them recurses.
const STACK: usize = 16 << 20;

impl Engine {
    /// Starts the threads. They inherit the caller's signal mask: block all signals around this call.
    pub fn start(config: Config) -> std::io::Result<Engine> {
        let stop = Arc::new(AtomicBool::new(false));
        let queued = Arc::new(AtomicUsize::new(0));
        let memory = Arc::new(Memory::new(Arc::clone(&config.gauge)));
        let (outbox, events) = crossbeam_channel::unbounded();
        let (alive, ended) = crossbeam_channel::bounded::<()>(0);
        let mut settings = WorkerConfig::default();
        if config.idle_merge_effort > 0 {
            set_idle_merging(&mut settings, config.idle_merge_effort);
        }
        let builders: Vec<Option<ProcessBuilder>> = if config.workers == 1 {
            vec![None]
        } else {
            let refill = Hooks::default().refill;
            ProcessBuilder::new_typed_vector(config.workers, refill, None).into_iter().map(Some).collect()
        };
        let mut engine = Engine {
            lane: LaneId::default(),
            memory: Arc::clone(&memory),
            stop: Arc::clone(&stop),
            queued: Arc::clone(&queued),
            commands: Vec::new(),
            threads: Vec::new(),
            events,
            ended,
            registry: Registry::default(),
            time: 0,
            next_id: 0,
            next_worker: 0,
            assemblies: BTreeMap::new(),
            pending: VecDeque::new(),
        };
        for (index, builder) in builders.into_iter().enumerate() {
            let (sender, commands) = crossbeam_channel::unbounded();
            let border = Border {
                events: outbox.clone(),
                notify: Arc::clone(&config.notify),
                stop: Arc::clone(&stop),
                queued: Arc::clone(&queued),
                memory: Arc::clone(&memory),
                slice: config.slice,
            };
            let (settings, alive) = (settings.clone(), alive.clone());
            let handle = std::thread::Builder::new().name(format!("trickle engine {index}")).stack_size(STACK).spawn(
                move || {
                    let _alive = alive;
                    let allocator = match builder {
                        None => Allocator::Thread(ThreadAllocator::default()),
                        Some(builder) => Allocator::Process(builder.build()),
                    };
                    let worker = Worker::new(settings, allocator, Some(std::time::Instant::now()));
                    thread_main(EngineThread::new(worker, commands, border.clone()), &border);
                },
            );
            match handle {
                Ok(handle) => {
                    let thread = handle.thread().clone();
                    engine.commands.push(sender);
                    engine.threads.push((handle, thread));
                }
                Err(error) => {
                    // Those already started wait for each other's first message; the flag ends them after it never comes.
                    engine.stop.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(engine)
    }

    /// Sets the stop flag and waits for the threads; false if some have not ended in time (they then still run).
    pub fn stop(&mut self, timeout: Duration) -> bool {
        self.stop.store(true, Ordering::Relaxed);
        for (_, thread) in &self.threads {
            thread.unpark();
        }
        // Nothing is ever sent: the channel closes when the last thread ends.
        let ended = self.ended.recv_timeout(timeout) == Err(crossbeam_channel::RecvTimeoutError::Disconnected);
        if ended {
            for (handle, _) in self.threads.drain(..) {
                // A thread catches its own panics and reports them.
                let _ = handle.join();
            }
        }
        ended
    }

    /// The same as a function that needs no engine, for a process that ends while the engine is in use. The threads are not
    /// joined: nothing that they share with this handle may be relied on afterwards.
    pub fn stopper(&self) -> Box<dyn FnOnce(Duration) -> bool + Send> {
        let (stop, ended) = (Arc::clone(&self.stop), self.ended.clone());
        let threads: Vec<Thread> = self.threads.iter().map(|(_, thread)| thread.clone()).collect();
        Box::new(move |timeout| {
            stop.store(true, Ordering::Relaxed);
            for thread in threads {
                thread.unpark();
            }
            ended.recv_timeout(timeout) == Err(crossbeam_channel::RecvTimeoutError::Disconnected)
        })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for (_, thread) in &self.threads {
            thread.unpark();
        }
    }
}

/// Runs one engine thread to its end. A panic is reported, stops the others, and leaves this thread's state alone: it may
/// be half borrowed, and a second panic would abort the process (HAZARDS E34).
fn thread_main(mut thread: EngineThread, border: &Border) {
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
        thread.run();
        thread.close();
    }));
    let Err(payload) = outcome else { return };
    std::mem::forget(thread);
    border.stop.store(true, Ordering::Relaxed);
    let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "panic without a message".to_owned(),
    };
    let (graph, operator) = match current_operator() {
        Some((graph, operator)) => (Some(graph).filter(|graph| *graph != 0), operator),
        None => (None, "engine".to_owned()),
    };
    border.tell(Part::Panicked { graph, operator, message });
}
