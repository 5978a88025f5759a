"""The checker finds what was planted, and nothing where nothing is."""

import random

from cluster.registers import explain, lateness, perhaps, read, write

ON, OFF = "Enabled", "Disabled"


def test_a_history_without_a_flaw_is_explained():
    events = [
        write(0, 1, OFF, what="disable"),
        read(0.2, 0.4, ON),
        read(0.5, 0.8, OFF),
        read(1.1, 1.2, OFF),
        write(2, 3, ON, what="enable"),
        read(2.1, 2.2, ON),
        read(2.5, 3.5, ON),
    ]
    assert explain(ON, events) is None


def test_an_acknowledged_write_that_is_lost_is_found():
    events = [write(0, 1, OFF, what="disable"), read(1.1, 1.2, ON, what="describe")]
    found = explain(ON, events)
    assert found and "the sight of 'Enabled'" in found and "describe" in found


def test_a_read_that_goes_back_in_time_is_found():
    events = [write(0, 10, OFF), read(1, 2, OFF), read(3, 4, ON)]
    assert explain(ON, events)
    assert explain(ON, [write(0, 10, OFF), read(1, 3.5, OFF), read(3, 4, ON)]) is None, "they overlap"


def test_a_read_may_be_one_lease_old_and_not_older():
    def history(age, lease=1.0):
        return [write(0, 1, OFF), read(1 + age, 1.2 + age, ON, lease=lease)]

    assert explain(ON, history(0.9)) is None
    assert explain(ON, history(1.1)), "older than the lease"
    assert explain(ON, history(0.9, lease=0.5))


def test_a_write_that_was_not_answered_may_have_happened_late_or_never():
    unanswered = perhaps(0, OFF, what="disable")
    assert explain(ON, [unanswered, read(5, 6, ON)]) is None
    assert explain(ON, [unanswered, read(5, 6, ON), read(7, 8, OFF)]) is None, "a node that was paused wrote it then"
    assert explain(ON, [unanswered, read(5, 6, OFF), read(7, 8, ON)]), "but not twice, nor back again"
    assert explain(ON, [unanswered, perhaps(0.5, OFF), write(6, 6.5, ON), read(5, 5.5, OFF), read(7, 8, OFF)]) is None, "two of them"
    assert explain(ON, [perhaps(3, OFF), read(1, 2, OFF)]), "it was not yet sent"


def test_a_write_over_a_value_that_cannot_have_been_is_found():
    cancel = write(2, 3, OFF, over={"PendingDeletion"}, what="cancel")
    assert explain(ON, [cancel])
    assert explain(ON, [perhaps(0, "PendingDeletion", over={ON, OFF}), cancel]) is None


def test_two_writers_that_both_win_are_found():
    # Each wrote the next version of a policy over the version 1 that it had read.
    both = [write(0, 1, "2", over={"1"}), write(0.5, 1.5, "3", over={"1"})]
    assert explain("1", both)
    assert explain("1", both[:1] + [write(0.5, 1.5, "3", over={"1", "2"})]) is None


def random_history(seed, flaw=None):
    """What a register with one true value would answer, with overlapping events; and one flaw in it."""
    chance = random.Random(seed)
    now, value, events, changes = 0.0, ON, [], [(0.0, ON)]
    for step in range(120):
        now += chance.uniform(0.01, 0.1)
        before, after = chance.uniform(0, 0.2), chance.uniform(0, 0.2)
        if chance.random() < 0.15:
            value = OFF if value == ON else ON
            changes.append((now, value))
            # A write that was not answered could explain why another one is not seen.
            if flaw != "lost" and chance.random() < 0.2:
                events.append(perhaps(now - before, value, what=f"{step}"))
            else:
                events.append(write(now - before, now + after, value, what=f"{step}"))
        else:
            # As old as the lease allows.
            looked = now - chance.uniform(0, 0.5)
            then = [v for at, v in changes if at <= max(looked, 0)][-1]
            events.append(read(now, now + after, then, lease=0.5, what=f"{step}"))
    if flaw == "lost":
        events.append(write(now + 1, now + 2, "lost", what="lost"))
        events.append(read(now + 3, now + 4, value, lease=0.5))
    if flaw == "phantom":
        events.insert(40, read(events[40].start, events[40].start + 0.1, "phantom", lease=0.5))
    return events


def test_random_histories_of_a_true_register_are_explained():
    for seed in range(60):
        assert explain(ON, random_history(seed)) is None, seed


def test_random_histories_with_a_planted_flaw_are_found():
    for seed in range(60):
        assert explain(ON, random_history(seed, "lost")), seed
        assert explain(ON, random_history(seed, "phantom")), seed


def test_many_unanswered_writes_do_not_take_forever():
    events = [perhaps(step * 0.1, ON if step % 2 else OFF) for step in range(40)]
    events += [read(step * 0.2, step * 0.2 + 0.1, ON if step % 3 else OFF, lease=1.0) for step in range(60)]
    assert explain(ON, events) is None


# Revocation --------------------------------------------------------------------------------------------------------------------


def test_the_latest_use_after_a_revocation_is_measured():
    events = [
        write(0, 1, OFF, what="disable"),
        read(0.5, 0.9, ON, what="before the answer"),
        read(1.3, 1.4, ON, what="late"),
        read(1.2, 1.9, ON, what="less late"),
        read(1.8, 1.9, OFF, what="refused"),
    ]
    worst = lateness(events, {ON})
    assert round(worst.seconds, 6) == 0.3 and worst.use.what == "late" and worst.revocation.what == "disable"


def test_uses_after_something_may_have_allowed_them_again_do_not_count():
    disable = write(0, 1, OFF)
    assert lateness([disable, write(1.2, 2, ON), read(1.3, 1.4, ON)], {ON}) is None
    assert lateness([disable, perhaps(1.2, ON), read(5, 6, ON)], {ON}) is None
    assert lateness([disable, perhaps(0.5, ON), read(5, 6, ON)], {ON}) is None, "it may have come after the revocation"
    assert lateness([disable, write(0.5, 1.5, ON), read(5, 6, ON)], {ON}) is None
    assert lateness([write(-2, -1, ON), disable, read(5, 6, ON)], {ON}).seconds == 4
    assert lateness([disable, write(1.2, 2, ON), read(1.1, 1.4, ON)], {ON}) is None, "it was allowed before it was answered"
    assert lateness([disable, write(1.5, 2, ON), read(1.1, 1.4, ON)], {ON}).seconds == 1.1 - 1


def test_reads_that_could_also_be_refusals_are_no_uses():
    assert lateness([write(0, 1, OFF), read(3, 4, ON, OFF)], {ON}) is None
