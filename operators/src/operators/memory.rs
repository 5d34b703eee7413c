//! Which graph is given up when memory runs out (HAZARDS E11, E33).
//!
//! Whoever notices that the engine is over its limit is seldom the one to blame: every graph's operators say what they
//! hold, and the one that has grown most is stopped, or if none has grown much, the one that holds most. A shared
//! arrangement is charged in equal parts to the graphs that read it. Until all threads have let go of a stopped graph what
//! is in use says nothing, so no second one is stopped meanwhile, and what multiplies rows goes on by single rows.

use super::border::{MemoryGauge, StopReason};
use super::context::Control;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// One graph that may be given up.
struct Account {
    /// A number that no other life of a graph has.
    incarnation: u64,
    control: Weak<Control>,
    /// The shared arrangements that it reads, each once.
    arrangements: Vec<Arc<Control>>,
}

#[derive(Default)]
struct State {
    accounts: Vec<Account>,
    /// The graph given up over memory that the main thread has not detached yet.
    victim: Option<u64>,
    /// Threads that still hold something of detached graphs: one for each graph and thread.
    releasing: usize,
    /// Graphs given up from where none of their own operators runs, and why.
    given_up: Vec<(u64, StopReason)>,
}

/// The memory of one engine.
pub struct Memory {
    gauge: Arc<dyn MemoryGauge>,
    state: Mutex<State>,
}

impl Memory {
    pub fn new(gauge: Arc<dyn MemoryGauge>) -> Self {
        Memory { gauge, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A graph, and the shared arrangements it reads.
    pub fn enter(&self, incarnation: u64, control: &Arc<Control>, arrangements: Vec<Arc<Control>>) {
        self.state().accounts.push(Account { incarnation, control: Arc::downgrade(control), arrangements });
    }

    /// The graph is being detached: `threads` will say [`Memory::released`].
    pub fn leave(&self, incarnation: u64, threads: usize) {
        let mut state = self.state();
        state.accounts.retain(|account| account.incarnation != incarnation);
        state.victim.take_if(|victim| *victim == incarnation);
        state.releasing += threads;
    }

    /// One thread has dropped what it held of a detached graph.
    pub fn released(&self) {
        let mut state = self.state();
        state.releasing = state.releasing.saturating_sub(1);
    }

    pub fn is_over(&self) -> bool {
        self.gauge.used() > self.gauge.limit()
    }

    /// If memory is over its limit, gives up the graph that is to go.
    pub fn check(&self) {
        let (used, limit) = (self.gauge.used(), self.gauge.limit());
        if used <= limit {
            return;
        }
        let mut state = self.state();
        if state.victim.is_some() || state.releasing > 0 {
            return;
        }
        let Some((incarnation, control, held)) = state.largest(limit) else { return };
        let reason = StopReason::MemoryLimit { used, limit, held };
        state.victim = Some(incarnation);
        state.given_up.push((incarnation, reason.clone()));
        control.give_up(reason);
    }

    /// A shared arrangement cannot go on, and so none of its readers can.
    pub fn give_up_readers(&self, arrangement: &Control, reason: &StopReason) {
        let mut state = self.state();
        let mut readers = Vec::new();
        for account in state.accounts.iter().filter(|account| account.reads(arrangement)) {
            let Some(control) = account.control.upgrade() else { continue };
            control.give_up(reason.clone());
            readers.push((account.incarnation, reason.clone()));
        }
        state.given_up.extend(readers);
    }

    /// Graphs to be reported as stopped; each once, though their own operators may say so too.
    pub fn take_given_up(&self) -> Vec<(u64, StopReason)> {
        std::mem::take(&mut self.state().given_up)
    }

    /// The graph has reported a time: what it holds now is not growth any more.
    pub fn settle(&self, incarnation: u64) {
        let state = self.state();
        let Some(account) = state.accounts.iter().find(|account| account.incarnation == incarnation) else { return };
        account.arrangements.iter().for_each(|arrangement| arrangement.settle());
        if let Some(control) = account.control.upgrade() {
            control.settle();
        }
    }

    /// What a graph is charged with.
    pub fn held(&self, incarnation: u64) -> usize {
        let state = self.state();
        let account = state.accounts.iter().find(|account| account.incarnation == incarnation);
        account.map_or(0, |account| state.charge(account, Control::held))
    }
}

impl Account {
    fn reads(&self, arrangement: &Control) -> bool {
        self.arrangements.iter().any(|read| std::ptr::eq(&**read, arrangement))
    }
}

impl State {
    /// Growth up to this part of the limit is ordinary work, and does not outweigh what is held.
    const ORDINARY: usize = 8;

    fn charge(&self, account: &Account, of: impl Fn(&Control) -> usize) -> usize {
        let own = account.control.upgrade().map_or(0, |control| of(&control));
        let shares = account.arrangements.iter().map(|arrangement| {
            let readers = self.accounts.iter().filter(|other| other.reads(arrangement)).count();
            of(arrangement) / readers.max(1)
        });
        own + shares.sum::<usize>()
    }

    fn largest(&self, limit: usize) -> Option<(u64, Arc<Control>, usize)> {
        let living = self.accounts.iter().filter_map(|account| {
            let control = account.control.upgrade().filter(|control| !control.halted())?;
            Some((account, control))
        });
        let weighed: Vec<_> = living
            .map(|(account, control)| {
                let (held, grown) = (self.charge(account, Control::held), self.charge(account, Control::grown));
                (account.incarnation, control, held, grown)
            })
            .collect();
        let grown =
            weighed.iter().filter(|(.., grown)| *grown > limit / Self::ORDINARY).max_by_key(|(.., grown)| *grown);
        let found = grown.or_else(|| weighed.iter().max_by_key(|(_, _, held, _)| *held))?;
        Some((found.0, Arc::clone(&found.1), found.2))
    }
}
