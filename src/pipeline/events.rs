//! [`Event`]: what the pipeline says while it works, for whoever draws it.
//!
//! Events are facts with no wording: `report` decides what people see. A task is one thing that runs
//! (a page being read, a wheel being fetched or built) and is named by its [`TaskId`] from
//! [`Event::Started`] to [`Event::Ended`].

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::error::chain;

/// Names a running task within one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(u64);

/// The stage of the run that begins; stages follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Index pages are read and a file is chosen for each pin.
    Plan,
    /// Versions are resolved.
    Resolve,
    /// Wheels are fetched and built.
    Obtain,
    /// The destinations are written.
    Write,
    /// An environment is filled.
    Install,
    /// The store is read back.
    Verify,
}

/// What a task does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Activity {
    /// Reads the index page of a project.
    Page {
        /// The project.
        project: String,
    },
    /// Reads the metadata of a release.
    Metadata {
        /// The file or release.
        release: String,
    },
    /// Fetches a file.
    Fetch {
        /// The file's name.
        file: String,
        /// Its size in bytes, when the index tells.
        size: Option<u64>,
    },
    /// Builds a wheel; its phases come as [`Event::Phase`].
    Build {
        /// `name version`.
        release: String,
    },
    /// Writes a destination.
    Write {
        /// The destination as the user wrote it.
        destination: String,
    },
    /// Unpacks an image into a root file system.
    Unpack {
        /// The image.
        image: String,
    },
    /// Removes packages of a distribution.
    Remove {
        /// The packages.
        packages: String,
    },
    /// Does a step of a project.
    Run {
        /// The step.
        step: String,
    },
    /// Installs a wheel, or packages of a distribution.
    Install {
        /// The file's name, or how many packages of what.
        file: String,
    },
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It did its work.
    Done,
    /// Nothing had to be done: the result was in the store.
    Reused,
    /// Nobody wants it any more: the run was interrupted, or what needed it failed.
    Cancelled,
    /// It failed, and why, in one line; the log is named when there is one.
    Failed {
        /// The cause, for people.
        cause: String,
        /// The log of a failed build.
        log: Option<PathBuf>,
    },
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A stage begins, with the number of its tasks as far as it is known.
    Stage {
        /// The stage.
        stage: Stage,
        /// The number of tasks to come.
        tasks: Option<usize>,
    },
    /// The number of the current stage's tasks is now known better, and their bytes.
    Expect {
        /// Tasks in all.
        tasks: usize,
        /// Bytes in all, over the tasks whose size is known.
        bytes: u64,
    },
    /// A task begins.
    Started {
        /// The task.
        task: TaskId,
        /// What it does.
        activity: Activity,
    },
    /// A build goes over to another phase (for example `reading its requirements`, `compiling`).
    Phase {
        /// The task.
        task: TaskId,
        /// The phase, for people.
        phase: &'static str,
    },
    /// A task moved on by so many bytes.
    Advanced {
        /// The task.
        task: TaskId,
        /// Bytes since the last such event.
        bytes: u64,
    },
    /// A task ended.
    Ended {
        /// The task.
        task: TaskId,
        /// How.
        ending: Ending,
    },
    /// Something the user should know although work goes on.
    Warning {
        /// One sentence without a full stop.
        text: String,
    },
}

/// Takes events as they happen, from any thread; must not block for long.
pub trait Reporter: Send + Sync {
    /// Takes one event.
    fn event(&self, event: &Event);
}

/// Hands out task names and passes events on to a [`Reporter`].
#[derive(Clone)]
pub struct Events {
    reporter: Arc<dyn Reporter>,
    next: Arc<AtomicU64>,
}

impl Events {
    /// Events for `reporter`.
    #[must_use]
    pub fn to(reporter: Arc<dyn Reporter>) -> Self {
        Self { reporter, next: Arc::new(AtomicU64::new(1)) }
    }

    /// Passes `event` on.
    pub fn send(&self, event: &Event) {
        self.reporter.event(event);
    }

    /// Says that a stage begins.
    pub fn stage(&self, stage: Stage, tasks: Option<usize>) {
        self.send(&Event::Stage { stage, tasks });
    }

    /// Says something the user should know.
    pub fn warn(&self, text: impl Into<String>) {
        self.send(&Event::Warning { text: text.into() });
    }

    /// Says that a task's result was there already, so that it ended as it began.
    pub fn reused(&self, activity: Activity) {
        self.start(activity).end(Ending::Reused);
    }

    /// Begins a task. A [`Task`] that is dropped without an ending was cancelled.
    #[must_use]
    pub fn start(&self, activity: Activity) -> Task {
        let id = TaskId(self.next.fetch_add(1, Ordering::Relaxed));
        self.send(&Event::Started { task: id, activity });
        Task { id, events: self.clone(), reached: AtomicU64::new(0), ended: AtomicBool::new(false) }
    }
}

/// A running task: says how it moves on and, at the latest when dropped, how it ended.
pub struct Task {
    id: TaskId,
    events: Events,
    reached: AtomicU64,
    ended: AtomicBool,
}

impl Task {
    /// The task moved on by `bytes`.
    pub fn advance(&self, bytes: u64) {
        self.events.send(&Event::Advanced { task: self.id, bytes });
    }

    /// The task has come as far as `total` bytes. A transfer that begins anew counts again only from
    /// where it has been.
    pub fn reach(&self, total: u64) {
        let before = self.reached.fetch_max(total, Ordering::Relaxed);
        if total > before {
            self.advance(total - before);
        }
    }

    /// The task goes over to `phase`.
    pub fn phase(&self, phase: &'static str) {
        self.events.send(&Event::Phase { task: self.id, phase });
    }

    /// Runs `work`, which tells the bytes by which it moves on, to its end, and says how it ended.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn run<T, E: std::error::Error + 'static, F: Future<Output = Result<T, E>>>(
        self,
        work: impl FnOnce(Arc<dyn Fn(u64) + Send + Sync>) -> F,
    ) -> Result<T, E> {
        let task = Arc::new(self);
        let told = Arc::downgrade(&task);
        let progress: Arc<dyn Fn(u64) + Send + Sync> = Arc::new(move |bytes| {
            // Who still tells when the task has ended tells nobody.
            if let Some(task) = told.upgrade() {
                task.advance(bytes);
            }
        });
        let outcome = work(progress).await;
        let ending = match &outcome {
            Ok(_) => Ending::Done,
            Err(error) => Ending::Failed { cause: chain(error).join(": "), log: None },
        };
        // Another thread may hold it for the moment in which it tells; its drop says nothing new then.
        task.finish(ending);
        outcome
    }

    /// The task ended so.
    pub fn end(self, ending: Ending) {
        self.finish(ending);
    }

    fn finish(&self, ending: Ending) {
        if !self.ended.swap(true, Ordering::Relaxed) {
            self.events.send(&Event::Ended { task: self.id, ending });
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.finish(Ending::Cancelled);
    }
}
