//! What people look at while loci works and when it is done.
//!
//! This room turns the pipeline's facts into words. It schedules nothing, decides nothing and knows
//! neither flags nor exit codes: [`display`] draws events to a writer it is handed, and
//! [`summary::words()`] returns text. What machines read is the
//! [`Summary`](crate::pipeline::summary::Summary) itself, by serde.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::str::FromStr;
use std::sync::Arc;

use crate::pipeline::events::{Event, Reporter};

pub mod summary;
pub mod look;
pub mod difference;
pub mod markdown;
pub mod words;

mod board;
mod bars;
mod lines;
mod ticker;
mod table;

use words::Paint;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Progress {
    /// Bars on a terminal, lines elsewhere.
    #[default]
    Auto,
    /// Live bars; lines where there is no terminal to draw them on.
    Bars,
    /// Plain lines.
    Lines,
    /// Nothing.
    None,
}

impl Progress {
    /// Every choice, as people write it.
    pub const NAMES: [&'static str; 4] = ["auto", "bars", "lines", "none"];
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Bars => "bars",
            Self::Lines => "lines",
            Self::None => "none",
        })
    }
}

/// A word that is no [`Progress`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is no way to show progress; there are: auto, bars, lines, none")]
pub struct ProgressError {
    /// What was written.
    pub word: String,
}

impl FromStr for Progress {
    type Err = ProgressError;

    fn from_str(word: &str) -> Result<Self, ProgressError> {
        match word {
            "auto" => Ok(Self::Auto),
            "bars" => Ok(Self::Bars),
            "lines" => Ok(Self::Lines),
            "none" => Ok(Self::None),
            _ => Err(ProgressError { word: word.into() }),
        }
    }
}

/// The width and height of a terminal, in cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// Where progress is written.
pub struct Output {
    /// Takes every byte.
    pub writer: Box<dyn Write + Send>,
    /// Measures the terminal behind `writer`, again for each picture because people resize their
    /// windows; `None` when there is no terminal on which a cursor can be moved.
    pub window: Option<fn() -> Window>,
    /// Whether and how text is coloured.
    pub paint: Paint,
}

impl Output {
    /// The process's stderr; `env` looks up environment variables.
    #[must_use]
    pub fn stderr(env: impl Fn(&str) -> Option<String>) -> Self {
        let terminal = io::stderr().is_terminal();
        let dumb = env("TERM").is_some_and(|term| term == "dumb");
        Self {
            writer: Box::new(io::stderr()),
            window: (terminal && !dumb).then_some(stderr_window as fn() -> Window),
            paint: Paint::chosen(env, terminal),
        }
    }
}

fn stderr_window() -> Window {
    match rustix::termios::tcgetwinsize(io::stderr()) {
        // Some terminals (serial lines, some CI systems) say 0 by 0.
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            Window { width: size.ws_col, height: size.ws_row }
        }
        _ => Window { width: 80, height: 24 },
    }
}

/// A [`Reporter`] that also moves on by itself: clocks run while no event comes.
trait Face: Reporter {
    /// Draws what changed by the mere passing of time.
    fn tick(&self);
    /// Takes live parts off the screen; nothing is written afterwards.
    fn close(&self);
}

/// Progress on a screen. Dropped, it takes its live parts off the screen and falls silent, so the
/// caller drops it before it writes anything else to the same place.
pub struct Display {
    reporter: Arc<dyn Reporter>,
    face: Option<Arc<dyn Face>>,
    ticker: Option<ticker::Ticker>,
}

impl Display {
    /// What the pipeline's [`Events`](crate::pipeline::events::Events) are sent to.
    #[must_use]
    pub fn reporter(&self) -> Arc<dyn Reporter> {
        Arc::clone(&self.reporter)
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        drop(self.ticker.take());
        if let Some(face) = &self.face {
            face.close();
        }
    }
}

