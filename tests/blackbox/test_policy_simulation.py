"""claviger policy simulate: what would be decided, by which statement, and why; and that it is what is then decided."""

import botocore.exceptions
import pytest

from harness import alias_name, policy, statement, unique


def simulate(server, principal, action, *arguments):
    """As the administrator asks it."""
    who = ["--user", principal.name] if principal.name else []
    return server.admin("policy", "simulate", action, *who, "--account", principal.account, *arguments)


def is_allowed(call, **parameters):
    try:
        call(**parameters)
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDeniedException", error
        return False
    return True


@pytest.fixture
def cast(server, kms):
    """A key, and users who may and may not use it for different reasons."""
    account = server.root.account
    by_key = server.create_user(account)
    by_identity = server.create_user(account, policy=policy(statement("Allow", actions="kms:Encrypt", sid="Writers")))
    denied = server.create_user(
        account, policy=policy(statement("Allow", actions="kms:*"), statement("Deny", actions="kms:Encrypt", sid="Never"))
    )
    nobody = server.create_user(account)
    granted = server.create_user(account)
    tenants_only = {"StringEquals": {"kms:EncryptionContext:tenant": "red"}}
    document = policy(
        statement("Allow", server.root.arn, sid="Account"),
        statement("Allow", by_key.arn, "kms:Encrypt", condition=tenants_only, sid="ByName"),
    )
    key = kms.create_key(Policy=document)["KeyMetadata"]["Arn"]
    grant = kms.create_grant(KeyId=key, GranteePrincipal=granted.arn, Operations=["Encrypt"])["GrantId"]
    return key, grant, {"by_key": by_key, "by_identity": by_identity, "denied": denied, "nobody": nobody, "granted": granted}


WHO = ["by_key", "by_identity", "denied", "nobody", "granted"]


@pytest.mark.parametrize("tenant", [None, "red", "blue"])
@pytest.mark.parametrize("who", WHO)
def test_what_is_simulated_is_what_is_decided(server, cast, who, tenant):
    key, grant, people = cast
    context = {"tenant": tenant} if tenant else {}
    arguments = [text for name, value in context.items() for text in ("--encryption-context", f"{name}={value}")]
    answer = simulate(server, people[who], "kms:Encrypt", "--key", key, *arguments)
    assert answer["Principal"] == people[who].arn
    assert answer["Resource"] == key
    really = is_allowed(server.kms(people[who]).encrypt, KeyId=key, Plaintext=b"x", EncryptionContext=context)
    assert (answer["Decision"] == "allowed") == really, answer
    reasons = {
        ("by_key", "red"): 'key policy statement "ByName"',
        ("by_identity", tenant): 'key policy statement "Account" and identity policy "test" statement "Writers"',
        ("denied", tenant): 'identity policy "test" statement "Never" denies',
        ("granted", tenant): f"grant {grant}",
    }
    assert answer["Reason"] == reasons.get((who, tenant), "no statement of an identity policy allows")
    decision = {"denied": "explicitDeny"}.get(who, "allowed" if really else "implicitDeny")
    assert answer["Decision"] == decision


def test_nothing_is_done_by_it(server, kms, cast):
    key, _, people = cast
    before = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert simulate(server, server.root, "kms:ScheduleKeyDeletion", "--key", key)["Decision"] == "allowed"
    assert kms.describe_key(KeyId=key)["KeyMetadata"] == before
    assert "KeyLastUsage" not in kms.get_key_last_usage(KeyId=key) or not kms.get_key_last_usage(KeyId=key)["KeyLastUsage"]


def test_condition_keys_and_aliases_can_be_given(server, kms):
    user = server.create_user(
        server.root.account,
        policy=policy(statement("Allow", actions="kms:*", condition={"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}})),
    )
    alias = alias_name()
    key = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    assert simulate(server, user, "kms:DescribeKey", "--key", alias)["Decision"] == "implicitDeny"
    given = simulate(server, user, "kms:DescribeKey", "--key", alias, "--condition", "AWS:sourceip=192.0.2.7")
    assert (given["Decision"], given["Resource"]) == ("allowed", key["Arn"])
    assert simulate(server, user, "kms:CreateKey", "--condition", "aws:SourceIp=192.0.2.7")["Resource"] == "*"


def test_roles_can_be_simulated(server, kms):
    name = unique("role")
    trust = policy(statement("Allow", server.root.arn, "sts:AssumeRole")).replace(', "Resource": "*"', "")
    account = ["--account", server.root.account]
    server.run("role", "create", name, "--trust", "-", *account, stdin=trust)
    key = kms.create_key()["KeyMetadata"]["Arn"]
    ask = lambda: server.admin("policy", "simulate", "kms:Encrypt", "--role", name, "--session", "visit", "--key", key, *account)
    assert ask()["Decision"] == "implicitDeny"
    server.run("policy", "put", "-", "--role", name, "--name", "use", *account, stdin=policy(statement("Allow", actions="kms:Encrypt")))
    answer = ask()
    assert answer["Decision"] == "allowed"
    assert answer["Principal"] == f"arn:aws:sts::{server.root.account}:assumed-role/{name}/visit"


def test_only_administrators_of_the_account_may_ask(server, cast, tenant):
    key, _, people = cast
    for asker in (people["nobody"], tenant):
        credentials = {
            "CLAVIGER_ADMIN_ACCESS_KEY_ID": asker.credentials.access_key,
            "CLAVIGER_ADMIN_SECRET_ACCESS_KEY": asker.credentials.secret,
        }
        done = server.run("policy", "simulate", "kms:Encrypt", "--key", key, check=False, environment=credentials)
        assert done.returncode != 0 and "AccessDenied" in done.stderr


def test_mistakes_are_named(server, cast):
    key, _, people = cast
    wrong = server.run("policy", "simulate", "kms:Encript", "--key", key, check=False)
    assert wrong.returncode != 0 and "kms:Encript is not an action of AWS KMS" in wrong.stderr
    missing = server.run("policy", "simulate", "kms:Encrypt", "--user", unique("none"), "--account", server.root.account, check=False)
    assert missing.returncode != 0 and "has no such user" in missing.stderr
