"""A short run of the whole harness against real processes: what `make test` does of `make test-cluster`."""

import os
import pathlib
import re
import subprocess
import sys

from cluster.nodes import ROOT


def run(*arguments, seconds):
    done = subprocess.run(
        [sys.executable, "-m", "cluster", *arguments],
        cwd=pathlib.Path(__file__).resolve().parents[1],
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_cluster_loses_nothing_and_forgets_no_revocation():
    faults = "node-kill,promote,partition,database-crash"
    told = run("--rounds", "4", "--faults", faults, seconds=300)
    assert "0 violations in 4 rounds" in told
    entries = re.search(r"(\d+) entries in the audit logs for (\d+) answered requests", told)
    assert int(entries[1]) >= int(entries[2]) > 500, "something was really done"


def test_every_fault_is_explained():
    told = run("--list", seconds=60)
    written = (ROOT / "docs" / "reliability.md").read_text()
    for name in re.findall(r"^([a-z-]+) ", told, re.MULTILINE):
        assert f"| `{name}` |" in written, f"docs/reliability.md does not say what {name} is"
