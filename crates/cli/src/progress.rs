//! Progress and warnings on standard error: bars where someone watches, sparse lines where not.
//!
//! The only clock of this binary beside that of the demo, which says what its stages took.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Time between two lines of progress in a log.
const LINE_INTERVAL: Duration = Duration::from_secs(15);

/// How progress is shown.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    bars: MultiProgress,
    style: Style,
}

/// Who reads standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// A person: bars.
    Bars,
    /// A log: lines, now and then.
    Lines,
    /// Nobody wants to know.
    Silent,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Things; the word follows the rate.
    Items,
    /// Bytes.
    Bytes,
}

impl Progress {
    /// Bars on a terminal, lines elsewhere, nothing if `quiet`.
    pub(crate) fn new(quiet: bool) -> Self {
        let style = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Style::Silent,
            (false, true) => Style::Bars,
            (false, false) => Style::Lines,
        };
        let target = match style {
            Style::Bars => ProgressDrawTarget::stderr(),
            Style::Lines | Style::Silent => ProgressDrawTarget::hidden(),
        };
        Self { bars: MultiProgress::with_draw_target(target), style }
    }

    /// Something worth knowing, said once.
    pub(crate) fn note(&self, text: &str) {
        if self.style != Style::Silent {
            self.line(text);
        }
    }

    /// Something the user should look at; said even when quiet.
    pub(crate) fn warn(&self, text: &str) {
        self.line(&format!("warning: {text}"));
    }

    /// Begins to measure `what`; the total may come later.
    pub(crate) fn meter(&self, what: &str, unit: Unit, total: Option<u64>) -> Meter {
        let bar = self.bars.add(match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::no_length(),
        });
        bar.set_style(bar_style(unit));
        bar.set_prefix(what.to_owned());
        let now = Instant::now();
        Meter { bar, progress: self.clone(), unit, begun: now, first: 0, told: now }
    }

    fn line(&self, text: &str) {
        match self.style {
            // A line between bars that are being redrawn.
            Style::Bars => drop(self.bars.println(text)),
            // Nobody to tell when standard error is closed.
            Style::Lines | Style::Silent => drop(writeln!(std::io::stderr(), "{text}")),
        }
    }
}

fn bar_style(unit: Unit) -> ProgressStyle {
    let template = match unit {
        Unit::Items => "{prefix} [{bar:24}] {pos}/{len} {per_sec} {eta} left  {msg}",
        Unit::Bytes => {
            "{prefix} [{bar:24}] {bytes}/{total_bytes} {bytes_per_sec} {eta} left  {msg}"
        }
    };
    let style = ProgressStyle::with_template(template).expect("the template is a constant");
    style.progress_chars("=> ")
}

/// Progress of one thing.
#[derive(Debug)]
pub(crate) struct Meter {
    bar: ProgressBar,
    progress: Progress,
    unit: Unit,
    begun: Instant,
    /// Where it stood when it began: work of an earlier run is not part of the rate.
    first: u64,
    told: Instant,
}

impl Meter {
    /// Says where an earlier run had come to.
    pub(crate) fn start_at(&mut self, done: u64) {
        (self.first, self.begun) = (done, Instant::now());
        self.bar.set_position(done);
        self.bar.reset_eta();
    }

    /// Sets how much there is.
    pub(crate) fn set_total(&self, total: u64) {
        self.bar.set_length(total);
    }

    /// Sets how much is done, and what to say beside it.
    pub(crate) fn set(&mut self, done: u64, message: &str) {
        self.bar.set_position(done);
        self.bar.set_message(message.to_owned());
        if self.progress.style == Style::Lines && self.told.elapsed() >= LINE_INTERVAL {
            self.tell();
        }
    }

    /// Ends the measurement; the last state stays in a log.
    pub(crate) fn finish(mut self) {
        if self.progress.style == Style::Lines {
            self.tell();
        }
        self.bar.finish_and_clear();
        self.progress.bars.remove(&self.bar);
    }

    /// One line for a log.
    fn tell(&mut self) {
        self.told = Instant::now();
        let (done, total) = (self.bar.position(), self.bar.length());
        let amount = |count: u64| match self.unit {
            Unit::Items => count.to_string(),
            Unit::Bytes => crate::output::bytes(count),
        };
        let mut text = format!("{}: {}", self.bar.prefix(), amount(done));
        if let Some(total) = total {
            text += &format!("/{}", amount(total));
        }
        let rate = done.saturating_sub(self.first) as f64 / self.begun.elapsed().as_secs_f64();
        if rate > 0.0 && rate.is_finite() {
            text += &match self.unit {
                Unit::Items => format!(", {rate:.2}/s"),
                Unit::Bytes => format!(", {}/s", crate::output::bytes(rate as u64)),
            };
            let left = total.unwrap_or(done).saturating_sub(done) as f64 / rate;
            if left > 0.0 {
                text += &format!(", {left:.0} s left");
            }
        }
        let message = self.bar.message();
        if !message.is_empty() {
            text += &format!(", {message}");
        }
        self.progress.line(&text);
    }
}

/// A bar for each step of a pipeline, one after the other.
pub(crate) struct Steps<'a> {
    progress: &'a Progress,
    under_way: Option<(&'static str, Meter)>,
}

impl<'a> Steps<'a> {
    /// Before the first step.
    pub(crate) fn new(progress: &'a Progress) -> Self {
        Self { progress, under_way: None }
    }

    /// Shows how far a step is; another name begins another bar.
    pub(crate) fn show(&mut self, step: &'static str, done: usize, total: usize) {
        if self.under_way.as_ref().is_none_or(|(name, _)| *name != step) {
            self.finish();
            let mut meter = self.progress.meter(step, Unit::Items, Some(total as u64));
            meter.start_at(done as u64);
            self.under_way = Some((step, meter));
        }
        if let Some((_, meter)) = &mut self.under_way {
            meter.set(done as u64, "");
        }
    }

    /// Ends the last bar.
    pub(crate) fn finish(&mut self) {
        self.under_way.take().into_iter().for_each(|(_, meter)| meter.finish());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meter_without_a_terminal_only_counts() {
        let progress = Progress::new(true);
        let mut meter = progress.meter("steps", Unit::Items, Some(10));
        meter.start_at(4);
        meter.set(5, "loss 1");
        assert_eq!((meter.bar.position(), meter.bar.length()), (5, Some(10)));
        meter.finish();
        bar_style(Unit::Bytes);
    }
}
