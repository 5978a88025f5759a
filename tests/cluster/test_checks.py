"""Each check finds what was planted. The servers here are made up; those of `test_short.py` are real."""

from collections import Counter
from types import SimpleNamespace

from cluster import checks
from cluster.client import Answer, encoded
from cluster.faults import FAULTS, plan
from cluster.registers import read, write
from cluster.rounds import Result, measure
from cluster.workload import ALLOWED, DENIED, ENABLED, Attempt, Call, Notes, Register, Round

NODE = "n1"


def answer(status=200, code="", request_id="r", start=0.0, end=0.1, **body):
    return Answer(NODE, start, end, status, code, request_id, body)


class Scripted:
    """A client that gives these answers, one call after the other."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def call(self, operation, body, attempted=None):
        given = self.answers.pop(0)
        given = given if isinstance(given, list) else [given]
        for one in given:
            attempted(one)
        return given


def a_round():
    """A round whose clients are given to it."""
    round_ = Round.__new__(Round)
    round_.number, round_.lease, round_.notes = 1, 1.0, Notes(1)
    round_.deployment = SimpleNamespace(effective="immediately", nodes=[])
    round_.doubtful, round_.states = set(), []
    return round_


def test_a_key_that_is_missing_is_found():
    assert checks.key_is_there(a_round(), Scripted(answer()), "k") is None
    round_ = a_round()
    assert "cannot be described" in checks.key_is_there(round_, Scripted(answer(400, "NotFoundException")), "k")
    assert "NotFoundException" in round_.notes.strange[0], "and such a refusal is strange by itself"


def test_an_alias_that_points_elsewhere_is_found():
    assert checks.alias_points(a_round(), Scripted(answer(KeyMetadata={"KeyId": "k"})), ("alias/a", "k")) is None
    assert checks.alias_points(a_round(), Scripted(answer(KeyMetadata={"KeyId": "other"})), ("alias/a", "k"))
    assert checks.alias_points(a_round(), Scripted(answer(400, "NotFoundException")), ("alias/a", "k"))


def test_a_rotation_that_is_missing_or_too_many_is_found():
    for count, fine in ((1, False), (2, True), (3, True), (4, False)):
        told = Scripted(answer(Rotations=[{}] * count))
        assert (checks.rotations_are_there(a_round(), told, ("k", [2, 3])) is None) == fine, count


def test_a_ciphertext_that_does_not_open_is_found():
    assert checks.open_again(a_round(), Scripted(answer(Plaintext=encoded(b"x"))), ("blob", encoded(b"x"), "k")) is None
    assert checks.open_again(a_round(), Scripted(answer(Plaintext=encoded(b"y"))), ("blob", encoded(b"x"), "k"))
    assert checks.open_again(a_round(), Scripted(answer(400, "InvalidCiphertextException")), ("blob", encoded(b"x"), "k"))


def test_a_key_that_is_disabled_although_nobody_asked_for_it_is_found(monkeypatch):
    monkeypatch.setattr(checks.time, "sleep", lambda _: None)
    disabled, fine = answer(400, "DisabledException"), answer(Plaintext=encoded(b"x"))
    round_ = a_round()
    assert checks.open_again(round_, Scripted(disabled), ("blob", encoded(b"x"), "k"))
    assert "DisabledException" in round_.notes.strange[0]
    round_ = a_round()
    round_.doubtful = {"k"}
    late = Scripted(disabled, answer(400, "KMSInvalidStateException"), answer(), fine)
    assert checks.open_again(round_, late, ("blob", encoded(b"x"), "k")) is None and not round_.notes.strange


def test_requests_that_are_missing_from_the_audit_log_or_there_twice_are_found():
    def attempt(request, status=200):
        return Attempt(1, "Encrypt", 0, 1, NODE, status, "", request)

    def found(attempts, **told):
        findings = checks.Findings()
        checks.one_entry_each(attempts, told, findings)
        return findings.violations

    done, refused = [1, 0], [0, 1]
    assert not found([attempt("a"), attempt("b", 400), attempt("", 0), attempt("c", 503)], a=done, b=refused)
    assert not found([attempt("c", 503)], c=done), "what was not acknowledged may be there"
    assert len(found([attempt("a")])) == 1
    assert len(found([attempt("b", 400)])) == 1, "refusals too"
    assert len(found([attempt("a")], a=refused)) == len(found([attempt("b", 400)], b=done)) == 1, "with another outcome"
    assert "2 times" in found([attempt("c", 503)], c=[2, 0])[0]
    assert len(found([attempt("a")], a=[1, 1])) == 1
    assert not found([attempt("b", 400)], b=[1, 1]), "taken back before it was answered"


def test_answers_become_events_of_registers():
    round_ = a_round()
    register = Register("grant", "k", DENIED, {ALLOWED})
    lost, refused = answer(0, "TimedOut", start=1.0, end=2.0), answer(400, "NotFoundException", start=2.5, end=2.6)
    unsent = answer(0, "ConnectionRefused", start=2.1, end=2.2)
    round_.write(Scripted([lost, unsent, refused]), register, "RevokeGrant", {}, DENIED, refusals={"NotFoundException": {DENIED}})
    assert [(event.start, event.is_write, event.is_certain) for event in register.events] == [(1.0, True, False), (2.5, False, True)]
    round_.look(Scripted(answer(400, "AccessDeniedException")), register, "Encrypt", {}, lambda _: {ALLOWED}, {"AccessDeniedException": {DENIED}})
    assert register.events[-1].seen == {DENIED} and register.events[-1].slack == 1.0
    assert round_.notes.strange == [] and len(round_.notes.attempts) == 4


def test_a_refusal_that_nothing_explains_is_strange():
    round_ = a_round()
    register = Register("grant", "k", DENIED, {ALLOWED})
    round_.look(Scripted(answer(400, "ValidationException")), register, "Encrypt", {}, lambda _: {ALLOWED})
    assert "ValidationException" in round_.notes.strange[0] and register.events == []


def test_a_use_after_the_lease_is_a_violation(monkeypatch):
    monkeypatch.setattr(checks, "look_once_more", lambda round_: None)
    monkeypatch.setattr(checks, "enable_all", lambda round_: None)
    monkeypatch.setattr(checks, "in_parallel", lambda *_: None)

    def violations(began, effective="immediately"):
        round_ = a_round()
        round_.deployment.effective = effective
        register = Register("state, one writer", "k", ENABLED, {ENABLED})
        register.events = [write(0, 1, "Disabled", what="DisableKey"), read(began, began + 0.1, ENABLED, lease=1.0, what="Encrypt")]
        round_.registers = [register]
        findings = checks.after_round(round_)
        return findings.violations, findings.late

    assert violations(1.9) == ([], {"state": 1.9 - 1})
    wrong, late = violations(2.1)
    assert late == {"state": 2.1 - 1} and len(wrong) == 2, "neither in time, nor explained by any order"
    assert len(violations(1.9, "acknowledged")[0]) == 1, "after the answer nobody accepts the old state"


def test_plans_are_the_seeds():
    names = list(FAULTS)
    assert plan(7, 40, names) == plan(7, 40, names) != plan(8, 40, names)
    planned = [name for name, _ in plan(7, 2 * len(names), names)]
    assert Counter(planned) == Counter(names * 2), "each as often as the others"


def test_the_time_without_service_is_measured_around_the_fault():
    notes = Notes(1)
    notes.pulses = [0.0, 0.9, 1.0, 1.1, 3.1, 3.2]
    notes.calls = [Call("Encrypt", 0.0, 0.9, 1, False), Call("Encrypt", 1.05, 3.1, 4, False), Call("Encrypt", 2.0, 9.0, 9, True)]
    notes.attempts = [Attempt(1, "Encrypt", 1.0, 2.0, NODE, 0, "TimedOut", ""), Attempt(1, "Encrypt", 2.0, 3.0, NODE, 503, "X", "r")]
    result = Result(1, "none", 1)
    measure(result, notes, broken=1.05)
    assert (round(result.gap, 6), round(result.slowest, 6), result.failed, result.gave_up) == (2.0, 7.0, 2, 1)
    assert result.codes == {"TimedOut": 1, "X": 1}
