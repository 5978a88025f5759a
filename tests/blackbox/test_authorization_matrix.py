"""Every operation, in every key state, for every kind of principal: what happens, compared with a small model of AWS's rules.

The model below is written from AWS's documents and knows nothing of the server: who may, and then whether the key's state allows it
(test_key_states.py has that table, and is where the texts of refusals are looked at). `--write-matrix` writes the model's answers to
docs/authorization-matrix.md, for people to read. The tests compare that file with the model, and the model with the server.
"""

import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from harness import REGION, ROOT, alias_name, policy, statement
from test_key_states import (
    DONE,
    ELSEWHERE,
    KINDS_OF_KEY,
    MULTI_REGION,
    NEVER_THERE,
    STATES,
    SYMMETRIC,
    TABLE,
    an_import,
    made_before,
    make_key,
    uses,
)
from wire import SERVICE_MODEL

FILE = ROOT / "docs" / "authorization-matrix.md"
GRANTABLE = {f"kms:{name}" for name in SERVICE_MODEL.shape_for("GrantOperation").enum}
ALIAS_OPERATIONS = {"CreateAlias", "UpdateAlias", "DeleteAlias"}
READ_ONLY = ["kms:Describe*", "kms:Get*", "kms:List*"]
USE = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]

# The kinds of keys that cannot wait for an import.
NEVER_IMPORTED = {KINDS_OF_KEY[operation] for operation, row in TABLE.items() if row[STATES.index("PendingImport")] == NEVER_THERE}

ALLOWED, DENIED = "allowed", "AccessDeniedException"
SHORT = {
    ALLOWED: "yes",
    DENIED: "–",
    "DisabledException": "disabled",
    "KMSInvalidStateException": "state",
    "UnsupportedOperationException": "origin",
    None: "",
}


class Kind:
    """A kind of principal, and what its key and its identity policies say."""

    def __init__(self, name, identity, key, foreign=False, delegated=True, role=False, session=None, granted=False, service=None):
        self.name = name
        # "root", or what the identity policies allow and deny: lists of action patterns.
        self.identity = identity
        # What the key policy allows and denies the principal by name.
        self.key = key
        self.foreign = foreign
        # Whether the key's policy leaves decisions to the account.
        self.delegated = delegated
        # Whether it is a session of a role, and what its session policy allows.
        self.role, self.session = role, session
        # Whether a grant names it, with all operations that the key can do.
        self.granted = granted
        # The service that it is. A service has no account of its own here.
        self.service = service


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
    Kind("user, both allow, identity policy denies everything", (["kms:*"], ["kms:*"]), EVERYTHING),
    Kind("user, both allow, key policy denies everything", EVERYTHING, (["kms:*"], ["kms:*"])),
    Kind("grantee without policies", NOTHING, NOTHING, granted=True),
    Kind("role session, role's policy allows", EVERYTHING, NOTHING, role=True),
    Kind("role session, key policy allows the role", NOTHING, EVERYTHING, role=True),
    Kind("role session, both allow, session policy allows reading", EVERYTHING, EVERYTHING, role=True, session=READ_ONLY),
    Kind("foreign root, key policy allows", "root", EVERYTHING, foreign=True),
    Kind("foreign user, both allow", EVERYTHING, EVERYTHING, foreign=True),
    Kind("foreign user, key policy allows only", NOTHING, EVERYTHING, foreign=True),
    Kind("foreign user, identity policy allows only", EVERYTHING, NOTHING, foreign=True),
    Kind("foreign user without policies", NOTHING, NOTHING, foreign=True),
    Kind("service, key policy allows", NOTHING, EVERYTHING, foreign=True, service="s3.amazonaws.com"),
    Kind("service, key policy does not name it", NOTHING, NOTHING, foreign=True, service="sqs.amazonaws.com"),
]


# What a grant may allow on every key, and on keys of one usage.
GRANTED_EVERYWHERE = ["CreateGrant", "DescribeKey", "RetireGrant"]
GRANTED = {
    "ENCRYPT_DECRYPT": [
        "Decrypt",
        "Encrypt",
        "GenerateDataKey",
        "GenerateDataKeyPair",
        "GenerateDataKeyPairWithoutPlaintext",
        "GenerateDataKeyWithoutPlaintext",
        "ReEncryptFrom",
        "ReEncryptTo",
    ],
    "ENCAPSULATE_DECAPSULATE": ["Decapsulate", "Encapsulate", "GetPublicKey"],
    "GENERATE_VERIFY_MAC": ["GenerateMac", "VerifyMac"],
    "KEY_AGREEMENT": ["DeriveSharedSecret", "GetPublicKey"],
    "SIGN_VERIFY": ["GetPublicKey", "Sign", "Verify"],
}


