"""What is broken. Each fault breaks something, holds it broken for a while, and mends it; all of it planned by the seed."""

import contextlib
import os
import random
import subprocess

from .sizes import DATABASE_MIB, NODE_MIB

FAULTS = {}


def fault(name, hold, what, needs=()):
    """Registers a pair of functions: (break, mend)."""

    def register(make):
        FAULTS[name] = Kind(name, hold, what, frozenset(needs), make)
        return make

    return register


class Kind:
    """A kind of fault: how long it is held, and what has to be there for it."""

    def __init__(self, name, hold, what, needs, make):
        self.name, self.hold, self.what, self.needs, self.make = name, hold, what, needs, make


def plan(seed, rounds, names):
    """Which fault comes in which round, and the seed of each round. Every fault comes equally often."""
    chance = random.Random(seed)
    planned = []
    while len(planned) < rounds:
        bag = list(names)
        chance.shuffle(bag)
        planned.extend(bag)
    return [(name, chance.randrange(2**32)) for name in planned[:rounds]]


@fault("none", 0, "nothing is broken")
def none(deployment, chance):
    return (lambda: None), (lambda: None)


@fault("node-kill", 1.5, "kill -9 of a node; started again after 1.5 s")
def node_kill(deployment, chance):
    node = chance.choice(deployment.nodes)
    return node.kill, node.start


@fault("node-stop", 1.0, "a node is stopped with SIGTERM and started again, as in a rolling upgrade", needs=("three",))
def node_stop(deployment, chance):
    node = chance.choice(deployment.nodes)

    def mend():
        with contextlib.suppress(ProcessLookupError):
            if node.process.wait(30) != 0:
                raise RuntimeError(f"{node.name} ended with {node.process.returncode}: {node.tail()}")
        node.start()

    return node.process.terminate, mend


@fault("node-pause", 2.5, "SIGSTOP of a node for 2.5 s, longer than the lease; then SIGCONT", needs=("three",))
def node_pause(deployment, chance):
    node = chance.choice(deployment.nodes)
    return node.pause, node.resume


@fault("clock-ahead", 2.0, "the wall clock of a node jumps ahead by two minutes, and back", needs=("clock",))
def clock_ahead(deployment, chance):
    node = deployment.nodes[-1]
    return (lambda: node.set_clock(120)), (lambda: node.set_clock(0))


@fault("clock-behind", 2.0, "the wall clock of a node jumps back by two minutes, and ahead again", needs=("clock",))
def clock_behind(deployment, chance):
    node = deployment.nodes[-1]
    return (lambda: node.set_clock(-120)), (lambda: node.set_clock(0))


@fault("database-restart", 0.0, "the primary is stopped (pg_ctl stop -m fast) and started", needs=("pair",))
def database_restart(deployment, chance):
    return (lambda: deployment.pair.restart("fast")), (lambda: None)


@fault("database-crash", 0.0, "kill -9 of all processes of the primary, which is started again", needs=("pair",))
def database_crash(deployment, chance):
    return (lambda: deployment.pair.restart("kill")), (lambda: None)


@fault("promote", 1.0, "kill -9 of the primary; the standby is promoted, and the old primary made its standby", needs=("pair",))
def promote(deployment, chance):
    return deployment.pair.promote, deployment.pair.rebuild


@fault("standby-loss", 0.5, "kill -9 of the synchronous standby, so that every commit waits for it; started after 0.5 s", needs=("pair",))
def standby_loss(deployment, chance):
    return deployment.pair.standby.kill, deployment.pair.standby.start


@fault("interrupted", 1.0, "kill -9 of the standby; a restart interrupts the commits that wait for it; the primary is lost, and the standby promoted", needs=("pair",))
def interrupted(deployment, chance):
    return deployment.pair.lose_what_was_interrupted, deployment.pair.rebuild


@fault("switchover", 2.5, "the primary takes no changes any more, the standby is promoted, and the old primary lives for 2.5 s with its connections", needs=("pair",))
def switchover(deployment, chance):
    return deployment.pair.switch_over, deployment.pair.rebuild_switched


def ways(deployment, name):
    return deployment.proxies[name]


@fault("cut", 0.5, "all connections of every node to PostgreSQL are reset, and again after 0.5 s", needs=("pair",))
def cut(deployment, chance):
    def reset():
        for ways in deployment.proxies.values():
            for way in ways:
                way.cut()

    return reset, reset


@fault("partition", 2.5, "one node's network to PostgreSQL passes nothing on for 2.5 s, longer than the lease", needs=("pair",))
def partition(deployment, chance):
    chosen = ways(deployment, chance.choice(deployment.nodes).name)
    return (lambda: [way.stall() for way in chosen]), (lambda: [way.heal() for way in chosen])


@fault("unreachable", 2.0, "one node's connections to PostgreSQL are reset, and new ones refused for 2 s", needs=("pair",))
def unreachable(deployment, chance):
    chosen = ways(deployment, chance.choice(deployment.nodes).name)
    return (lambda: [way.refuse() for way in chosen]), (lambda: [way.heal() for way in chosen])


@fault("blackout", 1.5, "no node's network to PostgreSQL passes anything on for 1.5 s", needs=("pair",))
def blackout(deployment, chance):
    every = [way for ways in deployment.proxies.values() for way in ways]
    return (lambda: [way.stall() for way in every]), (lambda: [way.heal() for way in every])


@fault("database-disk-full", 1.5, "the primary's disk is full for 1.5 s", needs=("pair", "mounts"))
def database_disk_full(deployment, chance):
    primary = deployment.pair.primary

    def mend():
        resize(primary.directory, DATABASE_MIB * 1024)
        # What could not write its log has ended by itself.
        deployment.pair.revive()

    return (lambda: fill(primary.directory)), mend


@fault("node-disk-full", 2.0, "the disk of a node's data directory is full for 2 s", needs=("pair", "mounts"))
def node_disk_full(deployment, chance):
    data = chance.choice(deployment.nodes).data
    return (lambda: fill(data)), (lambda: resize(data, NODE_MIB * 1024))


def fill(place):
    """Takes all the room away that a file system of the harness has left."""
    for _ in range(100):
        room = os.statvfs(place)
        used = (room.f_blocks - room.f_bfree) * room.f_frsize
        with contextlib.suppress(subprocess.CalledProcessError):
            resize(place, used // 1024)
            return
    raise RuntimeError(f"{place} grows too fast to be full")


def resize(place, kibibytes):
    command = ["mount", "-o", f"remount,size={kibibytes}k", str(place)]
    subprocess.run(command, check=True, capture_output=True)
