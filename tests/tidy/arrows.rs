//! Who may know whom: the table in ARCHITECTURE.md against `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

use super::tree::{files, read, report, root};

/// Packages that are tools for building the project, and no part of it.
const TOOLS: &[&str] = &["claviger-bench", "claviger-tests"];

/// The packages of this workspace that each package needs to run.
fn found() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new().current_dir(root()).no_deps().exec().expect("cargo metadata");
    let ours: BTreeSet<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    let needs = |package: &cargo_metadata::Package| {
        let needed = package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
        needed.map(|dependency| dependency.name.clone()).filter(|name| ours.contains(name.as_str())).collect()
    };
    metadata.packages.iter().map(|package| (package.name.to_string(), needs(package))).collect()
}

/// What the table under "Crates and arrows" allows.
fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let document = read("ARCHITECTURE.md");
    let (_, section) = document.split_once("## Crates and arrows").expect("the section 'Crates and arrows'");
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(package).collect::<Vec<_>>();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let crate_name = names(cells[0]).pop().expect("a crate's name in the first cell");
        (crate_name, names(cells.last().expect("a last cell")).into_iter().collect())
    })
    .collect()
}

fn package(directory: &str) -> String {
    match directory.split_once('/') {
        Some(("doors", door)) => format!("claviger-door-{door}"),
        Some(("backends", backend)) => format!("claviger-backend-{backend}"),
        _ if directory == "claviger" => directory.to_owned(),
        _ => format!("claviger-{directory}"),
    }
}

#[test]
fn crates_know_only_whom_the_architecture_lets_them_know() {
    let (found, allowed) = (found(), allowed());
    let mut findings = Vec::new();
    for (package, needs) in &found {
        if TOOLS.contains(&package.as_str()) {
            continue;
        }
        match allowed.get(package) {
            None => findings.push(format!("{package} has no row in the table")),
            Some(may) if may != needs => findings.push(format!("{package} depends on {needs:?}; the table says {may:?}")),
            Some(_) => {}
        }
    }
    findings
        .extend(allowed.keys().filter(|package| !found.contains_key(*package)).map(|package| format!("there is no {package}")));
    report(
        &findings,
        "arrows point inward only. Remove the dependency; or, if the architecture changes, the table in ARCHITECTURE.md first",
    );
}

#[test]
fn doors_reach_the_core_through_its_service_only() {
    let found = found();
    let doors: Vec<_> = found.iter().filter(|(package, _)| package.starts_with("claviger-door-")).collect();
    assert!(!doors.is_empty(), "there is a door");
    // What doors share besides is a parser of signatures that reaches nothing itself: the table says so.
    let only = ["claviger-domain", "claviger-service", "claviger-sigv4"].map(str::to_owned).into();
    assert_eq!(found["claviger-sigv4"], BTreeSet::from(["claviger-domain".to_owned()]));
    let findings: Vec<_> = doors
        .iter()
        .filter(|(_, needs)| !needs.is_subset(&only))
        .map(|(door, needs)| format!("{door} depends on {needs:?}"))
        .collect();
    report(
        &findings,
        "a door knows `domain` and `service`: what it needs of hsm, store or another door belongs into an operation",
    );
}

#[test]
fn every_crate_takes_the_workspaces_lints() {
    let manifests =
        files("crates", "Cargo.toml").into_iter().chain(["tests/Cargo.toml".to_owned(), "bench/Cargo.toml".to_owned()]);
    let findings: Vec<_> = manifests.filter(|path| !read(path).contains("[lints]\nworkspace = true")).collect();
    report(&findings, "add `[lints] workspace = true`: the lints are chosen once, in the root Cargo.toml");
}
