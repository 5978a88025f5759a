"""What the command line does with files, pipes and settings that are not as it would like them."""

import json
import os
import stat
import subprocess
import threading

import pytest

from harness import BINARY, CLEAN_ENVIRONMENT, REGION, run, unique
from test_serve import Site

# Standard output ------------------------------------------------------------------------------------------------------------


def spawn(*arguments, environment=None, stdout=subprocess.PIPE):
    return subprocess.Popen(
        [str(BINARY), *map(str, arguments)],
        env=CLEAN_ENVIRONMENT | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )


def with_no_reader(*arguments, environment=None):
    """Runs a command whose standard output is a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    process = spawn(*arguments, environment=environment, stdout=writer)
    os.close(writer)
    said = process.communicate(timeout=60)[1]
    return process.returncode, said


def with_closed_output(*arguments, environment=None):
    """Runs a command as a shell does with `>&-`."""
    command = " ".join(f"'{word}'" for word in (BINARY, *arguments)) + " >&-"
    done = subprocess.run(
        command, shell=True, env=CLEAN_ENVIRONMENT | (environment or {}), capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("lost", [with_no_reader, with_closed_output])
def test_no_deployment_is_made_whose_credentials_nobody_would_see(tmp_path, lost):
    site = Site(tmp_path / "site", tls=False)
    code, said = lost("init", "--config", site.config, environment=site.environment)
    assert code == 1 and "shown once" in said, said
    assert not (site.data / "store.sqlite").exists()
    site.init()


@pytest.mark.parametrize("lost", [with_no_reader, with_closed_output])
def test_no_secret_is_made_that_nobody_would_see(server, lost):
    tenant = server.create_account()
    before = len(server.admin("access-key", "list", "--account", tenant.account)["AccessKeys"])
    code, said = lost("access-key", "create", "--account", tenant.account, environment=server.environment)
    assert code == 1 and "shown once" in said, said
    assert len(server.admin("access-key", "list", "--account", tenant.account)["AccessKeys"]) == before
    name = unique("account")
    code, said = lost("account", "create", name, environment=server.environment)
    assert code == 1 and "nothing was done" in said, said
    assert name not in server.run("account", "list").stdout


def test_a_followed_log_ends_with_its_reader(server):
    server.create_account()
    process = spawn("audit", "tail", "--data", server.data, "--follow", "-n", "1")
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(30) == 0


# Files of `init --credentials` ------------------------------------------------------------------------------------------------


def test_credentials_go_into_a_new_file_of_their_owner(tmp_path):
    site = Site(tmp_path / "site", tls=False)
    file = tmp_path / "administrator.env"
    made = site.init_into(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    lines = dict(line.split("=", 1) for line in file.read_text().splitlines())
    assert list(lines) == ["CLAVIGER_ADMIN_ACCESS_KEY_ID", "CLAVIGER_ADMIN_SECRET_ACCESS_KEY", "CLAVIGER_AUDIT_VKEY"]
    assert made.stdout.strip() == lines["CLAVIGER_AUDIT_VKEY"]
    assert lines["CLAVIGER_ADMIN_SECRET_ACCESS_KEY"] not in made.stdout + made.stderr
    # Once more changes nothing: neither with that file, nor with another.
    content = file.read_text()
    again = site.init_into(file, check=False)
    assert again.returncode == 2 and "exists already" in again.stderr, again.stderr
    other = tmp_path / "other.env"
    again = site.init_into(other, check=False)
    assert again.returncode == 1 and "holds a deployment already" in again.stderr, again.stderr
    assert file.read_text() == content and not other.exists()


def test_without_a_place_for_credentials_nothing_is_made(tmp_path):
    site = Site(tmp_path / "site", tls=False)
    refused = site.init_into(tmp_path / "nowhere" / "administrator.env", check=False)
    assert refused.returncode == 1 and "nowhere" in refused.stderr, refused.stderr
    assert not (site.data / "store.sqlite").exists()


# Encrypted files ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def encrypted(server, key_id, tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("hello")
    server.run("encrypt", plain, "--key", key_id)
    return tmp_path / "plain.claviger"


def test_devices_and_pipes_are_written_into_and_stay(server, encrypted, tmp_path):
    for arguments in ([], ["--force"]):
        server.run("decrypt", encrypted, "-o", "/dev/null", *arguments)
        assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
        pipe = tmp_path / f"pipe{len(arguments)}"
        os.mkfifo(pipe)
        read = []
        reader = threading.Thread(target=lambda pipe=pipe, read=read: read.append(pipe.read_bytes()))
        reader.start()
        server.run("decrypt", encrypted, "-o", pipe, *arguments)
        reader.join(30)
        assert read == [b"hello"] and stat.S_ISFIFO(pipe.lstat().st_mode)


def test_a_symbolic_link_is_followed(server, encrypted, tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to("target")
    refused = server.run("decrypt", encrypted, "-o", link, check=False)
    assert refused.returncode == 1 and "--force" in refused.stderr and target.read_text() == "old"
    server.run("decrypt", encrypted, "-o", link, "--force")
    assert link.is_symlink() and target.read_text() == "hello"


def test_a_directory_is_no_file(server, key_id, tmp_path):
    for arguments in (["encrypt", ".", "--key", key_id], ["encrypt", tmp_path, "--key", key_id], ["decrypt", "."]):
        refused = server.run(*arguments, check=False)
        assert refused.returncode == 2 and "is a directory" in refused.stderr, refused.stderr


# Settings -----------------------------------------------------------------------------------------------------------------------


def test_empty_variables_are_not_set(server):
    empty = {"AWS_CA_BUNDLE": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_ENDPOINT_URL_KMS": "", "AWS_ENDPOINT_URL": ""}
    server.run("status", environment=empty)
    refused = server.run("encrypt", "/dev/null", "--key", "alias/none", "-o", "-", check=False, environment=empty)
    assert "NotFoundException" in refused.stderr, refused.stderr
    refused = server.run("status", check=False, environment={"CLAVIGER_ENDPOINT": ""})
    assert refused.returncode == 2 and "no server was named" in refused.stderr, refused.stderr


def test_a_wrong_variable_is_named(server):
    refused = server.run("status", check=False, environment={"CLAVIGER_ENDPOINT": "kms.example.org"})
    assert refused.returncode == 2 and "CLAVIGER_ENDPOINT" in refused.stderr, refused.stderr


def test_data_wins_over_the_environment(server):
    named = run("audit", "tail", "--data", server.data, "-n", "1", environment={"CLAVIGER_CONFIG": "/nowhere/claviger.toml"})
    assert named.stdout
    refused = run("audit", "tail", check=False, environment={"CLAVIGER_CONFIG": "/nowhere/claviger.toml"})
    assert refused.returncode == 2 and "/nowhere/claviger.toml" in refused.stderr, refused.stderr


def test_help_says_where_credentials_come_from():
    for command in (["account", "create"], ["user", "list"], ["access-key", "create"], ["role", "get"], ["policy", "put"], ["status"]):
        for form in ("--help", "-h"):
            assert "CLAVIGER_ADMIN_ACCESS_KEY_ID" in run(*command, form).stdout, command
    for command in ("encrypt", "decrypt", "import-key"):
        for form in ("--help", "-h"):
            said = run(command, form).stdout
            assert "AWS_SECRET_ACCESS_KEY" in said and "AWS_SESSION_TOKEN" in said, command


def test_wrong_use_shows_only_what_is_needed():
    said = run("user", "create", "a/b", check=False, environment={"CLAVIGER_ENDPOINT": "http://127.0.0.1:1", "AWS_REGION": REGION}).stderr
    assert "--endpoint" not in said and "--region" not in said, said


# Logs ---------------------------------------------------------------------------------------------------------------------------


def test_a_log_that_is_no_terminal_has_no_colours(tmp_path):
    site = Site(tmp_path / "site", tls=False)
    site.init()
    server = site.start("http")
    assert server.stop() == 0
    assert "serving" in server.log.read_text() and "\x1b" not in server.log.read_text()


# Lost credentials -----------------------------------------------------------------------------------------------------------------


def administrator(file, server):
    """The environment of the administrator whose credentials are in a file."""
    lines = dict(line.split("=", 1) for line in file.read_text().splitlines())
    return lines | {"CLAVIGER_ENDPOINT": server.endpoint, "AWS_REGION": REGION}


def test_whoever_holds_store_and_seal_finds_the_way_back(tmp_path):
    site = Site(tmp_path / "site", tls=False)
    lost, found = tmp_path / "lost.env", tmp_path / "found.env"
    site.init_into(lost)
    recover = ["recover-administrator", "--config", site.config, "--credentials"]
    server = site.start("http")
    old = administrator(lost, server)
    own = old["CLAVIGER_ADMIN_ACCESS_KEY_ID"]
    for change in ("deactivate", "delete"):
        refused = run("access-key", change, own, environment=old, check=False)
        assert refused.returncode == 1 and f"cannot {change} itself" in refused.stderr, refused.stderr
    second = json.loads(run("access-key", "create", "--json", environment=old).stdout)["AccessKeyId"]
    refused = run(*recover, found, environment=site.environment, check=False)
    assert refused.returncode == 1 and not found.exists(), refused.stderr
    assert server.stop() == 0

    refused = run(*recover, lost, environment=site.environment, check=False)
    assert refused.returncode == 2 and "exists already" in refused.stderr, refused.stderr
    done = run(*recover, found, environment=site.environment)
    assert own in done.stderr and second in done.stderr, done.stderr
    secret = administrator(found, server)["CLAVIGER_ADMIN_SECRET_ACCESS_KEY"]
    assert secret not in done.stdout + done.stderr and stat.S_IMODE(found.stat().st_mode) == 0o600

    server = site.start("http")
    listed = json.loads(run("access-key", "list", "--json", environment=administrator(found, server)).stdout)["AccessKeys"]
    assert [key["AccessKeyId"] for key in listed] == [administrator(found, server)["CLAVIGER_ADMIN_ACCESS_KEY_ID"]]
    refused = run("status", environment=old, check=False)
    assert "UnrecognizedClientException" in refused.stderr, refused.stderr
    assert server.stop() == 0
    verified = run("store", "verify", "--config", site.config, environment=site.environment)
    assert "Everything fits." in verified.stdout, verified.stdout
    key = administrator(lost, server)["CLAVIGER_AUDIT_VKEY"]
    run("audit", "verify", "--config", site.config, "--vkey", key, environment=site.environment)
    told = [json.loads(line) for line in run("audit", "tail", "--json", "--config", site.config).stdout.splitlines()]
    (event,) = [event for event in told if event["eventName"] == "RecoverAdministrator"]
    assert event["serviceEventDetails"]["deletedAccessKeyIds"] == sorted([own, second])
    assert secret not in json.dumps(told)
