//! What every Rust file has to keep to.

use std::collections::BTreeSet;

use super::rust_source::RustSource;
use super::tree::{files, read, report};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// The only files with `unsafe` (ARCHITECTURE.md, invariant 7).
const UNSAFE_FILES: &[&str] = &["crates/hsm/src/aws_lc_gap.rs", "crates/hsm/src/memory.rs", "crates/hsm/src/memory/system.rs"];

/// What ends the process or prints, with the lint that has to be lifted, with its reason, where it is right nevertheless.
const NOT_IN_LIBRARIES: &[(&str, Option<&str>)] = &[
    (".unwrap()", Some("clippy::unwrap_used")),
    (".expect(", Some("clippy::expect_used")),
    ("panic!(", Some("clippy::panic")),
    ("println!(", Some("clippy::print_stdout")),
    ("print!(", Some("clippy::print_stdout")),
    ("eprintln!(", Some("clippy::print_stderr")),
    ("eprint!(", Some("clippy::print_stderr")),
    ("todo!(", None),
    ("unimplemented!(", None),
    ("dbg!(", None),
];

/// Beginnings of SQL statements.
const SQL: &[&str] = &["SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", "CREATE TABLE ", "PRAGMA ", "ALTER TABLE "];

/// All Rust files.
fn sources() -> Vec<RustSource> {
    ["crates", "bench", "fuzz", "tests"]
        .iter()
        .flat_map(|directory| files(directory, ".rs"))
        .map(|path| RustSource::parse(&path, &read(&path)))
        .collect()
}

/// The files that go into a library or program, without modules that are only there in tests.
fn library() -> Vec<RustSource> {
    let all: Vec<_> =
        sources().into_iter().filter(|source| source.path.starts_with("crates/") && source.path.contains("/src/")).collect();
    let tests: BTreeSet<String> = all.iter().flat_map(RustSource::test_modules).collect();
    let is_test = |path: &str| {
        let module = path.trim_end_matches(".rs").trim_end_matches("/mod");
        tests.iter().any(|test| module == test || module.starts_with(&format!("{test}/")))
    };
    let library: Vec<_> = all.into_iter().filter(|source| !is_test(&source.path)).collect();
    assert!(library.len() > 100, "the library's files are found");
    library
}

#[test]
fn files_and_functions_can_be_read_in_one_go() {
    let mut findings = Vec::new();
    for source in library() {
        let lines = source.lines_before_tests();
        if lines > FILE_LINES_MAX {
            findings.push(format!("{} has {lines} lines before its tests, of at most {FILE_LINES_MAX}", source.path));
        }
        for (name, body) in source.functions() {
            let lines = source.line(body.end) - source.line(body.start) + 1;
            if lines > FUNCTION_LINES_MAX && !source.is_test(body.start) {
                let place = source.place(body.start);
                findings.push(format!("{place}: fn {name} has {lines} lines, of at most {FUNCTION_LINES_MAX}"));
            }
        }
    }
    report(&findings, "cut where a reader would: one concept a file, one thought a function");
}

#[test]
fn every_crate_says_at_its_head_what_it_is() {
    let mut findings = Vec::new();
    for path in files("crates", "src/lib.rs") {
        let text = read(&path);
        let head: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        if !(3..=24).contains(&head.len()) {
            findings.push(format!("{path} opens with {} lines of `//!`", head.len()));
        }
        if !head.concat().contains("Start reading at") {
            findings.push(format!("{path} does not say \"Start reading at ...\""));
        }
    }
    report(&findings, "open lib.rs with some 10 lines of `//!`: what the crate is, what it is not, where to start reading");
}

#[test]
fn libraries_neither_panic_nor_print() {
    let mut findings = Vec::new();
    for source in library() {
        for (pattern, lint) in NOT_IN_LIBRARIES {
            for at in source.find_in_code(pattern) {
                let part_of_a_name =
                    source.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') && !pattern.starts_with('.');
                // A method of our own that happens to be called `expect`.
                let without_a_text = source.code[at + pattern.len()..].starts_with(')') && pattern.ends_with('(');
                if part_of_a_name || without_a_text || lint.is_some_and(|lint| source.is_lifted(lint, at)) {
                    continue;
                }
                findings.push(format!("{}: {pattern}", source.place(at)));
            }
        }
    }
    report(
        &findings,
        "input must not be able to crash the keeper of the keys: return a Refusal or an error. Where the invariant is local and plain, \
         #[expect(clippy::..., reason = \"...\")] says so",
    );
}

#[test]
fn unsafe_stays_where_it_is_explained() {
    let mut findings = Vec::new();
    for source in sources() {
        let uses = source.code.match_indices("unsafe").map(|(at, _)| at).filter(|at| is_keyword(&source.code, *at, "unsafe"));
        for at in uses {
            if !UNSAFE_FILES.contains(&source.path.as_str()) {
                findings.push(format!("{}: unsafe outside of {UNSAFE_FILES:?}", source.place(at)));
            } else if !has_safety_comment(&source, at) {
                findings.push(format!("{}: no `SAFETY:` above it", source.place(at)));
            }
        }
        let lifted = source.lifted.iter().filter(|lifted| lifted.attribute.contains("unsafe_code"));
        for lifted in lifted.filter(|_| !UNSAFE_FILES.contains(&source.path.as_str())) {
            findings.push(format!("{}: lifts unsafe_code", source.place(lifted.at)));
        }
    }
    report(
        &findings,
        "do it without unsafe (crate rustix does most system calls); or move it into a file that ARCHITECTURE.md names, with `// SAFETY:` above",
    );
}

#[test]
fn lifted_lints_say_why() {
    let mut findings = Vec::new();
    for source in sources() {
        for lifted in source.lifted.iter().filter(|lifted| !lifted.attribute.contains("reason = \"")) {
            findings.push(format!("{}: {}", source.place(lifted.at), lifted.attribute));
        }
    }
    report(&findings, "add `reason = \"...\"` to the attribute");
}

#[test]
fn sql_stays_in_the_store() {
    let mut findings = Vec::new();
    for source in library().iter().filter(|source| !source.path.starts_with("crates/store/")) {
        for statement in SQL {
            let places = source.literals.match_indices(statement).map(|(at, _)| at).filter(|at| !source.is_test(*at));
            findings.extend(places.map(|at| format!("{}: {statement}...", source.place(at))));
        }
    }
    report(&findings, "ask the trait `Store` for it; SQL is written once, in crates/store/src/sql.rs");
}

fn is_keyword(code: &str, at: usize, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    !code[..at].ends_with(is_name) && !code[at + word.len()..].starts_with(is_name)
}

/// Whether the statement with the `unsafe` at `at`, or the comment right above it, says why it is sound.
fn has_safety_comment(source: &RustSource, at: usize) -> bool {
    let above: Vec<&str> = source.text.lines().take(source.line(at) - 1).collect();
    let mut lines = above.iter().rev().map(|line| line.trim());
    // One line up for a statement that rustfmt broke before `unsafe`.
    let nearest = lines.find(|line| line.starts_with("//") || line.ends_with(';') || line.ends_with('}'));
    let Some(mut line) = nearest else { return false };
    while line.starts_with("//") {
        if line.contains("SAFETY:") {
            return true;
        }
        line = lines.next().unwrap_or_default();
    }
    false
}
