"""The balancer of the clients."""

import itertools

from cluster import client as module
from cluster.client import Answer, Client, Target


def balancer(answers, monkeypatch, clock):
    """A client of three nodes that gets these answers, by node, on a clock that stands still."""
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(module.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    made = Client("access", "secret", [Target(name, 1) for name in ("a", "b", "c")], seed=1)
    asked = []

    def ask(target, operation, body):
        asked.append(target.name)
        status, code = answers[target.name]
        return Answer(target.name, clock[0], clock[0], status, code, "", {})

    made.ask = ask
    return made, asked


def test_nodes_are_asked_in_turns(monkeypatch):
    made, asked = balancer(dict.fromkeys("abc", (200, "")), monkeypatch, [0.0])
    for _ in range(6):
        assert len(made.call("Encrypt", {})) == 1
    assert sorted(asked[:3]) == ["a", "b", "c"] and asked[:3] == asked[3:]


def test_a_node_that_fails_is_left_alone_longer_each_time(monkeypatch):
    clock = [0.0]
    made, asked = balancer({"a": (200, ""), "b": (0, "TimedOut"), "c": (200, "")}, monkeypatch, clock)
    tried = []
    for step in itertools.count():
        if step == 400:
            break
        before = len(asked)
        answers = made.call("Encrypt", {})
        assert answers[-1].succeeded
        if "b" in asked[before:]:
            tried.append(clock[0])
        clock[0] += 0.05
    pauses = [round(later - earlier, 1) for earlier, later in zip(tried, tried[1:])]
    assert 0.5 <= pauses[0] <= 0.7 and 1.0 <= pauses[1] <= 1.2 and 4.0 <= pauses[-1] <= 4.2, pauses


def test_refusals_are_answers_and_failures_are_tried_elsewhere(monkeypatch):
    made, asked = balancer({"a": (400, "DisabledException"), "b": (500, "KMSInternalException"), "c": (400, "ThrottlingException")}, monkeypatch, [0.0])
    for _ in range(3):
        assert made.call("Encrypt", {})[-1].code == "DisabledException"
    assert set(asked) == {"a", "b", "c"}


def test_it_gives_up_after_its_patience(monkeypatch):
    made, asked = balancer(dict.fromkeys("abc", (503, "X")), monkeypatch, [0.0])
    attempts = made.call("Encrypt", {}, patience=1.0)
    assert attempts[-1].retryable and set(asked) == {"a", "b", "c"}
