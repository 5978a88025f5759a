"""What clients do during a round, and what they remember of it.

Each round has keys of its own, so that its history is short. Registers: the state of keys, whether a key's policy allows a user something and which version of it
there is, whether a grant allows another user something, where an alias points. Writers change them; users use keys and look at them all the time."""

import base64
import json
import random
import threading
import time
from dataclasses import dataclass, field

from .client import Stop, encoded
from .registers import perhaps, read, write

ENABLED, DISABLED, PENDING = "Enabled", "Disabled", "PendingDeletion"
ALLOWED, DENIED = "allowed", "denied"
# Requests that each client makes a second, about.
PACE = 25


class Register:
    """One thing that changes, with all that was seen of it."""

    def __init__(self, name, key, initial, allowed=frozenset()):
        self.name, self.key, self.initial = name, key, initial
        # The values under which a use is accepted; empty for what is only read.
        self.allowed = frozenset(allowed)
        self.events = []

    @property
    def may_still_change(self):
        """Whether something that was never answered may yet take away what was allowed."""
        return any(event.is_write and not event.is_certain and event.value not in self.allowed for event in self.events)

    @property
    def may_be_allowed_late(self):
        """Whether something that was never answered may yet allow what was taken away."""
        return any(event.is_write and not event.is_certain and event.value in self.allowed for event in self.events)

    def add(self, event):
        # Appending is atomic.
        self.events.append(event)


@dataclass
class Attempt:
    """One request, for the audit log and the figures."""

    round: int
    operation: str
    start: float
    end: float
    node: str
    status: int
    code: str
    request_id: str


@dataclass
class Call:
    """What a client wanted, with all attempts at it."""

    operation: str
    start: float
    end: float
    attempts: int
    # Whether it was a failure in the end, and no answer.
    gave_up: bool


@dataclass
class Notes:
    """All that is remembered of a round."""

    number: int
    attempts: list = field(default_factory=list)
    calls: list = field(default_factory=list)
    pulses: list = field(default_factory=list)
    # (ciphertext, plaintext, key)
    ciphertexts: list = field(default_factory=list)
    keys: list = field(default_factory=list)
    # name -> key
    aliases: dict = field(default_factory=dict)
    # key -> [rotations that were acknowledged, those that may have been]
    rotations: dict = field(default_factory=dict)
    strange: list = field(default_factory=list)


