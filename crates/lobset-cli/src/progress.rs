//! Progress bars on a terminal.

use std::io::IsTerminal;
use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use lobset::{Event, Stage};

/// One bar at a time, for the current stage.
pub struct Bars {
    bar: Mutex<ProgressBar>,
    shown: bool,
}

impl Bars {
    /// Creates bars, which are shown only on a terminal.
    pub fn new(quiet: bool) -> Self {
        Self { bar: Mutex::new(ProgressBar::hidden()), shown: !quiet && std::io::stderr().is_terminal() }
    }

    /// Updates the bar after an event of a run.
    pub fn event(&self, event: Event) {
        if !self.shown {
            return;
        }
        let Ok(mut bar) = self.bar.lock() else { return };
        match event {
            Event::Begin(stage, total) => {
                *bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
                bar.set_style(style(stage));
                bar.set_prefix(name(stage));
            }
            Event::Advance(amount) => bar.inc(amount),
            Event::End(_) => bar.finish_and_clear(),
        }
    }
}

fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Scan => "reading",
        Stage::Plan => "labelling",
        Stage::Write => "writing",
        Stage::Validate => "validating",
        Stage::Cache => "caching",
    }
}

fn style(stage: Stage) -> ProgressStyle {
    let amount = if stage.is_in_bytes() { "{total_bytes}, {bytes_per_sec}" } else { "{human_len} rows, {rate}" };
    let template = format!("{{prefix:>10}} [{{wide_bar}}] {{percent:>3}}% of {amount}, {{eta}} left");
    let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = write!(out, "{:.2} million/s", state.per_sec() / 1e6);
    };
    ProgressStyle::with_template(&template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", rate)
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;

    use super::*;

    #[test]
    fn a_bar_takes_one_line_of_80_columns() {
        for stage in Stage::ALL {
            // The last one is two thousand times the production run.
            for total in [1, 75_400_000, 150_000_000_000] {
                let terminal = InMemoryTerm::new(5, 80);
                let bar = ProgressBar::with_draw_target(
                    Some(total),
                    ProgressDrawTarget::term_like(Box::new(terminal.clone())),
                );
                bar.set_style(style(stage));
                bar.set_prefix(name(stage));
                bar.set_position(total / 3);
                bar.force_draw();
                let shown = terminal.contents();
                assert_eq!(shown.lines().count(), 1, "{shown}");
                assert!(shown.contains(name(stage)) && shown.ends_with(" left"), "{shown}");
            }
        }
    }
}