# The model --------------------------------------------------------------------------------------------------------------------


def expected(operation, state, kind):
    """What AWS's rules say: who may, then whether the key's state allows it. None where no key can be in the state."""
    outcome = TABLE[operation][STATES.index(state)]
    if outcome == NEVER_THERE or kind.foreign and operation in ("DeleteAlias", "UpdateAlias"):
        # An alias of the foreign caller's own account is no matter of this key.
        return None
    if not may(operation, kind):
        return DENIED
    return ALLOWED if outcome is DONE else outcome[0]


def may(operation, kind):
    """Whether the principal is allowed to, whatever the key's state."""
    if kind.foreign and not crosses_accounts(operation):
        return False
    if operation == "ListAliases":
        # "Required permissions: kms:ListAliases (IAM policy)": no matter of the key, even when it names one.
        return identity_allows("kms:ListAliases", kind)
    if operation == "RetireGrant":
        # "The kms:RetireGrant permission is not effective in a key policy": the account lets its own do it, or the grant its grantee.
        # A denial always counts.
        denied = any(matches("kms:RetireGrant", pattern) for pattern in kind.key[1])
        return not denied and (kind.granted or identity_allows("kms:RetireGrant", kind) and not kind.foreign)
    if not all(may_on_key(action, kind) for action in actions_of(operation)):
        return False
    if operation in ALIAS_OPERATIONS and not identity_allows(f"kms:{operation}", kind):
        # The alias is a resource too, and has no policy of its own.
        return False
    # "kms:CreateKey in an IAM policy in the replica Region".
    return operation != "ReplicateKey" or identity_allows("kms:CreateKey", kind)


def crosses_accounts(operation):
    """The service model's own words for the operation."""
    text = re.sub("<[^>]+>", "", SERVICE_MODEL.operation_model(operation).documentation)
    return re.search(r"Cross-account use:\s*(Yes|No)", text).group(1) == "Yes"


def actions_of(operation):
    return ["kms:ReEncryptFrom", "kms:ReEncryptTo"] if operation == "ReEncrypt" else [f"kms:{operation}"]


def may_on_key(action, kind):
    key_allows, key_denies = (any(matches(action, pattern) for pattern in patterns) for patterns in kind.key)
    if key_denies or identity_denies(action, kind) or not session_allows(action, kind):
        return False
    if kind.granted and action in GRANTABLE:
        return True
    if kind.service:
        return key_allows
    if kind.foreign:
        return key_allows and identity_allows(action, kind)
    return key_allows or kind.delegated and identity_allows(action, kind)


def identity_allows(action, kind):
    if kind.identity == "root":
        return True
    allows = any(matches(action, pattern) for pattern in kind.identity[0])
    return allows and not identity_denies(action, kind) and session_allows(action, kind)


