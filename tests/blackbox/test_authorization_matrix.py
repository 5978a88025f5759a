"""Every operation, in every key state, for every kind of principal: what happens, compared with a small model of AWS's rules.

The model below is written from AWS's documents and knows nothing of the server. The outcomes that the server gave are also kept
in docs/authorization-matrix.md, for people to read; `--write-matrix` writes that file anew, and otherwise it is compared.
"""

import json
import re

import pytest
from botocore.exceptions import ClientError

from harness import REGION, ROOT, alias_name, policy, statement
from test_key_states import DONE, ELSEWHERE, KINDS_OF_KEY, MULTI_REGION, STATES, SYMMETRIC, TABLE, made_before, uses
from wire import SERVICE_MODEL

FILE = ROOT / "docs" / "authorization-matrix.md"
ALIAS_OPERATIONS = {"CreateAlias", "UpdateAlias", "DeleteAlias"}
READ_ONLY = ["kms:Describe*", "kms:Get*", "kms:List*"]
USE = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]

ALLOWED, DENIED = "allowed", "AccessDeniedException"
SHORT = {
    ALLOWED: "yes",
    DENIED: "–",
    "DisabledException": "disabled",
    "KMSInvalidStateException": "state",
    "UnsupportedOperationException": "origin",
}


class Kind:
    """A kind of principal, and what its key and its identity policies say."""

    def __init__(self, name, identity, key, foreign=False, delegated=True):
        self.name = name
        # "root", or what the identity policies allow and deny: lists of action patterns.
        self.identity = identity
        # What the key policy allows and denies the principal by name.
        self.key = key
        self.foreign = foreign
        # Whether the key's policy leaves decisions to the account.
        self.delegated = delegated


NOTHING = ([], [])
EVERYTHING = (["kms:*"], [])

KINDS = [
    Kind("account root", "root", NOTHING),
    Kind("account root, key does not delegate", "root", NOTHING, delegated=False),
    Kind("user without policies", NOTHING, NOTHING),
    Kind("user, identity policy allows", EVERYTHING, NOTHING),
    Kind("user, identity policy allows, key does not delegate", EVERYTHING, NOTHING, delegated=False),
    Kind("user, identity policy allows reading", (READ_ONLY, []), NOTHING),
    Kind("user, key policy allows", NOTHING, EVERYTHING),
    Kind("user, key policy allows use, key does not delegate", NOTHING, (USE, []), delegated=False),
    Kind("user, both allow, identity policy denies Decrypt", (["kms:*"], ["kms:Decrypt"]), EVERYTHING),
    Kind("user, both allow, key policy denies changes", EVERYTHING, (["kms:*"], ["kms:Put*", "kms:Schedule*", "kms:Disable*"])),
    Kind("foreign root, key policy allows", "root", EVERYTHING, foreign=True),
    Kind("foreign user, both allow", EVERYTHING, EVERYTHING, foreign=True),
    Kind("foreign user, key policy allows only", NOTHING, EVERYTHING, foreign=True),
    Kind("foreign user, identity policy allows only", EVERYTHING, NOTHING, foreign=True),
]


# The model --------------------------------------------------------------------------------------------------------------------


def expected(operation, state, kind):
    """What AWS's rules say: who may, then whether the key's state allows it."""
    if kind.foreign and not crosses_accounts(operation):
        return DENIED
    if operation == "ListAliases":
        # "Required permissions: kms:ListAliases (IAM policy)": no matter of the key, even when it names one.
        return ALLOWED if identity_allows("kms:ListAliases", kind) else DENIED
    if operation == "RetireGrant":
        # "The kms:RetireGrant permission is not effective in a key policy": the account lets its own do it. A denial always counts.
        denied = any(matches("kms:RetireGrant", pattern) for pattern in kind.key[1])
        return ALLOWED if identity_allows("kms:RetireGrant", kind) and not denied and not kind.foreign else DENIED
    if not all(may_on_key(action, kind) for action in actions_of(operation)):
        return DENIED
    if operation in ALIAS_OPERATIONS and not identity_allows(f"kms:{operation}", kind):
        # The alias is a resource too, and has no policy of its own.
        return DENIED
    if operation == "ReplicateKey" and not identity_allows("kms:CreateKey", kind):
        # "kms:CreateKey in an IAM policy in the replica Region".
        return DENIED
    outcome = TABLE[operation][STATES.index(state)]
    return ALLOWED if outcome is DONE else outcome[0]


