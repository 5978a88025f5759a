"""`python -m cluster`: runs rounds, prints the table, and ends with 1 when something was not as it has to be."""

import argparse
import os
import pathlib
import secrets
import shutil
import subprocess
import sys
import tempfile
import time

from . import checks, report, rounds
from .deployment import Deployment
from .faults import FAULTS, plan
from .nodes import BINARY, FAKETIME
from .postgres import Missing, programs

INSIDE = "CLAVIGER_CLUSTER_NAMESPACE"


def main():
    arguments = parse()
    isolate()
    try:
        return run(arguments)
    except Missing as missing:
        print(f"error: {missing}", file=sys.stderr)
        return 2


def parse():
    parser = argparse.ArgumentParser(prog="python -m cluster", description="Breaks a cluster of three nodes, and checks that it loses and forgets nothing.")
    parser.add_argument("--rounds", type=int, default=10, help="how many rounds, of some eight seconds each [default: 10]")
    parser.add_argument("--seed", type=int, default=None, help="which faults and operations; not: their timing [default: a new one]")
    parser.add_argument("--faults", default="", help="only these faults, by commas; --list has them")
    parser.add_argument("--without", default="", help="not these faults; `clock` and `mounts` for all that need them")
    parser.add_argument("--effective", choices=("immediately", "acknowledged"), default="immediately", help="the deployment's setting")
    parser.add_argument("--lease", type=float, default=1.0, help="seconds")
    parser.add_argument("--directory", type=pathlib.Path, help="where to work, and to leave everything when something is wrong [default: a temporary one]")
    parser.add_argument("--sqlite", action="store_true", help="one node on SQLite, to try out the harness itself")
    parser.add_argument("--list", action="store_true", help="list the faults")
    arguments = parser.parse_args()
    if arguments.list:
        for kind in FAULTS.values():
            print(f"{kind.name:20} {kind.what}")
        sys.exit(0)
    return arguments


def isolate():
    """As root, where that is allowed: goes into namespaces of its own, so that file systems and processes are gone with it, however it ends."""
    if os.geteuid() != 0 or os.environ.get(INSIDE):
        return
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode != 0:
        return
    os.environ[INSIDE] = "1"
    os.execvp("unshare", [*unshare, sys.executable, "-m", "cluster", *sys.argv[1:]])


def chosen(arguments, mounts):
    """The faults that are asked for and possible; and those that are left out, each with its reason."""
    asked = [name for name in arguments.faults.split(",") if name] or list(FAULTS)
    unknown = [name for name in asked if name not in FAULTS]
    if unknown:
        raise Missing(f"there is no fault {unknown[0]!r}: --list names them")
    without = set(arguments.without.split(","))
    have = set()
    if mounts:
        have.add("mounts")
    if FAKETIME and "clock" not in without:
        have.add("clock")
    if not arguments.sqlite:
        have |= {"pair", "three"}
    why = {
        "mounts": "needs root (and to be allowed to mount), for small file systems of its own",
        "clock": "needs libfaketime ('apt install faketime')",
        "pair": "needs PostgreSQL",
        "three": "needs more than one node",
    }
    names, left_out = [], {}
    for name in asked:
        lacking = sorted(FAULTS[name].needs - have)
        if name in without or without & FAULTS[name].needs:
            left_out[name] = "not wanted"
        elif lacking:
            left_out[name] = why[lacking[0]]
        else:
            names.append(name)
    if not names:
        raise Missing("no fault is left to run")
    return names, left_out


def run(arguments):
    if not BINARY.exists():
        raise Missing(f"{BINARY} is not there: build it (cargo build), or name it with CLAVIGER_BINARY")
    if not arguments.sqlite:
        programs()
    mounts = os.geteuid() == 0 and bool(os.environ.get(INSIDE))
    names, left_out = chosen(arguments, mounts)
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(2**32)
    directory = arguments.directory or pathlib.Path(tempfile.mkdtemp(prefix="claviger-cluster-"))
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)
    print(f"seed {seed}, {arguments.rounds} rounds, effective = {arguments.effective}, a lease of {arguments.lease} s, {BINARY.parent.name} build", flush=True)
    for name, why in left_out.items():
        print(f"left out: {name}: {why}", flush=True)
    clock = "clock" in {need for name in names for need in FAULTS[name].needs}
    deployment = Deployment(directory, arguments.lease, arguments.effective, arguments.sqlite, mounts, clock)
    began = time.monotonic()
    results, findings = [], checks.Findings()
    with rounds.tidied(deployment):
        print(f"started after {time.monotonic() - began:.1f} s", flush=True)
        for number, (name, round_seed) in enumerate(plan(seed, arguments.rounds, names), 1):
            result = rounds.run(deployment, number, name, round_seed)
            results.append(result)
            tell(result)
        at_the_end(deployment, results, findings)
    print(f"\n{report.table(results)}\n\n{report.legend({result.fault for result in results})}\n")
    print(f"how requests failed: {report.codes(results)}")
    wrong = [text for result in results for text in result.violations] + findings.violations
    print(f"{len(wrong)} violations in {len(results)} rounds, {time.monotonic() - began:.0f} s, seed {seed}")
    for text in wrong[:50]:
        print(f"VIOLATION {text}")
    if wrong:
        print(f"logs are in {directory}, as far as they are not on file systems of the harness")
        return 1
    if not arguments.directory:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


def tell(result):
    late = max(result.late.values(), default=0.0)
    print(
        f"round {result.number:3} {result.fault:20} {result.requests:5} requests, {result.failed:4} failed ({report.codes([result])}), no service {result.gap:5.2f} s, "
        f"slowest {result.slowest:5.2f} s, broke {result.breaking:.2f} s, mended {result.mending:.2f} s, late {late:.3f} s, {len(result.violations)} violations",
        flush=True,
    )
    for text in result.violations[:5]:
        print(f"    VIOLATION {text}", flush=True)


def at_the_end(deployment, results, findings):
    """Everything once more, after all rounds: each key, each ciphertext, each entry of the audit logs."""
    whole = checks.Everything(deployment, results)
    checks.at_the_end(whole, findings)
    print(f"at the end: {whole.opened} ciphertexts opened, {whole.entries} entries in the audit logs for {whole.answered} answered requests", flush=True)


if __name__ == "__main__":
    sys.exit(main())
