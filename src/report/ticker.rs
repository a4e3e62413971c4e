//! [`Ticker`]: lets a face move on while no event comes. It owns the room's only thread.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Face;

/// Ticks a face at even times until it is dropped.
pub(super) struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Ticks `face` every `pause`. `None` when no thread can be had: progress then moves with
    /// events only, which is no reason to fail the work it shows.
    pub(super) fn start(face: Arc<dyn Face>, pause: Duration) -> Option<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("progress".into())
            .spawn(move || {
                while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                    face.tick();
                }
            })
            .ok()?;
        Some(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in the thread has already been told; the work goes on without it.
            let _ = thread.join();
        }
    }
}
