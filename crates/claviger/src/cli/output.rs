//! What commands print: answers to standard output, everything else to standard error.

use std::fmt::{Display, Write as _};
use std::io::{self, Write as _};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::problem::Problem;

/// Prints a line of the answer. A reader that has seen enough (`| head`) is no error.
pub(super) fn line(text: impl Display) -> Result<(), Problem> {
    line_while_read(text).map(drop)
}

/// Prints a line of an answer that has no end of its own, and says whether anybody reads on.
pub(super) fn line_while_read(text: impl Display) -> Result<bool, Problem> {
    match writeln!(io::stdout().lock(), "{text}") {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Problem::new(format!("cannot write to standard output: {error}"))),
    }
}

/// Whether whoever read standard output through a pipe has gone.
pub(super) fn reader_has_gone() -> bool {
    let stdout = io::stdout();
    let mut wanted = [PollFd::new(&stdout, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut wanted, Some(&now)).is_ok() && wanted.iter().any(|found| found.revents().contains(PollFlags::ERR))
}

/// Refuses to begin where a secret that is shown once would be shown to nobody. (A standard output that was closed, `>&-`, is the null
/// device by now: the runtime puts it there.)
pub(super) fn demand_reader_of_secrets() -> Result<(), Problem> {
    let null = rustix::fs::stat("/dev/null").ok();
    let goes_nowhere = null.zip(rustix::fs::fstat(io::stdout()).ok()).is_some_and(|(null, stdout)| {
        FileType::from_raw_mode(stdout.st_mode) == FileType::CharacterDevice && stdout.st_rdev == null.st_rdev
    });
    if goes_nowhere || reader_has_gone() {
        return Err(Problem::new("standard output leads nowhere, and what this command prints is shown once; nothing was done")
            .remedy("let it go to the terminal or into a file"));
    }
    Ok(())
}

/// Prints what is shown once. Here a reader that has gone is an error.
pub(super) fn secrets(lines: &[impl Display]) -> Result<(), Problem> {
    let mut text = Zeroizing::new(String::with_capacity(4096));
    for line in lines {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{line}");
    }
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|error| Problem::new(format!("what is shown once could not be written to standard output: {error}")))
}

/// Says something to the person beside the answer.
pub(super) fn note(text: impl Display) {
    // Without a standard error there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Text that others wrote, for a terminal: what would move the cursor, change colours or turn the direction of writing is shown as its number.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '"' | '\'' => shown.push(letter),
            _ => shown.extend(letter.escape_debug()),
        }
    }
    shown
}

/// Says why a command ends without having done its work.
pub(super) fn complain(problem: &Problem) {
    note(format_args!("claviger: {problem}"));
}

/// Prints a server's answer: as it came with `--json`, for people otherwise.
pub(super) fn answer(answer: &Value, json: bool) -> Result<(), Problem> {
    lines_of(answer, json).iter().try_for_each(line)
}

/// The same for an answer with a secret in it.
pub(super) fn secret_answer(answer: &Value, json: bool) -> Result<(), Problem> {
    secrets(&lines_of(answer, json))
}

fn lines_of(answer: &Value, json: bool) -> Vec<String> {
    if json {
        return vec![format!("{answer:#}")];
    }
    let Value::Object(members) = answer else { return vec![cell(Some(answer))] };
    let mut lines = Vec::new();
    // A list alone is the whole answer; beside other members it is told of after them, under its name.
    if members.len() == 1
        && let Some((name, Value::Array(rows))) = members.iter().next()
    {
        table(name, rows, &mut lines);
        return lines;
    }
    let (tables, cells): (Vec<_>, Vec<_>) = members.iter().partition(|(_, value)| is_table(value));
    let width = cells.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    lines.extend(cells.into_iter().map(|(name, value)| format!("{name:width$}  {}", cell(Some(value)))));
    for (name, rows) in tables {
        lines.push(name.clone());
        table(name, rows.as_array().map_or(&[], Vec::as_slice), &mut lines);
    }
    lines
}

