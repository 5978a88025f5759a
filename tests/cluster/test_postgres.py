"""The pair of PostgreSQL keeps what it has acknowledged, whatever the harness does to it: what is lost later is Claviger's fault."""

import concurrent.futures
import pathlib
import tempfile

import pytest

from cluster.postgres import Pair


@pytest.fixture
def pair():
    # Where PostgreSQL's user may go, which is not so in pytest's directories.
    with tempfile.TemporaryDirectory(prefix="claviger-pair-") as directory:
        pathlib.Path(directory).chmod(0o755)
        pair = Pair(directory)
        try:
            pair.start()
            yield pair
        finally:
            pair.stop()


def test_what_was_acknowledged_survives_crashes_and_promotions(pair):
    pair.primary.sql("CREATE TABLE kept (number int PRIMARY KEY)")
    kept = 0

    def keep():
        nonlocal kept
        kept += 1
        pair.primary.sql(f"INSERT INTO kept VALUES ({kept})")

    keep()
    first = pair.primary
    pair.promote()
    assert pair.primary is not first and pair.primary.accepts_writes() and not first.is_running()
    keep()
    pair.rebuild()
    assert pair.standby is first
    keep()
    pair.restart("kill")
    keep()
    pair.promote()
    assert pair.primary is first
    assert pair.primary.sql("SELECT count(*), max(number) FROM kept") == f"{kept}|{kept}"


def test_without_its_standby_nothing_is_acknowledged(pair):
    pair.primary.sql("CREATE TABLE kept (number int PRIMARY KEY)")
    pair.standby.kill()
    with concurrent.futures.ThreadPoolExecutor(1) as other:
        writing = other.submit(pair.primary.sql, "INSERT INTO kept VALUES (1)")
        with pytest.raises(concurrent.futures.TimeoutError):
            writing.result(1.5)
        pair.standby.start()
        assert writing.result(30) == ""
    assert pair.primary.sql("SELECT count(*) FROM kept") == "1"