def session_allows(action, kind):
    """A session policy takes away from what role and key policy give."""
    return kind.session is None or any(matches(action, pattern) for pattern in kind.session)


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
        # Who begins the sessions, and what the roles are that they are sessions of.
        self.stagehand, self.roles = server.create_user(self.owner.account), {}
        self.principals = {kind.name: self.make_principal(kind) for kind in KINDS}
        # Made before the threads ask for them.
        self.clients = {name: server.kms(principal) for name, principal in self.principals.items()}
        # What kind of key; and None for a single-Region key, otherwise a multi-Region primary key, with or without a replica.
        kinds = [(SYMMETRIC, replicated) for replicated in (None, *MULTI_REGION.values())]
        kinds += [(kind, None) for kind in sorted(set(KINDS_OF_KEY.values()))]
        self.keys = {
            (state, delegated, *kind): self.make_key(state, delegated, *kind)
            for state in STATES
            for delegated in (True, False)
            for kind in kinds
            if not (state == "PendingImport" and kind[0] in NEVER_IMPORTED)
        }
        self.replicas = 0

    def make_principal(self, kind):
        if kind.identity == "root":
            return self.trusted if kind.foreign else self.owner
        if kind.service:
            return self.server.create_user("000000000000", service=kind.service)
        account = self.foreign if kind.foreign else self.owner
        statements = [statement(effect, actions=list(a)) for effect, a in zip(("Allow", "Deny"), kind.identity, strict=True) if a]
        document = json.loads(policy(*statements)) if statements else None
        if not kind.role:
            return self.server.create_user(account.account, policy=document)
        role = self.roles[kind.name] = self.server.create_role(account.account, self.stagehand.arn, policy=document)
        restricted = {"Policy": policy(statement("Allow", actions=kind.session))} if kind.session else {}
        return self.server.assume(self.stagehand, role, **restricted)

    def named(self, kind):
        """The principal as a key policy names it."""
        if kind.service:
            return {"Service": kind.service}
        return {"AWS": self.roles.get(kind.name, self.principals[kind.name].arn)}

    def make_key(self, state, delegated, kind_of_key, replicated):
        statements = [statement("Allow", self.keeper.arn)]
        if delegated:
            statements.append(statement("Allow", self.owner.arn))
        for kind in KINDS:
            if kind.delegated == delegated:
                for effect, actions in zip(("Allow", "Deny"), kind.key, strict=True):
                    if actions:
                        statements.append(statement(effect, actions=list(actions)) | {"Principal": self.named(kind)})
        document = policy(*statements)
        usage = kind_of_key[1]
        made = {"Policy": document, "BypassPolicyLockoutSafetyCheck": True}
        # The keeper makes it, and may do everything with it: also import what it is to wait for.
        key, material = make_key(self.kms, state, kind_of_key, MultiRegion=replicated is not None, **made)
        arn = key["Arn"]
        if replicated:
            self.kms.replicate_key(KeyId=arn, ReplicaRegion=ELSEWHERE, **made)
        blob = made_before(self.kms, arn, usage)
        spare, own = [], []
        for kind in KINDS:
            if kind.granted and kind.delegated == delegated:
                own.append(self.grant(arn, self.principals[kind.name], ["DescribeKey", "RetireGrant"]))
                self.grant(arn, self.principals[kind.name], GRANTED_EVERYWHERE + GRANTED[usage])
        if (kind_of_key, replicated) == (SYMMETRIC, None):
            # One for each cell that may end with a grant less. The keeper is in no cell.
            spare = [self.grant(arn, self.keeper, ["DescribeKey"]) for _ in range(2 * len(KINDS))]
        self.bring_to(arn, state)
        return {"arn": arn, "policy": document, "blob": blob, "material": material, "state": state, "spare": spare, "own": own}

    def grant(self, arn, grantee, operations):
        return self.kms.create_grant(KeyId=arn, GranteePrincipal=grantee.arn, Operations=operations)["GrantId"]

    def bring_to(self, arn, state):
        now = self.state_of(arn)
        if now == "PendingDeletion" and state != now:
            self.kms.cancel_key_deletion(KeyId=arn)
            now = self.state_of(arn)
        if state != now:
            {
                "Enabled": self.kms.enable_key,
                "Disabled": self.kms.disable_key,
                "PendingDeletion": self.kms.schedule_key_deletion,
                "PendingImport": self.kms.delete_imported_key_material,
            }[state](KeyId=arn)

    def state_of(self, arn):
        state = self.kms.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"]
        return "PendingDeletion" if state == "PendingReplicaDeletion" else state

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
        grants = key["own" if kind.granted and operation == "RetireGrant" else "spare"]
        parameters = (uses(arn, key["blob"]) | {
            "CreateAlias": {"AliasName": alias, "TargetKeyId": arn},
            "CreateGrant": {"KeyId": arn, "GranteePrincipal": self.keeper.arn, "Operations": ["DescribeKey"]},
            "Decrypt": {"KeyId": arn, "CiphertextBlob": key["blob"]},
            "DeleteAlias": {"AliasName": alias},
            "Encrypt": {"KeyId": arn, "Plaintext": b"x"},
            "GenerateDataKey": {"KeyId": arn, "KeySpec": "AES_256"},
            "GenerateDataKeyWithoutPlaintext": {"KeyId": arn, "KeySpec": "AES_256"},
            "GetParametersForImport": {"KeyId": arn, "WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"},
            "ImportKeyMaterial": self.an_import(key) if operation == "ImportKeyMaterial" else {},
            "PutKeyPolicy": {"KeyId": arn, "Policy": key["policy"], "BypassPolicyLockoutSafetyCheck": True},
            "ReEncrypt": {"SourceKeyId": arn, "CiphertextBlob": key["blob"], "DestinationKeyId": arn},
            "ReplicateKey": {"KeyId": arn, "ReplicaRegion": f"eu-matrix-{self.replicas}"},
            "RetireGrant": {"KeyId": arn, "GrantId": (grants or [None])[-1]},
            "RevokeGrant": {"KeyId": arn, "GrantId": (grants or [None])[-1]},
            "TagResource": {"KeyId": arn, "Tags": [{"TagKey": "k", "TagValue": "v"}]},
            "UntagResource": {"KeyId": arn, "TagKeys": ["k"]},
            "UpdateAlias": {"AliasName": alias, "TargetKeyId": arn},
            "UpdateKeyDescription": {"KeyId": arn, "Description": "new"},
            "UpdatePrimaryRegion": {"KeyId": arn, "PrimaryRegion": ELSEWHERE},
        }).get(operation, {"KeyId": arn})
        method = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation).lstrip("_")
        try:
            getattr(self.clients[kind.name], method)(**parameters)
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
                grants.pop()
        return outcome

    def an_import(self, key):
        """Good for all cells of the key, since the token lives for a day."""
        if "import" not in key:
            key["import"] = an_import(self.kms, key["arn"], key["material"])
        return key["import"]

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