fn is_table(value: &Value) -> bool {
    value.as_array().is_some_and(|rows| rows.iter().any(Value::is_object))
}

fn table(name: &str, rows: &[Value], lines: &mut Vec<String>) {
    let mut columns: Vec<&str> = Vec::new();
    for row in rows.iter().filter_map(Value::as_object) {
        for column in row.keys() {
            if !columns.contains(&column.as_str()) {
                columns.push(column);
            }
        }
    }
    if columns.is_empty() {
        if rows.is_empty() {
            note(format_args!("no {}", name.to_lowercase()));
        }
        lines.extend(rows.iter().map(|row| cell(Some(row))));
        return;
    }
    let cells: Vec<Vec<String>> = rows.iter().map(|row| columns.iter().map(|column| cell(row.get(column))).collect()).collect();
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(i, column)| cells.iter().filter_map(|row| row.get(i)).map(String::len).chain([column.len()]).max().unwrap_or(0))
        .collect();
    let mut print = |texts: Vec<&str>| {
        let padded: Vec<String> = texts.iter().zip(&widths).map(|(text, width)| format!("{text:width$}")).collect();
        lines.push(padded.join("  ").trim_end().to_owned());
    };
    print(columns.clone());
    cells.iter().for_each(|row| print(row.iter().map(String::as_str).collect()));
}

/// A value on one line. Numbers in members that hold times are seconds since 1970.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => time(number).unwrap_or_else(|| number.to_string()),
        Some(Value::Object(members)) => {
            members.iter().map(|(name, value)| format!("{name}: {}", cell(Some(value)))).collect::<Vec<_>>().join(", ")
        }
        Some(Value::Array(items)) => items.iter().map(|item| cell(Some(item))).collect::<Vec<_>>().join(", "),
        Some(other) => other.to_string(),
    }
}

/// The protocol writes times as seconds with a fraction, and counts as whole numbers.
fn time(number: &serde_json::Number) -> Option<String> {
    let seconds = number.as_f64().filter(|_| number.is_f64())?;
    #[expect(clippy::cast_possible_truncation, reason = "a float-to-integer cast saturates, and jiff checks the range")]
    let milliseconds = (seconds * 1000.0) as i64;
    jiff::Timestamp::from_millisecond(milliseconds).ok().map(|time| format!("{time:.0}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_value_has_its_name_and_tables_come_after_what_they_belong_to() {
        let lines = lines_of(&json!({ "Regions": ["eu-central-1", "eu-west-1"], "Node": "one", "LogSize": 5 }), false);
        assert_eq!(lines, ["LogSize  5", "Node     one", "Regions  eu-central-1, eu-west-1"]);
        let lines = lines_of(&json!({ "Tags": [{ "Key": "team", "Value": "red" }], "RoleName": "backup" }), false);
        assert_eq!(lines, ["RoleName  backup", "Tags", "Key   Value", "team  red"]);
        let lines = lines_of(&json!({ "Stores": [{ "CutOff": { "By": "root", "Since": 1_795_848_057.096 } }] }), false);
        assert_eq!(lines, ["CutOff", "By: root, Since: 2026-11-28T06:40:57Z"]);
        assert_eq!(lines_of(&json!({ "PolicyNames": ["a", "b"] }), false), ["a", "b"]);
    }

    #[test]
    fn what_is_not_printable_is_shown_as_its_number() {
        for text in ["arn:aws:iam::123456789012:user/Ada", "it's \"quoted\" (ok)", "Zoë 東京 😀"] {
            assert_eq!(printable(text), text);
        }
        for (text, shown) in [
            ("a\u{1b}[31mb", "a\\u{1b}[31mb"),
            ("a\r\nb\t", "a\\r\\nb\\t"),
            ("\u{9b}31m\u{85}", "\\u{9b}31m\\u{85}"),
            ("\u{202e}\u{2066}\u{200f}\u{feff}", "\\u{202e}\\u{2066}\\u{200f}\\u{feff}"),
            ("\u{2028}\u{7f}\0", "\\u{2028}\\u{7f}\\0"),
            ("a\\b", "a\\\\b"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }
}
