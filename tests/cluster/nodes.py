"""Nodes: real server processes, each with its configuration, its data directory and its place in the world."""

import contextlib
import os
import pathlib
import re
import secrets
import signal
import subprocess
import time
import urllib.request

from .postgres import PATIENCE, Missing, free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("CLAVIGER_BINARY", ROOT / "target" / "debug" / "claviger"))
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CLAVIGER_", "LD_PRELOAD", "FAKETIME"))}
FAKETIME = [*pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), *pathlib.Path("/usr/lib64/faketime").glob("libfaketime.so.1")]


class Node:
    """One node of the deployment."""

    def __init__(self, name, directory, store="", lease=1.0, effective="immediately", false_clock=False):
        self.name = name
        self.directory = pathlib.Path(directory) / name
        self.data = self.directory / "data"
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port, self.watch_port = free_port(), free_port()
        self.process = None
        self.log = self.directory / "log"
        self.config = self.directory / "claviger.toml"
        self.clock = self.directory / "clock" if false_clock else None
        if self.clock:
            self.clock.write_text("+0\n")
        self.passphrase = pathlib.Path(directory) / "passphrase"
        if not self.passphrase.exists():
            self.passphrase.write_text(secrets.token_hex(16))
            self.passphrase.chmod(0o600)
        cluster = store
        if (lease, effective) != (1.0, "immediately"):
            cluster += f'[cluster]\nlease_milliseconds = {round(lease * 1000)}\neffective = "{effective}"\n'
        self.config.write_text(
            f'node = "{name}"\ndata = "{self.data}"\nlisten = ["127.0.0.1:{self.port}"]\nregions = "any"\n'
            f'[seal.passphrase]\nfile = "{self.passphrase}"\n'
            f'[observability]\nlisten = "127.0.0.1:{self.watch_port}"\n{cluster}'
            # What takes longer than clients wait is of no use to them.
            "[limits]\nrequest_seconds = 5\nstop_seconds = 5\n"
        )

    def environment(self):
        """With a clock that can be told to be wrong, where that was asked for. The monotonic clock stays true."""
        if not self.clock:
            return CLEAN
        if not FAKETIME:
            raise Missing("libfaketime is needed for jumps of the clock: install it ('apt install faketime'), or leave them out (--without clock)")
        return CLEAN | {
            "LD_PRELOAD": str(FAKETIME[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "1",
        }

    def start(self):
        """Starts the process, and does not wait for it."""
        with self.log.open("ab") as log:
            command = [str(BINARY), "serve", "--config", str(self.config)]
            self.process = subprocess.Popen(command, env=self.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def is_ready(self):
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"http://127.0.0.1:{self.watch_port}/readyz", timeout=2) as answer:
                return answer.status == 200
        return False

    def wait_until_ready(self, seconds=PATIENCE):
        deadline = time.monotonic() + seconds
        while not self.is_ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended by itself with {self.process.returncode}: {self.tail()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not become ready: {self.tail()}")
            time.sleep(0.02)

    def tail(self):
        """The end of its log, for people."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else "it has no log"

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        """Asks it to stop, as an upgrade does; answers its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"{self.name} does not stop: {self.tail()}") from None

    def set_clock(self, seconds):
        """Lets its wall clock be wrong by so many seconds."""
        new = self.clock.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(self.clock)

    def panics(self):
        """Lines of its log that no log should have."""
        if not self.log.exists():
            return []
        return [line for line in self.log.read_text(errors="replace").splitlines() if "panicked at" in line or "a panic" in line.lower()]

    def run(self, *arguments, environment=None, stdin=None, seconds=600):
        """Runs the command line with this node's binary."""
        done = subprocess.run(
            [str(BINARY), *map(str, arguments)],
            env=CLEAN | {"CLAVIGER_ENDPOINT": f"http://127.0.0.1:{self.port}"} | (environment or {}),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"claviger {' '.join(map(str, arguments))} ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def init(self):
        """Makes the deployment; answers the environment of its administrator."""
        credentials = self.directory / "administrator.env"
        self.run("init", "--config", self.config, "--credentials", credentials)
        return dict(re.findall(r"^(?:export )?([A-Z_]+)=(.+)$", credentials.read_text(), re.MULTILINE))