OPERATIONS = sorted(TABLE)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation(stage, operation):
    def wrong_in(state):
        """Each state has keys of its own, so that they can be tried side by side."""
        wrong = []
        for kind in KINDS:
            wanted = expected(operation, state, kind)
            outcome = stage.perform(operation, state, kind) if wanted else None
            if outcome != wanted:
                wrong.append(f"{kind.name}, {state}: {outcome}, not {wanted}")
        return wrong

    with ThreadPoolExecutor(len(STATES)) as threads:
        wrong = [line for lines in threads.map(wrong_in, STATES) for line in lines]
    assert not wrong, f"{operation}:\n" + "\n".join(wrong)


def test_all_that_can_be_granted_is():
    listed = {f"kms:{operation}" for operations in (GRANTED_EVERYWHERE, *GRANTED.values()) for operation in operations}
    assert listed == GRANTABLE


def test_nobody_else_reaches_what_stays_in_the_account():
    """No policy lets others do what AWS's documentation keeps in the account."""
    stays = {operation for operation in OPERATIONS if not crosses_accounts(operation)}
    assert {"PutKeyPolicy", "ScheduleKeyDeletion", "ListAliases", "ReplicateKey"} <= stays and "Decrypt" not in stays
    outcomes = {expected(operation, state, kind) for operation in stays for state in STATES for kind in KINDS if kind.foreign}
    assert outcomes == {DENIED, None}


def test_the_page_for_people(request):
    page = render()
    if request.config.getoption("--write-matrix"):
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text(page)
    assert FILE.exists() and FILE.read_text() == page, f"{FILE} is not what the model says: run pytest with --write-matrix"


TOP = """# Who may do what

Operation x key state x kind of principal. Written by `tests/blackbox/test_authorization_matrix.py` (`--write-matrix`) from a model of AWS's
rules; do not edit. The same test asks a running server about every cell, and compares.

- Being allowed comes first: who may not (**–**, AccessDeniedException) may not in any state, and does not learn the key's state.
- Who may gets **yes** (done) or the state's refusal. **disabled**: DisabledException. **state**: KMSInvalidStateException. **origin**:
  UnsupportedOperationException, as the material of the key was not imported, or was.
- Empty: not applicable. Aliases belong to the caller's own account, and keys for ML-KEM take no imported material.
- Keys that are pending import have imported material, which was deleted. All others have material made here.
- "Use" is Encrypt, Decrypt, ReEncrypt, GenerateDataKey and its kin, and DescribeKey; "reading" is everything that begins with Describe,
  Get or List; "changes" begin with Put, Schedule or Disable. "Foreign" is of another account than the key's.
- The key's policy delegates to its account where nothing else is said.
- The grantee's grant has all operations that the key can do. RetireGrant retires a grant of its own with RetireGrant; for all others,
  somebody else's.
- **†**: "Cross-account use: No" in AWS's documentation. Neither another account nor a service of AWS's may, whatever the policies say.

The kinds of principals, by the numbers of their columns:

"""


def render():
    lines = [f"{number}. {kind.name}" for number, kind in enumerate(KINDS, 1)]
    for state in STATES:
        lines += ["", f"## {state}", "", "| operation | " + " | ".join(str(number) for number in range(1, len(KINDS) + 1)) + " |"]
        lines.append("|---" * (len(KINDS) + 1) + "|")
        for operation in OPERATIONS:
            row = [SHORT[expected(operation, state, kind)] for kind in KINDS]
            mark = "" if crosses_accounts(operation) else " †"
            lines.append(f"| {operation}{mark} | " + " | ".join(row) + " |")
    return TOP + "\n".join(lines) + "\n"