def crosses_accounts(operation):
    """The service model's own words for the operation."""
    text = re.sub("<[^>]+>", "", SERVICE_MODEL.operation_model(operation).documentation)
    return re.search(r"Cross-account use:\s*(Yes|No)", text).group(1) == "Yes"


def actions_of(operation):
    return ["kms:ReEncryptFrom", "kms:ReEncryptTo"] if operation == "ReEncrypt" else [f"kms:{operation}"]


def may_on_key(action, kind):
    key_allows, key_denies = (any(matches(action, pattern) for pattern in patterns) for patterns in kind.key)
    if key_denies or identity_denies(action, kind):
        return False
    if kind.foreign:
        return key_allows and identity_allows(action, kind)
    return key_allows or kind.delegated and identity_allows(action, kind)


def identity_allows(action, kind):
    return kind.identity == "root" or not identity_denies(action, kind) and any(matches(action, p) for p in kind.identity[0])


def identity_denies(action, kind):
    return kind.identity != "root" and any(matches(action, pattern) for pattern in kind.identity[1])


def matches(action, pattern):
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), action, re.IGNORECASE) is not None


# The server -------------------------------------------------------------------------------------------------------------------


class Stage:
    """Accounts, principals and, for each state, a key that delegates and one that does not."""

    def __init__(self, server):
        self.server = server
        self.owner, self.foreign = server.create_account("matrix"), server.create_account("matrix-foreign")
        # Its root is named in key policies, which leaves decisions to that whole account.
        self.trusted = server.create_account("matrix-trusted")
        # Somebody who may do everything with both keys, to put things right between the cells.
        self.keeper = server.create_user(self.owner.account, policy=json.loads(policy(statement("Allow"))))
        self.kms = server.kms(self.keeper)
        self.principals = {kind.name: self.make_principal(kind) for kind in KINDS}
        # What kind of key; and None for a single-Region key, otherwise a multi-Region primary key, with or without a replica.
        kinds = [(SYMMETRIC, replicated) for replicated in (None, *MULTI_REGION.values())]
        kinds += [(kind, None) for kind in sorted(set(KINDS_OF_KEY.values()))]
        self.keys = {
            (state, delegated, *kind): self.make_key(state, delegated, *kind)
            for state in STATES
            for delegated in (True, False)
            for kind in kinds
        }
        self.replicas = 0

    def make_principal(self, kind):
        if kind.identity == "root":
            return self.trusted if kind.foreign else self.owner
        account = self.foreign if kind.foreign else self.owner
        statements = [statement(effect, actions=list(a)) for effect, a in zip(("Allow", "Deny"), kind.identity, strict=True) if a]
        return self.server.create_user(account.account, policy=json.loads(policy(*statements)) if statements else None)

    def make_key(self, state, delegated, kind_of_key, replicated):
        statements = [statement("Allow", self.keeper.arn)]
        if delegated:
            statements.append(statement("Allow", self.owner.arn))
        for kind in KINDS:
            if kind.delegated == delegated:
                for effect, actions in zip(("Allow", "Deny"), kind.key, strict=True):
                    if actions:
                        statements.append(statement(effect, self.principals[kind.name].arn, list(actions)))
        document = policy(*statements)
        spec, usage = kind_of_key
        made = {"Policy": document, "BypassPolicyLockoutSafetyCheck": True}
        given = made | {"KeySpec": spec, "KeyUsage": usage, "MultiRegion": replicated is not None}
        key = self.server.kms(self.owner).create_key(**given)["KeyMetadata"]
        if replicated:
            self.kms.replicate_key(KeyId=key["Arn"], ReplicaRegion=ELSEWHERE, **made)
        # The root of the account has made it, but only the keeper may do everything with it.
        blob = made_before(self.kms, key["KeyId"], usage)
        # One for each cell that may end with a grant less. The keeper is in no cell.
        grant = {"KeyId": key["KeyId"], "GranteePrincipal": self.keeper.arn, "Operations": ["DescribeKey"]}
        grants = [self.kms.create_grant(**grant)["GrantId"] for _ in range(2 * len(KINDS))]
        self.bring_to(key["Arn"], state)
        return {"arn": key["Arn"], "policy": document, "blob": blob, "state": state, "grants": grants}

    def bring_to(self, arn, state):
        now = self.kms.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"]
        if now == "PendingReplicaDeletion":
            now = "PendingDeletion"
        if now == "PendingDeletion" and state != now:
            self.kms.cancel_key_deletion(KeyId=arn)
            now = "Disabled"
        if state != now:
            {
                "Enabled": self.kms.enable_key,
                "Disabled": self.kms.disable_key,
                "PendingDeletion": self.kms.schedule_key_deletion,
            }[state](KeyId=arn)

    def perform(self, operation, state, kind):
        """Tries one cell, and answers what happened."""
        kind_of_key = KINDS_OF_KEY.get(operation, SYMMETRIC)
        key, alias = self.keys[state, kind.delegated, kind_of_key, MULTI_REGION.get(operation)], alias_name()
        arn = key["arn"]
        if operation in ("DeleteAlias", "UpdateAlias"):
            # On a key that waits for deletion no alias can be made: it comes from another one.
            self.bring_to(arn, "Disabled" if state == "PendingDeletion" else state)
            self.kms.create_alias(AliasName=alias, TargetKeyId=arn)
            self.bring_to(arn, state)
        parameters = (uses(arn, key["blob"]) | {
            "CreateAlias": {"AliasName": alias, "TargetKeyId": arn},
            "CreateGrant": {"KeyId": arn, "GranteePrincipal": self.keeper.arn, "Operations": ["DescribeKey"]},
            "Decrypt": {"KeyId": arn, "CiphertextBlob": key["blob"]},
            "DeleteAlias": {"AliasName": alias},
            "Encrypt": {"KeyId": arn, "Plaintext": b"x"},
            "GenerateDataKey": {"KeyId": arn, "KeySpec": "AES_256"},
            "GenerateDataKeyWithoutPlaintext": {"KeyId": arn, "KeySpec": "AES_256"},
            "GetParametersForImport": {"KeyId": arn, "WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"},
            "ImportKeyMaterial": {"KeyId": arn, "ImportToken": b"x", "EncryptedKeyMaterial": b"x"},
            "PutKeyPolicy": {"KeyId": arn, "Policy": key["policy"], "BypassPolicyLockoutSafetyCheck": True},
            "ReEncrypt": {"SourceKeyId": arn, "CiphertextBlob": key["blob"], "DestinationKeyId": arn},
            "ReplicateKey": {"KeyId": arn, "ReplicaRegion": f"eu-matrix-{self.replicas}"},
            "RetireGrant": {"KeyId": arn, "GrantId": key["grants"][-1]},
            "RevokeGrant": {"KeyId": arn, "GrantId": key["grants"][-1]},
            "TagResource": {"KeyId": arn, "Tags": [{"TagKey": "k", "TagValue": "v"}]},
            "UntagResource": {"KeyId": arn, "TagKeys": ["k"]},
            "UpdateAlias": {"AliasName": alias, "TargetKeyId": arn},
            "UpdateKeyDescription": {"KeyId": arn, "Description": "new"},
            "UpdatePrimaryRegion": {"KeyId": arn, "PrimaryRegion": ELSEWHERE},
        }).get(operation, {"KeyId": arn})
        method = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation).lstrip("_")
        try:
            getattr(self.server.kms(self.principals[kind.name]), method)(**parameters)
        except ClientError as error:
            outcome = error.response["Error"]["Code"]
        else:
            outcome = ALLOWED
        if operation in ALIAS_OPERATIONS:
            self.remove_alias(alias)
        if outcome == ALLOWED:
            self.put_right(operation, arn)
            self.bring_to(arn, state)
            if operation in ("RetireGrant", "RevokeGrant"):
                key["grants"].pop()
        return outcome

    def put_right(self, operation, arn):
        """Undoes what would be in the next cell's way, beside the key's state."""
        if operation == "ReplicateKey":
            # The next one goes elsewhere.
            self.replicas += 1
        elif operation == "UpdatePrimaryRegion":
            moved = self.server.kms(self.keeper, region=ELSEWHERE)
            moved.update_primary_region(KeyId=arn.rpartition("/")[2], PrimaryRegion=REGION)

    def remove_alias(self, alias):
        try:
            self.kms.delete_alias(AliasName=alias)
        except self.kms.exceptions.NotFoundException:
            pass


