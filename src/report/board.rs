//! [`Board`]: what is going on, kept from events. It knows the time only by being told, and writes
//! nothing: faces ask it for a picture.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::pipeline::events::{Activity, Ending, Event, Stage, TaskId};

use super::words;

/// Rates are taken over so much of the past.
const RATE_OVER: Duration = Duration::from_secs(5);
/// Bytes that arrive within so short a time are one sample.
const SAMPLE: Duration = Duration::from_millis(250);

/// What is going on. Times count from the beginning of the run.
#[derive(Debug, Default)]
pub(super) struct Board {
    stage: Option<Stage>,
    began: Duration,
    done: usize,
    tasks: Option<usize>,
    bytes: u64,
    expected_bytes: u64,
    running: BTreeMap<TaskId, Running>,
    samples: VecDeque<(Duration, u64)>,
}

/// A task that runs.
#[derive(Debug, Clone)]
pub(super) struct Running {
    activity: Activity,
    since: Duration,
    phase: Option<&'static str>,
    bytes: u64,
}

/// What an event leaves to be told.
#[derive(Debug)]
pub(super) enum Note {
    /// A stage began.
    Stage(Stage, Option<usize>),
    /// A task ended so, after so long.
    Ended(Running, Duration, Ending),
    /// Something the user should know.
    Warning(String),
}

impl Board {
    /// Takes in what happened at `now`.
    pub(super) fn apply(&mut self, event: &Event, now: Duration) -> Option<Note> {
        match event {
            Event::Stage { stage, tasks } => {
                self.stage = Some(*stage);
                self.began = now;
                self.done = 0;
                self.tasks = *tasks;
                self.bytes = 0;
                self.expected_bytes = 0;
                self.samples.clear();
                return Some(Note::Stage(*stage, *tasks));
            }
            Event::Expect { tasks, bytes } => {
                self.tasks = Some(*tasks);
                self.expected_bytes = *bytes;
            }
            Event::Started { task, activity } => {
                let activity = activity.clone();
                self.running.insert(*task, Running { activity, since: now, phase: None, bytes: 0 });
            }
            Event::Phase { task, phase } => {
                if let Some(running) = self.running.get_mut(task) {
                    running.phase = Some(phase);
                }
            }
            Event::Advanced { task, bytes } => {
                if let Some(running) = self.running.get_mut(task) {
                    running.bytes = running.bytes.saturating_add(*bytes);
                }
                self.bytes = self.bytes.saturating_add(*bytes);
                self.sample(now, *bytes);
            }
            Event::Ended { task, ending } => {
                let running = self.running.remove(task)?;
                if self.stage.is_none_or(|stage| counts(stage, &running.activity)) {
                    self.done += 1;
                }
                let took = now.saturating_sub(running.since);
                return Some(Note::Ended(running, took, ending.clone()));
            }
            Event::Warning { text } => return Some(Note::Warning(words::one_line(text))),
        }
        None
    }

    fn sample(&mut self, now: Duration, bytes: u64) {
        match self.samples.back_mut() {
            Some((at, sum)) if now.saturating_sub(*at) < SAMPLE => *sum = sum.saturating_add(bytes),
            _ => self.samples.push_back((now, bytes)),
        }
        while self.samples.front().is_some_and(|(at, _)| now.saturating_sub(*at) > RATE_OVER) {
            self.samples.pop_front();
        }
    }

    /// The stage that runs.
    pub(super) fn stage(&self) -> Option<Stage> {
        self.stage
    }

    /// Tasks of the stage that ended, and those there are in all as far as is known. Work that
    /// came up on the way (what a build requires) makes the second larger.
    pub(super) fn tasks(&self) -> (usize, Option<usize>) {
        let counting =
            |running: &&Running| self.stage.is_none_or(|stage| counts(stage, &running.activity));
        let seen = self.done + self.running.values().filter(counting).count();
        (self.done, self.tasks.map(|tasks| tasks.max(seen)))
    }

    /// Bytes per second of late, when there are any.
    pub(super) fn rate(&self, now: Duration) -> Option<u64> {
        let past = |at: &Duration| now.saturating_sub(*at) <= RATE_OVER;
        let sum: u64 = self.samples.iter().filter(|(at, _)| past(at)).map(|(_, bytes)| bytes).sum();
        // A first sample a moment old is no rate yet.
        let over = now.saturating_sub(self.began).min(RATE_OVER).max(Duration::from_secs(1));
        let rate = sum as f64 / over.as_secs_f64();
        (rate >= 1.0).then_some(rate as u64)
    }

