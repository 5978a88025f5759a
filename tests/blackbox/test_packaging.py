"""What is in packaging/: the image's Dockerfile, the systemd unit, the Debian package, and clusters with Compose and Kubernetes."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
import urllib.request

import boto3
import botocore.config
import pytest
import yaml

import scratch_root
from harness import BINARY, CLEAN_ENVIRONMENT, ROOT, free_port, run
from test_serve import PASSPHRASE, Authority, Site

PACKAGING = ROOT / "packaging"
DOCKERFILE = PACKAGING / "docker" / "Dockerfile"
UNIT = PACKAGING / "systemd" / "claviger.service"
VENV = pathlib.Path(os.sys.executable).parent
ACCESS = ("CLAVIGER_ADMIN_ACCESS_KEY_ID", "CLAVIGER_ADMIN_SECRET_ACCESS_KEY")
# Stopped by their ids at the end of a test, whatever became of it.
STARTED = []


@pytest.fixture(autouse=True)
def nothing_is_left_running():
    yield
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            process.kill()
            process.wait()


def start(root, *arguments, user=None, environment=None, log=None, watch_port=None):
    """Starts a server in a scratch root, and waits until it is ready."""
    output = log.open("wb")
    process = subprocess.Popen(root.command(*arguments, user=user), env=scratch_root.ENVIRONMENT | (environment or {}), stdout=output, stderr=output)
    STARTED.append(process)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{watch_port}/readyz", timeout=5) as answer:
                if answer.status == 200:
                    return process
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"the server did not become ready: {log.read_text()}")


def stop(process):
    """Stops a server as a supervisor does. nsenter and chroot have become it: the process is the server."""
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def credentials(printed):
    return dict(re.findall(r"^(?:export )?([A-Z_]+)=(.+)$", printed, re.MULTILINE))


def account_client(endpoint, environment, ca=None):
    """An account's KMS client, made with the administrator's credentials."""
    environment = {name: environment[name] for name in ACCESS} | {"CLAVIGER_ENDPOINT": endpoint} | ({"AWS_CA_BUNDLE": ca} if ca else {})
    made = json.loads(run("account", "create", "packaged", "--json", environment=environment).stdout)
    return boto3.client(
        "kms",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=made["RootAccessKeyId"],
        aws_secret_access_key=made["RootSecretAccessKey"],
        verify=ca,
        config=botocore.config.Config(retries={"total_max_attempts": 5}),
    )


# claviger ready ----------------------------------------------------------------------------------------------------------------


def test_ready_tells_supervisors_how_the_server_is(tmp_path):
    site = Site(tmp_path / "site")
    config = ("--config", site.config)
    nobody = run("ready", *config, check=False)
    assert nobody.returncode == 1 and "no answer from http://127.0.0.1" in nobody.stderr
    site.init()
    server = site.start()
    try:
        assert run("ready", *config).stdout == "ready\n"
        assert run("ready", *config, "--alive").stdout == "alive\n"
    finally:
        assert server.stop() == 0
    site.config.write_text(site.config.read_text().split("[observability]")[0])
    unheard = run("ready", *config, check=False)
    assert unheard.returncode == 2 and "add [observability]" in unheard.stderr


def test_ready_says_what_a_server_that_is_not_ready_waits_for(tmp_path):
    site = Site(tmp_path / "site")
    shares = "[seal.shares]\nthreshold = 2\nshares = 2\n"
    site.config.write_text(site.config.read_text().replace('[seal.passphrase]\nenvironment = "TEST_PASSPHRASE"\n', shares))
    run("init", "--config", site.config, "--share-directory", tmp_path)
    log = tmp_path / "sealed.log"
    with log.open("wb") as output:
        command = [BINARY, "serve", "--config", site.config]
        process = subprocess.Popen(command, env=CLEAN_ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    STARTED.append(process)
    deadline = time.monotonic() + 60
    while run("ready", "--config", site.config, "--alive", check=False).returncode != 0:
        assert time.monotonic() < deadline and process.poll() is None, log.read_text()
        time.sleep(0.05)
    sealed = run("ready", "--config", site.config, check=False)
    assert sealed.returncode == 1 and "the server is not ready: " in sealed.stderr and "share" in sealed.stderr, sealed.stderr
    stop(process)


# The image ---------------------------------------------------------------------------------------------------------------------


def instructions():
    """The instructions of the Dockerfile's last stage, each with what stands behind it."""
    text = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text())
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    last = max(number for number, line in enumerate(lines) if line[0] == "FROM")
    return {name: rest for name, rest in lines[last:]}


