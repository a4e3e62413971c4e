//! [`Lines`]: progress where no cursor can be moved (a log, a pipe, a CI system): one line for what
//! is worth one, and a sign of life while nothing is.

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::pipeline::events::{Ending, Event, Reporter};

use super::Face;
use super::board::{self, Board, Note, Running};
use super::words::{self, Paint};

/// How often it is looked at whether a sign of life is due.
pub(super) const BEAT: Duration = Duration::from_secs(1);
/// Silence is broken after so long.
const SILENCE: Duration = Duration::from_secs(10);
/// A task that took longer than this is worth a line.
const LONG: Duration = Duration::from_secs(1);
/// So many running tasks are named in a sign of life.
const NAMED: usize = 3;

/// Plain lines on a writer.
pub(super) struct Lines {
    began: Instant,
    pen: Mutex<Pen>,
}

impl Lines {
    pub(super) fn new(writer: Box<dyn Write + Send>, paint: Paint) -> Self {
        Self { began: Instant::now(), pen: Mutex::new(Pen::new(writer, paint)) }
    }

    fn pen(&self) -> MutexGuard<'_, Pen> {
        self.pen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reporter for Lines {
    fn event(&self, event: &Event) {
        self.pen().event(event, self.began.elapsed());
    }
}

impl Face for Lines {
    fn tick(&self) {
        self.pen().tick(self.began.elapsed());
    }

    fn close(&self) {
        self.pen().writer = None;
    }
}

/// What writes the lines; the time is told to it.
struct Pen {
    board: Board,
    /// `None` once closed.
    writer: Option<Box<dyn Write + Send>>,
    paint: Paint,
    wrote: Duration,
}

impl Pen {
    fn new(writer: Box<dyn Write + Send>, paint: Paint) -> Self {
        Self { board: Board::default(), writer: Some(writer), paint, wrote: Duration::ZERO }
    }

    fn event(&mut self, event: &Event, now: Duration) {
        let Some(note) = self.board.apply(event, now) else { return };
        if let Some(line) = line(&note, self.paint) {
            self.write(&line, now);
        }
    }

    fn tick(&mut self, now: Duration) {
        if now.saturating_sub(self.wrote) >= SILENCE && self.board.stage().is_some() {
            let line = self.sign_of_life(now);
            self.write(&line, now);
        }
    }

    fn sign_of_life(&self, now: Duration) -> String {
        let doing = board::stage_doing(self.board.stage());
        let done = match self.board.tasks() {
            (done, Some(tasks)) => format!("{done} of {tasks} done"),
            (done, None) => format!("{done} done"),
        };
        let mut line = format!("{doing}: {done}, {}", self.board.figures(now));
        let running = self.board.running(now, Duration::ZERO);
        if !running.is_empty() {
            let mut names: Vec<_> =
                running.iter().take(NAMED).map(|running| waited_for(running, now)).collect();
            if running.len() > NAMED {
                names.push(format!("{} more", running.len() - NAMED));
            }
            let last = names.pop().unwrap_or_default();
            let names =
                if names.is_empty() { last } else { format!("{} and {last}", names.join(", ")) };
            line.push_str("; waiting for ");
            line.push_str(&names);
        }
        line
    }

