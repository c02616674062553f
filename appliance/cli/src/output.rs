//! What the terminal sees: data on stdout, talk on stderr.
//!
//! With `--json` stdout carries exactly one JSON value, and the last line of stderr is the error, if
//! there is one, as JSON. Names come from containers: control characters never reach a terminal.

use crate::outcome::Failure;
use holdfast_model::{Error, Moment, Secret};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde::Serialize;
use std::io::{IsTerminal, Write};

/// How a command talks.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// One JSON value instead of words.
    pub json: bool,
}

impl Output {
    /// Prints the command's result: JSON, or what `words` makes of it.
    pub fn show<T: Serialize>(self, value: &T, words: impl FnOnce(&T) -> String) {
        let text = if self.json {
            serde_json::to_string_pretty(value).expect("views are plain JSON")
        } else {
            clean(words(value).trim_end())
        };
        if !text.is_empty() {
            print(&mut std::io::stdout().lock(), &text);
        }
    }

    /// Says something on the side. Silent with `--json`, where stderr belongs to errors.
    pub fn talk(self, text: &str) {
        if !self.json {
            print(&mut std::io::stderr().lock(), &clean(text));
        }
    }

    /// Prints an error.
    pub fn fail(self, failure: &Failure) {
        let text = if self.json {
            serde_json::to_string(&failure.0).expect("errors are plain JSON")
        } else {
            clean(&failure.words())
        };
        print(&mut std::io::stderr().lock(), &text);
    }

    /// Whether bars may be drawn and questions asked.
    pub fn is_interactive(self) -> bool {
        !self.json && std::io::stderr().is_terminal() && std::io::stdin().is_terminal()
    }

    /// Whether bars may be drawn.
    pub fn has_bars(self) -> bool {
        !self.json && std::io::stderr().is_terminal()
    }

    /// Asks; anything but yes is no, and so is the lack of a terminal.
    pub fn agrees(self, question: &str) -> bool {
        if !self.is_interactive() {
            return false;
        }
        eprint!("{} [y/N] ", clean(question));
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
    }

    /// Asks for a secret on the terminal and does not show what is typed. `Invalid` (`secret.terminal`) without one.
    pub fn ask_secret(self, question: &str) -> Result<Secret, Error> {
        let wrong = |error: std::io::Error| Error::io("the terminal could not be asked", error);
        let stdin = std::io::stdin();
        if self.json || !stdin.is_terminal() {
            return Err(Error::invalid("secret.terminal", "there is no terminal to ask for the passphrase on")
                .advice("Give it with --passphrase-file FILE, or - for stdin."));
        }
        let before = tcgetattr(&stdin).map_err(|error| wrong(error.into()))?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Flush, &quiet).map_err(|error| wrong(error.into()))?;
        eprint!("{}", clean(question));
        let mut line = String::new();
        let read = stdin.read_line(&mut line);
        // Whatever happened, the terminal shows again what is typed.
        let restored = tcsetattr(&stdin, OptionalActions::Flush, &before);
        eprintln!();
        read.map_err(wrong)?;
        restored.map_err(|error| wrong(error.into()))?;
        Ok(Secret::new(line.trim_end_matches(['\r', '\n'])))
    }
}

/// Writes a line; a reader that has left, as `head` does, is no error of ours.
fn print(to: &mut impl Write, text: &str) {
    let _ = writeln!(to, "{text}").and_then(|()| to.flush());
}

/// The text without what could steer a terminal.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Columns under their titles, two spaces apart. Titles that begin with `>` have numbers under them.
pub fn table(titles: &[&str], rows: &[Vec<String>]) -> String {
    let heads: Vec<String> = titles.iter().map(|title| title.trim_start_matches('>').to_owned()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(heads)
        .chain(rows.iter().map(|row| row.iter().map(|cell| clean(cell).replace('\n', " ")).collect()))
        .collect();
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..titles.len()).map(|column| width(column).unwrap_or(0)).collect();
    let line = |cells: &Vec<String>| {
        let padded = cells.iter().zip(&widths).zip(titles).map(|((cell, width), title)| {
            if title.starts_with('>') { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Bytes as people say them: decimal units, three digits.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// Seconds as people say them: the two largest units.
pub fn duration(seconds: u64) -> String {
    let parts = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let mut left = seconds;
    let mut words = Vec::new();
    for (size, unit) in parts {
        if left >= size {
            words.push(format!("{} {unit}", left / size));
            left %= size;
        }
    }
    if words.is_empty() { "0 s".into() } else { words[..words.len().min(2)].join(" ") }
}

/// A moment to the second, UTC.
pub fn moment(moment: Moment) -> String {
    moment.to_string().chars().take(19).collect::<String>().replace('T', " ")
}

/// A moment, or a dash.
pub fn moment_or_dash(time: Option<Moment>) -> String {
    time.map_or("-".into(), moment)
}

/// The name of a state as the API writes it, with spaces.
pub fn name_of<T: Serialize>(state: &T) -> String {
    let value = serde_json::to_value(state).unwrap_or_default();
    value.as_str().unwrap_or("?").replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (12_345, "12.3 kB"),
            (999_499, "999 kB"),
            (999_999, "1.00 MB"),
            (1_230_000_000, "1.23 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        for (seconds, text) in [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h"), (90_061, "1 d 1 h")] {
            assert_eq!(duration(seconds), text);
        }
        assert_eq!(moment(Moment::from_millis(1_795_410_000_123)), "2026-11-23 05:00:00");
    }

    #[test]
    fn tables_line_up_and_are_harmless() {
        let rows = vec![vec!["a".into(), "12".into()], vec!["b\u{1b}[2J\nx".into(), "7".into()]];
        let lines = ["NAME     SIZE", "a          12", "b\u{fffd}[2J x     7"];
        assert_eq!(table(&["NAME", ">SIZE"], &rows), lines.join("\n"));
    }
}
