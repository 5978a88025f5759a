"""Grants: CreateGrant, ListGrants, ListRetirableGrants, RetireGrant, RevokeGrant, and grant tokens everywhere."""

import json
import re

import pytest

import wire
from harness import constraint, policy, refused, statement, unique
from test_aws_cli import aws  # noqa: F401, a fixture
from test_dry_run import SUCCEEDED
from wire import SERVICE_MODEL

ACCOUNT = "123456789012"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
MISSING = "0" * 64


@pytest.fixture
def user(server):
    """A user without policies."""
    return server.create_user(ACCOUNT)


@pytest.fixture
def foreign(server, tenant):
    """A user without policies, of another account."""
    return server.create_user(tenant.account)


def grant_to(kms, arn, grantee, operations=("Encrypt", "Decrypt"), **more):
    return kms.create_grant(KeyId=arn, GranteePrincipal=grantee.arn, Operations=list(operations), **more)


def grants_on(kms, arn, **filters):
    return [grant for page in kms.get_paginator("list_grants").paginate(KeyId=arn, **filters) for grant in page["Grants"]]


# What a grant allows ---------------------------------------------------------------------------------------------------------


def test_a_grant_from_end_to_end(server, kms, arn, user):
    theirs = server.kms(user)
    with refused("AccessDeniedException"):
        theirs.encrypt(KeyId=arn, Plaintext=b"x")
    made = grant_to(kms, arn, user)
    assert re.fullmatch("[0-9a-f]{64}", made["GrantId"]) and made["GrantToken"]
    blob = theirs.encrypt(KeyId=arn, Plaintext=b"granted", GrantTokens=[made["GrantToken"]])["CiphertextBlob"]
    assert theirs.decrypt(CiphertextBlob=blob)["Plaintext"] == b"granted", "without the token and the key's id, too"
    with refused("AccessDeniedException"):
        theirs.describe_key(KeyId=arn)
    kms.revoke_grant(KeyId=arn, GrantId=made["GrantId"])
    with refused("AccessDeniedException"):
        theirs.decrypt(CiphertextBlob=blob)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"granted"


def test_across_accounts_no_policy_is_needed(server, kms, arn, foreign, tenant):
    theirs = server.kms(foreign)
    made = grant_to(kms, arn, foreign, ["Encrypt", "Decrypt", "GenerateDataKey", "DescribeKey", "ReEncryptFrom", "ReEncryptTo"])
    assert theirs.describe_key(KeyId=arn)["KeyMetadata"]["Arn"] == arn
    data_key = theirs.generate_data_key(KeyId=arn, KeySpec="AES_256")
    assert theirs.decrypt(CiphertextBlob=data_key["CiphertextBlob"])["Plaintext"] == data_key["Plaintext"]
    moved = theirs.re_encrypt(CiphertextBlob=data_key["CiphertextBlob"], DestinationKeyId=arn)["CiphertextBlob"]
    assert theirs.decrypt(CiphertextBlob=moved)["Plaintext"] == data_key["Plaintext"]
    with refused("AccessDeniedException"):
        server.kms(tenant).describe_key(KeyId=arn)
    listed = grants_on(kms, arn)
    assert [grant["GrantId"] for grant in listed] == [made["GrantId"]]
    assert listed[0]["GranteePrincipal"] == foreign.arn


def test_a_denial_wins(server, kms, arn):
    denied = server.create_user(ACCOUNT, policy=json.loads(policy(statement("Deny", actions="kms:Encrypt"))))
    grant_to(kms, arn, denied, ["Encrypt", "DescribeKey"])
    server.kms(denied).describe_key(KeyId=arn)
    with refused("AccessDeniedException", re.compile("with an explicit deny in an identity-based policy")):
        server.kms(denied).encrypt(KeyId=arn, Plaintext=b"x")