    /// Writes one line. Work does not fail because nobody could be told of it (a closed pipe, a
    /// full disk under a log), so errors are let go.
    fn write(&mut self, line: &str, now: Duration) {
        self.wrote = now;
        if let Some(writer) = &mut self.writer {
            let _ = writer.write_all(format!("{line}\n").as_bytes());
            let _ = writer.flush();
        }
    }
}

/// `krb5 0.7.0 (building, 31 s, compiling)`.
fn waited_for(running: &Running, now: Duration) -> String {
    let age = words::clock(running.age(now));
    let mut words = format!("{} ({}, {age}", running.subject(), running.doing());
    if let Some(detail) = running.detail() {
        words.push_str(", ");
        words.push_str(&detail);
    }
    words.push(')');
    words
}

/// The line for a note that is worth one.
fn line(note: &Note, paint: Paint) -> Option<String> {
    match note {
        Note::Stage(stage, tasks) => Some(board::stage_words(*stage, *tasks)),
        Note::Warning(text) => Some(format!("{} {text}", paint.odd("warning:"))),
        Note::Ended(running, took, ending) => match ending {
            Ending::Failed { .. } => board::failure(running, ending)
                .map(|failure| format!("{} {failure}", paint.bad("error:"))),
            Ending::Done if running.is_build() || (*took > LONG && !running.is_reading()) => {
                let size = match running.bytes() {
                    0 => String::new(),
                    bytes => format!(" ({})", words::bytes(bytes)),
                };
                let (did, subject) = (running.did(), running.subject());
                Some(format!("{did} {subject} in {}{size}", words::time(*took)))
            }
            Ending::Done | Ending::Reused | Ending::Cancelled => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::board::tests::Recorder;
    use super::super::tests::Page;
    use super::*;
    use crate::pipeline::events::{Activity, Stage};

    /// Plays what `story` sends, second by second, and returns what is written.
    fn played(story: impl FnOnce(&crate::pipeline::events::Events, &mut dyn FnMut(u64))) -> String {
        let (recorder, events) = Recorder::events();
        let page = Page::default();
        let mut pen = Pen::new(Box::new(page.clone()), Paint::plain());
        let mut now = 0;
        story(&events, &mut |seconds| {
            for event in recorder.take() {
                pen.event(&event, Duration::from_secs(now));
            }
            for _ in 0..seconds {
                now += 1;
                pen.tick(Duration::from_secs(now));
            }
        });
        for event in recorder.take() {
            pen.event(&event, Duration::from_secs(now));
        }
        page.text()
    }

    #[test]
    fn a_run_reads_so() {
        let text = played(|events, wait| {
            events.stage(Stage::Plan, Some(3));
            let page = events.start(Activity::Page { project: "numpy".into() });
            wait(3);
            page.end(Ending::Done);
            events.stage(Stage::Obtain, Some(6));
            events.send(&Event::Expect { tasks: 6, bytes: 8 << 20 });
            let quick = events
                .start(Activity::Fetch { file: "quick-1-py3-none-any.whl".into(), size: None });
            quick.end(Ending::Done);
            let kept = events.start(Activity::Build { release: "kept 1.0".into() });
            kept.end(Ending::Reused);
            let krb5 = events.start(Activity::Build { release: "krb5 0.7.0".into() });
            krb5.phase("compiling");
            let large = events.start(Activity::Fetch {
                file: "large-1-py3-none-any.whl".into(),
                size: Some(6 << 20),
            });
            large.advance(4 << 20);
            wait(12);
            let more: Vec<_> = (1..=3)
                .map(|n| events.start(Activity::Fetch { file: format!("more{n}.whl"), size: None }))
                .collect();
            large.end(Ending::Done);
            events.warn("`old` 1.0 is yanked:\nbroken");
            wait(11);
            for (task, n) in more.into_iter().zip(1..) {
                task.end(match n {
                    1 => Ending::Failed { cause: "404".into(), log: None },
                    _ => Ending::Done,
                });
            }
            krb5.end(Ending::Failed {
                cause: "missing header `krb5.h`\ninstall `libkrb5-dev`".into(),
                log: Some("/store/log".into()),
            });
        });
        insta::assert_snapshot!(text, @r#"
        planning 3 pins
        obtaining 6 wheels
        obtaining: 2 of 6 done, 4.0 of 8.0 MiB, 10 s; waiting for krb5 0.7.0 (building, 10 s, compiling) and large-1-py3-none-any.whl (fetching, 10 s, 4.0 of 6.0 MiB)
        fetched large-1-py3-none-any.whl in 12 s (4.0 MiB)
        warning: `old` 1.0 is yanked: broken
        obtaining: 3 of 7 done, 4.0 of 8.0 MiB, 22 s; waiting for krb5 0.7.0 (building, 22 s, compiling), more1.whl (fetching, 10 s), more2.whl (fetching, 10 s) and 1 more
        error: the fetch of `more1.whl` failed: 404
        fetched more2.whl in 11 s
        fetched more3.whl in 11 s
        error: the build of `krb5 0.7.0` failed: missing header `krb5.h` install `libkrb5-dev` (log: `/store/log`)
        "#);
    }

    #[test]
    fn silence_is_broken_only_while_something_is_going_on() {
        assert_eq!(played(|_, wait| wait(60)), "");
        let text = played(|events, wait| {
            events.stage(Stage::Resolve, None);
            wait(25);
        });
        insta::assert_snapshot!(text, @r#"
        resolving projects
        resolving: 0 done, 10 s
        resolving: 0 done, 20 s
        "#);
    }
}
