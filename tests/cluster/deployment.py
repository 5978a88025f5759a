"""The whole of it: PostgreSQL twice, proxies in between, three nodes, and an account with its users."""

import json
import pathlib
import subprocess

from .client import ANSWER_TIMEOUT, Client, Target
from .nodes import Node
from .postgres import DATABASE, USER, Pair
from .proxy import Loop, Proxy
from .sizes import DATABASE_MIB, NODE_MIB


class Deployment:
    """Three nodes on a pair; or one on SQLite, for trying out the harness itself."""

    def __init__(self, directory, lease=1.0, effective="immediately", sqlite=False, mounts=False, false_clock=False):
        self.directory = pathlib.Path(directory)
        self.lease = lease
        self.effective = effective
        # A change that is told when it is effective everywhere is told a lease later.
        self.answer_timeout = ANSWER_TIMEOUT + (lease if effective == "acknowledged" else 0)
        self.mounts = mounts
        self.pair, self.loop, self.proxies = None, None, {}
        self.nodes = []
        if sqlite:
            self.nodes = [Node("n1", directory, false_clock=false_clock)]
            return
        for name, size in (("pg-a", DATABASE_MIB), ("pg-b", DATABASE_MIB)):
            self.mount(name, size)
        self.pair = Pair(directory)
        self.loop = Loop()
        for name in ("n1", "n2", "n3"):
            self.mount(f"{name}/data", NODE_MIB)
            ways = [Proxy(self.loop, instance.port) for instance in self.pair.instances]
            self.proxies[name] = ways
            hosts = ",".join(f"127.0.0.1:{way.port}" for way in ways)
            url = f"postgres://{USER}@{hosts}/{DATABASE}?sslmode=disable&target_session_attrs=read-write"
            store = f'[store]\nurl = "{url}"\n'
            # One clock is enough to be wrong.
            clock = false_clock and name == "n3"
            self.nodes.append(Node(name, directory, store, lease, effective, clock))

    def mount(self, name, mebibytes):
        """A file system of its own, that can be full while this machine's is not."""
        if not self.mounts:
            return
        place = self.directory / name
        place.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=0700", "harness", str(place)], check=True)

    def start(self):
        if self.pair:
            self.pair.start()
        first = self.nodes[0]
        self.administrator = first.init()
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_until_ready()
        self.root = self.ask("account", "create", "cluster")
        self.account = self.root["AccountId"]
        self.users = {name: self.user(name) for name in ("by-policy", "by-grant")}

    def ask(self, *arguments):
        """An administrative command's answer."""
        return json.loads(self.nodes[0].run(*arguments, "--json", environment=self.administrator) or "{}")

    def user(self, name):
        self.ask("user", "create", name, "--account", self.account)
        return self.ask("access-key", "create", "--user", name, "--account", self.account)

    def arn(self, user):
        return f"arn:aws:iam::{self.account}:user/{user}"

    def node(self, name):
        return next(node for node in self.nodes if node.name == name)

    def targets(self):
        return [Target(node.name, node.port) for node in self.nodes]

    def client(self, seed, user=None, only=None):
        """A client of the account's root, or of one of its users; of all nodes, or only of one."""
        targets = [target for target in self.targets() if only in (None, target.name)]
        if user is None:
            return Client(self.root["RootAccessKeyId"], self.root["RootSecretAccessKey"], targets, seed, self.answer_timeout)
        made = self.users[user]
        return Client(made["AccessKeyId"], made["SecretAccessKey"], targets, seed, self.answer_timeout)

    def stop(self):
        """Stops the nodes as an upgrade would; answers what they did not do well."""
        problems = []
        for node in self.nodes:
            if node.process is None or node.process.poll() is not None:
                continue
            code = node.stop()
            if code != 0:
                problems.append(f"{node.name} ended with {code}: {node.tail()}")
        return problems

    def close(self):
        """Ends everything, in whatever state it is."""
        for node in self.nodes:
            if node.process is not None and node.process.poll() is None:
                node.kill()
        for ways in self.proxies.values():
            for way in ways:
                way.close()
        if self.pair:
            self.pair.stop()
        if self.loop:
            self.loop.close()
