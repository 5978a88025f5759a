"""What has to hold: at the end of each round for what the round has made, and at the end of all for everything."""

import concurrent.futures
import json
import time
from dataclasses import dataclass, field

from .registers import explain, lateness
from .workload import ALLOWED, DENIED, DISABLED, ENABLED, PENDING, Attempt, same, version_of

# How many ask at the same time when everything is looked at.
AT_A_TIME = 4
# How often a key is enabled that something late has disabled.
TRIES = 8


@dataclass
class Findings:
    """What came of a check."""

    violations: list = field(default_factory=list)
    # The longest time between the acknowledgement of a revocation and the begin of a use that was accepted all the same, by kind of register.
    late: dict = field(default_factory=dict)
    opened: int = 0

    def wrong(self, text):
        self.violations.append(text)


def after_round(round_):
    """Checks what one round has made, while nothing is broken any more."""
    findings = Findings()
    findings.violations.extend(round_.notes.strange)
    round_.notes.strange = []
    look_once_more(round_)
    for register in round_.registers:
        found = explain(register.initial, register.events)
        if found:
            findings.wrong(f"{register.name} of {register.key}: {found}")
        late = lateness(register.events, register.allowed) if register.allowed else None
        if late:
            kind = register.name.split(",")[0]
            findings.late[kind] = max(findings.late.get(kind, 0.0), late.seconds)
            promised = 0.0 if round_.deployment.effective == "acknowledged" else round_.lease
            if late.seconds > promised:
                findings.wrong(
                    f"{register.name} of {register.key}: {late.use.what} began {late.seconds:.3f} s after the answer to {late.revocation.what}, and was accepted"
                )
    enable_all(round_)
    round_.doubtful = {register.key for register in round_.states if register.may_still_change}
    in_parallel(round_, findings, what_was_made(round_.notes))
    in_parallel(round_, findings, [(open_again, pair) for pair in round_.notes.ciphertexts])
    findings.violations.extend(round_.notes.strange)
    return findings


def look_once_more(round_):
    """Looks at each register on each node, one lease after the last change."""
    time.sleep(round_.lease)
    for target in round_.client.targets:
        client = round_.deployment.client(0, only=target.name)
        for register in round_.states:
            round_.look(client, register, "DescribeKey", {"KeyId": register.key}, lambda answer: {answer["KeyMetadata"]["KeyState"]})
        body = {"KeyId": round_.policy.key, "PolicyName": "default"}
        round_.look(client, round_.policy_version, "GetKeyPolicy", body, lambda answer: {version_of(answer["Policy"])})
        body = {"KeyId": round_.grant.key}
        round_.look(client, round_.grant, "ListGrants", body, lambda answer: {ALLOWED if answer["Grants"] else DENIED})
        round_.look(client, round_.alias, "DescribeKey", {"KeyId": round_.alias_name}, lambda answer: {answer["KeyMetadata"]["KeyId"]})
        client.close()


def enable_all(round_):
    """Lets every key be used, so that what it encrypted can be opened. A refusal may be one lease old, as any other look at the state."""
    pending, other = {"KMSInvalidStateException": {PENDING}}, {"KMSInvalidStateException": {ENABLED, DISABLED}}
    for register in round_.states:
        body = {"KeyId": register.key}
        for _ in range(TRIES):
            if round_.write(round_.client, register, "EnableKey", body, ENABLED, {ENABLED, DISABLED}, pending).succeeded:
                break
            round_.write(round_.client, register, "CancelKeyDeletion", body, DISABLED, {PENDING}, other)
            time.sleep(round_.lease)
    time.sleep(round_.lease)


def what_was_made(notes):
    """Everything that was acknowledged and has to be there."""
    checks = [(key_is_there, key) for key in notes.keys]
    checks += [(alias_points, pair) for pair in notes.aliases.items()]
    checks += [(rotations_are_there, item) for item in notes.rotations.items()]
    return checks


def key_is_there(round_, client, key):
    answer = round_.call(client, "DescribeKey", {"KeyId": key})
    return None if answer.succeeded else f"the key {key}, which was acknowledged, cannot be described: {answer.code}"


def alias_points(round_, client, pair):
    name, key = pair
    answer = round_.call(client, "DescribeKey", {"KeyId": name})
    if answer.succeeded and answer.body["KeyMetadata"]["KeyId"] == key:
        return None
    return f"the alias {name}, which was acknowledged, does not point at {key}: {answer.code or answer.body['KeyMetadata']['KeyId']}"


def rotations_are_there(round_, client, item):
    key, (acknowledged, possible) = item
    answer = round_.call(client, "ListKeyRotations", {"KeyId": key})
    count = len(answer.body.get("Rotations", []))
    if answer.succeeded and acknowledged <= count <= possible:
        return None
    return f"{key} was rotated {acknowledged} times, at most {possible}, but has {count} rotations ({answer.code})"