/// Shows progress on `output` in the way of `progress`.
#[must_use]
pub fn display(progress: Progress, output: Output) -> Display {
    let Output { writer, window, paint } = output;
    match (progress, window) {
        (Progress::None, _) => {
            Display { reporter: Arc::new(Quiet), face: Option::None, ticker: Option::None }
        }
        (Progress::Auto | Progress::Bars, Some(window)) => {
            let bars = Arc::new(bars::Bars::new(writer, window, paint));
            let ticker = ticker::Ticker::start(Arc::clone(&bars) as Arc<dyn Face>, bars::FRAME);
            Display { reporter: Arc::clone(&bars) as Arc<dyn Reporter>, face: Some(bars), ticker }
        }
        (Progress::Auto | Progress::Bars | Progress::Lines, _) => {
            let lines = Arc::new(lines::Lines::new(writer, paint));
            let ticker = ticker::Ticker::start(Arc::clone(&lines) as Arc<dyn Face>, lines::BEAT);
            Display { reporter: Arc::clone(&lines) as Arc<dyn Reporter>, face: Some(lines), ticker }
        }
    }
}

/// Shows nothing.
struct Quiet;

impl Reporter for Quiet {
    fn event(&self, _: &Event) {}
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;
    use crate::pipeline::events::{Activity, Ending, Events, Stage};

    /// A writer whose bytes a test reads afterwards.
    #[derive(Clone, Default)]
    pub(super) struct Page(Arc<Mutex<Vec<u8>>>);

    impl Page {
        pub(super) fn text(&self) -> String {
            let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8_lossy(&bytes).into_owned()
        }
    }

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn run(progress: Progress, window: Option<fn() -> Window>) -> String {
        let page = Page::default();
        let output = Output { writer: Box::new(page.clone()), window, paint: Paint::plain() };
        let display = display(progress, output);
        let events = Events::to(display.reporter());
        events.stage(Stage::Obtain, Some(2));
        events.warn("the index says nothing of hashes");
        let fine = events.start(Activity::Build { release: "gssapi 1.9.0".into() });
        let bad = events.start(Activity::Build { release: "krb5 0.7.0".into() });
        fine.end(Ending::Done);
        bad.end(Ending::Failed { cause: "no compiler".into(), log: Some("/logs/1".into()) });
        drop(display);
        events.warn("too late to be seen");
        page.text()
    }

    const WINDOW: fn() -> Window = || Window { width: 100, height: 20 };

    #[test]
    fn each_choice_shows_failures_and_warnings_unless_nothing_is_asked_for() {
        for (progress, window) in [
            (Progress::Auto, Some(WINDOW)),
            (Progress::Bars, Some(WINDOW)),
            (Progress::Auto, None),
            (Progress::Bars, None),
            (Progress::Lines, Some(WINDOW)),
        ] {
            let text = run(progress, window);
            assert!(text.contains("warning: the index says nothing of hashes"), "{text}");
            assert!(
                text.contains(
                    "error: the build of `krb5 0.7.0` failed: no compiler (log: `/logs/1`)"
                ),
                "{text}"
            );
            assert!(!text.contains("too late"), "{text}");
        }
        assert_eq!(run(Progress::None, Some(WINDOW)), "");
    }

    #[test]
    fn bars_only_where_a_cursor_can_be_moved() {
        // Lines announce each stage; bars show it, for as long as it lasts.
        let lines = |progress, window| run(progress, window).contains("obtaining 2 wheels\n");
        assert!(!lines(Progress::Auto, Some(WINDOW)));
        assert!(!lines(Progress::Bars, Some(WINDOW)));
        assert!(lines(Progress::Auto, None));
        assert!(lines(Progress::Bars, None));
        assert!(lines(Progress::Lines, Some(WINDOW)));
    }

    #[test]
    fn a_choice_reads_as_it_is_written() {
        for name in Progress::NAMES {
            assert_eq!(name.parse::<Progress>().unwrap().to_string(), name);
        }
        insta::assert_snapshot!(
            "loud".parse::<Progress>().unwrap_err(),
            @"`loud` is no way to show progress; there are: auto, bars, lines, none"
        );
    }
}
