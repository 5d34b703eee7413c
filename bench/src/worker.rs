//! The worker of a database as the operating system sees it: the processor time that its threads have taken, which other
//! work on the machine does not add to, and whether it is at rest.

use std::ops::Sub;
use std::path::PathBuf;
use std::time::Duration;

use trickle_regress::Session;

/// How long all of its threads must have stood still for the worker to count as being at rest.
const REST: u32 = 5;
const LOOK: Duration = Duration::from_millis(3);

/// The worker process of one database, or another process of the server.
pub struct Worker {
    threads: PathBuf,
}

/// Processor time of the worker's main thread and of the engine's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Processor {
    pub main: Duration,
    pub engine: Duration,
}

impl Processor {
    pub fn total(self) -> Duration {
        self.main + self.engine
    }
}

impl Sub for Processor {
    type Output = Processor;

    fn sub(self, earlier: Processor) -> Processor {
        Processor { main: self.main.saturating_sub(earlier.main), engine: self.engine.saturating_sub(earlier.engine) }
    }
}

impl Worker {
    /// That of the session's database, once it runs.
    pub fn of(session: &mut Session) -> Worker {
        let runs = "SELECT worker_pid IS NOT NULL FROM pgtrickle.scheduler_status() LIMIT 1";
        session.wait("the worker to run", runs);
        let pid = session.value("SELECT worker_pid FROM pgtrickle.scheduler_status() LIMIT 1");
        Worker { threads: format!("/proc/{pid}/task").into() }
    }

    /// The process that serves the session.
    pub fn serving(session: &mut Session) -> Worker {
        let pid = session.value("SELECT pg_backend_pid()");
        Worker { threads: format!("/proc/{pid}/task").into() }
    }

    /// What its threads have taken so far; nothing where the system does not tell.
    pub fn processor(&self) -> Processor {
        let mut taken = Processor::default();
        for thread in std::fs::read_dir(&self.threads).into_iter().flatten().flatten() {
            let read = |name: &str| std::fs::read_to_string(thread.path().join(name)).unwrap_or_default();
            let spent = read("schedstat").split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0);
            let sum = if read("comm").starts_with("trickle") { &mut taken.engine } else { &mut taken.main };
            *sum += Duration::from_nanos(spent);
        }
        taken
    }

    /// Looks on until it is at rest, and says what it has taken then.
    pub fn rest(&self) -> Processor {
        let mut taken = self.processor();
        let mut still = 0;
        while still < REST {
            std::thread::sleep(LOOK);
            let now = self.processor();
            still = if now == taken { still + 1 } else { 0 };
            taken = now;
        }
        taken
    }
}