def open_again(round_, client, subject):
    """Decrypts. A key that was disabled since, by a request that was never answered and came late, is enabled once more."""
    ciphertext, plaintext, key = subject
    unusable = ("DisabledException", "KMSInvalidStateException") if key in round_.doubtful else ()
    for _ in range(TRIES):
        answer = round_.call(client, "Decrypt", {"CiphertextBlob": ciphertext}, may_refuse=unusable)
        if answer.code not in unusable:
            break
        round_.call(client, "CancelKeyDeletion", {"KeyId": key}, may_refuse=("KMSInvalidStateException",))
        round_.call(client, "EnableKey", {"KeyId": key}, may_refuse=("KMSInvalidStateException",))
        time.sleep(round_.lease)
    if answer.succeeded and same(answer.body["Plaintext"], plaintext):
        return None
    return f"a ciphertext of {key} does not open, or to something else: {answer.code} {ciphertext[:60]}"


def in_parallel(round_, findings, checks):
    """Makes many checks, each by a client that nobody else uses meanwhile."""

    def some(number):
        client = round_.deployment.client(number)
        try:
            return [check(round_, client, subject) for check, subject in checks[number::AT_A_TIME]]
        finally:
            client.close()

    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        for results in pool.map(some, range(AT_A_TIME)):
            findings.violations.extend(result for result in results if result)
    findings.opened += sum(check is open_again for check, _ in checks)


# The audit logs ----------------------------------------------------------------------------------------------------------------


def audit_entries(deployment):
    """What all nodes' logs tell of each request, by its id: how many successes, and how many refusals."""
    told = {}
    for node in deployment.nodes:
        printed = node.run("audit", "tail", "--config", node.config, "--lines", 2**40, "--json")
        for line in printed.splitlines():
            entry = json.loads(line)
            # What a server does by itself has no id.
            if entry.get("requestID") is not None:
                told.setdefault(entry["requestID"], [0, 0])["errorCode" in entry] += 1
    return told


def verify_logs(deployment, findings):
    """Every log verifies, each with the key that its own node has kept, and the store holds what the logs tell."""
    node = deployment.nodes[0]
    keys = [argument for each in deployment.nodes for argument in ("--vkey", each.data / f"audit-{each.name}.vkey")]
    for command in (("audit", "verify", *keys), ("store", "verify")):
        try:
            node.run(*command, "--config", node.config)
        except RuntimeError as error:
            findings.wrong(str(error))


def one_entry_each(attempts, told, findings):
    """Exactly one entry for each request that was answered, with the outcome that was answered; and none twice.

    A request that has taken longer than the lease is looked at again right before its answer (docs/cluster.md). If it is refused then, it is refused to its
    client, and its entry is followed by one that says so: that is the only case of two."""
    for request, (successes, refusals) in told.items():
        if successes > 1 or refusals > 1:
            findings.wrong(f"the request {request} is in the audit logs {successes} times as done, and {refusals} times as refused")
    for attempt in attempts:
        successes, refusals = told.get(attempt.request_id, (0, 0))
        as_told = (successes, refusals) == (1, 0) if attempt.status == 200 else refusals == 1
        answered = attempt.status == 200 or 400 <= attempt.status < 500
        if answered and not as_told:
            findings.wrong(
                f"{attempt.operation} on {attempt.node} in round {attempt.round}, answered {attempt.status} {attempt.code}, is in the audit logs "
                f"{successes} times as done, and {refusals} times as refused: {attempt.request_id}"
            )


# At the end of all -------------------------------------------------------------------------------------------------------------


class Everything:
    """All rounds together, after the last."""

    def __init__(self, deployment, results):
        self.deployment, self.results = deployment, results
        self.lease = deployment.lease
        self.attempts = [attempt for result in results for attempt in result.attempts]
        self.doubtful = set().union(*(result.doubtful for result in results))
        self.opened = self.entries = self.answered = 0

    def call(self, client, operation, body, may_refuse=()):
        def attempted(answer):
            self.attempts.append(
                Attempt(0, operation, answer.start, answer.end, answer.node, answer.status, answer.code, answer.request_id)
            )

        return client.call(operation, body, attempted=attempted)[-1]


def at_the_end(whole, findings):
    """Everything that was ever acknowledged is there; then the nodes stop, and their logs are read."""
    deployment = whole.deployment
    in_parallel(whole, findings, [(key_is_there, key) for result in whole.results for key in result.keys])
    in_parallel(whole, findings, [(open_again, pair) for result in whole.results for pair in result.ciphertexts])
    whole.opened = findings.opened
    findings.violations.extend(deployment.stop())
    told = audit_entries(deployment)
    whole.entries = sum(map(sum, told.values()))
    whole.answered = sum(attempt.status == 200 or 400 <= attempt.status < 500 for attempt in whole.attempts)
    one_entry_each(whole.attempts, told, findings)
    verify_logs(deployment, findings)
