//! What people see: words on standard error, results on standard output, a bar for long work.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::error::{Error, Result};

/// Where a command speaks.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// Results as one JSON document.
    pub is_json: bool,
    /// No words but errors.
    pub is_quiet: bool,
}

impl Output {
    /// Says something to the person at the terminal.
    pub fn say(&self, text: &str) {
        if !self.is_quiet {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Prints a result where JSON was not asked for.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn print(&self, text: &str) -> Result<()> {
        if self.is_json { Ok(()) } else { print(text) }
    }

    /// Prints the result where JSON was asked for.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn json(&self, value: &serde_json::Value) -> Result<()> {
        if self.is_json { print(&value.to_string()) } else { Ok(()) }
    }

    /// A line of the result, unless it goes out as JSON.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn result(&self, text: &str) -> Result<()> {
        if self.is_json { Ok(()) } else { print(text) }
    }
}

fn print(text: &str) -> Result<()> {
    writeln!(io::stdout(), "{text}").map_err(closed)
}

/// Standard output cannot be written.
pub fn closed(err: io::Error) -> Error {
    Error::unavailable("cannot write to standard output").because(err)
}

/// `n` with separators: 1,234,567.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A progress bar, on a terminal only.
pub struct Bar(ProgressBar);

impl Bar {
    /// A bar over bytes; a spinner where the length is unknown.
    pub fn bytes(out: &Output, name: &str, length: Option<u64>) -> Self {
        match length {
            Some(_) => {
                Self::drawn(out, name, length, "{prefix} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}")
            }
            None => Self::drawn(out, name, None, "{prefix} {spinner} {bytes} {bytes_per_sec} {msg}"),
        }
    }

    /// A bar over events.
    pub fn events(out: &Output, name: &str, count: u64) -> Self {
        Self::drawn(out, name, Some(count), "{prefix} [{bar:30}] {human_pos}/{human_len} {per_sec} {eta} {msg}")
    }

    fn drawn(out: &Output, name: &str, length: Option<u64>, template: &str) -> Self {
        if out.is_quiet || out.is_json || !io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        bar.set_draw_target(ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// How far it is.
    pub fn set(&self, position: u64, message: String) {
        self.0.set_position(position);
        self.0.set_message(message);
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