def test_constraints(server, kms, arn, user):
    theirs = server.kms(user)
    context = {"team": "red", "stage": "test"}
    subset = grant_to(kms, arn, user, ["Encrypt", "DescribeKey"], Constraints={"EncryptionContextSubset": {"Team": "red"}})
    equal = grant_to(kms, arn, user, ["Decrypt"], Constraints={"EncryptionContextEquals": context})
    for given in ({"team": "red"}, context):
        theirs.encrypt(KeyId=arn, Plaintext=b"x", EncryptionContext=given)
    for given in ({}, {"team": "RED"}, {"stage": "test"}):
        with refused("AccessDeniedException"):
            theirs.encrypt(KeyId=arn, Plaintext=b"x", EncryptionContext=given)
    theirs.describe_key(KeyId=arn)
    for given, allowed in ((context, True), ({"team": "red"}, False), (context | {"more": "x"}, False)):
        blob = kms.encrypt(KeyId=arn, Plaintext=b"x", EncryptionContext=given)["CiphertextBlob"]
        if allowed:
            theirs.decrypt(CiphertextBlob=blob, EncryptionContext=given)
        else:
            with refused("AccessDeniedException"):
                theirs.decrypt(CiphertextBlob=blob, EncryptionContext=given)
    listed = {grant["GrantId"]: grant.get("Constraints") for grant in grants_on(kms, arn)}
    assert listed == {
        subset["GrantId"]: {"EncryptionContextSubset": {"Team": "red"}},
        equal["GrantId"]: {"EncryptionContextEquals": context},
    }


def test_delegation(server, kms, arn, user, foreign):
    theirs, end = server.kms(user), server.kms(foreign)
    grant_to(kms, arn, user, ["CreateGrant", "Encrypt"], Constraints={"EncryptionContextSubset": {"a": "1"}})
    for operations, constraints in (
        (["Encrypt"], None),
        (["Encrypt", "Decrypt"], {"EncryptionContextSubset": {"a": "1"}}),
        (["Encrypt"], {"EncryptionContextSubset": {"a": "2"}}),
    ):
        with refused("AccessDeniedException"):
            grant_to(theirs, arn, foreign, operations, **({"Constraints": constraints} if constraints else {}))
    grant_to(theirs, arn, foreign, ["Encrypt"], Constraints={"EncryptionContextEquals": {"a": "1", "b": "2"}})
    end.encrypt(KeyId=arn, Plaintext=b"x", EncryptionContext={"a": "1", "b": "2"})
    with refused("AccessDeniedException"):
        end.encrypt(KeyId=arn, Plaintext=b"x", EncryptionContext={"a": "1"})


# Making grants ---------------------------------------------------------------------------------------------------------------


def test_a_name_makes_the_request_repeatable(kms, arn, user):
    first, second = (grant_to(kms, arn, user, Name="backup/1") for _ in range(2))
    assert first["GrantId"] == second["GrantId"] and first["GrantToken"] != second["GrantToken"]
    assert grant_to(kms, arn, user, ["Encrypt"], Name="backup/1")["GrantId"] != first["GrantId"]
    assert grant_to(kms, arn, user)["GrantId"] != grant_to(kms, arn, user)["GrantId"]
    assert len(grants_on(kms, arn)) == 4


def test_a_listed_grant(kms, key, user):
    arn = key["Arn"]
    operations = ["RetireGrant", "Decrypt", "Encrypt", "Decrypt"]
    plain = grant_to(kms, arn, user, operations)
    named = grant_to(kms, arn, user, operations, Name="n", RetiringPrincipal=ROOT)
    listed = {grant["GrantId"]: grant for grant in grants_on(kms, arn)}
    expected = {
        "KeyId": arn,
        "GrantId": plain["GrantId"],
        "Name": "",
        "GranteePrincipal": user.arn,
        "IssuingAccount": ROOT,
        "Operations": ["Decrypt", "Encrypt", "RetireGrant"],
    }
    assert {name: value for name, value in listed[plain["GrantId"]].items() if name != "CreationDate"} == expected
    expected |= {"GrantId": named["GrantId"], "Name": "n", "RetiringPrincipal": ROOT}
    assert {name: value for name, value in listed[named["GrantId"]].items() if name != "CreationDate"} == expected
    assert listed[plain["GrantId"]]["CreationDate"] >= key["CreationDate"]


