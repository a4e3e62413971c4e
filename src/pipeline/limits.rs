//! [`Limits`]: how much runs at once, decided in one place.
//!
//! Sockets wait on plain semaphores. Builds wait at a [`Gate`] that lets the heaviest waiter in
//! first: the run cannot end before its longest build, so that one must not start last.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, oneshot};

/// How much runs at once.
#[derive(Debug)]
pub struct Limits {
    /// Index pages and metadata being read.
    pub pages: Semaphore,
    /// Wheels being fetched.
    pub fetches: Semaphore,
    /// Source distributions being fetched: few and small, and builds wait for them.
    pub sources: Semaphore,
    /// Wheels in the store whose metadata is being read.
    pub archives: Semaphore,
    /// Private roots in which a project's steps are done: a base each, unpacked.
    pub roots: Semaphore,
    /// Builds.
    pub builds: Arc<Gate>,
    /// Processors a single build may use.
    pub jobs: u32,
}

impl Limits {
    /// Limits for a machine with `jobs` processors.
    ///
    /// One build more than there are processors may run: each spends part of its time unpacking,
    /// waiting for the disk or linking on one of them.
    #[must_use]
    pub fn for_jobs(jobs: u32) -> Self {
        let jobs = jobs.max(1);
        Self {
            pages: Semaphore::new(48),
            fetches: Semaphore::new(16),
            sources: Semaphore::new(16),
            archives: Semaphore::new(2 * jobs as usize),
            roots: Semaphore::new(2),
            builds: Gate::new(jobs as usize + 1),
            jobs,
        }
    }
}

/// Lets a number of holders in at once; among those who wait, the heaviest first.
#[derive(Debug)]
pub struct Gate {
    state: Mutex<GateState>,
}

#[derive(Debug)]
struct GateState {
    free: usize,
    waiters: BinaryHeap<Waiter>,
    arrivals: u64,
}

#[derive(Debug)]
struct Waiter {
    weight: u64,
    arrival: u64,
    admit: oneshot::Sender<Pass>,
}

impl PartialEq for Waiter {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Waiter {}

impl PartialOrd for Waiter {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiter {
    fn cmp(&self, other: &Self) -> Ordering {
        self.weight.cmp(&other.weight).then(other.arrival.cmp(&self.arrival))
    }
}

/// The right to run; given back when dropped.
#[derive(Debug)]
pub struct Pass {
    /// None once the right was handed on.
    gate: Option<Arc<Gate>>,
}

impl Gate {
    /// A gate that lets `width` holders in at once.
    #[must_use]
    pub fn new(width: usize) -> Arc<Self> {
        let state = GateState { free: width.max(1), waiters: BinaryHeap::new(), arrivals: 0 };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Waits to be let in.
    pub async fn enter(self: &Arc<Self>, weight: u64) -> Pass {
        let admitted = {
            let mut state = self.lock();
            if state.free > 0 {
                state.free -= 1;
                return Pass { gate: Some(Arc::clone(self)) };
            }
            let (admit, admitted) = oneshot::channel();
            state.arrivals += 1;
            let arrival = state.arrivals;
            state.waiters.push(Waiter { weight, arrival, admit });
            admitted
        };
        admitted.await.expect("a waiter is only removed by sending it its pass")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, GateState> {
        // Nothing panics while holding the lock, so a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let Some(gate) = self.gate.take() else { return };
        loop {
            let waiter = {
                let mut state = gate.lock();
                match state.waiters.pop() {
                    Some(waiter) => waiter,
                    None => {
                        state.free += 1;
                        return;
                    }
                }
            };
            match waiter.admit.send(Self { gate: Some(Arc::clone(&gate)) }) {
                Ok(()) => return,
                // That waiter was cancelled; the right goes to the next one.
                Err(mut returned) => returned.gate = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_heaviest_waiter_is_let_in_first() {
        let gate = Gate::new(1);
        let first = gate.enter(0).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for weight in [1, 9, 5, 9] {
            let (gate, order) = (Arc::clone(&gate), Arc::clone(&order));
            let entered = gate.state.lock().unwrap().arrivals;
            waiting.push(tokio::spawn({
                let gate = Arc::clone(&gate);
                async move {
                    let _pass = gate.enter(weight).await;
                    order.lock().unwrap().push(weight);
                }
            }));
            while gate.state.lock().unwrap().arrivals == entered {
                tokio::task::yield_now().await;
            }
        }
        drop(first);
        for task in waiting {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [9, 9, 5, 1]);
    }

    #[tokio::test]
    async fn a_cancelled_waiter_takes_no_pass_with_it() {
        let gate = Gate::new(1);
        let first = gate.enter(0).await;
        let waiter = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { drop(gate.enter(1).await) }
        });
        while gate.state.lock().unwrap().waiters.is_empty() {
            tokio::task::yield_now().await;
        }
        waiter.abort();
        assert!(waiter.await.unwrap_err().is_cancelled());
        drop(first);
        drop(gate.enter(0).await);
        assert_eq!(gate.state.lock().unwrap().free, 1);
    }
}