    /// How far the stage is: bytes, their rate, and for how long it has run.
    pub(super) fn figures(&self, now: Duration) -> String {
        let mut parts = Vec::new();
        if self.expected_bytes > self.bytes {
            parts.push(words::bytes_of(self.bytes, self.expected_bytes));
        } else if self.bytes > 0 {
            parts.push(words::bytes(self.bytes));
        }
        if let Some(rate) = self.rate(now) {
            parts.push(format!("{}/s", words::bytes(rate)));
        }
        parts.push(words::clock(now.saturating_sub(self.began)));
        parts.join(", ")
    }

    /// What runs for at least `least`, and every build: builds first, then by age.
    pub(super) fn running(&self, now: Duration, least: Duration) -> Vec<&Running> {
        let mut running: Vec<_> = self
            .running
            .values()
            .filter(|running| running.is_build() || running.age(now) >= least)
            .collect();
        // Task names grow with time, so a stable sort leaves the eldest first.
        running.sort_by_key(|running| (!running.is_build(), running.since));
        running
    }
}

/// Whether such a task is one of those whose number the stage told.
fn counts(stage: Stage, activity: &Activity) -> bool {
    match stage {
        Stage::Plan => matches!(activity, Activity::Page { .. }),
        Stage::Resolve => matches!(activity, Activity::Page { .. } | Activity::Metadata { .. }),
        Stage::Obtain => matches!(activity, Activity::Fetch { .. } | Activity::Build { .. }),
        Stage::Write => matches!(activity, Activity::Write { .. }),
        Stage::Install => matches!(activity, Activity::Install { .. }),
        Stage::Verify => true,
    }
}

impl Running {
    /// Whether it is a build.
    pub(super) fn is_build(&self) -> bool {
        matches!(self.activity, Activity::Build { .. })
    }

    /// Whether it only reads what an index says: there are hundreds of such, and none is news.
    pub(super) fn is_reading(&self) -> bool {
        matches!(self.activity, Activity::Page { .. } | Activity::Metadata { .. })
    }

    /// For how long it has run.
    pub(super) fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.since)
    }

    /// What it works on.
    pub(super) fn subject(&self) -> String {
        words::one_line(match &self.activity {
            Activity::Page { project } => project,
            Activity::Metadata { release } | Activity::Build { release } => release,
            Activity::Fetch { file, .. } | Activity::Install { file } => file,
            Activity::Write { destination } => destination,
            Activity::Unpack { image } => image,
            Activity::Run { step } => step,
            Activity::Remove { packages } => packages,
        })
    }

    /// What it does, as it does it: `building`.
    pub(super) fn doing(&self) -> &'static str {
        match &self.activity {
            Activity::Page { .. } => "asking for",
            Activity::Metadata { .. } => "reading",
            Activity::Fetch { .. } => "fetching",
            Activity::Build { .. } => "building",
            Activity::Write { .. } => "writing",
            Activity::Unpack { .. } => "unpacking",
            Activity::Run { .. } => "doing",
            Activity::Remove { .. } => "removing",
            Activity::Install { .. } => "installing",
        }
    }

    /// What it did, once done: `built`.
    pub(super) fn did(&self) -> &'static str {
        match &self.activity {
            Activity::Page { .. } => "asked for",
            Activity::Metadata { .. } => "read",
            Activity::Fetch { .. } => "fetched",
            Activity::Build { .. } => "built",
            Activity::Write { .. } => "wrote",
            Activity::Unpack { .. } => "unpacked",
            Activity::Run { .. } => "did",
            Activity::Remove { .. } => "removed",
            Activity::Install { .. } => "installed",
        }
    }

    /// The work as a thing: ``the build of `krb5 0.7.0` ``.
    pub(super) fn work(&self) -> String {
        let work = match &self.activity {
            Activity::Page { .. } => "the index page of",
            Activity::Metadata { .. } => "the metadata of",
            Activity::Fetch { .. } => "the fetch of",
            Activity::Build { .. } => "the build of",
            Activity::Write { .. } => "the write of",
            Activity::Unpack { .. } => "the unpacking of",
            Activity::Run { .. } => "the step",
            Activity::Remove { .. } => "the removal of",
            Activity::Install { .. } => "the installation of",
        };
        format!("{work} `{}`", self.subject())
    }

    /// How far it is, when there is anything to tell.
    pub(super) fn detail(&self) -> Option<String> {
        match &self.activity {
            Activity::Fetch { size: Some(size), .. } if *size >= self.bytes => {
                Some(words::bytes_of(self.bytes, *size))
            }
            _ if self.bytes > 0 => Some(words::bytes(self.bytes)),
            _ => self.phase.map(ToOwned::to_owned),
        }
    }

    /// The bytes it moved.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// The stage as it goes on: `obtaining`.
