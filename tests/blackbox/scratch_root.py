"""Roots of a file system in mount namespaces of their own: what is installed, mounted and started there leaves no trace on the machine."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
NEEDS_ROOT = "needs root, for mount namespaces and users of its own: run it as root, as .ci/run does"


class ScratchRoot:
    """A root made by a script of mounts, which finds an empty directory in $ROOT; gone when it is closed."""

    def __init__(self, directory, script, **variables):
        if os.geteuid() != 0:
            pytest.skip(NEEDS_ROOT)
        self.path = pathlib.Path(directory) / "root"
        self.path.mkdir()
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "bash", "-euc", f"{script}\necho mounted\nread -r _"],
            env=os.environ | {"ROOT": str(self.path)} | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.holder.stdout.readline() == "mounted\n", "the root could not be made"

    def command(self, *arguments, user=None):
        """The command line that runs a program in there, as one that runs in this process' root."""
        who = [f"--userspec={user}"] if user else []
        inside = ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", "chroot", *who, str(self.path)]
        return [*inside, *map(str, arguments)]

    def run(self, *arguments, user=None, check=True, environment=None, stdin=None):
        """Runs a program in there to its end. Its environment is this one and nothing else."""
        done = subprocess.run(
            self.command(*arguments, user=user),
            env=ENVIRONMENT | (environment or {}),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert not check or done.returncode == 0, f"{arguments} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done

    def exists(self, path):
        """Whether a path is there, a broken link included."""
        return self.run("/bin/sh", "-c", f"test -e {path} || test -L {path}", check=False).returncode == 0

    def close(self):
        """Lets go of the mounts, and of all that was written into them."""
        self.holder.stdin.close()
        self.holder.wait(30)


def copy_of_this_machine(directory):
    """This machine's root, to write into."""
    script = """
        scratch=$(dirname "$ROOT")/scratch; mkdir "$scratch"
        mount -t tmpfs -o size=2g scratch "$scratch"
        mkdir "$scratch/upper" "$scratch/work"
        mount -t overlay -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" overlay "$ROOT"
        mount --rbind /proc "$ROOT/proc"
        mount --rbind /dev "$ROOT/dev"
    """
    return ScratchRoot(directory, script)


def image(directory, files, secrets, user):
    """What a container of the image sees: files on a read-only root with their libraries, a volume for the data, and secrets."""
    for source, _ in files:
        assert source.exists(), f"{source} is not there"
    layers = pathlib.Path(directory) / "layers"
    for source, target in files:
        place = layers / target.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)
        if os.access(source, os.X_OK):
            copy_libraries(source, layers)
    script = """
        mount --bind "$LAYERS" "$ROOT"
        mkdir -p "$ROOT/proc" "$ROOT/dev" "$ROOT/run/secrets" "$ROOT/var/lib/claviger"
        mount --rbind /proc "$ROOT/proc"
        mount --rbind /dev "$ROOT/dev"
        mount --bind "$SECRETS" "$ROOT/run/secrets"
        mount -t tmpfs -o "mode=0700,uid=$USER_ID,gid=$USER_ID" volume "$ROOT/var/lib/claviger"
        mount -o remount,ro,bind "$ROOT"
    """
    return ScratchRoot(directory, script, LAYERS=str(layers), SECRETS=str(secrets), USER_ID=str(user))


def copy_libraries(binary, layers):
    """The C library and its like, and nothing of ours: what a distroless image has."""
    listed = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=True).stdout
    for library in re.findall(r"(/\S+)", listed):
        name = pathlib.Path(library).name
        assert re.match(r"(ld-linux|lib(c|m|gcc_s|pthread|dl|rt)\.so)", name), f"the image of the Dockerfile has no {name}"
        place = layers / library.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, place)