def test_services_as_grantees(kms, arn):
    source = {"SourceArn": f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:x"}
    service = {"GranteeServicePrincipal": "logs.amazonaws.com", "RetiringServicePrincipal": "logs.amazonaws.com"}
    made = kms.create_grant(KeyId=arn, Operations=["Encrypt"], Constraints=source, **service)
    [listed] = grants_on(kms, arn, GranteeServicePrincipal="logs.amazonaws.com")
    assert listed["GrantId"] == made["GrantId"] and listed.items() >= service.items() and listed["Constraints"] == source
    assert "GranteePrincipal" not in listed
    with refused("ValidationException"):
        kms.create_grant(KeyId=arn, Operations=["Encrypt"], **service)
    with refused("ValidationException"):
        kms.create_grant(KeyId=arn, Operations=["Encrypt"], Constraints=source, GranteeServicePrincipal="logs.amazonaws.com")
    with refused("AccessDeniedException"):
        kms.list_retirable_grants(RetiringServicePrincipal="logs.amazonaws.com")


def test_principals_must_exist(kms, arn, user):
    for nobody in (f"arn:aws:iam::{ACCOUNT}:user/{unique('nobody')}", "arn:aws:iam::999999999999:root", "nobody", ACCOUNT):
        with refused("InvalidArnException", f"ARN does not refer to a valid principal: {nobody}"):
            kms.create_grant(KeyId=arn, GranteePrincipal=nobody, Operations=["Encrypt"])
        with refused("InvalidArnException", f"ARN does not refer to a valid principal: {nobody}"):
            grant_to(kms, arn, user, RetiringPrincipal=nobody)


@pytest.mark.parametrize("operation", ["Sign", "Verify", "GetPublicKey", "GenerateMac", "VerifyMac", "DeriveSharedSecret", "Encapsulate", "Decapsulate"])
def test_operations_must_fit_the_key(kms, arn, user, operation):
    with refused("ValidationException", re.compile(rf"\[{operation}\].*SYMMETRIC_DEFAULT")):
        grant_to(kms, arn, user, ["Encrypt", operation])


def test_not_only_create_grant(kms, arn, user):
    with refused("ValidationException", "Grants must not contain only the CreateGrant operation."):
        grant_to(kms, arn, user, ["CreateGrant"])


@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        ({"Operations": ["ListKeys"]}, "operations", "Member must satisfy enum value set: [Decrypt, Encrypt"),
        ({"Operations": []}, "operations", "Member must have length greater than or equal to 1"),
        ({"Operations": None}, "operations", "Member must not be null"),
        ({"KeyId": None}, "keyId", "Member must not be null"),
        ({"Name": ""}, "name", "Member must have length greater than or equal to 1"),
        ({"Name": "a b"}, "name", "Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"),
        ({"Name": "n" * 257}, "name", "Member must have length less than or equal to 256"),
        ({"GranteePrincipal": "a b"}, "granteePrincipal", "Member must satisfy regular expression pattern"),
        ({"RetiringPrincipal": "r" * 257}, "retiringPrincipal", "Member must have length less than or equal to 256"),
        ({"GranteePrincipal": None, "GranteeServicePrincipal": "logs"}, "granteeServicePrincipal", "regular expression pattern"),
        ({"RetiringServicePrincipal": "logs."}, "retiringServicePrincipal", "Member must satisfy regular expression pattern"),
        ({"Constraints": {"SourceArn": "arn:aws:logs:us-east-1:1234:x"}}, "constraints.sourceArn", "regular expression pattern"),
        ({"GrantTokens": ["t"] * 11}, "grantTokens", "Member must have length less than or equal to 10"),
    ],
)
def test_what_the_model_forbids(unchecked, arn, change, field, rule):
    request = {"KeyId": arn, "GranteePrincipal": ROOT, "Operations": ["Encrypt"]} | change
    with refused("ValidationException", constraint(field, rule)):
        unchecked.create_grant(**{name: value for name, value in request.items() if value is not None})