def test_hadolint_finds_nothing_in_the_dockerfile():
    done = subprocess.run([VENV / "hadolint", "--failure-threshold", "style", DOCKERFILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_files_that_the_dockerfile_names_are_there():
    text = DOCKERFILE.read_text()
    named = re.findall(r"\b(packaging/\S+)", text)
    assert len(named) >= 2
    for path in named:
        assert (ROOT / path).is_file(), path
    rust = re.search(r'rust-version = "(.+)"', (ROOT / "Cargo.toml").read_text())[1]
    assert f"FROM rust:{rust}-bookworm" in text and "cc-debian12" in text, "both stages are of one Debian, and of the tree's Rust"


def test_a_container_serves_as_nobody_on_a_read_only_root(tmp_path):
    last = instructions()
    user = last["USER"].split(":")[0]
    assert last["USER"] == "65532:65532"
    port, watch_port = free_port(), free_port()
    authority = Authority(tmp_path)
    authority.issue(tmp_path)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name, content in (
        ("claviger-certificate", (tmp_path / "certificate.pem").read_bytes()),
        ("claviger-key", (tmp_path / "key.pem").read_bytes()),
        ("claviger-passphrase", PASSPHRASE.encode()),
    ):
        (secrets / name).write_bytes(content)
        shutil.chown(secrets / name, int(user), int(user)) if os.geteuid() == 0 else None
        (secrets / name).chmod(0o400)
    config = tmp_path / "claviger.toml"
    text = (PACKAGING / "docker" / "claviger.toml").read_text()
    config.write_text(text.replace("0.0.0.0:9911", f"127.0.0.1:{port}").replace("127.0.0.1:9912", f"127.0.0.1:{watch_port}"))
    config.chmod(0o644)
    root = scratch_root.image(tmp_path, [(BINARY, "/usr/bin/claviger"), (config, "/etc/claviger/claviger.toml")], secrets, user)
    try:
        environment = dict(pair.split("=", 1) for pair in [last["ENV"]])
        entry, command = json.loads(last["ENTRYPOINT"]), json.loads(last["CMD"])
        health = json.loads(last["HEALTHCHECK"].split("CMD", 1)[1])
        assert root.run(*health, user=last["USER"], environment=environment, check=False).returncode == 1
        printed = root.run(*entry, "init", user=last["USER"], environment=environment).stdout
        log = tmp_path / "server.log"
        process = start(root, *entry, *command, user=last["USER"], environment=environment, log=log, watch_port=watch_port)
        assert root.run(*health, user=last["USER"], environment=environment).stdout == "ready\n"
        kms = account_client(f"https://127.0.0.1:{port}", credentials(printed), str(authority.file))
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        assert kms.decrypt(CiphertextBlob=kms.encrypt(KeyId=key, Plaintext=b"contained")["CiphertextBlob"])["Plaintext"] == b"contained"
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        assert re.search(rf"^Uid:\s+{user}\s+{user}\s", status, re.MULTILINE)
        stop(process)
        assert '"level":"ERROR"' not in log.read_text(), log.read_text()
    finally:
        root.close()


# Debian ------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The Debian package of the binary under test."""
    if not pathlib.Path("/etc/debian_version").exists():
        pytest.skip("the Debian package is made and tried on Debian and its descendants only, which this machine is not")
    directory = tmp_path_factory.mktemp("deb")
    # A debug build is large, and nobody keeps it.
    quickly = os.environ | {"DPKG_DEB_COMPRESSOR_TYPE": "gzip", "DPKG_DEB_COMPRESSOR_LEVEL": "1"}
    done = subprocess.run([PACKAGING / "debian" / "build", BINARY, directory], env=quickly, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return pathlib.Path(done.stdout.strip())


def test_the_package_says_what_it_is(package):
    fields = subprocess.run(["dpkg-deb", "--field", package], capture_output=True, text=True, check=True).stdout
    version = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    assert f"Version: {version}\n" in fields
    assert re.search(r"^Depends: .*libc6 \(>= 2\.\d+\).*, adduser$", fields, re.MULTILINE), fields
    listed = subprocess.run(["dpkg-deb", "--contents", package], capture_output=True, text=True, check=True).stdout
    owners = {line.split()[1] for line in listed.splitlines()}
    assert owners == {"root/root"}
    writable = [line for line in listed.splitlines() if line[8] == "w"]
    assert not writable, writable
    for path in ("./usr/bin/claviger", "./usr/lib/systemd/system/claviger.service", "./etc/claviger/claviger.toml"):
        assert re.search(rf" {re.escape(path)}$", listed, re.MULTILINE), path


class Machine:
    """A copy of this machine on which the package is installed, and where systemctl tells what it was asked."""

    def __init__(self, directory):
        self.root = scratch_root.copy_of_this_machine(directory)
        self.root.run("/bin/sh", "-c", "mkdir -p /run/systemd/system; printf '#!/bin/sh\\necho \"$@\" >> /systemctl.log\\n' > /usr/bin/systemctl.new")
        self.root.run("/bin/sh", "-c", "chmod 755 /usr/bin/systemctl.new; rm -f /usr/bin/systemctl; mv /usr/bin/systemctl.new /usr/bin/systemctl")

    def dpkg(self, *arguments):
        """Runs dpkg; answers what it printed, and what systemctl was asked meanwhile."""
        self.root.run("/bin/sh", "-c", "rm -f /systemctl.log; touch /systemctl.log")
        printed = self.root.run("dpkg", *arguments).stdout
        return printed, self.root.run("cat", "/systemctl.log").stdout.splitlines()


@pytest.fixture
def machine(tmp_path, package):
    machine = Machine(tmp_path)
    yield machine
    machine.root.close()


def exec_start():
    """The command of the unit."""
    return re.search(r"^ExecStart=(.+)$", UNIT.read_text(), re.MULTILINE)[1].split()


def test_the_package_is_installed_used_removed_and_purged(tmp_path, package, machine):
    root = machine.root
    printed, asked = machine.dpkg("--install", package)
    assert "README.Debian has the next steps" in printed and asked == ["daemon-reload"], "nothing is started"
    assert root.run("stat", "-c", "%U:%G %a", "/var/lib/claviger", "/etc/claviger").stdout == "claviger:claviger 700\nroot:claviger 750\n"
    assert root.run("getent", "passwd", "claviger").stdout.strip().endswith(":/var/lib/claviger:/usr/sbin/nologin")

    # What README.Debian says, without systemd: the credential lies in a directory that a variable names (systemd.exec(5)).
    port, watch_port = free_port(), free_port()
    edit = f"s/127.0.0.1:9911/127.0.0.1:{port}/; s/127.0.0.1:9912/127.0.0.1:{watch_port}/"
    root.run("sed", "-i", edit, "/etc/claviger/claviger.toml")
    root.run("/bin/sh", "-c", "mkdir -p /run/credentials; cat > /run/credentials/claviger-passphrase", stdin=PASSPHRASE)
    root.run("/bin/sh", "-c", "chown -R claviger: /run/credentials; chmod -R go-rwx /run/credentials")
    environment = {"CREDENTIALS_DIRECTORY": "/run/credentials"}
    config = ("--config", "/etc/claviger/claviger.toml")
    made = root.run("claviger", "init", *config, user="claviger:claviger", environment=environment).stdout

    def serve(name):
        log = tmp_path / f"{name}.log"
        return start(root, *exec_start(), user="claviger:claviger", environment=environment, log=log, watch_port=watch_port)

    process = serve("first")
    assert root.run("claviger", "ready", *config, user="claviger:claviger").stdout == "ready\n"
    kms = account_client(f"http://127.0.0.1:{port}", credentials(made))
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"packaged")["CiphertextBlob"]

    # The same package again is what an upgrade is to its scripts. What was edited stays.
    printed, asked = machine.dpkg("--install", package)
    assert "next steps" not in printed and asked == ["daemon-reload", "try-restart claviger.service"]
    assert str(port) in root.run("cat", "/etc/claviger/claviger.toml").stdout
    stop(process)

    _, asked = machine.dpkg("--remove", "claviger")
    assert asked == ["disable --now --quiet claviger.service", "daemon-reload"]
    assert not root.exists("/usr/bin/claviger") and not root.exists("/usr/lib/systemd/system/claviger.service")
    assert root.exists("/etc/claviger/claviger.toml") and root.exists("/var/lib/claviger/store.sqlite")
    printed, _ = machine.dpkg("--purge", "claviger")
    assert "/var/lib/claviger is left alone" in printed
    assert not root.exists("/etc/claviger/claviger.toml")
    assert root.exists("/var/lib/claviger/store.sqlite"), "purging a package must not destroy keys"

    machine.dpkg("--install", package)
    root.run("sed", "-i", edit, "/etc/claviger/claviger.toml")
    process = serve("second")
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"packaged"
    stop(process)


def systemd_analyze():
    found = shutil.which("systemd-analyze")
    assert found, "this test needs systemd-analyze: install it ('apt install systemd')"
    return found


def test_systemd_understands_the_unit(package, machine):
    systemd_analyze()
    machine.dpkg("--install", package)
    done = machine.root.run("systemd-analyze", "verify", "/usr/lib/systemd/system/claviger.service", check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "claviger" in line]
    assert done.returncode == 0 and not said, done.stdout + done.stderr


def test_the_units_exposure_is_what_the_documentation_says():
    done = subprocess.run(
        [systemd_analyze(), "security", "--offline=true", "--no-pager", UNIT], capture_output=True, text=True, check=False
    )
    exposure = re.search(r"Overall exposure level for claviger.service: ([0-9.]+)", done.stdout)
    assert exposure, done.stdout + done.stderr
    documented = re.search(r"exposure level of ([0-9.]+)", (ROOT / "docs" / "packaging.md").read_text())[1]
    assert float(exposure[1]) <= float(documented) < 2, f"{exposure[1]}, documented as {documented}"


def test_the_unit_gives_what_the_configuration_asks_for():
    unit, config = UNIT.read_text(), (PACKAGING / "debian" / "claviger.toml").read_text()
    name = re.search(r'systemd_credential = "(.+)"', config)[1]
    assert f"LoadCredentialEncrypted={name}:" in unit
    assert 'data = "/var/lib/claviger"' in config and "StateDirectory=claviger\n" in unit
    assert "StateDirectoryMode=0700\n" in unit and "User=claviger\n" in unit


# Clusters: Compose and Kubernetes ----------------------------------------------------------------------------------------------

COMPOSE = PACKAGING / "docker" / "compose.yaml"
KUBERNETES = PACKAGING / "kubernetes"
CONFIG_PATH = "/etc/claviger/claviger.toml"


def documents():
    """Every object of the Kubernetes manifests, by kind."""
    found = {}
    for path in sorted(KUBERNETES.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            found.setdefault(document["kind"], []).append(document)
    return found


def pods():
    """The objects that make pods, each with its pod's specification."""
    kinds = documents()
    return [(made, made["spec"]["template"]["spec"]) for made in kinds["StatefulSet"] + kinds["Job"]]


def accept(text, tmp_path):
    """The configuration as the binary reads it has no mistake."""
    file = tmp_path / "claviger.toml"
    file.write_text(text)
    said = run("doctor", "--config", file, check=False)
    assert said.stdout.startswith(f"ok       {file} can be read"), said.stdout + said.stderr


def setting(text, name):
    """The text of the first setting with this name, without its quotes and brackets."""
    return re.search(rf'^{name} = \[?"([^"]+)"', text, re.MULTILINE)[1]


def files_in(text):
    """The files that a configuration names."""
    return re.findall(r'"(/[^"]+)"', text)


def understood(arguments, config, tmp_path):
    """The binary understands the command line, and gets as far as to look for what is in the secrets."""
    file = tmp_path / "understood.toml"
    file.write_text(config.replace("/etc/claviger", str(tmp_path)).replace("/run/secrets", str(tmp_path)).replace("/var/lib", str(tmp_path)))
    done = run(*[str(file) if argument == CONFIG_PATH else argument for argument in arguments], environment={"CLAVIGER_CONFIG": str(file)}, check=False)
    assert done.returncode == 1 and f"{tmp_path}/" in done.stderr, done.stderr


def test_kubernetes_manifests_fit_their_schemas():
    done = subprocess.run(
        [VENV / "kubernetes-validate", "--strict", *sorted(set(KUBERNETES.glob("*.yaml")) - {KUBERNETES / "kustomization.yaml"})],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    kustomization = documents()["Kustomization"][0]
    there = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml", "init.yaml"}
    assert set(kustomization["resources"]) == there


def test_kubernetes_configuration_is_the_binarys(tmp_path):
    text = documents()["ConfigMap"][0]["data"]["claviger.toml"]
    accept(text, tmp_path)
    for made, pod in pods():
        container = pod["containers"][0]
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        volumes = {volume["name"] for volume in pod["volumes"]}
        volumes |= {claim["metadata"]["name"] for claim in made["spec"].get("volumeClaimTemplates", [])}
        assert set(mounts.values()) == volumes, "what is mounted is there, and what is there is mounted"
        needed = [path for path in files_in(text) if container["args"][0] == "serve" or "/tls/" not in path]
        for path in needed:
            assert any(path.startswith(f"{mount}/") for mount in mounts), f"{made['kind']}: {path} is not mounted"
        assert CONFIG_PATH in mounts and CONFIG_PATH in container["args"]
    serve = documents()["StatefulSet"][0]["spec"]["template"]["spec"]["containers"][0]
    understood([argument.replace("$(POD_NAME)", "claviger-0") for argument in serve["args"]], text, tmp_path)
    ports = {port["name"]: port["containerPort"] for port in serve["ports"]}
    assert setting(text, "listen") == f"0.0.0.0:{ports['kms']}"
    assert setting(text.split("[observability]")[1], "listen") == f"0.0.0.0:{ports['health']}"
    for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert serve[probe]["httpGet"] == {"path": path, "port": "health"}


def test_kubernetes_objects_fit_together():
    kinds = documents()
    stateful = kinds["StatefulSet"][0]["spec"]
    labels = stateful["template"]["metadata"]["labels"]
    assert stateful["selector"]["matchLabels"] == labels and stateful["replicas"] >= 3
    services = {service["metadata"]["name"]: service["spec"] for service in kinds["Service"]}
    assert services[stateful["serviceName"]]["clusterIP"] == "None"
    assert all(service["selector"] == labels for service in services.values())
    budget = kinds["PodDisruptionBudget"][0]["spec"]
    assert budget["selector"]["matchLabels"] == labels and budget["maxUnavailable"] < stateful["replicas"]
    policy_ = kinds["NetworkPolicy"][0]["spec"]
    assert policy_["podSelector"] == {} and set(policy_["policyTypes"]) == {"Ingress", "Egress"}
    ports = {port["containerPort"] for port in stateful["template"]["spec"]["containers"][0]["ports"]}
    assert {port["port"] for rule in policy_["ingress"] for port in rule["ports"]} == ports
    assert all(rule.get("from") for rule in policy_["ingress"]) and all(rule.get("to") for rule in policy_["egress"])
    assert {item["metadata"].get("namespace", "claviger") for items in kinds.values() for item in items if "metadata" in item} == {"claviger"}


def test_kubernetes_pods_may_do_nothing_that_they_need_not():
    user = int(instructions()["USER"].split(":")[0])
    for made, pod in pods():
        context = pod["securityContext"]
        assert context["runAsNonRoot"] and context["runAsUser"] == user and context["seccompProfile"]["type"] == "RuntimeDefault"
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False and own["readOnlyRootFilesystem"] and own["capabilities"]["drop"] == ["ALL"]
            assert not [pair for pair in container.get("env", []) if "value" in pair], "no secret and no setting stands in a manifest"
        secrets = {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
        written = (ROOT / "docs" / "packaging.md").read_text()
        assert all(f"`{name}`" in written for name in secrets), "whoever installs it has to be told which secrets there are"
        assert "Secret" not in documents(), "no secret is in the repository"


def test_compose_file_names_what_is_there(tmp_path):
    compose = yaml.safe_load(COMPOSE.read_text())
    text = (COMPOSE.parent / compose["configs"]["claviger"]["file"]).read_text()
    accept(text, tmp_path)
    names = set()
    for name, service in compose["services"].items():
        assert set(service.get("secrets", [])) <= set(compose["secrets"]) and set(service["networks"]) <= set(compose["networks"])
        if name == "database":
            continue
        mounted = {f"/run/secrets/{secret}" for secret in service["secrets"]}
        assert {path for path in files_in(text) if path.startswith("/run/")} <= mounted
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        assert (COMPOSE.parent / service["build"]["context"] / service["build"]["dockerfile"]).resolve() == DOCKERFILE
        understood(service["command"], text, tmp_path)
        if service["command"][0] == "serve":
            names.add(service["command"][-1])
            assert all(port.startswith("127.0.0.1:") and port.endswith(":9911") for port in service["ports"])
            volume, place = service["volumes"][0].split(":")
            assert volume in compose["volumes"] and place == setting(text, "data")
    assert len(names) == 3
    assert "@database/" in setting(text, "url") and compose["networks"]["inside"] == {"internal": True}
    assert compose["services"]["database"]["networks"] == ["inside"]
    written = (ROOT / "docs" / "packaging.md").read_text()
    assert all(f"`{secret}`" in written for secret in compose["secrets"])
