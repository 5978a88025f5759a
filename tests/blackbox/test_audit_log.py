"""The audit log after everything that the other tests did: sound, complete, and without secrets. Runs last."""

import base64
import collections
import json
import re
import shutil
import subprocess
import sys
import time

import pytest

import wire
from harness import BINARY, CLEAN_ENVIRONMENT, ROOT, alias_name, refused, run

VERIFIER = ROOT / "crates" / "audit" / "tests" / "verify_export.py"
WINDOW = 12


@pytest.fixture(scope="module")
def session(server):
    """A few requests of each kind, so that this file says something when it runs alone."""
    kms = server.kms()
    key = kms.create_key(Tags=[{"TagKey": "k", "TagValue": "v"}])["KeyMetadata"]
    alias = alias_name()
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    plaintext = b"what must not be in the audit log"
    context = {"purpose": "audit"}
    encrypted = kms.encrypt(KeyId=alias, Plaintext=plaintext, EncryptionContext=context)
    kms.decrypt(CiphertextBlob=encrypted["CiphertextBlob"], EncryptionContext=context)
    kms.generate_data_key(KeyId=key["KeyId"], KeySpec="AES_256")
    kms.generate_random(NumberOfBytes=32)
    kms.re_encrypt(CiphertextBlob=encrypted["CiphertextBlob"], SourceEncryptionContext=context, DestinationKeyId=key["KeyId"])
    with refused("InvalidCiphertextException"):
        kms.decrypt(CiphertextBlob=encrypted["CiphertextBlob"])
    signing = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    kms.sign(KeyId=signing, Message=plaintext, SigningAlgorithm="ECDSA_SHA_256")
    mac = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
    kms.generate_mac(KeyId=mac, Message=plaintext, MacAlgorithm="HMAC_SHA_256")
    encapsulation = kms.create_key(KeySpec="ML_KEM_512", KeyUsage="ENCAPSULATE_DECAPSULATE")["KeyMetadata"]["KeyId"]
    kms.encapsulate(KeyId=encapsulation, EncapsulationAlgorithm="ML_KEM")
    kms.generate_data_key_pair(KeyId=key["KeyId"], KeyPairSpec="ECC_NIST_P256")
    nobody = server.create_user("123456789012")
    with refused("AccessDeniedException") as denied:
        server.kms(nobody).encrypt(KeyId=key["Arn"], Plaintext=plaintext)
    unsigned = wire.request("Encrypt", {"KeyId": key["KeyId"], "Plaintext": base64.b64encode(plaintext).decode()})
    unsigned.url = server.endpoint
    refusal = wire.send(server, unsigned)
    assert refusal.error == "MissingAuthenticationTokenException"
    rotated = kms.rotate_key_on_demand(KeyId=key["KeyId"])
    return {
        "key": key,
        "alias": alias,
        "encrypted": encrypted,
        "denied": denied.response["ResponseMetadata"]["RequestId"],
        "nobody": nobody,
        "unsigned": refusal.headers["x-amzn-RequestId"],
        "rotated": rotated["ResponseMetadata"]["RequestId"],
    }


@pytest.fixture(scope="module")
def export(server, session, tmp_path_factory):
    """The log as plain files."""
    directory = tmp_path_factory.mktemp("export") / "log"
    run("audit", "export", directory, "--data", server.data)
    return directory


@pytest.fixture(scope="module")
def texts(export):
    """Each entry as it is in the log, from the tiles: a 16-bit length, then the bytes."""
    entries = []
    tiles = sorted(path for path in (export / "tile" / "entries").rglob("*") if path.is_file())
    # A full tile has the same name as its partial ones, which live in a directory NNN.p.
    for tile in tiles:
        content = tile.read_bytes()
        while content:
            length = int.from_bytes(content[:2], "big")
            entries.append(content[2 : 2 + length].decode())
            content = content[2 + length :]
    return entries


@pytest.fixture(scope="module")
def entries(texts):
    return [json.loads(text) for text in texts]


def of_request(entries, request_id):
    return [entry for entry in entries if entry.get("requestID") == request_id and entry["eventType"] == "AwsApiCall"]


