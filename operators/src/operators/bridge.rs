//! Bridges: how a graph's output becomes another graph's input, worker by worker, without an arrangement in between
//! (HAZARDS E10).

use super::border::{Diff, Time};
use super::context::Context;
use super::{weight, Rows};
use crate::value::Row;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::generic::operator::source;
use timely::dataflow::Scope;
use timely::scheduling::Activator;

/// What has been sent and not yet taken.
struct Queue {
    /// Finished times, in order, and their rows.
    rows: VecDeque<(Time, Rc<Vec<(Row, Diff)>>)>,
    /// What these take up.
    bytes: usize,
    /// Through which time the upstream is done; `None`: it is closed.
    frontier: Option<Time>,
    /// Times before this are in the table the reader hydrates from; none are passed on until it is known.
    from: Option<Time>,
    activator: Option<Activator>,
}

/// The sending side, owned by the upstream's sink: one queue for each reader.
#[derive(Clone, Default)]
pub struct BridgeWriter(Rc<RefCell<Vec<Weak<RefCell<Queue>>>>>);

/// The receiving side.
pub struct BridgeReader(Rc<RefCell<Queue>>);

/// Opens the receiving side: from `from` on, rows are passed.
#[derive(Clone)]
pub struct BridgeGate(Weak<RefCell<Queue>>);

impl BridgeWriter {
    /// A new reader; its upstream has reached `frontier`.
    pub fn reader(&self, frontier: Option<Time>) -> (BridgeReader, BridgeGate) {
        let queue =
            Rc::new(RefCell::new(Queue { rows: VecDeque::new(), bytes: 0, frontier, from: None, activator: None }));
        self.0.borrow_mut().push(Rc::downgrade(&queue));
        let gate = BridgeGate(Rc::downgrade(&queue));
        (BridgeReader(queue), gate)
    }

    /// Whether anybody reads.
    pub fn is_read(&self) -> bool {
        self.0.borrow().iter().any(|queue| queue.strong_count() > 0)
    }

    /// The rows of a finished time.
    pub fn send(&self, time: Time, rows: &Rc<Vec<(Row, Diff)>>) {
        if !self.is_read() {
            return;
        }
        let bytes: usize = rows.iter().map(|(row, _)| weight(row)).sum();
        self.each(|queue| {
            queue.rows.push_back((time, Rc::clone(rows)));
            queue.bytes += bytes;
        });
    }

    pub fn advance(&self, frontier: Option<Time>) {
        self.each(|queue| queue.frontier = frontier);
    }

    fn each(&self, mut change: impl FnMut(&mut Queue)) {
        self.0.borrow_mut().retain(|queue| {
            let Some(queue) = queue.upgrade() else { return false };
            let mut queue = queue.borrow_mut();
            change(&mut queue);
            if let Some(activator) = &queue.activator {
                activator.activate();
            }
            true
        });
    }
}

impl BridgeGate {
    pub fn open(&self, from: Time) {
        if let Some(queue) = self.0.upgrade() {
            let mut queue = queue.borrow_mut();
            queue.from = Some(from);
            if let Some(activator) = &queue.activator {
                activator.activate();
            }
        }
    }
}

/// The stream of a bridge in the reading graph, which starts at time `at`.
pub fn receive<'s>(scope: Scope<'s, Time>, reader: BridgeReader, at: Time, name: &str, context: &Context) -> Rows<'s> {
    let context = context.clone();
    source::<_, CapacityContainerBuilder<Vec<(Row, Diff)>>, _, _>(scope, name, move |mut capability, info| {
        let operator = context.operator(&format!("bridge {name}"), scope.activator_for(Rc::clone(&info.address)));
        let activator = scope.activator_for(info.address);
        activator.activate();
        reader.0.borrow_mut().activator = Some(activator);
        capability.downgrade(&at);
        let mut live = Some((capability, reader));
        move |output| {
            let _running = operator.enter();
            if operator.halted() {
                live = None;
                operator.holds(0, 0);
            }
            let Some((capability, reader)) = &mut live else { return };
            let closed = {
                let mut queue = reader.0.borrow_mut();
                let queue = &mut *queue;
                if let Some(from) = queue.from {
                    for (time, rows) in queue.rows.drain(..).filter(|(time, _)| *time >= from) {
                        operator.count_out(rows.len());
                        let held = capability.delayed(&time.max(at));
                        output.session(&held).give_iterator(rows.iter().cloned());
                    }
                }
                if queue.rows.is_empty() {
                    queue.bytes = 0;
                }
                operator.holds(queue.rows.iter().map(|(_, rows)| rows.len()).sum(), queue.bytes);
                context.control.check_memory();
                // Rows that wait for the gate keep their times open; before `at` there is nothing to keep.
                let held = queue.rows.front().map(|(time, _)| *time);
                let target = match (held, queue.frontier) {
                    (Some(held), Some(frontier)) => Some(held.min(frontier)),
                    (Some(held), None) => Some(held),
                    (None, frontier) => frontier,
                };
                match target {
                    Some(target) => {
                        if target > *capability.time() {
                            capability.downgrade(&target);
                        }
                        false
                    }
                    None => true,
                }
            };
            if closed {
                live = None;
            }
        }
    })
}
