"""One server for most tests; every test makes keys of its own."""

import subprocess

import pytest

import harness

# The audit log is looked at when everything else has left its entries there.
LAST = ["test_audit_log.py"]


def pytest_addoption(parser):
    parser.addoption("--write-matrix", action="store_true", help="write docs/authorization-matrix.md instead of comparing with it")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name in LAST)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    if not harness.BINARY.exists():
        pytest.exit(f"{harness.BINARY} is not there: run `cargo build`, or `make test-blackbox`", returncode=2)
    server = harness.start_dev(tmp_path_factory.mktemp("dev") / "data")
    yield server
    code = server.stop()
    assert code == 0, f"the server ended with {code}: {server.log.read_text()}"


@pytest.fixture(scope="session")
def kms(server):
    """The account root's client."""
    return server.kms()


@pytest.fixture(scope="session")
def unchecked(server):
    """The same, for requests that botocore would refuse by itself."""
    return server.kms(parameter_validation=False)


@pytest.fixture
def key(kms):
    """A new key's metadata."""
    return kms.create_key()["KeyMetadata"]


@pytest.fixture
def key_id(key):
    return key["KeyId"]


@pytest.fixture
def arn(key):
    return key["Arn"]


@pytest.fixture
def tenant(server):
    """The root of an account of its own, for tests that look at everything in an account."""
    return server.create_account()


@pytest.fixture(autouse=True)
def server_is_alive(request):
    """A test that kills the server says so itself."""
    yield
    if "server" in request.fixturenames:
        process: subprocess.Popen = request.getfixturevalue("server").process
        assert process.poll() is None, f"the server died with {process.returncode}"