@pytest.fixture(scope="module")
def stage(server):
    return Stage(server)


@pytest.fixture(scope="module")
def outcomes():
    """What the server did: (operation, state, kind) to outcome."""
    return {}


# An alias of the foreign caller's own account is no matter of this key.
OPERATIONS = sorted(TABLE)


def cells(operation):
    return [
        (state, kind)
        for state in STATES
        for kind in KINDS
        if not (kind.foreign and operation in ("DeleteAlias", "UpdateAlias"))
    ]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation(stage, outcomes, operation):
    wrong = []
    for state, kind in cells(operation):
        outcome = stage.perform(operation, state, kind)
        outcomes[operation, state, kind.name] = outcome
        wanted = expected(operation, state, kind)
        if outcome != wanted:
            wrong.append(f"{kind.name}, {state}: {outcome}, not {wanted}")
    assert not wrong, f"{operation}:\n" + "\n".join(wrong)


def test_the_page_for_people(request, outcomes):
    if len(outcomes) < sum(len(cells(operation)) for operation in OPERATIONS):
        pytest.skip("needs the whole matrix: run all tests of this file")
    page = render(outcomes)
    if request.config.getoption("--write-matrix"):
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text(page)
    assert FILE.exists() and FILE.read_text() == page, f"{FILE} is not what the server does: run pytest with --write-matrix"


