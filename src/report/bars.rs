//! [`Bars`]: progress on a terminal: a line for the whole, then what runs and for how long, redrawn
//! in place. Failures and warnings scroll by above and stay.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use crate::pipeline::events::{Event, Reporter};

use super::board::{self, Board, Note, Running};
use super::words::{self, Paint};
use super::{Face, Window};

/// The time between two pictures.
pub(super) const FRAME: Duration = Duration::from_millis(100);
/// A picture has at most so many lines.
const LINES: usize = 8;
/// The bar of the whole is so wide, without its brackets.
const BAR: usize = 24;
/// What runs for less is not shown: its line would be gone before it is read.
const SEEN: Duration = Duration::from_millis(500);

/// Live bars on a terminal.
pub(super) struct Bars {
    began: Instant,
    board: Mutex<Board>,
    bar: ProgressBar,
    window: fn() -> Window,
    paint: Paint,
}

impl Bars {
    pub(super) fn new(writer: Box<dyn Write + Send>, window: fn() -> Window, paint: Paint) -> Self {
        let screen = Screen { writer: Mutex::new(writer), window };
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(screen), 20);
        let bar = ProgressBar::with_draw_target(None, target);
        // The picture is one message, the bar in it too: a change of several parts of an indicatif
        // bar draws it several times, and in between with parts that do not belong together.
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        Self { began: Instant::now(), board: Mutex::new(Board::default()), bar, window, paint }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, note: &Note) {
        let line = match note {
            Note::Stage(..) => None,
            Note::Warning(text) => Some(format!("{} {text}", self.paint.odd("warning:"))),
            Note::Ended(running, _, ending) => board::failure(running, ending)
                .map(|failure| format!("{} {failure}", self.paint.bad("error:"))),
        };
        if let Some(line) = line {
            self.bar.println(line);
        }
    }
}

impl Reporter for Bars {
    fn event(&self, event: &Event) {
        if self.bar.is_finished() {
            return;
        }
        // Drawing happens outside the lock: the terminal may be slow, the tasks must not be.
        let note = self.board().apply(event, self.began.elapsed());
        if let Some(note) = note {
            self.say(&note);
        }
    }
}

impl Face for Bars {
    fn tick(&self) {
        if !self.bar.is_finished() {
            let picture = picture(&self.board(), self.began.elapsed(), (self.window)());
            self.bar.set_message(picture);
        }
    }

    fn close(&self) {
        self.bar.finish_and_clear();
    }
}

/// One picture: a line for the whole, and one for each of what runs, as far as the window goes.
fn picture(board: &Board, now: Duration, window: Window) -> String {
    let width = usize::from(window.width).saturating_sub(1);
    let doing = board::stage_doing(board.stage());
    let figures = board.figures(now);
    let whole = match board.tasks() {
        (done, Some(tasks)) => format!("{doing} {} {done}/{tasks}, {figures}", bar(done, tasks)),
        (0, None) => format!("{doing} {figures}"),
        (done, None) => format!("{doing} {done} done, {figures}"),
    };
    let mut picture = words::cut(&whole, width);
    let lines = LINES.min(usize::from(window.height).saturating_sub(1)).saturating_sub(1);
    for line in tasks_running(board, now, lines, width) {
        picture.push('\n');
        picture.push_str(&words::cut(&line, width));
    }
    picture
}

/// `[======>      ]`.
fn bar(done: usize, tasks: usize) -> String {
    let full = done.min(tasks) * BAR / tasks.max(1);
    let head = if full < BAR { ">" } else { "" };
    format!("[{:<BAR$}]", format!("{}{head}", "=".repeat(full)))
}

/// What runs, in at most `most` lines.
fn tasks_running(board: &Board, now: Duration, most: usize, width: usize) -> Vec<String> {
    let running = board.running(now, SEEN);
    let shown = if running.len() > most { most.saturating_sub(1) } else { running.len() };
    // What is left of a line after its other columns.
    let column = width.saturating_sub(44).clamp(16, 44);
    let mut lines: Vec<_> =
        running.iter().take(shown).map(|one| task_line(one, now, column)).collect();
    if running.len() > shown && most > 0 {
        lines.push(format!("  and {} more", running.len() - shown));
    }
    lines
}

/// `  building krb5 0.7.0   31 s  compiling`.
fn task_line(running: &Running, now: Duration, column: usize) -> String {
    let subject = words::cut(&running.subject(), column);
    let age = words::clock(running.age(now));
    let detail = running.detail().unwrap_or_default();
    format!("  {:<10} {subject:<column$} {age:>11}  {detail}", running.doing())
        .trim_end()
        .to_owned()
}

