//! The terminal output: results, log lines, progress bars and errors, none of which garbles another.
//!
//! Bars and log lines go to stderr, results to stdout, so that results can be piped.

use std::io::{self, IsTerminal, Write};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::advice::advice;

/// The owner of the terminal. Clones are cheap and share the terminal.
#[derive(Clone)]
pub struct Console {
    bars: MultiProgress,
}

impl Console {
    /// Takes over the terminal and starts the log.
    pub fn start(verbose: bool) -> Self {
        let console = Self {
            bars: MultiProgress::new(),
        };
        let default = if verbose { "debug" } else { "info" };
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_target(false)
            .without_time()
            .with_ansi(io::stderr().is_terminal())
            .with_writer(LogWriter(console.bars.clone()))
            .init();
        console
    }

    /// Prints `text`, a line of the result, to stdout.
    pub fn say(&self, text: impl AsRef<str>) {
        self.bars.suspend(|| {
            // A closed pipe (`cropmae ... | head`) must not fail a run.
            let _ = writeln!(io::stdout(), "{}", text.as_ref());
        });
    }

    /// Prints an error and its causes to stderr, on one line, with advice if there is any.
    pub fn error(&self, error: &anyhow::Error) {
        let mut text = one_line(error);
        if let Some(advice) = advice(&text) {
            text = format!("{text}: {advice}");
        }
        self.bars.suspend(|| {
            let _ = writeln!(io::stderr(), "error: {text}");
        });
    }

    /// Adds a progress bar over `length` items, which it calls `unit`.
    pub fn bar(&self, length: u64, unit: &str) -> ProgressBar {
        let template = format!(
            "{{prefix}} {{bar:28}} {{pos}}/{{len}} {unit}  {{msg}}  {{elapsed}} elapsed, {{eta}} left"
        );
        let style = ProgressStyle::with_template(&template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━╸ ");
        self.bars.add(ProgressBar::new(length).with_style(style))
    }
}

/// Writes log lines above the bars.
struct LogWriter(MultiProgress);

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Suspended<'a>;

    fn make_writer(&'a self) -> Suspended<'a> {
        Suspended(&self.0)
    }
}

/// Hides the bars while it writes a log line to stderr.
struct Suspended<'a>(&'a MultiProgress);

impl Write for Suspended<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Joins an error and its causes, without the causes whose text is already there.
fn one_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_said_once() {
        let told = anyhow::anyhow!("no space left").context("a.bin: cannot write: no space left");
        assert_eq!(one_line(&told), "a.bin: cannot write: no space left");
        let untold = anyhow::anyhow!("no space left").context("a.bin: cannot write");
        assert_eq!(one_line(&untold), "a.bin: cannot write: no space left");
    }
}
