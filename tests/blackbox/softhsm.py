"""SoftHSM2 in a directory of its own, looked at with OpenSC's pkcs11-tool, and deployments that use it."""

import os
import pathlib
import re
import signal
import subprocess

from harness import CLEAN_ENVIRONMENT, free_port, run, start_serve

PIN = "24681357"
NEEDED = "needs SoftHSM2 and OpenSC: install them ('apt install softhsm2 opensc', 'dnf install softhsm opensc')"
LIBRARIES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so")


class SoftHsm:
    """A library with tokens."""

    def __init__(self, directory, *labels):
        self.directory = pathlib.Path(directory)
        self.tokens = self.directory / "tokens"
        self.tokens.mkdir(parents=True)
        self.configuration = self.directory / "softhsm2.conf"
        self.configuration.write_text(f"directories.tokendir = {self.tokens}\n")
        found = [path for path in LIBRARIES if pathlib.Path(path).exists()]
        assert found, f"this test {NEEDED}"
        self.library = found[0]
        self.pin_file = self.directory / "pin"
        self.pin_file.write_text(f"{PIN}\n")
        self.pin_file.chmod(0o600)
        for label in labels:
            self.make(label)

    def make(self, label):
        """Makes a token."""
        self.tool("softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "87654321", "--pin", PIN)

    def tool(self, program, *arguments):
        """Runs a program on the tokens."""
        try:
            done = subprocess.run(
                [program, *map(str, arguments)],
                env=CLEAN_ENVIRONMENT | {"SOFTHSM2_CONF": str(self.configuration)},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        except FileNotFoundError:
            raise AssertionError(f"{program} is not there: this test {NEEDED}") from None
        assert done.returncode == 0, f"{program} {arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def pkcs11_tool(self, label, *arguments):
        """What somebody else's program finds in a token."""
        return self.tool("pkcs11-tool", "--module", self.library, "--token-label", label, "--login", "--pin", PIN, *arguments)

    def table(self, label, name=None, more=""):
        """The table of a token in a configuration."""
        return (
            f'[tokens.{name or label}]\nlibrary = "{self.library}"\nlabel = "{label}"\npin.file = "{self.pin_file}"\n'
            f'environment = {{ SOFTHSM2_CONF = "{self.configuration}" }}\n{more}\n'
        )

    def hosts(self):
        """The ids of the processes that hold the library of these tokens."""
        mark = f"SOFTHSM2_CONF={self.configuration}".encode()
        found = []
        for process in pathlib.Path("/proc").iterdir():
            try:
                if process.name.isdigit() and mark in (process / "environ").read_bytes().split(b"\0"):
                    if b"hsm-host" in (process / "cmdline").read_bytes().split(b"\0"):
                        found.append(int(process.name))
            except OSError:
                continue
        return found

    def kill_hosts(self):
        """kill -9 for each of them."""
        killed = self.hosts()
        for process in killed:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return killed


class Site:
    """A deployment with a configuration file."""

    def __init__(self, directory, more):
        directory = pathlib.Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.data = directory, directory / "data"
        self.port, self.watch_port = free_port(), free_port()
        self.config = directory / "claviger.toml"
        self.environment = {"TEST_PASSPHRASE": "correct horse battery staple"}
        self.config.write_text(
            f'node = "node-1"\ndata = "data"\nregions = "any"\nlisten = ["127.0.0.1:{self.port}"]\n'
            f'[seal.passphrase]\nenvironment = "TEST_PASSPHRASE"\n[observability]\nlisten = "127.0.0.1:{self.watch_port}"\n{more}'
        )

    def run(self, *arguments, **settings):
        """The command line with this configuration."""
        return run(*arguments, "--config", self.config, environment=self.environment, **settings)

    def start(self):
        """Makes the deployment if it is not there, and serves it."""
        if not self.data.exists():
            made = self.run("init").stdout
            self.environment |= dict(re.findall(r"^([A-Z_]+)=(.+)$", made, re.MULTILINE))
            self.environment |= {"CLAVIGER_ENDPOINT": f"http://127.0.0.1:{self.port}", "AWS_REGION": "us-east-1"}
        return start_serve(
            self.config, f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.watch_port}", self.data, self.environment
        )