/// A writer as a terminal: cursor movements as the control sequences of ECMA-48.
struct Screen {
    writer: Mutex<Box<dyn Write + Send>>,
    window: fn() -> Window,
}

impl Screen {
    fn put(&self, text: impl AsRef<str>) -> io::Result<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.write_all(text.as_ref().as_bytes())
    }

    /// Moves by `n` in the direction of the sequence's last letter; a count of 0 would mean 1.
    fn travel(&self, n: usize, direction: char) -> io::Result<()> {
        if n == 0 { Ok(()) } else { self.put(format!("\u{1b}[{n}{direction}")) }
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen").finish_non_exhaustive()
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        (self.window)().width
    }

    fn height(&self) -> u16 {
        (self.window)().height
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.travel(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.travel(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.travel(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.travel(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.put(format!("{text}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.put(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.put("\r\u{1b}[2K")
    }

    fn flush(&self) -> io::Result<()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

#[cfg(test)]
mod tests {
    use super::super::board::tests::Recorder;
    use super::super::tests::Page;
    use super::*;
    use crate::pipeline::events::{Activity, Stage};

    fn drawn(window: Window) -> String {
        let (recorder, events) = Recorder::events();
        let mut board = Board::default();
        events.stage(Stage::Obtain, Some(576));
        let mut tasks = Vec::new();
        for n in 1..=8 {
            tasks.push(events.start(Activity::Fetch {
                file: format!("some_rather_long_name_of_a_wheel{n}-2.0-py3-none-any.whl"),
                size: Some(6 << 20),
            }));
        }
        tasks[0].advance(5 << 20);
        let build = events.start(Activity::Build { release: "krb5 0.7.0".into() });
        build.phase("compiling");
        for event in recorder.take() {
            board.apply(&event, Duration::ZERO);
        }
        picture(&board, Duration::from_secs(72), window)
    }

    #[test]
    fn a_picture_is_drawn_and_taken_away() {
        let page = Page::default();
        let window = || Window { width: 80, height: 24 };
        let bars = Bars::new(Box::new(page.clone()), window, Paint::plain());
        let (recorder, events) = Recorder::events();
        events.stage(Stage::Obtain, Some(4));
        let task = events.start(Activity::Build { release: "krb5 0.7.0".into() });
        recorder.take().iter().for_each(|event| bars.event(event));
        bars.tick();
        let text = page.text();
        assert!(text.contains("obtaining [>                       ] 0/4, 0 s"), "{text}");
        assert!(text.contains("building   krb5 0.7.0"), "{text}");
        drop(task);
        bars.close();
        recorder.take().iter().for_each(|event| bars.event(event));
        bars.tick();
        let rest = page.text().split_off(text.len());
        assert!(rest.starts_with('\r') || rest.starts_with('\u{1b}'), "{rest:?}");
        assert!(!rest.contains("krb5"), "{rest:?}");
    }

    #[test]
    fn a_bar() {
        assert_eq!(bar(0, 0), "[>                       ]");
        assert_eq!(bar(12, 24), "[============>           ]");
        assert_eq!(bar(7, 7), "[========================]");
    }

    #[test]
    fn a_picture_fits_its_window() {
        insta::assert_snapshot!(drawn(Window { width: 100, height: 40 }), @r#"
        obtaining [>                       ] 0/576, 5.0 MiB, 1 min 12 s
          building   krb5 0.7.0                                    1 min 12 s  compiling
          fetching   some_rather_long_name_of_a_wheel1-2.0-py3-n…  1 min 12 s  5.0 of 6.0 MiB
          fetching   some_rather_long_name_of_a_wheel2-2.0-py3-n…  1 min 12 s  0 B of 6.0 MiB
          fetching   some_rather_long_name_of_a_wheel3-2.0-py3-n…  1 min 12 s  0 B of 6.0 MiB
          fetching   some_rather_long_name_of_a_wheel4-2.0-py3-n…  1 min 12 s  0 B of 6.0 MiB
          fetching   some_rather_long_name_of_a_wheel5-2.0-py3-n…  1 min 12 s  0 B of 6.0 MiB
          and 3 more
        "#);
        insta::assert_snapshot!(drawn(Window { width: 60, height: 4 }), @r#"
        obtaining [>                       ] 0/576, 5.0 MiB, 1 min…
          building   krb5 0.7.0        1 min 12 s  compiling
          and 8 more
        "#);
        for height in 0..12 {
            for width in 0..90 {
                let text = drawn(Window { width, height });
                assert!(text.lines().count() <= usize::from(height.max(1)), "{width} by {height}");
            }
        }
    }
}
