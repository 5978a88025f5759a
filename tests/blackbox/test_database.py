"""A deployment in a PostgreSQL database: made there, served by several nodes, with TLS and a password, moved in and out, backed up."""

import pathlib
import sys

import pytest
from harness import ROOT, run, start_serve
from softhsm import Site
from test_serve import Authority

# The harness of clusters knows how to run PostgreSQL.
sys.path.insert(0, str(ROOT / "tests"))
from cluster.postgres import Instance, free_port  # noqa: E402

PASSWORD = "the database's own"


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """A PostgreSQL server of our own, with a certificate, a role with a password and one without."""
    directory = tmp_path_factory.mktemp("postgres")
    # Its user has to be able to reach it.
    for parent in [directory, *directory.parents]:
        if parent.stat().st_uid == pathlib.Path.home().stat().st_uid and str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    instance = Instance("pg", directory, free_port())
    instance.create()
    authority = Authority(directory)
    authority.issue(directory)
    for name in ("certificate.pem", "key.pem"):
        instance.write(name, (directory / name).read_text())
        (instance.data / name).chmod(0o600)
    instance.write("tls.conf", "ssl = on\nssl_cert_file = 'certificate.pem'\nssl_key_file = 'key.pem'\npassword_encryption = 'scram-sha-256'\n")
    main = instance.data / "postgresql.conf"
    main.write_text(main.read_text() + "\ninclude 'tls.conf'\n")
    instance.write("pg_hba.conf", "host all postgres 127.0.0.1/32 trust\nhost all trusted 127.0.0.1/32 trust\nhostssl all careful 127.0.0.1/32 scram-sha-256\n")
    instance.start()
    instance.sql("CREATE ROLE trusted LOGIN")
    instance.sql(f"CREATE ROLE careful LOGIN PASSWORD $${PASSWORD}$$")
    instance.authority = authority.file
    yield instance
    instance.stop()


@pytest.fixture
def named(database, request):
    """A database of this test's own; the URL without and with a password."""
    name = f"d{abs(hash(request.node.name)) % 10**9}"
    database.sql(f"CREATE DATABASE {name}")
    database.sql(f"GRANT ALL ON DATABASE {name} TO trusted, careful")
    return f"postgres://trusted@127.0.0.1:{database.port}/{name}?target_session_attrs=read-write"


class Node(Site):
    """One node of a deployment in a database."""

    def __init__(self, directory, url, name, more=""):
        super().__init__(directory, f'[store]\nurl = "{url}"\n{more}')
        self.config.write_text(self.config.read_text().replace('"node-1"', f'"{name}"'))

    def join(self, first):
        self.environment |= {name: value for name, value in first.environment.items() if name.startswith("CLAVIGER_ADMIN")}
        # Its data directory is made when it starts.
        return start_serve(
            self.config, f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.watch_port}", self.data, self.environment
        )


def owner_of(server):
    root = server.create_account()
    key = server.kms(root).create_key()["KeyMetadata"]["KeyId"]
    return root, key, server.kms(root).encrypt(KeyId=key, Plaintext=b"precious")["CiphertextBlob"]


def opens(server, root, blob):
    return server.kms(root).decrypt(CiphertextBlob=blob)["Plaintext"] == b"precious"


def verify(config, node, environment):
    return run("store", "verify", "--config", config, "--node", node, environment=environment)


def test_two_nodes_serve_one_deployment(named, tmp_path):
    one, two = Node(tmp_path / "one", named, "one"), Node(tmp_path / "two", named, "two")
    first = one.start()
    second = two.join(one)
    root, key, blob = owner_of(first)
    assert opens(second, root, blob), "what one made, the other knows"
    second.kms(root).disable_key(KeyId=key)
    assert first.kms(root).describe_key(KeyId=key)["KeyMetadata"]["KeyState"] in ("Enabled", "Disabled"), "within the lease"
    second.kms(root).enable_key(KeyId=key)
    status = first.admin("cluster", "status")
    assert status["Shared"] is True and status["Store"].startswith("PostgreSQL ")
    assert {node["Name"] for node in status["Nodes"]} == {"one", "two"}
    again = one.run("init", check=False)
    assert again.returncode != 0 and "holds a deployment already" in again.stderr and "joins by `claviger serve` alone" in again.stderr
    assert first.stop() == 0 and second.stop() == 0
    keys = [(site.data / f"audit-{name}.vkey").read_text().strip() for site, name in ((one, "one"), (two, "two"))]
    sound = run("audit", "verify", "--config", one.config, *(f"--vkey={key}" for key in keys), environment=one.environment)
    assert "NOT SOUND" not in sound.stdout and sound.stdout.count("log ") >= 2
    assert "Everything fits" in verify(one.config, "one", one.environment).stdout
    tables = run("store", "upgrade", "--config", one.config, environment=one.environment)
    assert "already" in tables.stdout


