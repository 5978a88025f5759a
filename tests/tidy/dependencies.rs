//! What we take from others: which licences, which crates never, and from where. `deny.toml` says it, once, for `cargo deny` and for this
//! test, which works without it and without a network.

use std::collections::BTreeSet;
use std::process::Command;

use toml::Table;

use super::tree::{read, report, root};

fn rules() -> Table {
    read("deny.toml").parse().expect("deny.toml is TOML")
}

fn list(rules: &Table, section: &str, name: &str) -> Vec<String> {
    let values = rules[section][name].as_array().expect("an array");
    let text = |value: &toml::Value| match value {
        toml::Value::Table(entry) => entry["crate"].as_str().map(str::to_owned),
        other => other.as_str().map(str::to_owned),
    };
    values.iter().filter_map(text).collect()
}

/// Every package that is built here: its name and its licence. `cargo metadata` would also name optional ones that nobody switched on.
fn built() -> BTreeSet<(String, String)> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = [
        "tree",
        "--workspace",
        "--locked",
        "--offline",
        "--edges",
        "normal,build,dev",
        "--prefix",
        "none",
        "--format",
        "{p}|{l}",
    ];
    let output = Command::new(cargo).args(arguments).current_dir(root()).output().expect("cargo can be run");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let line = |line: &str| {
        let (package, licence) = line.split_once('|')?;
        // Cargo marks what it has listed already.
        Some((package.split(' ').next()?.to_owned(), licence.trim_end_matches(" (*)").to_owned()))
    };
    let packages: BTreeSet<_> = text.lines().filter_map(line).collect();
    assert!(packages.len() > 100, "cargo tree names the packages");
    packages
}

#[test]
fn licences_are_ones_that_we_accept() {
    let allowed = list(&rules(), "licenses", "allow");
    let findings: Vec<_> = built()
        .into_iter()
        .filter(|(_, licence)| !accepts(licence, &allowed))
        .map(|(package, licence)| format!("{package}: {licence:?}"))
        .collect();
    report(&findings, "take another crate; or, if the licence is fine for everybody who ships Claviger, add it to deny.toml");
}

#[test]
fn banned_crates_are_not_built() {
    let banned = list(&rules(), "bans", "deny");
    assert!(banned.iter().any(|name| name == "ring"), "the list is read");
    let findings: Vec<_> = built().into_iter().map(|(package, _)| package).filter(|package| banned.contains(package)).collect();
    report(&findings, "deny.toml says why it is banned, and what to take instead; `cargo tree -i NAME` says who brings it in");
}

#[test]
fn everything_comes_from_the_registry_or_from_here() {
    let lock: Table = read("Cargo.lock").parse().expect("Cargo.lock is TOML");
    let allowed = list(&rules(), "sources", "allow-registry");
    let packages = lock["package"].as_array().expect("packages");
    let from_elsewhere = |package: &&toml::Value| {
        let source = package.get("source").and_then(toml::Value::as_str).unwrap_or_default();
        !source.is_empty() && !allowed.iter().any(|registry| source == format!("registry+{registry}"))
    };
    let findings: Vec<_> = packages.iter().filter(from_elsewhere).map(ToString::to_string).collect();
    report(&findings, "use a published version: git dependencies and other registries are not allowed (deny.toml)");
}

/// Whether an SPDX expression can be met with these licences. Source: SPDX Specification, annex D "SPDX license expressions".
fn accepts(expression: &str, allowed: &[String]) -> bool {
    let expression = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = expression.split_whitespace().collect();
    let mut rest = words.as_slice();
    let met = any_of(&mut rest, allowed);
    met && rest.is_empty() && !words.is_empty()
}

fn any_of(rest: &mut &[&str], allowed: &[String]) -> bool {
    let mut met = all_of(rest, allowed);
    while rest.first() == Some(&"OR") {
        *rest = &rest[1..];
        met |= all_of(rest, allowed);
    }
    met
}

fn all_of(rest: &mut &[&str], allowed: &[String]) -> bool {
    let mut met = one(rest, allowed);
    while rest.first() == Some(&"AND") {
        *rest = &rest[1..];
        met &= one(rest, allowed);
    }
    met
}

fn one(rest: &mut &[&str], allowed: &[String]) -> bool {
    let Some((word, behind)) = rest.split_first() else { return false };
    *rest = behind;
    if *word == "(" {
        let met = any_of(rest, allowed);
        *rest = rest.get(1..).unwrap_or_default();
        return met;
    }
    let mut licence = (*word).to_owned();
    if let ["WITH", exception, behind @ ..] = *rest {
        licence = format!("{licence} WITH {exception}");
        *rest = behind;
    }
    allowed.contains(&licence)
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = ["MIT".to_owned(), "ISC".to_owned()];
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("GPL-3.0-only OR MIT", true),
        ("Apache-2.0/MIT", true),
        ("MIT AND GPL-3.0-only", false),
        ("ISC AND (GPL-3.0-only OR MIT)", true),
        ("(GPL-3.0-only OR MIT) AND Unicode-3.0", false),
        ("Apache-2.0 WITH LLVM-exception OR MIT", true),
        ("Apache-2.0 WITH LLVM-exception", false),
        ("", false),
    ] {
        assert_eq!(accepts(expression, &allowed), expected, "{expression}");
    }
}