def test_combinations_that_make_no_sense(kms, arn):
    service = {"GranteeServicePrincipal": "logs.amazonaws.com"}
    for request in (
        {},
        {"GranteePrincipal": ROOT} | service,
        {"GranteePrincipal": ROOT, "RetiringPrincipal": ROOT, "RetiringServicePrincipal": "logs.amazonaws.com"},
        {"GranteePrincipal": ROOT, "Constraints": {"EncryptionContextSubset": {f"k{number}": "v" for number in range(9)}}},
        {"GranteePrincipal": ROOT, "Constraints": {"EncryptionContextEquals": {"k": "v" * 384}}},
    ):
        with refused("ValidationException"):
            kms.create_grant(KeyId=arn, Operations=["Encrypt"], **request)
    for request in ({}, {"KeyId": arn}, {"GrantId": MISSING}, {"GrantToken": "t", "KeyId": arn, "GrantId": MISSING}):
        with refused("ValidationException"):
            kms.retire_grant(**request)
    with refused("ValidationException"):
        kms.list_retirable_grants()
    with refused("ValidationException"):
        kms.list_retirable_grants(RetiringPrincipal=ROOT, RetiringServicePrincipal="logs.amazonaws.com")
    assert grants_on(kms, arn) == []


def test_condition_keys(server, kms, user, arn):
    theirs = server.kms(user)
    allowed = statement(
        "Allow", actions="kms:CreateGrant", condition={"ForAllValues:StringEquals": {"kms:GrantOperations": ["Encrypt", "DescribeKey"]}}
    )
    server.put_policy(ACCOUNT, user.name, json.loads(policy(allowed)))
    grant_to(theirs, arn, user, ["DescribeKey", "Encrypt"])
    with refused("AccessDeniedException"):
        grant_to(theirs, arn, user, ["Encrypt", "Decrypt"])


# Lists -----------------------------------------------------------------------------------------------------------------------


def test_pages_and_filters(server, kms, arn, user, foreign, tenant):
    mine = {grant_to(kms, arn, user)["GrantId"] for _ in range(5)}
    theirs = {grant_to(kms, arn, foreign, RetiringPrincipal=foreign.arn)["GrantId"] for _ in range(3)}

    def ids(**filters):
        found = [grant["GrantId"] for grant in grants_on(kms, arn, PaginationConfig={"PageSize": 2}, **filters)]
        assert len(found) == len(set(found))
        return set(found)

    assert ids() == mine | theirs
    assert ids(GranteePrincipal=user.arn) == mine
    assert ids(GranteePrincipal=foreign.arn) == theirs
    assert ids(GranteePrincipal=ROOT) == set()
    one = min(mine)
    assert ids(GrantId=one) == ids(GrantId=one, GranteePrincipal=user.arn) == {one}
    assert ids(GrantId=one, GranteePrincipal=foreign.arn) == ids(GrantId=MISSING) == set()
    page = kms.list_grants(KeyId=arn, Limit=2)
    assert page["Truncated"] and len(page["Grants"]) == 2
    assert kms.list_grants(KeyId=arn, Limit=100)["Truncated"] is False
    with refused("InvalidMarkerException"):
        kms.list_grants(KeyId=arn, GranteePrincipal=user.arn, Marker=page["NextMarker"])
    with refused("InvalidGrantIdException"):
        kms.list_grants(KeyId=arn, GrantId="no-grant-id")

    other = server.kms(tenant)
    pages = other.get_paginator("list_retirable_grants").paginate(RetiringPrincipal=foreign.arn, PaginationConfig={"PageSize": 2})
    found = [grant for page in pages for grant in page["Grants"]]
    assert {grant["GrantId"] for grant in found} == theirs and len(found) == 3
    assert {grant["KeyId"] for grant in found} == {arn}
    assert other.list_retirable_grants(RetiringPrincipal=tenant.arn)["Grants"] == []
    assert server.kms(tenant, region="eu-west-1").list_retirable_grants(RetiringPrincipal=foreign.arn)["Grants"] == []
    for caller in (kms, server.kms(foreign)):
        with refused("AccessDeniedException"):
            caller.list_retirable_grants(RetiringPrincipal=foreign.arn)
    with refused("InvalidArnException"):
        kms.list_retirable_grants(RetiringPrincipal="nobody")
    for grant in theirs:
        server.kms(foreign).retire_grant(KeyId=arn, GrantId=grant)
    assert other.list_retirable_grants(RetiringPrincipal=foreign.arn)["Grants"] == []


# The end of grants -----------------------------------------------------------------------------------------------------------


