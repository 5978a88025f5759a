//! Reads a body as the request of an operation of the door for clouds (`hyok`).

use claviger_domain::Kind;

/// Whether the body is a well-formed request. The input is a path (`/a/kms/xks/v1/keys/one/encrypt`), a line feed and the body.
pub fn run(data: &[u8]) -> bool {
    let mut halves = data.splitn(2, |&byte| byte == b'\n');
    let path = halves.next().and_then(|path| std::str::from_utf8(path).ok()).unwrap_or_default();
    let body = halves.next().unwrap_or_default();
    if !claviger_door_hyok::fuzz::is_request_path(path) {
        return false;
    }
    let operation = path.rsplit('/').next().unwrap_or_default();
    let outcome = claviger_door_hyok::fuzz::read_request_body(operation, body);
    if let Err(refusal) = &outcome {
        assert!(refusal.detail.len() < 512, "{refusal}");
        // Reading does nothing, so that nothing on our side can have failed; and what cannot be read may hold a plaintext.
        assert!(matches!(refusal.kind, Kind::Unparsable | Kind::Invalid | Kind::Unsupported), "{refusal}");
    }
    outcome.is_ok()
}