class Round:
    """The keys and registers of one round, and who works on them."""

    def __init__(self, deployment, number, seed):
        self.deployment, self.number = deployment, number
        self.random = random.Random(seed)
        self.notes = Notes(number)
        self.stop = Stop()
        self.threads = []
        self.lease = deployment.lease
        # A client that is used by this thread only.
        self.client = deployment.client(self.random.random())

    # Calls ------------------------------------------------------------------------------------------------------------------

    def call(self, client, operation, body, seen=None, may_refuse=(), **options):
        """Asks until there is an answer, and remembers each attempt. `seen` gets every attempt; a refusal that is not among `may_refuse` is strange."""

        def attempted(answer):
            self.notes.attempts.append(
                Attempt(self.number, operation, answer.start, answer.end, answer.node, answer.status, answer.code, answer.request_id)
            )
            if seen is not None:
                seen(answer)
            if not answer.retryable and not answer.succeeded and answer.code not in may_refuse:
                message = str(answer.body.get("message") or answer.body.get("Message"))[:200]
                self.notes.strange.append(f"{operation} {json.dumps(body)[:120]} on {answer.node}: {answer.code}: {message}")

        start = time.monotonic()
        attempts = client.call(operation, body, attempted=attempted, **options)
        self.notes.calls.append(Call(operation, start, attempts[-1].end, len(attempts), attempts[-1].retryable))
        return attempts[-1]

    def write(self, client, register, operation, body, value, over=None, refusals=None, more=(), **options):
        """Changes a register. `refusals` says which values a refusal tells of; `more` are other registers that change with it, with their values."""
        refusals = refusals or {}
        over = None if over is None else frozenset(over)

        def seen(answer):
            what = f"{operation} on {answer.node} {answer.code} {answer.request_id}"
            if answer.succeeded:
                register.add(write(answer.start, answer.end, value, over, what))
                for other, its in more:
                    other.add(write(answer.start, answer.end, its, None, what))
            elif answer.answered and answer.code in refusals:
                register.add(read(answer.start, answer.end, *refusals[answer.code], lease=self.lease, what=what))
            elif not answer.answered and not answer.never_sent:
                register.add(perhaps(answer.start, value, over, what))
                for other, its in more:
                    other.add(perhaps(answer.start, its, None, what))

        return self.call(client, operation, body, seen, refusals, **options)

    def look(self, client, register, operation, body, value_of, refusals=None, **options):
        """Reads a register, or uses what it allows. `value_of` tells the values that explain a success."""
        refusals = refusals or {}

        def seen(answer):
            what = f"{operation} on {answer.node} {answer.code} {answer.request_id}"
            if answer.succeeded:
                register.add(read(answer.start, answer.end, *value_of(answer.body), lease=self.lease, what=what))
            elif answer.answered and answer.code in refusals:
                register.add(read(answer.start, answer.end, *refusals[answer.code], lease=self.lease, what=what))

        return self.call(client, operation, body, seen, refusals, **options)

    # The keys of the round ----------------------------------------------------------------------------------------------------

    def create_key(self, client=None):
        answer = self.call(client or self.client, "CreateKey", {"Description": f"round {self.number}"})
        if not answer.succeeded:
            return None
        key = answer.body["KeyMetadata"]["KeyId"]
        self.notes.keys.append(key)
        return key

    def prepare(self):
        """Makes the keys, and the registers on them."""
        made = [self.create_key() for _ in range(7)]
        if None in made:
            raise RuntimeError("no node makes keys although nothing is broken")
        steady, alone, contended, policy_key, grant_key, *self.pointed = made
        self.steady = steady
        self.states = [Register(name, key, ENABLED, {ENABLED}) for name, key in (("state, one writer", alone), ("state, two writers", contended))]
        self.policy = Register("policy, its effect", policy_key, DENIED, {ALLOWED})
        self.policy_version = Register("policy, its version", policy_key, "default")
        self.grant = Register("grant", grant_key, DENIED, {ALLOWED})
        self.alias_name = f"alias/round-{self.number}-{self.random.randrange(2**32):x}"
        self.alias = Register("alias", None, self.pointed[0])
        self.call(self.client, "CreateAlias", {"AliasName": self.alias_name, "TargetKeyId": self.pointed[0]})
        self.registers = [*self.states, self.policy, self.policy_version, self.grant, self.alias]
        self.versions = 0

    def spawn(self, name, work, user=None, pace=PACE):
        """A client of its own thread that does this again and again."""
        chance = random.Random(self.random.random())
        client = self.deployment.client(chance.random(), user)

        def run():
            try:
                while not self.stop.requested:
                    pause = work(client, chance)
                    self.stop.wait(pause if pause is not None else chance.expovariate(pace))
            except Exception as error:  # noqa: BLE001 - whatever it is has to be told
                self.notes.strange.append(f"the client {name} ended with {type(error).__name__}: {error}")
            finally:
                client.close()

        thread = threading.Thread(target=run, name=name)
        self.threads.append(thread)
        return thread

    def begin(self):
        """Sets all clients to work."""
        self.spawn("state, alone", lambda client, chance: self.toggle_state(client, chance, self.states[0]))
        for number in (1, 2):
            self.spawn(f"state, contended {number}", lambda client, chance: self.toggle_state(client, chance, self.states[1]))
        self.spawn("policy", self.toggle_policy)
        self.spawn("grant", self.toggle_grant)
        self.spawn("alias", self.move_alias)
        self.spawn("maker", self.make_things, pace=4)
        for number in (1, 2, 3):
            self.spawn(f"user of keys {number}", self.use_key)
        self.spawn("user by policy", self.use_by_policy, user="by-policy")
        self.spawn("user by grant", self.use_by_grant, user="by-grant")
        self.spawn("reader", self.read_things)
        for number in (1, 2):
            self.spawn(f"pulse {number}", self.pulse, pace=50)
        for thread in self.threads:
            thread.start()

    def finish(self):
        """Lets all clients come to their end."""
        self.stop.request()
        for thread in self.threads:
            thread.join(60)
            if thread.is_alive():
                self.notes.strange.append(f"the client {thread.name} does not end")

    # Writers ------------------------------------------------------------------------------------------------------------------

    def toggle_state(self, client, chance, register):
        """Disables a key in one of two ways, waits, and enables it again."""
        body = {"KeyId": register.key}
        pending = {"KMSInvalidStateException": {PENDING}}
        if chance.random() < 0.7:
            self.write(client, register, "DisableKey", body, DISABLED, {ENABLED, DISABLED}, pending)
        else:
            body_and_days = body | {"PendingWindowInDays": 7}
            self.write(client, register, "ScheduleKeyDeletion", body_and_days, PENDING, {ENABLED, DISABLED}, pending)
            self.stop.wait(chance.uniform(0.0, 1.5))
            not_pending = {"KMSInvalidStateException": {ENABLED, DISABLED}}
            self.write(client, register, "CancelKeyDeletion", body, DISABLED, {PENDING}, not_pending)
        self.stop.wait(chance.uniform(0.0, 1.5))
        self.write(client, register, "EnableKey", body, ENABLED, {ENABLED, DISABLED}, pending)
        return chance.uniform(0.1, 1.0)

    def toggle_policy(self, client, chance):
        """Lets the policy allow the user something, or not any more."""
        for effect in (ALLOWED, DENIED):
            self.versions += 1
            version = f"v{self.versions}"
            body = {"KeyId": self.policy.key, "PolicyName": "default", "Policy": self.policy_text(version, effect)}
            self.write(client, self.policy, "PutKeyPolicy", body, effect, more=[(self.policy_version, version)])
            self.stop.wait(chance.uniform(0.1, 1.6))
        return 0

    def policy_text(self, version, effect):
        statements = [
            {
                "Sid": version,
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{self.deployment.account}:root"},
                "Action": "kms:*",
                "Resource": "*",
            }
        ]
        if effect == ALLOWED:
            user = {"AWS": self.deployment.arn("by-policy")}
            statements.append({"Sid": "user", "Effect": "Allow", "Principal": user, "Action": "kms:Encrypt", "Resource": "*"})
        return json.dumps({"Version": "2012-10-17", "Statement": statements})

    def toggle_grant(self, client, chance):
        """Grants the other user something, and revokes it. A grant that was asked for without an answer may come late, beside all others, and nobody
        would revoke it: from then on nothing more is granted in this round."""
        if self.grant.may_be_allowed_late:
            return 1.0
        body = {
            "KeyId": self.grant.key,
            "GranteePrincipal": self.deployment.arn("by-grant"),
            "Operations": ["Encrypt"],
            # Trying again with the same name gives the same grant.
            "Name": f"grant-{chance.randrange(2**32):x}",
        }
        made = self.write(client, self.grant, "CreateGrant", body, ALLOWED)
        if not made.succeeded:
            return None
        self.stop.wait(chance.uniform(0.1, 1.0))
        revoke = {"KeyId": self.grant.key, "GrantId": made.body["GrantId"]}
        # An attempt that was not answered may have done it.
        self.write(client, self.grant, "RevokeGrant", revoke, DENIED, refusals={"NotFoundException": {DENIED}})
        return chance.uniform(0.1, 1.6)

    def move_alias(self, client, chance):
        target = chance.choice(self.pointed)
        self.write(client, self.alias, "UpdateAlias", {"AliasName": self.alias_name, "TargetKeyId": target}, target)
        return chance.uniform(0.1, 0.8)

    def make_things(self, client, chance):
        """Makes keys and aliases, and rotates: what must not be missing afterwards."""
        key = self.create_key(client)
        if key is None:
            return
        name = f"alias/made-{self.number}-{chance.randrange(2**48):x}"
        # An attempt before this one, which was not answered, may have made it.
        made = self.call(client, "CreateAlias", {"AliasName": name, "TargetKeyId": key}, may_refuse=("AlreadyExistsException",))
        if made.answered:
            self.notes.aliases[name] = key
        for _ in range(2):
            counts = self.notes.rotations.setdefault(key, [0, 0])

            def seen(answer, counts=counts):
                counts[0] += answer.succeeded
                counts[1] += answer.succeeded or (not answer.answered and not answer.never_sent)

            self.call(client, "RotateKeyOnDemand", {"KeyId": key}, seen)
            self.encrypt(client, chance, key)

    # Users of keys --------------------------------------------------------------------------------------------------------------

    def encrypt(self, client, chance, key):
        plaintext = chance.randbytes(24)
        answer = self.call(client, "Encrypt", {"KeyId": key, "Plaintext": encoded(plaintext)})
        self.keep(answer, plaintext, key)
        return answer

    def keep(self, answer, plaintext, key):
        if answer.succeeded:
            self.notes.ciphertexts.append((answer.body["CiphertextBlob"], encoded(plaintext), key))

    def use_key(self, client, chance):
        """Uses a key that is disabled at times, or looks at its state."""
        register = chance.choice(self.states)
        body = {"KeyId": register.key}
        refusals = {"DisabledException": {DISABLED}, "KMSInvalidStateException": {PENDING}}
        kind = chance.random()
        if kind < 0.3:
            self.look(client, register, "DescribeKey", body, lambda answer: {answer["KeyMetadata"]["KeyState"]})
        elif kind < 0.8:
            plaintext = chance.randbytes(24)
            body = body | {"Plaintext": encoded(plaintext)}
            self.keep(self.look(client, register, "Encrypt", body, lambda _: {ENABLED}, refusals), plaintext, register.key)
        else:
            answer = self.look(client, register, "GenerateDataKey", body | {"KeySpec": "AES_256"}, lambda _: {ENABLED}, refusals)
            if answer.succeeded:
                self.notes.ciphertexts.append((answer.body["CiphertextBlob"], answer.body["Plaintext"], register.key))

    def use_by(self, client, chance, register):
        plaintext = chance.randbytes(24)
        body = {"KeyId": register.key, "Plaintext": encoded(plaintext)}
        self.keep(self.look(client, register, "Encrypt", body, lambda _: {ALLOWED}, {"AccessDeniedException": {DENIED}}), plaintext, register.key)

    def use_by_policy(self, client, chance):
        self.use_by(client, chance, self.policy)

    def use_by_grant(self, client, chance):
        self.use_by(client, chance, self.grant)

    def read_things(self, client, chance):
        """Looks at the policy, and at where the alias points."""
        if chance.random() < 0.5:
            body = {"KeyId": self.policy.key, "PolicyName": "default"}
            self.look(client, self.policy_version, "GetKeyPolicy", body, lambda answer: {version_of(answer["Policy"])})
        else:
            self.look(client, self.alias, "DescribeKey", {"KeyId": self.alias_name}, lambda answer: {answer["KeyMetadata"]["KeyId"]})

    def pulse(self, client, chance):
        """Uses a key that nobody touches: as long as this works, there is service."""
        answer = self.encrypt(client, chance, self.steady)
        if answer.succeeded:
            self.notes.pulses.append(answer.end)


def version_of(policy):
    """The version of a policy's text, as `policy_text` has written it."""
    sid = json.loads(policy)["Statement"][0].get("Sid", "")
    return sid if sid.startswith("v") and sid[1:].isdigit() else "default"


def same(encoded_one, encoded_other):
    return base64.b64decode(encoded_one) == base64.b64decode(encoded_other)
