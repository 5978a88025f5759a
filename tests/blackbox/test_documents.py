"""What the documents tell people to type, typed."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from harness import BINARY, CLEAN_ENVIRONMENT, ROOT, start_dev
from test_serve import Site


def blocks(document, section):
    """The shell commands in a section of a document."""
    text = (ROOT / document).read_text()
    (body,) = re.findall(rf"^#+ {re.escape(section)}\n(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL)
    # A heading-like line inside of a block (a comment) is none of ours: there are none that begin with # and a space.
    found = re.findall(r"^```sh\n(.*?)^```", body, re.MULTILINE | re.DOTALL)
    assert found, f"{document}, {section}: no commands"
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A server as README.md sets it up, and a directory in which to type."""
    site = Site(tmp_path_factory.mktemp("documents") / "site", regions='["eu-central-1"]')
    directory = site.directory / "typing"
    directory.mkdir()
    site.init_into(directory / "administrator.env")
    (directory / "certificate.pem").write_bytes(site.authority.file.read_bytes())
    site.server = site.start()
    site.typing = directory
    yield site
    assert site.server.stop() == 0, site.server.log.read_text()


def type_in(place, commands, environment=None):
    """Types commands into a shell, and answers what they print. The server listens elsewhere than in the document."""
    return type_into(place.typing, commands.replace("https://localhost:9911", place.server.endpoint), environment)


def type_into(directory, script, environment=None):
    tools = [BINARY.parent, pathlib.Path(sys.executable).parent]
    path = os.pathsep.join([*map(str, tools), CLEAN_ENVIRONMENT["PATH"]])
    done = subprocess.run(
        ["bash", "-e", "-u", "-c", script],
        cwd=directory,
        env=CLEAN_ENVIRONMENT | {"PATH": path} | (environment or {}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def access_key(printed, prefix=""):
    """The access key in what a command printed for people."""
    return {
        "AWS_ACCESS_KEY_ID": re.search(rf"^{prefix}AccessKeyId +(\S+)$", printed, re.MULTILINE)[1],
        "AWS_SECRET_ACCESS_KEY": re.search(rf"^{prefix}SecretAccessKey +(\S+)$", printed, re.MULTILINE)[1],
    }


def test_accounts_roles_and_simulation(place):
    administration, _ = blocks("README.md", "Accounts, users, access keys, policies")
    printed = type_in(place, administration)
    root, app = access_key(printed, "Root"), access_key(printed)
    prelude = administration.split("\n\n")[0] + "\n"

    roles, assume, service = blocks("docs/operations.md", "Roles and services")
    type_in(place, prelude + roles)
    for_aws = {"AWS_ENDPOINT_URL_STS": place.server.endpoint, "AWS_ENDPOINT_URL_KMS": place.server.endpoint}
    assert "assumed-role/backup/nightly" in type_in(place, prelude + assume, app | for_aws)
    assert "AccessKeyId" in type_in(place, prelude + service)

    key = "aws kms create-alias --alias-name alias/orders --target-key-id $(aws kms create-key --query KeyMetadata.KeyId --output text)"
    type_in(place, prelude + key, root | for_aws)
    (simulate,) = blocks("docs/operations.md", "Why may somebody, or not?")
    decisions = re.findall(r"^Decision +(\S+)$", type_in(place, prelude + simulate), re.MULTILINE)
    assert decisions == ["allowed", "allowed"]


def test_the_first_minute(tmp_path):
    server = start_dev(tmp_path / ".dev")
    try:
        (_, three_lines) = blocks("README.md", "Two commands")
        printed = [line for line in server.log.read_text().splitlines() if line.startswith(("source", "key=", "aws "))]
        assert [printed[0].replace(f"{tmp_path}/", ""), *printed[1:]] == three_lines.splitlines()
        told = type_into(tmp_path, three_lines + "".join(blocks("README.md", "A first minute")))
        assert told.count("a secret") == 3, told
        assert "CreateAlias" in told and "sound    " in told and "Everything fits." in told, told
        assert "secret.txt" not in {path.name for path in tmp_path.iterdir()}
        (python,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
        done = subprocess.run(
            [sys.executable, "-c", python], env=CLEAN_ENVIRONMENT | server.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0 and "arn:aws:kms:" in done.stdout, done.stderr
    finally:
        assert server.stop() == 0


def test_an_auditors_visits(place):
    (place.typing / "claviger.toml").symlink_to(place.config)
    (place.typing / "data").symlink_to(place.data)
    (place.typing / "verify_export.py").symlink_to(ROOT / "crates" / "audit" / "tests" / "verify_export.py")
    (key,) = re.findall(r"^CLAVIGER_AUDIT_VKEY=(.*)$", (place.typing / "administrator.env").read_text(), re.MULTILINE)
    first, later, python = blocks("README.md", "For auditors")
    export = re.sub(r"VKEY='...'.*", f"VKEY='{key}'", first.splitlines()[0]) + "\n"
    told = type_in(place, export + "".join(first.splitlines(True)[1:]), place.environment)
    assert "sound    " in told and "Everything fits." in told, told
    told = type_in(place, export + later + python, place.environment)
    assert "the log has grown from it" in told and "\nsound: claviger." in told, told