def test_who_may_retire(server, kms, arn, user, foreign, tenant):
    delegate = server.create_user(ACCOUNT, policy=json.loads(policy(statement("Allow", actions="kms:RetireGrant"))))
    nobody = server.create_user(ACCOUNT)
    for caller, grant, may in (
        (server.root, {}, True),
        (delegate, {}, True),
        (nobody, {}, False),
        (user, {}, False),
        (user, {"Operations": ["Encrypt", "RetireGrant"]}, True),
        (foreign, {}, False),
        (foreign, {"RetiringPrincipal": foreign.arn}, True),
        (tenant, {"RetiringPrincipal": tenant.arn}, True),
        (foreign, {"RetiringPrincipal": tenant.arn}, False),
    ):
        for by_token in (True, False):
            request = {"KeyId": arn, "GranteePrincipal": user.arn, "Operations": ["Encrypt"]} | grant
            made = kms.create_grant(**request)
            reference = {"GrantToken": made["GrantToken"]} if by_token else {"KeyId": arn, "GrantId": made["GrantId"]}
            client = server.kms(caller)
            with refused("DryRunOperationException" if may else "AccessDeniedException"):
                client.retire_grant(**reference, DryRun=True)
            assert len(grants_on(kms, arn)) == 1
            if may:
                client.retire_grant(**reference)
            else:
                with refused("AccessDeniedException"):
                    client.retire_grant(**reference)
                kms.revoke_grant(KeyId=arn, GrantId=made["GrantId"])
            assert grants_on(kms, arn) == []
            with refused("NotFoundException"):
                kms.retire_grant(**reference)


def test_who_may_revoke(server, kms, arn, user, foreign):
    made = grant_to(kms, arn, user, ["Encrypt", "RetireGrant"], RetiringPrincipal=foreign.arn)["GrantId"]
    for caller in (user, foreign):
        with refused("AccessDeniedException"):
            server.kms(caller).revoke_grant(KeyId=arn, GrantId=made)
    with refused("DryRunOperationException", SUCCEEDED):
        kms.revoke_grant(KeyId=arn, GrantId=made, DryRun=True)
    kms.revoke_grant(KeyId=arn, GrantId=made)
    for dry_run in (True, False):
        with refused("NotFoundException"):
            kms.revoke_grant(KeyId=arn, GrantId=made, DryRun=dry_run)
    with refused("InvalidGrantIdException"):
        kms.revoke_grant(KeyId=arn, GrantId="x")


def test_a_dry_run_makes_no_grant(server, kms, arn, user):
    with refused("DryRunOperationException", SUCCEEDED):
        grant_to(kms, arn, user, DryRun=True)
    with refused("AccessDeniedException"):
        grant_to(server.kms(user), arn, user, DryRun=True)
    with refused("InvalidArnException"):
        kms.create_grant(KeyId=arn, GranteePrincipal="nobody", Operations=["Encrypt"], DryRun=True)
    assert grants_on(kms, arn) == []


def test_a_grant_on_a_key_that_waits_for_its_deletion(server, kms, arn, user):
    theirs = server.kms(user)
    grant_to(kms, arn, user)
    blob = theirs.encrypt(KeyId=arn, Plaintext=b"x")["CiphertextBlob"]
    kms.schedule_key_deletion(KeyId=arn)
    with refused("KMSInvalidStateException", f"{arn} is pending deletion."):
        theirs.decrypt(CiphertextBlob=blob)
    kms.cancel_key_deletion(KeyId=arn)
    kms.enable_key(KeyId=arn)
    assert theirs.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


# Tokens ----------------------------------------------------------------------------------------------------------------------

TAKE_TOKENS = [
    name
    for name in SERVICE_MODEL.operation_names
    if SERVICE_MODEL.operation_model(name).input_shape and "GrantTokens" in SERVICE_MODEL.operation_model(name).input_shape.members
]

