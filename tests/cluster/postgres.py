"""PostgreSQL: a primary and a synchronous standby, clusters of their own on loopback ports."""

import contextlib
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time

DATABASE = "claviger"
USER = "claviger"
# Seconds for PostgreSQL's own work. Reached only when something is broken, or the machine is much too busy.
PATIENCE = 60
NEEDED = "PostgreSQL is needed, its programs only: install it ('apt install postgresql', 'dnf install postgresql-server'), or name their directory with PG_BIN"


class Missing(Exception):
    """What the harness needs is not on this machine."""


def programs():
    """The directory with initdb, postgres and their like."""
    named = os.environ.get("PG_BIN")
    candidates = [pathlib.Path(named)] if named else sorted(
        pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: [int(n) for n in re.findall(r"\d+", path.parent.name)], reverse=True
    )
    if not named:
        found = shutil.which("initdb")
        candidates += [pathlib.Path("/usr/pgsql/bin"), *([pathlib.Path(found).parent] if found else [])]
    for directory in candidates:
        if all((directory / name).exists() for name in ("initdb", "postgres", "pg_ctl", "pg_basebackup", "pg_rewind", "psql")):
            return directory
    raise Missing(NEEDED)


def unprivileged():
    """The user as which PostgreSQL runs, which refuses to be root; none when this is not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise Missing("there is neither a user postgres nor a user nobody, and PostgreSQL refuses to run as root")


def free_port():
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Instance:
    """One PostgreSQL server, with its data."""

    def __init__(self, name, directory, port):
        self.name, self.port = name, port
        self.directory = pathlib.Path(directory) / name
        self.data = self.directory / "data"
        self.log = self.directory / "log"
        self.bin = programs()
        self.user = unprivileged()
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.user:
            os.chown(self.directory, self.user.pw_uid, self.user.pw_gid)

    # Programs of PostgreSQL's --------------------------------------------------------------------------------------------

    def run(self, program, *arguments, check=True, stdin=None):
        """Runs one of PostgreSQL's programs as its user."""
        become = ["setpriv", f"--reuid={self.user.pw_uid}", f"--regid={self.user.pw_gid}", "--clear-groups"] if self.user else []
        done = subprocess.run(
            [*become, str(self.bin / program), *map(str, arguments)],
            env={"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(self.directory)},
            cwd=self.directory,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE * 2,
            check=False,
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"{program} {' '.join(map(str, arguments))} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def sql(self, statement, database="postgres", check=True):
        """Asks one question; answers what psql prints, without its frame."""
        where = ("--host=127.0.0.1", f"--port={self.port}", "--username=postgres", f"--dbname={database}")
        done = self.run("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", *where, "--command", statement, check=check)
        return done.stdout.strip() if done.returncode == 0 else None

    # Life -----------------------------------------------------------------------------------------------------------------

    def create(self):
        """Makes an empty cluster."""
        self.run("initdb", f"--pgdata={self.data}", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale", "--data-checksums", "--no-sync")
        self.configure()

    def configure(self):
        """The settings of this instance, over what it was copied from."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 120,
            "shared_buffers": "64MB",
            "wal_level": "replica",
            "wal_log_hints": "on",
            "wal_keep_size": "256MB",
            "max_wal_senders": 8,
            "hot_standby": "on",
            "max_wal_size": "512MB",
            "min_wal_size": "64MB",
            "wal_receiver_status_interval": "1s",
            "wal_retrieve_retry_interval": "200ms",
            "wal_sender_timeout": "10s",
            "wal_receiver_timeout": "10s",
            "log_min_messages": "warning",
            "synchronous_commit": "on",
            # The kernel survives everything that the harness does, and so does what was written without waiting for the disk.
            "fsync": "off",
            "cluster_name": self.name,
        }
        text = "".join(f"{name} = '{value}'\n" for name, value in settings.items())
        self.write("harness.conf", text)
        main = self.data / "postgresql.conf"
        if "harness.conf" not in main.read_text():
            main.write_text(main.read_text() + "\ninclude 'harness.conf'\ninclude_if_exists 'synchronous.conf'\n")

    def write(self, name, text):
        """Writes a file of the cluster, as its user's."""
        path = self.data / name
        path.write_text(text)
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def wait_for_standby(self, name):
        """Sets whose confirmation each commit waits for: a standby's, or nobody's (an empty name)."""
        quoted = f'"{name}"' if name else ""
        self.write("synchronous.conf", f"synchronous_standby_names = '{quoted}'\n")
        if self.is_running():
            self.run("pg_ctl", "reload", f"--pgdata={self.data}")

    def start(self):
        """Starts it, and waits until it answers."""
        self.run("pg_ctl", "start", "--wait", f"--timeout={PATIENCE}", f"--pgdata={self.data}", f"--log={self.log}", "--silent")

    def stop(self, mode="fast"):
        """Stops it: fast ends sessions, immediate is what a crash is to it."""
        if self.is_running():
            self.run("pg_ctl", "stop", "--wait", f"--timeout={PATIENCE}", f"--pgdata={self.data}", f"--mode={mode}", "--silent")

    def process_id(self):
        """Its first process."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            return int((self.data / "postmaster.pid").read_text().splitlines()[0])
        return None

    def is_running(self):
        process = self.process_id()
        return process is not None and not is_zombie(process)

    def kill(self):
        """Ends it as the loss of the machine would, but for what the kernel has of its files: kill -9 of all its processes."""
        process = self.process_id()
        if process is None:
            return
        children = pathlib.Path(f"/proc/{process}/task/{process}/children")
        ids = [int(child) for child in children.read_text().split()] if children.exists() else []
        for each in [process, *ids]:
            with contextlib.suppress(OSError):
                os.kill(each, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE
        while any(pathlib.Path(f"/proc/{each}").exists() and not is_zombie(each) for each in [process, *ids]):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not die")
            time.sleep(0.01)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def accepts_writes(self):
        return self.sql("SELECT NOT pg_is_in_recovery()", check=False) == "t"


def is_zombie(process):
    """Whether a process has ended: is not there, or only waits to be asked for its exit code."""
    try:
        return pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


class Pair:
    """A primary and its synchronous standby, which change places."""

    def __init__(self, directory):
        self.instances = [Instance("pg-a", directory, free_port()), Instance("pg-b", directory, free_port())]
        self.primary, self.standby = self.instances
        # How the last standby came to be, for the report: "basebackup" or "rewind".
        self.rebuilt = []

    def start(self):
        """Makes and starts both."""
        self.primary.create()
        self.primary.start()
        self.primary.sql(f"CREATE ROLE {USER} LOGIN")
        self.primary.sql(f"CREATE DATABASE {DATABASE} OWNER {USER}")
        self.copy_from_primary()
        self.follow()

    def copy_from_primary(self):
        """Makes the standby anew, as a copy of the primary."""
        shutil.rmtree(self.standby.data, ignore_errors=True)
        source = f"host=127.0.0.1 port={self.primary.port} user=postgres"
        self.standby.run("pg_basebackup", f"--pgdata={self.standby.data}", f"--dbname={source}", "--checkpoint=fast", "--wal-method=stream", "--no-sync")
        self.rebuilt.append("basebackup")

    def follow(self):
        """Lets the standby follow the primary, and the primary wait for it from then on."""
        self.standby.configure()
        source = f"host=127.0.0.1 port={self.primary.port} user=postgres application_name={self.standby.name}"
        self.standby.write("standby.signal", "")
        self.standby.write("synchronous.conf", f"primary_conninfo = '{source}'\nrecovery_target_timeline = 'latest'\n")
        self.standby.start()
        self.until(lambda: self.primary.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "1", "follow")
        self.primary.wait_for_standby(self.standby.name)
        self.until(lambda: self.primary.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == "1", "be waited for")

    def until(self, holds, what):
        deadline = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > deadline:
                raise RuntimeError(f"the standby does not {what}: {self.standby.log.read_text()[-2000:]}")
            time.sleep(0.05)

    def promote(self):
        """Makes the standby the primary, after the old primary is dead."""
        self.primary.kill()
        self.take_over()

    def take_over(self):
        """Makes the standby the primary, whatever the old one does. Nobody waits for a standby until there is one again, as with Patroni's
        `synchronous_mode` when the last standby is lost."""
        self.standby.write("synchronous.conf", "synchronous_standby_names = ''\n")
        self.standby.run("pg_ctl", "reload", f"--pgdata={self.standby.data}")
        self.standby.run("pg_ctl", "promote", "--wait", f"--timeout={PATIENCE}", f"--pgdata={self.standby.data}", "--silent")
        self.primary, self.standby = self.standby, self.primary

    def lose_what_was_interrupted(self):
        """Loses the standby, interrupts the commits that wait for it, and promotes it without them."""
        self.standby.kill()
        # By now commits wait for it.
        time.sleep(0.3)
        self.restart("fast")
        # By now the nodes have found what they had committed, and have asked again.
        time.sleep(0.7)
        self.primary.kill()
        self.standby.start()
        self.take_over()

    def switch_over(self):
        """Promotes the standby while the old primary, which takes no changes any more, goes on with the connections that it has."""
        self.primary.sql("ALTER SYSTEM SET default_transaction_read_only = on")
        self.primary.run("pg_ctl", "reload", f"--pgdata={self.primary.data}")
        self.until(lambda: self.primary.sql("SHOW default_transaction_read_only") == "on", "hear of it")
        self.take_over()

    def rebuild_switched(self):
        """Ends the old primary after that, and makes it follow."""
        self.standby.stop()
        self.rebuild()

    def rebuild(self):
        """Makes what was the primary follow the one that took its place."""
        target = f"host=127.0.0.1 port={self.primary.port} user=postgres dbname=postgres"
        # What was promoted says since when only from its next checkpoint on.
        self.primary.sql("CHECKPOINT")
        done = self.standby.run("pg_rewind", f"--target-pgdata={self.standby.data}", f"--source-server={target}", "--no-sync", check=False)
        if done.returncode == 0:
            self.rebuilt.append("rewind")
        else:
            self.copy_from_primary()
        self.follow()

    def restart(self, mode):
        """Stops the primary, and starts it again."""
        if mode == "kill":
            self.primary.kill()
        else:
            self.primary.stop(mode)
        self.primary.start()

    def revive(self):
        """Starts what has ended by itself, such as for want of space."""
        for instance in (self.primary, self.standby):
            if not instance.is_running():
                instance.start()

    def stop(self):
        for instance in (self.standby, self.primary):
            with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
                instance.stop("immediate")
            instance.kill()
