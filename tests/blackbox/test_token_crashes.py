"""What a vendor's library does to the server when it crashes, hangs or lies: a real one that does so, compiled here, on top of SoftHSM2. A segmentation fault costs a
request that is tried again, and not the server."""

import concurrent.futures
import pathlib
import re
import subprocess
import time

import botocore.exceptions
import pytest

from harness import unique
from softhsm import Site, SoftHsm
from test_token_key_stores import ANCHOR, CLIENTS, PASSWORD, SECONDS_MAX, connect, make_key
from test_tokens import eventually, readiness

CLUSTER_ID = "cluster-eeeeeeeeeee"


class Crashing(SoftHsm):
    """SoftHSM2 behind a library that takes orders."""

    def __init__(self, directory, *labels):
        super().__init__(directory, *labels)
        self.wrapper, self.orders = self.directory / "crashing.so", self.directory / "orders"
        source = pathlib.Path(__file__).with_name("crashing_pkcs11.c")
        try:
            subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", self.wrapper, source, "-ldl"], check=True, timeout=120)
        except FileNotFoundError:
            raise AssertionError("cc is not there: this test needs a C compiler, as building Claviger does") from None

    def table(self, label, name=None, more=""):
        text = super().table(label, name, more).replace(f'library = "{self.library}"', f'library = "{self.wrapper}"')
        return text.replace(
            "environment = { ", f'environment = {{ CRASHING_LIBRARY = "{self.library}", CRASHING_ORDERS = "{self.orders}", '
        )

    def order(self, what):
        self.orders.write_text(what)

    def is_done(self):
        """Whether the last order was carried out."""
        return not self.orders.exists()


@pytest.fixture(scope="module")
def hsm(tmp_path_factory):
    return Crashing(tmp_path_factory.mktemp("crashing"), "fragile")


@pytest.fixture(scope="module")
def served(hsm, tmp_path_factory):
    directory = tmp_path_factory.mktemp("site")
    password = directory / "password"
    password.write_text(PASSWORD)
    password.chmod(0o600)
    cluster = f'[clusters.{CLUSTER_ID}]\ntokens = ["fragile"]\npassword.file = "{password}"\n'
    server = Site(directory / "site", hsm.table("fragile") + cluster).start()
    eventually(lambda: readiness(server)[1]["degraded"] == [])
    yield server
    hsm.orders.unlink(missing_ok=True)
    assert server.stop() == 0, server.log.read_text()


@pytest.fixture(scope="module")
def kms(served):
    return served.kms(served.create_account("owner"))


@pytest.fixture(scope="module")
def key(kms):
    store = kms.create_custom_key_store(
        CustomKeyStoreName=unique("store"), CloudHsmClusterId=CLUSTER_ID, KeyStorePassword=PASSWORD, TrustAnchorCertificate=ANCHOR
    )["CustomKeyStoreId"]
    assert connect(kms, store) == ("CONNECTED", None)
    return make_key(kms, store)["KeyId"]


@pytest.fixture(autouse=True)
def well(hsm, served, kms, key):
    """Each test begins with a library that does what it should, and ends with a server that does."""
    hsm.orders.unlink(missing_ok=True)
    eventually(lambda: works(kms, key))
    yield
    hsm.orders.unlink(missing_ok=True)
    eventually(lambda: works(kms, key))
    assert served.process.poll() is None


def works(kms, key):
    """Whether the key is used again. A host that has ended several times in a short while is waited for."""
    try:
        blob = kms.encrypt(KeyId=key, Plaintext=b"well")["CiphertextBlob"]
        return kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"well"
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] in ("KeyUnavailableException", "DependencyTimeoutException"), error
        return False


def error_of(ask):
    """The error that a request ends with, and that it ends soon."""
    began = time.monotonic()
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        ask()
    assert time.monotonic() - began < SECONDS_MAX
    return refused.value.response["Error"]["Code"]


def started(served):
    """How many hosts were started."""
    return float(re.search(r'^claviger_token_hosts_started_total\{token="fragile"\} (\S+)$', served.http("/metrics")[1], re.MULTILINE)[1])


@pytest.mark.parametrize("operation", ["encrypt", "decrypt"])
def test_a_segmentation_fault_costs_nobody_anything(hsm, served, kms, key, operation):
    blob = kms.encrypt(KeyId=key, Plaintext=b"precious")["CiphertextBlob"]
    before, hosts = started(served), hsm.hosts()
    hsm.order("s")
    if operation == "decrypt":
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"precious"
    else:
        blob = kms.encrypt(KeyId=key, Plaintext=b"precious")["CiphertextBlob"]
    assert hsm.is_done(), "it crashed"
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"precious"
    assert started(served) == before + 1 and not set(hsm.hosts()) & set(hosts)
    assert "SIGSEGV" in served.log.read_text(), "the log says of what"


def test_crashes_while_many_work(hsm, served, kms, key):
    """Each request gets its answer or a clear error, and none is lost or wrong."""
    crashes, before = 3, started(served)
    # So that those of the tests before do not count: a host that ends again and again is a token that is down.
    time.sleep(10.5)

    def work(number):
        plaintext, done = f"plaintext {number}".encode(), 0
        for _ in range(6):
            try:
                blob = kms.encrypt(KeyId=key, Plaintext=plaintext)["CiphertextBlob"]
                assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == plaintext
                done += 1
            except botocore.exceptions.ClientError as error:
                # Who is hit by two crashes in a row is told so.
                assert error.response["Error"]["Code"] in ("KeyUnavailableException", "DependencyTimeoutException"), error
        return done

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        working = [pool.submit(work, number) for number in range(CLIENTS)]
        for _ in range(crashes):
            hsm.order("s")
            eventually(hsm.is_done)
        done = [work.result(timeout=120) for work in working]
    assert sum(done) >= CLIENTS * 5, done
    assert started(served) >= before + 1


def test_a_library_that_always_crashes_is_told_of(hsm, served, kms, key):
    hsm.order("S")
    assert error_of(lambda: kms.encrypt(KeyId=key, Plaintext=b"x")) == "KeyUnavailableException"
    own = kms.create_key()["KeyMetadata"]["KeyId"]
    assert kms.encrypt(KeyId=own, Plaintext=b"x")["CiphertextBlob"], "other keys are used as ever"
    assert readiness(served)[0] == 200


def test_a_library_that_hangs_is_replaced(hsm, served, kms, key):
    before = started(served)
    hsm.order("h")
    assert error_of(lambda: kms.encrypt(KeyId=key, Plaintext=b"x")) == "DependencyTimeoutException"
    eventually(lambda: works(kms, key))
    assert started(served) > before


@pytest.mark.parametrize("lie", ["l", "e"], ids=["huge length", "error"])
def test_a_library_that_lies_harms_nobody_else(hsm, served, kms, key, lie):
    hsm.order(lie)
    try:
        blob = kms.encrypt(KeyId=key, Plaintext=b"precious")["CiphertextBlob"]
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"precious", "it was tried again"
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] in ("KeyUnavailableException", "DependencyTimeoutException", "UnsupportedOperationException"), error
    assert hsm.is_done()
