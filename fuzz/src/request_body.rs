//! Reads a body as the request of an operation of the AWS door.

use claviger_domain::{Kind, Refusal};

/// Characters in an error's text, at most: a request may have many faults, and what is repeated of each value is cut.
const ERROR_CHARACTERS_MAX: usize = 16 * 1024;

/// Whether the body is a well-formed request. The input is a target (`TrentService.Encrypt`), a line feed and the body.
pub fn run(data: &[u8]) -> bool {
    let mut halves = data.splitn(2, |&byte| byte == b'\n');
    let target = halves.next().and_then(|target| std::str::from_utf8(target).ok()).unwrap_or_default();
    let body = halves.next().unwrap_or_default();
    let outcome = claviger_door_aws::fuzz::read_request_body(target, body);
    if let Err(refusal) = &outcome {
        check(refusal, body);
    }
    outcome.is_ok()
}

fn check(refusal: &Refusal, body: &[u8]) {
    assert!(refusal.detail.chars().count() <= ERROR_CHARACTERS_MAX, "{} characters", refusal.detail.chars().count());
    // Reading a body does nothing, so that nothing on our side can have failed.
    assert!(!matches!(refusal.kind, Kind::Internal | Kind::KeyUnavailable | Kind::DependencyTimeout), "{refusal}");
    // A body that cannot be read may hold a plaintext: the text says where the fault is, and repeats nothing.
    if refusal.kind == Kind::Unparsable && refusal.detail.contains("line") {
        let rest: String = refusal.detail.chars().filter(|character| !character.is_ascii_digit()).collect();
        assert!(
            matches!(
                rest.as_str(),
                "The request body cannot be read: it is not JSON, at line  column ."
                    | "The request body cannot be read: a member has a value of the wrong type, or is there twice, at line  column ."
            ),
            "{refusal} for {} bytes",
            body.len()
        );
    }
}
