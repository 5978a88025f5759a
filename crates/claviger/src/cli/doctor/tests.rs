#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn time(text: &str) -> jiff::Timestamp {
    text.parse().unwrap()
}

#[test]
fn a_certificate_is_renewed_before_it_ends() {
    let now = time("2026-11-22T00:00:00Z");
    let level = |end: &str| match expiry(Some(time(end)), now) {
        Finding::Fine(_) => "fine",
        Finding::Warning { .. } => "warning",
        Finding::Wrong { .. } => "wrong",
    };
    assert_eq!(level("2027-11-22T00:00:00Z"), "fine");
    assert_eq!(level("2026-12-01T00:00:00Z"), "warning");
    assert_eq!(level("2026-11-21T23:59:59Z"), "wrong");
    assert!(matches!(expiry(None, now), Finding::Warning { .. }));
}

#[test]
fn a_clock_behind_the_log_is_wrong() {
    let now = time("2026-11-22T00:00:00Z");
    assert!(matches!(clock(time("2026-11-21T23:59:59Z"), now), Finding::Fine(_)));
    assert!(matches!(clock(time("2026-11-22T01:00:00Z"), now), Finding::Wrong { .. }));
}

#[test]
fn files_that_others_can_use_are_wrong_and_the_remedy_is_a_command() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("seal.key");
    fs::write(&path, "x").unwrap();
    let look = |mode| {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        private(&path, &fs::metadata(&path).unwrap(), 0o600)
    };
    assert!(matches!(look(0o600), Finding::Fine(_)));
    let Finding::Wrong { what, remedy } = look(0o640) else { panic!("0640 is not private") };
    assert!(what.contains("0640") && remedy == format!("chmod 0600 {}", path.display()), "{what} {remedy}");
}
