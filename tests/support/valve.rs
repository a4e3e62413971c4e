//! [`Valve`]: what lets requests through to their answers, or holds them, so that a test can do
//! something while a client waits. It knows no server.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// Lets requests through to their answers, or holds them.
#[derive(Default)]
pub struct Valve {
    flow: Mutex<Flow>,
    changed: Condvar,
}

#[derive(Default)]
struct Flow {
    /// So many more are let through; all, when there is no number.
    left: Option<usize>,
    held: usize,
    /// Rises when those that are held are let go.
    round: usize,
    /// Whether those that were let go last are answered.
    answered: bool,
}

impl Valve {
    /// Lets so many more through; those after them wait.
    pub fn hold_after(&self, requests: usize) {
        self.flow.lock().unwrap().left = Some(requests);
    }

    /// Waits until a request is held, or the client is `gone` without having made so many.
    pub fn wait_until_held(&self, mut gone: impl FnMut() -> bool) {
        let mut flow = self.flow.lock().unwrap();
        while flow.held == 0 && !gone() {
            let look_again = Duration::from_millis(20);
            flow = self.changed.wait_timeout(flow, look_again).unwrap().0;
        }
    }

    /// Lets those that are held go, to be `answered` or not, and all that come from now on through.
    pub fn open(&self, answered: bool) {
        let mut flow = self.flow.lock().unwrap();
        *flow = Flow { left: None, held: 0, round: flow.round + 1, answered };
        self.changed.notify_all();
    }

    /// Whether the request may be answered; waits while it may not be known.
    pub fn admits(&self) -> bool {
        let mut flow = self.flow.lock().unwrap();
        match &mut flow.left {
            None => return true,
            Some(0) => {}
            Some(left) => {
                *left -= 1;
                return true;
            }
        }
        flow.held += 1;
        self.changed.notify_all();
        let round = flow.round;
        self.changed.wait_while(flow, |flow| flow.round == round).unwrap().answered
    }
}
