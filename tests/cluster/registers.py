"""Histories of registers: what was written and read, when, and whether some order of it explains everything.

A register is one thing that changes and is looked at: a key's state, the version of its policy, whether a grant is there. Each attempt at an
operation is one event, from before it was sent until after it was answered; what was not answered may have taken effect at any time since it was
sent, or never. A history is linearizable (Herlihy and Wing, 1990) when there is a moment within each event at which it seems to have happened.

The promise that is checked is weaker in exactly one place: **a read may be up to one lease old**, so that its moment may lie that much before it began
(`Event.slack`). Writes have no slack.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """One attempt. Times in seconds; `end` is infinite where nobody knows what became of it."""

    start: float
    end: float
    # What it wrote, and over which values it can be written; none for a read.
    value: str | None = None
    over: frozenset | None = None
    # The values that explain what a read, or a refusal, has answered.
    seen: frozenset | None = None
    # For people: who did what, where.
    what: str = ""
    slack: float = 0.0

    @property
    def is_write(self):
        return self.value is not None

    @property
    def is_certain(self):
        return self.end != math.inf

    @property
    def earliest(self):
        """The first moment at which it can have happened."""
        return self.start - self.slack

    def fits(self, value):
        """Whether it can happen while the register has this value."""
        if self.is_write:
            return self.over is None or value in self.over
        return value in self.seen


def write(start, end, value, over=None, what=""):
    """A write that was acknowledged."""
    return Event(start, end, value=value, over=None if over is None else frozenset(over), what=what)


def perhaps(start, value, over=None, what=""):
    """A write that was not answered."""
    return write(start, math.inf, value, over, what)


def read(start, end, *seen, lease=0.0, what=""):
    """A read, or what tells a value otherwise: a use that was accepted, a refusal that names the state."""
    return Event(start, end, seen=frozenset(seen), what=what, slack=lease)


# Linearizability ---------------------------------------------------------------------------------------------------------------


def explain(initial, events):
    """Why no order of these events explains them; none when one does.

    The search of Wing and Gong with the memory of Lowe. A read that fits now can be taken now, as it changes nothing; so only the order of writes is
    searched. Writes that were not answered and that write the same over the same are tried in the order of their beginnings."""
    events = sorted(events, key=lambda event: event.earliest)
    search = Search(events)
    return search.run(initial)


class Search:
    def __init__(self, events):
        self.events = events
        self.certain = 0
        for number, event in enumerate(events):
            if event.is_certain:
                self.certain |= 1 << number
        self.by_end = sorted((n for n, event in enumerate(events) if event.is_certain), key=lambda n: events[n].end)
        # For each write that was not answered, the one like it that began before.
        self.like_before = {}
        last = {}
        for number, event in enumerate(events):
            if event.is_write and not event.is_certain:
                kind = (event.value, event.over)
                self.like_before[number] = last.get(kind)
                last[kind] = number
        self.best, self.stuck = -1, ""

    def run(self, initial):
        seen = set()
        stack = [(0, initial)]
        while stack:
            done, value = stack.pop()
            done = self.take_reads(done, value)
            if done & self.certain == self.certain:
                return None
            if (done, value) in seen:
                continue
            seen.add((done, value))
            self.note(done, value)
            # Popped last in, first out: what was answered is tried before what was not.
            choices = sorted(self.next_writes(done, value), key=lambda n: (self.events[n].is_certain, -self.events[n].end))
            stack.extend((done | 1 << number, self.events[number].value) for number in choices)
        return self.stuck

    def bound(self, done):
        """When the first event ends that has not been taken: nothing that begins later can come before it."""
        return next((self.events[n].end for n in self.by_end if not done >> n & 1), math.inf)

    def take_reads(self, done, value):
        while True:
            bound, before = self.bound(done), done
            for number, event in enumerate(self.events):
                if event.earliest > bound:
                    break
                if not event.is_write and not done >> number & 1 and event.fits(value):
                    done |= 1 << number
            if done == before:
                return done

    def next_writes(self, done, value):
        bound = self.bound(done)
        for number, event in enumerate(self.events):
            if event.earliest > bound:
                return
            if not event.is_write or done >> number & 1 or not event.fits(value):
                continue
            before = self.like_before.get(number)
            if before is None or done >> before & 1:
                yield number

    def note(self, done, value):
        """Remembers how far it got, for people."""
        count = (done & self.certain).bit_count()
        if count <= self.best:
            return
        self.best = count
        number = next(n for n in self.by_end if not done >> n & 1)
        event = self.events[number]
        self.stuck = f"nothing explains {tell(event)} (the register could be {value!r} then, after {count} of {self.certain.bit_count()} events)"


def tell(event):
    kind = f"the write of {event.value!r}" if event.is_write else f"the sight of {'/'.join(sorted(map(str, event.seen)))!r}"
    end = "never answered" if not event.is_certain else f"{event.end:.3f}"
    return f"{kind} from {event.start:.3f} to {end} ({event.what})"


# Revocation --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lateness:
    """How long after an acknowledged revocation a use began that was accepted all the same."""

    seconds: float
    revocation: Event
    use: Event


def lateness(events, allowed):
    """The longest such time, or none where no use was accepted after a revocation. `allowed` are the values under which uses are accepted.

    A use counts only where nothing else can have allowed it: it has to have ended before the begin of the next write of an allowed value, an answered one
    or not; and no such write was under way while the revocation was."""
    grants = [event for event in events if event.is_write and event.value in allowed]
    revocations = [event for event in events if event.is_write and event.is_certain and event.value not in allowed]
    uses = sorted((event for event in events if not event.is_write and event.seen <= allowed), key=lambda event: event.start)
    worst = None
    for revocation in revocations:
        overlapping = [grant for grant in grants if grant.end > revocation.start]
        until = min((grant.start for grant in overlapping), default=math.inf)
        for use in uses:
            if revocation.end < use.start and use.end < until:
                seconds = use.start - revocation.end
                if worst is None or seconds > worst.seconds:
                    worst = Lateness(seconds, revocation, use)
    return worst
