"""A round: clients work, something breaks, is mended, and what was made is checked."""

import contextlib
import time
from dataclasses import dataclass, field

from . import checks
from .faults import FAULTS
from .workload import Round

# Seconds of a round: before something breaks, and after it was mended.
BEFORE, AFTER = 1.2, 1.5
# How long nodes may take to be back, after a round.
BACK_SECONDS = 45


@dataclass
class Result:
    """What came of a round."""

    number: int
    fault: str
    seed: int
    attempts: list = field(default_factory=list)
    requests: int = 0
    failed: int = 0
    gave_up: int = 0
    # Seconds between two successes of the clients that use a key which nobody touches, at most, around the fault.
    gap: float = 0.0
    # Seconds that one request took with all its attempts, at most, around the fault.
    slowest: float = 0.0
    # Seconds that the harness itself needed to break, and to mend: PostgreSQL's own time is in it.
    breaking: float = 0.0
    mending: float = 0.0
    late: dict = field(default_factory=dict)
    opened: int = 0
    violations: list = field(default_factory=list)
    ciphertexts: list = field(default_factory=list)
    keys: list = field(default_factory=list)
    # Keys that a request may have disabled which was never answered.
    doubtful: set = field(default_factory=set)
    codes: dict = field(default_factory=dict)


def run(deployment, number, name, seed):
    """Runs one round."""
    kind = FAULTS[name]
    result = Result(number, name, seed)
    round_ = Round(deployment, number, seed)
    round_.prepare()
    break_, mend = kind.make(deployment, round_.random)
    round_.begin()
    try:
        time.sleep(BEFORE)
        broken = time.monotonic()
        break_()
        result.breaking = time.monotonic() - broken
        time.sleep(kind.hold)
        started = time.monotonic()
        mend()
        result.mending = time.monotonic() - started
        time.sleep(AFTER)
    finally:
        round_.finish()
    until_all_is_well(deployment)
    measure(result, round_.notes, broken)
    findings = checks.after_round(round_)
    result.late, result.opened = findings.late, findings.opened
    result.violations = findings.violations
    result.violations += [f"{node.name}: {line}" for node in deployment.nodes for line in node.panics()]
    result.attempts = round_.notes.attempts
    result.ciphertexts, result.keys, result.doubtful = round_.notes.ciphertexts, round_.notes.keys, round_.doubtful
    round_.client.close()
    return result


def until_all_is_well(deployment):
    """Waits for every node. One that has ended by itself is a violation."""
    if deployment.pair:
        deployment.pair.revive()
    for node in deployment.nodes:
        node.wait_until_ready(BACK_SECONDS)


def measure(result, notes, broken):
    """The figures of a round. `broken` is when the fault began."""
    result.requests = len(notes.attempts)
    failures = [attempt for attempt in notes.attempts if attempt.status == 0 or attempt.status >= 500]
    result.failed = len(failures)
    for attempt in failures:
        code = attempt.code or str(attempt.status)
        result.codes[code] = result.codes.get(code, 0) + 1
    result.gave_up = sum(call.gave_up for call in notes.calls)
    pulses = sorted(notes.pulses)
    around = [one for one in zip(pulses, pulses[1:]) if one[1] >= broken]
    result.gap = max((later - earlier for earlier, later in around), default=0.0)
    result.slowest = max((call.end - call.start for call in notes.calls if call.end >= broken), default=0.0)


@contextlib.contextmanager
def tidied(deployment):
    """Ends everything that a deployment has started, whatever happens."""
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.close()