def test_it_verifies(server, session):
    done = run("audit", "verify", "--data", server.data, "--every-signature")
    assert done.returncode == 0
    assert re.search(r"\d+ entries", done.stdout + done.stderr), done.stdout


def test_it_verifies_with_software_that_is_not_ours(server, export, entries):
    done = subprocess.run(
        [sys.executable, str(VERIFIER), str(export), "--vkey", (export / "vkey").read_text().strip(), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    result = json.loads(done.stdout)
    assert done.returncode == 0 and result["sound"] is True, done.stdout
    assert result["size"] == len(entries)
    assert (export / "vkey").read_text().strip() == (server.data / "audit-dev.vkey").read_text().strip()


def test_a_changed_export_does_not_verify(export, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(export, copy)
    tile = next(path for path in sorted((copy / "tile" / "entries").rglob("*")) if path.is_file())
    content = bytearray(tile.read_bytes())
    content[50] ^= 1
    tile.chmod(0o600)
    tile.write_bytes(content)
    done = subprocess.run([sys.executable, str(VERIFIER), str(copy)], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "NOT SOUND" in done.stdout


def test_an_old_checkpoint_is_a_prefix(server, export, tmp_path):
    old = tmp_path / "checkpoint"
    old.write_bytes((export / "checkpoint").read_bytes())
    server.kms().generate_random(NumberOfBytes=1)
    run("audit", "verify", "--data", server.data, "--checkpoint", old)
    # One of another log is none of this one.
    text = old.read_text().splitlines()
    text[2] = base64.b64encode(bytes(32)).decode()
    old.write_text("\n".join(text) + "\n")
    done = run("audit", "verify", "--data", server.data, "--checkpoint", old, check=False)
    assert done.returncode != 0


def test_exactly_one_entry_for_each_request(server, session, entries):
    counted = collections.Counter(entry["requestID"] for entry in entries if entry["eventType"] == "AwsApiCall")
    seen = list(server.observer.answers)
    missing = [answer for answer in seen if counted[answer.request_id] == 0]
    twice = [answer for answer in seen if counted[answer.request_id] > 1]
    assert len(seen) > 10
    # The last request was made while the log was exported.
    assert [answer for answer in missing if answer.operation != "GenerateRandom"] == [] and len(missing) <= 1, missing[:5]
    assert twice == []
    assert max(counted.values()) == 1


def test_each_entry_says_what_happened(server, session, entries):
    by_request = {entry["requestID"]: entry for entry in entries if entry["eventType"] == "AwsApiCall"}
    wrong = []
    for answer in server.observer.answers:
        entry = by_request.get(answer.request_id)
        if entry is None or answer.operation not in wire.SERVICE_MODEL.operation_names:
            continue
        # CloudTrail spells this one without its ending.
        error = "AccessDenied" if answer.error == "AccessDeniedException" else answer.error
        if (entry["eventName"], entry.get("errorCode")) != (answer.operation, error):
            wrong.append((answer, entry["eventName"], entry.get("errorCode")))
    assert wrong == []


def test_ids_are_unique(entries):
    assert len({entry["eventID"] for entry in entries}) == len(entries)


def test_times_do_not_run_backwards(entries):
    times = [entry["claviger"]["timeMs"] for entry in entries]
    assert all(later >= earlier - 2000 for earlier, later in zip(times, times[1:], strict=False))
    assert abs(times[-1] / 1000 - time.time()) < 600


def test_entries_are_canonical(texts):
    for text in texts:
        assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def test_a_success_in_cloudtrails_form(session, entries):
    [entry] = of_request(entries, session["encrypted"]["ResponseMetadata"]["RequestId"])
    key = session["key"]
    assert entry["eventName"] == "Encrypt"
    assert entry["eventSource"] == "kms.amazonaws.com"
    assert entry["awsRegion"] == "us-east-1"
    assert entry["readOnly"] is True
    assert entry["sourceIPAddress"] == "127.0.0.1"
    assert "Boto3" in entry["userAgent"] or "Botocore" in entry["userAgent"]
    assert entry["userIdentity"]["type"] == "Root"
    assert entry["userIdentity"]["arn"] == "arn:aws:iam::123456789012:root"
    assert entry["requestParameters"]["encryptionContext"] == {"purpose": "audit"}
    assert entry["requestParameters"]["keyId"] == session["alias"]
    assert {"ARN": key["Arn"], "accountId": "123456789012", "type": "AWS::KMS::Key"} in entry["resources"]
    assert "errorCode" not in entry
    assert entry["claviger"]["door"] == "aws-kms" and entry["claviger"]["decision"]["effect"] == "allow"
    assert entry["recipientAccountId"] == "123456789012"


def test_a_refusal_says_who_and_why(session, entries):
    [entry] = of_request(entries, session["denied"])
    assert entry["errorCode"] == "AccessDenied"
    assert "is not authorized to perform" in entry["errorMessage"]
    assert entry["userIdentity"]["arn"] == session["nobody"].arn
    assert entry["claviger"]["decision"]["effect"] == "deny"
    assert entry["claviger"]["decision"]["basis"] == "no statement of an identity policy allows"


def test_a_request_by_nobody_is_there_too(session, entries):
    [entry] = of_request(entries, session["unsigned"])
    assert entry["errorCode"] == "MissingAuthenticationTokenException"
    assert entry["userIdentity"]["type"] == "Unknown"


def test_a_change_names_what_changed(session, entries):
    [entry] = of_request(entries, session["rotated"])
    assert entry["readOnly"] is False
    assert [change["kind"] for change in entry["claviger"]["changes"]] == ["key"]


def test_last_usage_points_into_the_log(server, session, entries):
    usage = server.kms().get_key_last_usage(KeyId=session["key"]["KeyId"])["KeyLastUsage"]
    assert usage["CloudTrailEventId"] in {entry["eventID"] for entry in entries}


def test_no_entry_holds_a_secret(server, session, texts):
    """Every plaintext, ciphertext and secret that passed by, in base64, in hexadecimal and as it is."""
    needles = {}
    for secret, what in server.observer.secrets.items():
        # Texts too short, or as plain as zeroes, would be found by chance.
        if len(set(secret)) < 6:
            continue
        for form in (base64.b64encode(secret).decode().rstrip("="), secret.hex(), secret.decode("latin-1")):
            if len(form) >= WINDOW:
                for begin in (0, (len(form) - WINDOW) // 2, len(form) - WINDOW):
                    needles[form[begin : begin + WINDOW]] = what
    assert len(needles) > 20
    found = []
    for text in texts:
        for begin in range(len(text) - WINDOW + 1):
            what = needles.get(text[begin : begin + WINDOW])
            if what:
                found.append((what, text[begin : begin + WINDOW], text[max(0, begin - 40) : begin + 60]))
    assert found == []


def test_tail(server, session):
    lines = run("audit", "tail", "--data", server.data, "--lines", "5").stdout.splitlines()
    assert len(lines) == 5
    whole = [json.loads(line) for line in run("audit", "tail", "--data", server.data, "--lines", "5", "--json").stdout.splitlines()]
    assert len(whole) == 5 and all(entry["eventName"] in line for entry, line in zip(whole, lines, strict=True))


def test_tail_follows(server, session, tmp_path):
    with (tmp_path / "tail").open("w+") as output:
        tail = subprocess.Popen(
            [str(BINARY), "audit", "tail", "--data", str(server.data), "--lines", "1", "--follow", "--json"],
            env=CLEAN_ENVIRONMENT,
            stdout=output,
            stderr=subprocess.PIPE,
        )
        try:
            request = server.kms().generate_random(NumberOfBytes=16)["ResponseMetadata"]["RequestId"]
            deadline = time.monotonic() + 20
            while request not in (tmp_path / "tail").read_text():
                assert time.monotonic() < deadline and tail.poll() is None, tail.stderr.read() if tail.poll() is not None else "nothing came"
                time.sleep(0.05)
        finally:
            tail.terminate()
            tail.wait(10)


def test_the_export_goes_into_an_empty_directory_only(server, session, export):
    done = run("audit", "export", export, "--data", server.data, check=False)
    assert done.returncode != 0
