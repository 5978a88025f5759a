//! What commands print: answers to standard output, everything else to standard error.

use std::fmt::Display;
use std::io::{self, Write as _};

use serde_json::Value;

use crate::problem::Problem;

/// Prints a line of the answer. A reader that has seen enough (`| head`) is no error.
pub(super) fn line(text: impl Display) -> Result<(), Problem> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Problem::new(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Says something to the person beside the answer.
pub(super) fn note(text: impl Display) {
    // Without a standard error there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Says why a command ends without having done its work.
pub(super) fn complain(problem: &Problem) {
    note(format_args!("claviger: {problem}"));
}

/// Prints a server's answer: as it came with `--json`, for people otherwise.
pub(super) fn answer(answer: &Value, json: bool) -> Result<(), Problem> {
    if json {
        return line(format_args!("{answer:#}"));
    }
    let Value::Object(members) = answer else { return line(cell(Some(answer))) };
    for (name, value) in members {
        if let Value::Array(rows) = value {
            table(name, rows)?;
        }
    }
    let width = members.keys().map(String::len).max().unwrap_or(0);
    for (name, value) in members.iter().filter(|(_, value)| !value.is_array()) {
        line(format_args!("{name:width$}  {}", cell(Some(value))))?;
    }
    Ok(())
}

fn table(name: &str, rows: &[Value]) -> Result<(), Problem> {
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
        return rows.iter().try_for_each(|row| line(cell(Some(row))));
    }
    let cells: Vec<Vec<String>> = rows.iter().map(|row| columns.iter().map(|column| cell(row.get(column))).collect()).collect();
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(i, column)| cells.iter().filter_map(|row| row.get(i)).map(String::len).chain([column.len()]).max().unwrap_or(0))
        .collect();
    let print = |texts: Vec<&str>| {
        let padded: Vec<String> = texts.iter().zip(&widths).map(|(text, width)| format!("{text:width$}")).collect();
        line(padded.join("  ").trim_end())
    };
    print(columns.clone())?;
    cells.iter().try_for_each(|row| print(row.iter().map(String::as_str).collect()))
}

/// A value on one line. Numbers in members that hold times are seconds since 1970.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => time(number).unwrap_or_else(|| number.to_string()),
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