# What a request of an operation needs besides, so that nothing else is wrong with it. Whoever offers another operation adds it here.
MEMBERS = {
    "CreateGrant": {"GranteePrincipal": ROOT, "Operations": ["Encrypt"]},
    "Decrypt": {"CiphertextBlob": "AAAA"},
    "Encrypt": {"Plaintext": "AAAA"},
    "GenerateDataKey": {"KeySpec": "AES_256"},
    "GenerateDataKeyWithoutPlaintext": {"KeySpec": "AES_256"},
    "ReEncrypt": {"CiphertextBlob": "AAAA", "DestinationKeyId": "alias/x"},
    "Sign": {"Message": "AAAA", "SigningAlgorithm": "ECDSA_SHA_256"},
    "Verify": {"Message": "AAAA", "Signature": "AAAA", "SigningAlgorithm": "ECDSA_SHA_256"},
    "GenerateMac": {"Message": "AAAA", "MacAlgorithm": "HMAC_SHA_256"},
    "VerifyMac": {"Message": "AAAA", "Mac": "AAAA", "MacAlgorithm": "HMAC_SHA_256"},
    "GenerateDataKeyPair": {"KeyPairSpec": "ECC_NIST_P256"},
    "GenerateDataKeyPairWithoutPlaintext": {"KeyPairSpec": "ECC_NIST_P256"},
    "DeriveSharedSecret": {"KeyAgreementAlgorithm": "ECDH", "PublicKey": "AAAA"},
    "Encapsulate": {"EncapsulationAlgorithm": "ML_KEM"},
    "Decapsulate": {"EncapsulationAlgorithm": "ML_KEM", "SharedSecretCiphertextBlob": "AAAA"},
}


@pytest.mark.parametrize("operation", sorted(TAKE_TOKENS))
def test_every_operation_looks_at_its_tokens(server, key_id, operation):
    body = {"KeyId": key_id} | MEMBERS.get(operation, {}) | {"GrantTokens": ["dG9rZW4="]}
    reply = wire.call(server, operation, body)
    if reply.error == "UnsupportedOperationException":
        assert "is not offered by this deployment" in reply.message
        pytest.skip(f"{operation} is not offered")
    assert (reply.status, reply.error) == (400, "InvalidGrantTokenException")


def test_tokens(server, kms, arn, user):
    first, second = grant_to(kms, arn, user), grant_to(kms, arn, user, ["DescribeKey"])
    theirs = server.kms(user)
    theirs.encrypt(KeyId=arn, Plaintext=b"x", GrantTokens=[second["GrantToken"], first["GrantToken"]] * 5)
    other = kms.create_key()["KeyMetadata"]["Arn"]
    with refused("AccessDeniedException"):
        theirs.encrypt(KeyId=other, Plaintext=b"x", GrantTokens=[first["GrantToken"]])
    for bad in ("x", first["GrantToken"][:-4], first["GrantToken"] + "AAAA", "A" * 8192):
        with refused("InvalidGrantTokenException"):
            theirs.encrypt(KeyId=arn, Plaintext=b"x", GrantTokens=[first["GrantToken"], bad])
        with refused("InvalidGrantTokenException"):
            kms.retire_grant(GrantToken=bad)
    kms.retire_grant(GrantToken=first["GrantToken"])
    with refused("AccessDeniedException"):
        theirs.encrypt(KeyId=arn, Plaintext=b"x", GrantTokens=[first["GrantToken"]])


# AWS CLI ---------------------------------------------------------------------------------------------------------------------


def test_the_cli(aws, kms, arn, user):  # noqa: F811
    to = ["--key-id", arn, "--grantee-principal", user.arn, "--retiring-principal", ROOT, "--operations", "Encrypt", "Decrypt"]
    first, second = (aws("kms", "create-grant", *to, "--constraints", "EncryptionContextSubset={team=red}") for _ in range(2))
    listed = aws("kms", "list-grants", "--key-id", arn, "--grant-id", first["GrantId"])["Grants"]
    assert listed[0]["Constraints"] == {"EncryptionContextSubset": {"team": "red"}} and listed[0]["RetiringPrincipal"] == ROOT
    retirable = aws("kms", "list-retirable-grants", "--retiring-principal", ROOT, "--query", "Grants[].GrantId")
    assert {first["GrantId"], second["GrantId"]} <= set(json.loads(retirable))
    aws("kms", "retire-grant", "--grant-token", first["GrantToken"])
    refusal = aws("kms", "revoke-grant", "--key-id", arn, "--grant-id", second["GrantId"], "--dry-run", check=False)
    assert "(DryRunOperationException)" in refusal.stderr
    aws("kms", "revoke-grant", "--key-id", arn, "--grant-id", second["GrantId"])
    assert grants_on(kms, arn) == []
