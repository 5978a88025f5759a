"""The walks in docs/walkthroughs, typed as they stand, in one shell each."""

import os
import pathlib
import re
import signal
import subprocess
import sys


from harness import BINARY, CLEAN_ENVIRONMENT, ROOT, free_port
from softhsm import LIBRARIES, NEEDED


def script(document):
    """All commands of a document, on ports that are free."""
    text = (ROOT / "docs" / "walkthroughs" / document).read_text()
    commands = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    for port in ("9911", "9912", "9443", "9921", "9922"):
        assert port in commands, port
        commands = commands.replace(port, str(free_port()))
    return commands


def end(directory):
    """Ends what the walk began, when it was broken off."""
    for file in directory.glob("*.pid"):
        try:
            os.kill(int(file.read_text()), signal.SIGTERM)
        except (ProcessLookupError, ValueError):
            continue


def test_hold_your_own_key(tmp_path):
    found = [path for path in LIBRARIES if pathlib.Path(path).exists()]
    assert found, f"this walk {NEEDED}"
    commands = script("hold-your-own-key.md").replace("/usr/lib/softhsm/libsofthsm2.so", found[0])
    tools = [BINARY.parent, pathlib.Path(sys.executable).parent]
    path = os.pathsep.join([*map(str, tools), CLEAN_ENVIRONMENT["PATH"]])
    try:
        done = subprocess.run(
            ["bash", "-e", "-u", "-c", commands],
            cwd=tmp_path,
            env=CLEAN_ENVIRONMENT | {"PATH": path},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    finally:
        end(tmp_path)
    logs = "".join(file.read_text() for file in tmp_path.glob("*.log"))
    # As people's shells are, which see the end of a pipe only.
    assert "IT WAS OPENED" not in done.stdout, done.stdout
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{logs}"
    assert done.stdout.count("what nobody in the cloud can read alone") == 2, done.stdout
    assert "KMSInvalidStateException" in done.stderr, done.stderr
    # OpenSC calls it a secret key object, and says that nobody takes it out.
    assert "never extractable" in done.stdout and "sensitive" in done.stdout, done.stdout