def render(outcomes):
    lines = [
        "# Who may do what",
        "",
        "Written by `tests/blackbox/test_authorization_matrix.py` from what a running server answered; do not edit. In each cell the",
        "outcomes for a key that is enabled, disabled and pending deletion, once where they are the same.",
        "",
        "- **yes**: done. **–**: AccessDeniedException. **disabled**: DisabledException.",
        "  **state**: KMSInvalidStateException. **origin**: UnsupportedOperationException, as the key's material was not imported. Empty: not applicable, since aliases belong to the caller's own account.",
        "- Being allowed comes first: who may not, does not learn the key's state.",
        "- \"Use\" is Encrypt, Decrypt, ReEncrypt, GenerateDataKey and its kin, and DescribeKey; \"reading\" is",
        "  everything that begins with Describe, Get or List; \"changes\" begin with Put, Schedule or Disable.",
        "- The key's policy delegates to its account where nothing else is said.",
        "",
    ]
    lines += [f"{number}. {kind.name}" for number, kind in enumerate(KINDS, 1)]
    lines += ["", "| operation | " + " | ".join(str(number) for number in range(1, len(KINDS) + 1)) + " |"]
    lines.append("|---" * (len(KINDS) + 1) + "|")
    for operation in OPERATIONS:
        row = [cell(outcomes, operation, kind) for kind in KINDS]
        lines.append(f"| {operation} | " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


def cell(outcomes, operation, kind):
    found = [SHORT[outcomes[operation, state, kind.name]] for state in STATES if (operation, state, kind.name) in outcomes]
    return found[0] if len(set(found)) == 1 else " / ".join(found)