def test_a_deployment_moves_in_and_out_and_is_the_same(named, tmp_path):
    site = Site(tmp_path / "file", "")
    server = site.start()
    root, key, blob = owner_of(server)
    store = f"sqlite:{site.data}/store.sqlite"
    refused = run("migrate", store, named, check=False, timeout=120)
    assert refused.returncode != 0 and "in use by process" in refused.stderr, "a server runs on it"
    assert server.stop() == 0
    moved = run("migrate", store, named, timeout=120)
    assert "each compared" in moved.stdout and "NEVER SERVE BOTH" in moved.stderr
    again = run("migrate", store, named, check=False)
    assert again.returncode != 0 and "holds a deployment already" in again.stderr

    there = Node(tmp_path / "there", named, "node-1")
    there.environment |= site.environment | {"CLAVIGER_ENDPOINT": f"http://127.0.0.1:{there.port}"}
    there.data.mkdir()
    server = there.start()
    assert opens(server, root, blob)
    server.kms(root).rotate_key_on_demand(KeyId=key)
    newer = server.kms(root).encrypt(KeyId=key, Plaintext=b"precious")["CiphertextBlob"]
    file = tmp_path / "nightly.backup"
    there.run("backup", file)
    drill = run("restore", "--drill", file, "--config", there.config, environment=there.environment)
    assert "its canary was decrypted" in drill.stdout and "WRONG" not in drill.stdout
    assert server.stop() == 0

    back = Site(tmp_path / "back", "")
    back.data.mkdir()
    back.data.chmod(0o700)
    assert "each compared" in run("migrate", named, f"sqlite:{back.data}/store.sqlite", timeout=120).stdout
    back.environment |= site.environment | {"CLAVIGER_ENDPOINT": f"http://127.0.0.1:{back.port}"}
    server = back.start()
    assert opens(server, root, blob) and opens(server, root, newer)
    assert server.stop() == 0
    assert "Everything fits" in verify(back.config, "node-1", back.environment).stdout


def test_a_database_is_spoken_to_in_tls_with_a_password(database, named, tmp_path):
    name = named.split("/")[3].split("?")[0]
    url = f"postgres://careful@localhost:{database.port}/{name}?sslmode=verify-full"
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    password.chmod(0o600)
    node = Node(tmp_path / "node", url, "one", f'ca = "{database.authority}"\npassword.file = "{password}"\n')
    server = node.start()
    root, _, blob = owner_of(server)
    assert opens(server, root, blob)
    encrypted = database.sql("SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'careful'")
    assert encrypted == "t"
    assert server.stop() == 0
    assert PASSWORD not in server.log.read_text()

    text = node.config.read_text()
    stranger = Authority(tmp_path)
    for wrong, said in [
        (text.replace(str(database.authority), str(stranger.file)), "certificate"),
        # The certificate is not one of this address, or the server is believed by its name alone.
        (text.replace("verify-full", "require"), "verify-full"),
        (text.replace(str(password), str(tmp_path / "nothing")), "cannot read"),
    ]:
        node.config.write_text(wrong)
        refused = node.run("store", "upgrade", check=False)
        assert refused.returncode != 0 and said in refused.stderr, refused.stderr
    password.write_text("guessed")
    node.config.write_text(text)
    refused = node.run("store", "upgrade", check=False)
    assert refused.returncode != 0 and "password authentication failed" in refused.stderr and "guessed" not in refused.stderr


def test_a_database_that_is_not_there_is_named(tmp_path):
    node = Node(tmp_path / "node", f"postgres://trusted@127.0.0.1:{free_port()}/nothing", "one")
    refused = node.run("init", check=False)
    assert refused.returncode != 0 and "connecting to 127.0.0.1/nothing" in refused.stderr
    assert "CLAVIGER_ADMIN" not in refused.stdout, "nothing is told of what was not made"
