//! Documents say what is there, and what they point at is there.

use std::collections::BTreeSet;

use super::tree::{exists, files, read, report, root};

/// What belongs to a note to oneself, or to one machine, and not into a tree that others read.
const NOT_HERE: &[&str] = &["TODO", "FIXME", "XXX", "HACK", "WIP", "lorem ipsum", "/root/", "/work/", "/Users/"];

/// Words for which the project has others.
const OTHER_WORDS: &[(&str, &str)] = &[("whitelist", "allow list"), ("blacklist", "deny list"), ("slave", "replica")];

/// Files that a reader of any project looks for.
const EXPECTED: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "deny.toml",
];

/// A link in a Markdown document: its text and where it points.
struct Link<'a> {
    text: &'a str,
    target: &'a str,
}

fn links(document: &str) -> Vec<Link<'_>> {
    let mut found = Vec::new();
    for (at, _) in document.match_indices("](") {
        let text = document[..at].rsplit_once('[').map_or("", |(_, text)| text);
        let target = document[at + 2..].split_once(')').map_or("", |(target, _)| target);
        found.push(Link { text, target });
    }
    found
}

fn texts() -> Vec<String> {
    let endings = [".rs", ".md", ".toml", ".py", ".sh", ".yml", "Makefile", ".ci/run"];
    let all = files("", "").into_iter().filter(|path| endings.iter().any(|ending| path.ends_with(ending)));
    // This file has to name what it looks for; a lock file is not written by people.
    all.filter(|path| !path.ends_with("tidy/documents.rs") && !path.ends_with(".lock")).collect()
}

#[test]
fn what_a_reader_looks_for_is_there() {
    let findings: Vec<_> = EXPECTED.iter().filter(|path| !exists(path)).map(|path| format!("{path} is missing")).collect();
    report(&findings, "write it");
    assert!(read("LICENSE-APACHE").contains("Apache License") && read("LICENSE-APACHE").contains("Version 2.0"));
    assert!(read("LICENSE-MIT").contains("Permission is hereby granted, free of charge"));
    assert!(read("Cargo.toml").contains("license = \"Apache-2.0 OR MIT\""));
}

#[test]
fn links_lead_somewhere() {
    let mut findings = Vec::new();
    for path in files("", ".md") {
        let document = read(&path);
        let directory = root().join(&path).parent().expect("a directory").to_owned();
        for Link { text, target } in links(&document) {
            if target.starts_with("https://") || target.starts_with("http://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let pointed = if file.is_empty() { root().join(&path) } else { directory.join(file) };
            if !pointed.exists() {
                findings.push(format!("{path}: [{text}]({target}): no such file"));
            } else if !anchor.is_empty() && !anchors(&std::fs::read_to_string(&pointed).unwrap_or_default()).contains(anchor) {
                findings.push(format!("{path}: [{text}]({target}): no such heading"));
            }
        }
    }
    report(&findings, "correct the link, or write what it points at");
}

#[test]
fn tests_that_documents_name_exist() {
    let mut named = 0;
    let mut findings = Vec::new();
    for path in ["ARCHITECTURE.md", "SECURITY.md"] {
        let document = read(path);
        for Link { text, target } in links(&document) {
            let name = text.trim_matches('`');
            let is_function = text.starts_with('`')
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit());
            if !is_function || !(target.ends_with(".rs") || target.ends_with(".py")) || !exists(target) {
                continue;
            }
            named += 1;
            let code = read(target);
            if !code.contains(&format!("fn {name}(")) && !code.contains(&format!("def {name}(")) {
                findings.push(format!("{path}: {target} has no {name}"));
            }
        }
    }
    report(&findings, "name the test that holds the promise; if there is none any more, write it");
    assert!(named >= 10, "the tables of tests are read: {named}");
}

#[test]
fn documents_that_code_mentions_exist() {
    let mut findings = Vec::new();
    for path in texts() {
        let text = read(&path);
        for (at, _) in text.match_indices("docs/") {
            let rest = &text[at..];
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c))).unwrap_or(rest.len());
            let mentioned = rest[..end].trim_end_matches('.');
            let is_name = mentioned.ends_with(".md") && !mentioned.contains("NNN");
            if is_name && !exists(mentioned) && !text[..at].ends_with('/') {
                findings.push(format!("{path} mentions {mentioned}"));
            }
        }
    }
    report(&findings, "write the document, or name the right one");
}

#[test]
fn texts_are_finished() {
    let mut findings = Vec::new();
    for path in texts() {
        for (number, line) in read(&path).lines().enumerate() {
            for word in NOT_HERE.iter().filter(|word| holds_word(line, word)) {
                findings.push(format!("{path}:{}: {word}", number + 1));
            }
            let lower = line.to_lowercase();
            for (word, better) in OTHER_WORDS.iter().filter(|(word, _)| lower.contains(word)) {
                findings.push(format!("{path}:{}: say \"{better}\", not \"{word}\"", number + 1));
            }
        }
    }
    report(&findings, "do it now, or leave it out; what somebody else has to do belongs into an issue");
}

#[test]
fn decisions_are_numbered_one_after_the_other() {
    let mut findings = Vec::new();
    for (path, number) in files("docs/decisions", ".md").iter().zip(1..) {
        let name = path.trim_start_matches("docs/decisions/");
        if !name.starts_with(&format!("{number:03}-")) {
            findings.push(format!("{path} should begin with {number:03}-"));
        }
        if !read(path).starts_with(&format!("# {}: ", &name[..3])) {
            findings.push(format!("{path} should open with `# {}: ` and its title", &name[..3]));
        }
    }
    report(&findings, "docs/decisions/NNN-title.md, in the order in which they were made");
}

#[test]
fn metrics_are_documented() {
    let code: Vec<String> = files("crates", ".rs").into_iter().filter(|path| path.contains("/src/")).collect();
    let counted: BTreeSet<String> = code.iter().flat_map(|path| metrics(&read(path), "\"claviger_", &['"'])).collect();
    let documented = metrics(&read("docs/operations.md"), "| `claviger_", &['`', '{']);
    assert!(counted.len() > 5 && documented.len() > 5, "both are read");
    let missing = counted.difference(&documented).map(|name| format!("{name} is not in docs/operations.md"));
    let stale = documented.difference(&counted).map(|name| format!("{name} is in docs/operations.md, but nothing counts it"));
    report(&missing.chain(stale).collect::<Vec<_>>(), "put it into the table of metrics, or take it out");
}

/// The names of metrics in the text of a document or of code: `claviger_...` between these marks.
fn metrics(text: &str, open: &str, close: &[char]) -> BTreeSet<String> {
    let name = |at: usize| {
        let rest = &text[at + open.len() - "claviger_".len()..];
        let end = rest.find(|c: char| !(c.is_ascii_lowercase() || c == '_'))?;
        close.iter().any(|mark| rest[end..].starts_with(*mark)).then(|| rest[..end].to_owned())
    };
    text.match_indices(open).filter_map(|(at, _)| name(at)).collect()
}

/// The anchors of a document's headings, as forges make them.
fn anchors(document: &str) -> BTreeSet<String> {
    let headings = document.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |heading: &str| {
        let kept = heading.to_lowercase().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>();
        kept.replace(' ', "-")
    };
    headings.map(anchor).collect()
}

fn holds_word(line: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let bounded = |at: usize| !line[..at].ends_with(is_name) && !line[at + word.len()..].starts_with(is_name);
    let is_path = word.starts_with('/');
    line.match_indices(word).any(|(at, _)| if is_path { !line[..at].ends_with(is_name) } else { bounded(at) })
}
