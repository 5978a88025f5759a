//! One operation, one file: in the service, and in each door that offers it.

use std::collections::BTreeSet;

use super::tree::{files, read, report, stem};

/// The operations of a family, by the names of their files.
fn operations(family: &str) -> BTreeSet<String> {
    named(&format!("crates/service/src/operations/{family}"), "impl Operation for ")
}

/// The door that maps a family's operations, and the directory of their files there.
fn directory_of(family: &str) -> String {
    match family {
        "xks" => "crates/doors/hyok/src".to_owned(),
        _ => format!("crates/doors/aws/src/{family}"),
    }
}

/// The operations that a door maps, by the names of their files.
fn mapped(family: &str) -> BTreeSet<String> {
    named(&directory_of(family), "impl Mapping for ")
}

fn named(directory: &str, marker: &str) -> BTreeSet<String> {
    let declaring: Vec<_> = files(directory, ".rs").into_iter().filter(|path| read(path).contains(marker)).collect();
    let names: BTreeSet<String> = declaring.iter().map(|path| stem(path).to_owned()).collect();
    // Four is all that the XKS proxy API has.
    let least = if directory.ends_with("/xks") || directory.contains("/hyok/") { 4 } else { 11 };
    assert!(names.len() >= least, "{directory} has operations");
    names
}

#[test]
fn every_operation_has_a_file_here_and_there() {
    let mut findings = Vec::new();
    for family in ["kms", "admin", "xks"] {
        let (service, door) = (operations(family), mapped(family));
        findings
            .extend(service.difference(&door).map(|name| format!("{family}/{name}.rs is in the service, but not in the door")));
        findings
            .extend(door.difference(&service).map(|name| format!("{family}/{name}.rs is in the door, but not in the service")));
    }
    report(&findings, "an operation is one file in crates/service/src/operations and one of the same name in its door");
}

#[test]
fn every_operation_has_one_file() {
    let mut findings = Vec::new();
    for path in files("crates/service/src/operations", ".rs") {
        let count = read(&path).matches("impl Operation for ").count();
        if count > 1 {
            findings.push(format!("{path} holds {count} operations"));
        }
    }
    report(&findings, "one operation, one type, one file");
}

/// That the table has every operation of the model is tested beside it.
#[test]
fn nothing_that_is_offered_is_said_not_to_be() {
    let document = read("docs/divergences/aws-kms.md");
    let (_, section) = document.split_once("## Not offered").expect("the section 'Not offered'");
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let written: BTreeSet<&str> = section.split('`').skip(1).step_by(2).collect();
    let stale: Vec<_> =
        operations("kms").into_iter().map(|file| camel(&file)).filter(|name| written.contains(name.as_str())).collect();
    report(&stale, "it is offered now: take it out of docs/divergences/aws-kms.md");
}

fn camel(file: &str) -> String {
    file.split('_').flat_map(|word| word[..1].to_uppercase().chars().chain(word[1..].chars()).collect::<Vec<_>>()).collect()
}
