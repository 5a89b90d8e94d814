//! The progress bar: on a terminal, and nowhere else.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::playback::Playback;

/// Shows how far playing is.
pub struct Progress {
    bar: ProgressBar,
    started: Instant,
    shown: Instant,
}

impl Progress {
    /// How often the bar is drawn anew.
    const INTERVAL: Duration = Duration::from_millis(100);

    /// A bar on standard error; hidden if that is no terminal, or if `quiet`.
    pub fn new(quiet: bool) -> Self {
        let bar = ProgressBar::with_draw_target(
            None,
            if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() },
        );
        // What does not fit into the terminal's width is cut off; a line that wraps would leave remains.
        let style =
            ProgressStyle::with_template("{bar:16} {wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("##-"));
        Self { bar, started: Instant::now(), shown: Instant::now() }
    }

    /// Shows where `playback` is; `workers` says how they are.
    pub fn show(&mut self, playback: &Playback, workers: impl FnOnce() -> String) {
        if self.bar.is_hidden() || self.shown.elapsed() < Self::INTERVAL {
            return;
        }
        self.shown = Instant::now();
        let position = playback.position().max(0).unsigned_abs();
        let mut time = format!("{:.2}", position as f64 / 1e9);
        let duration = playback.duration();
        if let Some(duration) = duration {
            time += &format!("/{:.2}", duration as f64 / 1e9);
        }
        let speed = playback.pictures() as f64 / self.started.elapsed().as_secs_f64();
        // The message first: each of these may draw the bar.
        self.bar.set_message(format!("{time} s  {speed:.0} pictures/s  {}", workers()));
        if let Some(duration) = duration.map(i64::unsigned_abs).filter(|duration| self.bar.length() != Some(*duration))
        {
            self.bar.set_length(duration);
        }
        self.bar.set_position(position);
    }

    /// Removes the bar.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}