pub(super) fn stage_doing(stage: Option<Stage>) -> &'static str {
    match stage {
        None => "beginning",
        Some(Stage::Plan) => "planning",
        Some(Stage::Resolve) => "resolving",
        Some(Stage::Obtain) => "obtaining",
        Some(Stage::Write) => "writing",
        Some(Stage::Install) => "installing",
        Some(Stage::Verify) => "verifying",
    }
}

/// The stage and what its tasks are: `obtaining 575 wheels`.
pub(super) fn stage_words(stage: Stage, tasks: Option<usize>) -> String {
    let doing = stage_doing(Some(stage));
    let (one, many) = match stage {
        Stage::Plan => ("pin", "pins"),
        Stage::Resolve => ("project", "projects"),
        Stage::Obtain | Stage::Install => ("wheel", "wheels"),
        Stage::Write => ("destination", "destinations"),
        Stage::Verify => ("blob", "blobs"),
    };
    match tasks {
        Some(tasks) => format!("{doing} {}", words::count(tasks, one)),
        None => format!("{doing} {many}"),
    }
}

/// The one line that says how a task failed.
pub(super) fn failure(running: &Running, ending: &Ending) -> Option<String> {
    let Ending::Failed { cause, log } = ending else { return None };
    let log =
        log.as_ref().map(|log| format!(" (log: `{}`)", words::one_line(&log.to_string_lossy())));
    Some(format!(
        "{} failed: {}{}",
        running.work(),
        words::one_line(cause),
        log.unwrap_or_default()
    ))
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::pipeline::events::{Events, Reporter};

    /// Keeps events, for a test to hand on at times of its choice: only [`Events`] names tasks.
    #[derive(Default)]
    pub(crate) struct Recorder(Mutex<Vec<Event>>);

    impl Reporter for Recorder {
        fn event(&self, event: &Event) {
            self.0.lock().unwrap().push(event.clone());
        }
    }

    impl Recorder {
        pub(crate) fn events() -> (Arc<Self>, Events) {
            let recorder = Arc::new(Self::default());
            (Arc::clone(&recorder), Events::to(recorder))
        }

        /// The events since the last call.
        pub(crate) fn take(&self) -> Vec<Event> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn work_found_on_the_way_raises_the_number_of_tasks() {
        let (recorder, events) = Recorder::events();
        let mut board = Board::default();
        events.stage(Stage::Obtain, Some(1));
        let fetch = |file: &str| events.start(Activity::Fetch { file: file.into(), size: None });
        let (first, second) = (fetch("a"), fetch("b"));
        let page = events.start(Activity::Page { project: "c".into() });
        first.end(Ending::Done);
        page.end(Ending::Done);
        for event in recorder.take() {
            board.apply(&event, at(1));
        }
        assert_eq!(board.tasks(), (1, Some(2)));
        second.end(Ending::Done);
        for event in recorder.take() {
            board.apply(&event, at(2));
        }
        assert_eq!(board.tasks(), (2, Some(2)));
    }

    #[test]
    fn rates_forget_the_past_and_stages_begin_anew() {
        let (recorder, events) = Recorder::events();
        let mut board = Board::default();
        events.stage(Stage::Obtain, None);
        let task = events.start(Activity::Fetch { file: "a".into(), size: Some(1 << 20) });
        let mut play = |now| {
            for event in recorder.take() {
                board.apply(&event, now);
            }
            (board.rate(now), board.figures(now))
        };
        assert_eq!(play(at(0)), (None, "0 s".into()));
        task.advance(1 << 20);
        assert_eq!(play(at(2)), (Some(1 << 19), "1.0 MiB, 512.0 KiB/s, 2 s".into()));
        assert_eq!(play(at(6)), (Some((1 << 20) / 5), "1.0 MiB, 204.8 KiB/s, 6 s".into()));
        assert_eq!(play(at(30)), (None, "1.0 MiB, 30 s".into()));
        events.stage(Stage::Write, None);
        assert_eq!(play(at(31)), (None, "0 s".into()));
    }

    #[test]
    fn builds_come_first_then_the_eldest() {
        let (recorder, events) = Recorder::events();
        let mut board = Board::default();
        let mut tasks = Vec::new();
        for (second, activity) in [
            (0, Activity::Fetch { file: "old.whl".into(), size: None }),
            (1, Activity::Build { release: "krb5 0.7.0".into() }),
            (2, Activity::Build { release: "uwsgi 2.0".into() }),
            (3, Activity::Fetch { file: "new.whl".into(), size: None }),
        ] {
            tasks.push(events.start(activity));
            for event in recorder.take() {
                board.apply(&event, at(second));
            }
        }
        let order: Vec<_> = board.running(at(3), at(1)).into_iter().map(Running::subject).collect();
        assert_eq!(order, ["krb5 0.7.0", "uwsgi 2.0", "old.whl"]);
    }
}
