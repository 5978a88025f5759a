"""Multi-Region keys: two or three Region clients against one server, which serves all of these Regions."""

import base64
import json
import pathlib
import secrets
import subprocess
import sys
from datetime import timedelta

import botocore.waiter
import pytest

import wire
from harness import CLEAN_ENVIRONMENT, alias_name, constraint, policy, refused, refused_as_no_key_id, refused_with_any, statement
from imports import NEVER, import_material

ACCOUNT = "123456789012"
HERE, THERE, FAR = "us-east-1", "eu-west-1", "ap-southeast-2"
AWS = pathlib.Path(sys.executable).with_name("aws")


@pytest.fixture
def europe(server):
    return server.kms(region=THERE)


@pytest.fixture
def far(server):
    return server.kms(region=FAR)


@pytest.fixture
def primary(kms):
    """A new multi-Region primary key's metadata."""
    return kms.create_key(MultiRegion=True)["KeyMetadata"]


@pytest.fixture
def key_id(primary):
    return primary["KeyId"]


@pytest.fixture
def replica(kms, key_id):
    """The metadata of its replica in Europe."""
    return kms.replicate_key(KeyId=key_id, ReplicaRegion=THERE)["ReplicaKeyMetadata"]


def arn(region, key_id):
    return f"arn:aws:kms:{region}:{ACCOUNT}:key/{key_id}"


def kin(key_id, mine, primary, *replicas):
    """What `MultiRegionConfiguration` has to be."""
    entry = lambda region: {"Arn": arn(region, key_id), "Region": region}  # noqa: E731
    kind = "PRIMARY" if mine == primary else "REPLICA"
    return {"MultiRegionKeyType": kind, "PrimaryKey": entry(primary), "ReplicaKeys": [entry(region) for region in sorted(replicas)]}


def configuration(client, key_id):
    return client.describe_key(KeyId=key_id)["KeyMetadata"]["MultiRegionConfiguration"]


def test_a_primary_key(kms, primary):
    key_id = primary["KeyId"]
    assert key_id.startswith("mrk-") and len(key_id) == 36 and set(key_id[4:]) <= set("0123456789abcdef")
    assert primary["Arn"] == arn(HERE, key_id)
    assert primary["MultiRegion"] is True
    assert primary["MultiRegionConfiguration"] == kin(key_id, HERE, HERE)
    for name in (key_id, primary["Arn"]):
        assert kms.describe_key(KeyId=name)["KeyMetadata"] == primary
    assert {"KeyId": key_id, "KeyArn": primary["Arn"]} in [key for page in kms.get_paginator("list_keys").paginate() for key in page["Keys"]]


@pytest.mark.parametrize("choice", [{}, {"MultiRegion": False}])
def test_a_single_region_key_is_none(kms, choice):
    key = kms.create_key(**choice)["KeyMetadata"]
    assert key["MultiRegion"] is False and "MultiRegionConfiguration" not in key
    for attempt in (
        lambda: kms.replicate_key(KeyId=key["KeyId"], ReplicaRegion=THERE),
        lambda: kms.update_primary_region(KeyId=key["KeyId"], PrimaryRegion=THERE),
    ):
        with refused("UnsupportedOperationException", f"{key['Arn']} is not a multi-region primary key."):
            attempt()


def test_replicate(kms, europe, primary, key_id):
    document = json.loads(policy(statement("Allow", f"arn:aws:iam::{ACCOUNT}:root", sid="replica")))
    answer = kms.replicate_key(
        KeyId=primary["Arn"],
        ReplicaRegion=THERE,
        Policy=json.dumps(document),
        Description="over there",
        Tags=[{"TagKey": "team", "TagValue": "red"}],
    )
    assert set(answer) - {"ResponseMetadata"} == {"ReplicaKeyMetadata", "ReplicaPolicy", "ReplicaTags"}
    replica = answer["ReplicaKeyMetadata"]
    own = {"Arn", "CreationDate", "Description", "MultiRegionConfiguration"}
    assert {name: value for name, value in replica.items() if name not in own} == {
        name: value for name, value in primary.items() if name not in own
    }
    assert replica["Arn"] == arn(THERE, key_id)
    assert (replica["Description"], replica["KeyState"], replica["Enabled"]) == ("over there", "Enabled", True)
    assert replica["CreationDate"] - primary["CreationDate"] < timedelta(minutes=5)
    assert replica["MultiRegionConfiguration"] == kin(key_id, THERE, HERE, THERE)
    assert json.loads(answer["ReplicaPolicy"]) == document
    assert answer["ReplicaTags"] == [{"TagKey": "team", "TagValue": "red"}]
    # What was answered is what is there.
    assert europe.describe_key(KeyId=key_id)["KeyMetadata"] == replica
    assert json.loads(europe.get_key_policy(KeyId=key_id)["Policy"]) == document
    assert europe.list_resource_tags(KeyId=key_id)["Tags"] == answer["ReplicaTags"]
    assert configuration(kms, key_id) == kin(key_id, HERE, HERE, THERE)
    assert kms.list_resource_tags(KeyId=key_id)["Tags"] == []


def test_a_replicas_defaults(kms, key_id):
    kms.update_key_description(KeyId=key_id, Description="the primary's own")
    kms.tag_resource(KeyId=key_id, Tags=[{"TagKey": "a", "TagValue": "b"}])
    answer = kms.replicate_key(KeyId=key_id, ReplicaRegion=THERE)
    assert answer["ReplicaKeyMetadata"]["Description"] == ""
    assert answer["ReplicaTags"] == []
    assert json.loads(answer["ReplicaPolicy"])["Id"] == "key-default-1"


def test_a_waiter_as_terraforms_ends_at_once(kms, europe, key_id):
    """Terraform waits until a new replica is Enabled, whatever comes before."""
    kms.replicate_key(KeyId=key_id, ReplicaRegion=THERE)
    acceptor = {"matcher": "path", "argument": "KeyMetadata.KeyState", "expected": "Enabled", "state": "success"}
    description = {"operation": "DescribeKey", "delay": 1, "maxAttempts": 2, "acceptors": [acceptor]}
    model = botocore.waiter.WaiterModel({"version": 2, "waiters": {"Enabled": description}})
    botocore.waiter.create_waiter_with_client("Enabled", model, europe).wait(KeyId=key_id)


def test_what_one_region_encrypts_the_others_decrypt(kms, europe, far, primary, replica, key_id):
    kms.replicate_key(KeyId=key_id, ReplicaRegion=FAR)
    clients, context = {HERE: kms, THERE: europe, FAR: far}, {"purpose": "test"}
    for encrypting in clients.values():
        blob = encrypting.encrypt(KeyId=key_id, Plaintext=b"everywhere", EncryptionContext=context)["CiphertextBlob"]
        data_key = encrypting.generate_data_key(KeyId=key_id, KeySpec="AES_256")
        for region, decrypting in clients.items():
            for named in ({}, {"KeyId": key_id}, {"KeyId": arn(region, key_id)}):
                opened = decrypting.decrypt(CiphertextBlob=blob, EncryptionContext=context, **named)
                assert (opened["Plaintext"], opened["KeyId"]) == (b"everywhere", arn(region, key_id))
                assert opened["KeyMaterialId"] == primary["CurrentKeyMaterialId"]
            assert decrypting.decrypt(CiphertextBlob=data_key["CiphertextBlob"])["Plaintext"] == data_key["Plaintext"]
            again = decrypting.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext=context, DestinationKeyId=key_id)
            assert encrypting.decrypt(CiphertextBlob=again["CiphertextBlob"])["Plaintext"] == b"everywhere"
            with refused("InvalidCiphertextException"):
                decrypting.decrypt(CiphertextBlob=blob)


def test_where_there_is_no_replica_it_does_not_open(server, kms, europe, key_id):
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    with refused_with_any("InvalidCiphertextException", "AccessDeniedException"):
        europe.decrypt(CiphertextBlob=blob)
    with refused("NotFoundException", f"Key '{arn(THERE, key_id)}' does not exist"):
        europe.describe_key(KeyId=key_id)


def test_a_single_regions_ciphertext_does_not_open_elsewhere(kms, europe, replica):
    single = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=single, Plaintext=b"x")["CiphertextBlob"]
    with refused_with_any("InvalidCiphertextException", "AccessDeniedException"):
        europe.decrypt(CiphertextBlob=blob)
    with refused("IncorrectKeyException"):
        europe.decrypt(CiphertextBlob=blob, KeyId=replica["KeyId"])


def test_aliases_and_states_are_each_regions_own(kms, europe, replica, key_id):
    alias = alias_name()
    europe.create_alias(AliasName=alias, TargetKeyId=key_id)
    assert europe.describe_key(KeyId=alias)["KeyMetadata"]["Arn"] == replica["Arn"]
    with refused("NotFoundException"):
        kms.describe_key(KeyId=alias)
    europe.disable_key(KeyId=key_id)
    with refused("DisabledException", f"{replica['Arn']} is disabled."):
        europe.encrypt(KeyId=key_id, Plaintext=b"x")
    kms.encrypt(KeyId=key_id, Plaintext=b"x")


def test_an_arn_of_the_other_region_is_refused(kms, europe, primary, replica):
    with refused("NotFoundException", f"Invalid arn {HERE}"):
        europe.describe_key(KeyId=primary["Arn"])
    with refused("NotFoundException", f"Invalid arn {THERE}"):
        kms.replicate_key(KeyId=replica["Arn"], ReplicaRegion=FAR)


def test_replication_is_refused(kms, europe, primary, replica, key_id):
    for taken in (HERE, THERE):
        with refused("AlreadyExistsException"):
            kms.replicate_key(KeyId=key_id, ReplicaRegion=taken)
    for attempt in (
        lambda: europe.replicate_key(KeyId=key_id, ReplicaRegion=FAR),
        lambda: europe.update_primary_region(KeyId=key_id, PrimaryRegion=HERE),
        lambda: europe.enable_key_rotation(KeyId=key_id),
        lambda: europe.disable_key_rotation(KeyId=key_id),
        lambda: europe.rotate_key_on_demand(KeyId=key_id),
    ):
        with refused("UnsupportedOperationException", f"{replica['Arn']} is not a multi-region primary key."):
            attempt()
    with refused("MalformedPolicyDocumentException"):
        kms.replicate_key(KeyId=key_id, ReplicaRegion=FAR, Policy="{}")
    lockout = policy(statement("Allow", f"arn:aws:iam::{ACCOUNT}:root", "kms:DescribeKey"))
    with refused("MalformedPolicyDocumentException", "The new key policy will not allow you to update the key policy in the future."):
        kms.replicate_key(KeyId=key_id, ReplicaRegion=FAR, Policy=lockout)
    with refused("TagException"):
        kms.replicate_key(KeyId=key_id, ReplicaRegion=FAR, Tags=[{"TagKey": "aws:x", "TagValue": "y"}])
    kms.disable_key(KeyId=key_id)
    with refused("DisabledException", f"{primary['Arn']} is disabled."):
        kms.replicate_key(KeyId=key_id, ReplicaRegion=FAR)
    assert configuration(kms, key_id) == kin(key_id, HERE, HERE, THERE)
    kms.enable_key(KeyId=key_id)
    kms.replicate_key(KeyId=key_id, ReplicaRegion=FAR, Policy=lockout, BypassPolicyLockoutSafetyCheck=True)


@pytest.mark.parametrize(("operation", "field"), [("ReplicateKey", "replicaRegion"), ("UpdatePrimaryRegion", "primaryRegion")])
def test_the_models_constraints(unchecked, server, key_id, operation, field):
    method = {"ReplicateKey": unchecked.replicate_key, "UpdatePrimaryRegion": unchecked.update_primary_region}[operation]
    member = field[0].upper() + field[1:]
    for value, rule in (("", "length greater than or equal to 1"), ("x" * 33, "length less than or equal to 32"), ("Paris", "pattern: ")):
        with refused("ValidationException"):
            method(KeyId=key_id, **{member: value})
        reply = wire.call(server, operation, {"KeyId": key_id, member: value})
        assert rule in reply.message, reply.body
    with refused("ValidationException", constraint(field, "Member must not be null")):
        method(KeyId=key_id)
    with refused_as_no_key_id():
        method(KeyId="alias/a", **{member: THERE})
    missing = "mrk-" + "0" * 32
    with refused("NotFoundException", f"Key '{arn(HERE, missing)}' does not exist"):
        method(KeyId=missing, **{member: THERE})


def test_a_rotation_is_everywhere_at_once(kms, europe, replica, key_id):
    old = europe.encrypt(KeyId=key_id, Plaintext=b"old")
    kms.rotate_key_on_demand(KeyId=key_id)
    new = europe.encrypt(KeyId=key_id, Plaintext=b"new")
    for client in (kms, europe):
        rotations = client.list_key_rotations(KeyId=key_id, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
        assert [rotation["KeyMaterialState"] for rotation in rotations] == ["CURRENT", "NON_CURRENT"]
        current = client.describe_key(KeyId=key_id)["KeyMetadata"]["CurrentKeyMaterialId"]
        assert current == rotations[0]["KeyMaterialId"] == client.decrypt(CiphertextBlob=new["CiphertextBlob"])["KeyMaterialId"]
        opened = client.decrypt(CiphertextBlob=old["CiphertextBlob"])
        assert (opened["Plaintext"], opened["KeyMaterialId"]) == (b"old", rotations[1]["KeyMaterialId"])


def test_imported_material_is_rotated_once_every_region_has_it(kms, europe):
    old, new = secrets.token_bytes(32), secrets.token_bytes(32)
    key_id = kms.create_key(Origin="EXTERNAL", MultiRegion=True)["KeyMetadata"]["KeyId"]
    import_material(kms, key_id, old)
    kms.replicate_key(KeyId=key_id, ReplicaRegion=THERE)
    import_material(europe, key_id, old)
    blob = europe.encrypt(KeyId=key_id, Plaintext=b"before")["CiphertextBlob"]

    def states():
        listed = (client.list_key_rotations(KeyId=key_id, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"] for client in (kms, europe))
        return [{entry["KeyMaterialId"]: (entry["KeyMaterialState"], entry["ImportState"]) for entry in entries} for entries in listed]

    with refused("UnsupportedOperationException"):
        import_material(europe, key_id, new, ImportType="NEW_KEY_MATERIAL", **NEVER)
    made = import_material(kms, key_id, new, ImportType="NEW_KEY_MATERIAL", **NEVER)["KeyMaterialId"]
    waits = "PENDING_MULTI_REGION_IMPORT_AND_ROTATION"
    assert [state[made] for state in states()] == [(waits, "IMPORTED"), (waits, "PENDING_IMPORT")]
    with refused("KMSInvalidStateException"):
        kms.rotate_key_on_demand(KeyId=key_id)
    assert import_material(europe, key_id, new, ImportType="EXISTING_KEY_MATERIAL", **NEVER)["KeyMaterialId"] == made
    assert [state[made] for state in states()] == [("PENDING_ROTATION", "IMPORTED")] * 2
    kms.rotate_key_on_demand(KeyId=key_id)
    assert [state[made] for state in states()] == [("CURRENT", "IMPORTED")] * 2
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"before"
    answer = kms.decrypt(CiphertextBlob=europe.encrypt(KeyId=key_id, Plaintext=b"after")["CiphertextBlob"])
    assert (answer["Plaintext"], answer["KeyMaterialId"]) == (b"after", made)


def test_automatic_rotation_is_the_primarys_to_switch_and_every_keys_to_tell(kms, europe, replica, key_id):
    def status(client):
        answer = client.get_key_rotation_status(KeyId=key_id)
        return {name: value for name, value in answer.items() if name != "ResponseMetadata"}

    assert status(europe) == status(kms) == {"KeyId": key_id, "KeyRotationEnabled": False}
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=120)
    assert status(europe) == status(kms)
    assert status(europe)["RotationPeriodInDays"] == 120
    kms.replicate_key(KeyId=key_id, ReplicaRegion=FAR)
    kms.disable_key_rotation(KeyId=key_id)
    assert status(europe) == status(kms) == {"KeyId": key_id, "KeyRotationEnabled": False}


def test_a_primary_key_waits_for_its_replicas(kms, europe, primary, replica, key_id):
    answer = kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=9)
    told = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
    assert told == {"KeyId": primary["Arn"], "KeyState": "PendingReplicaDeletion", "PendingWindowInDays": 9}
    described = kms.describe_key(KeyId=key_id)["KeyMetadata"]
    assert (described["KeyState"], described["PendingDeletionWindowInDays"]) == ("PendingReplicaDeletion", 9)
    assert "DeletionDate" not in described and described["Enabled"] is False
    text = f"{primary['Arn']} is pending replica deletion."
    for attempt in (
        lambda: kms.encrypt(KeyId=key_id, Plaintext=b"x"),
        lambda: kms.replicate_key(KeyId=key_id, ReplicaRegion=FAR),
        lambda: kms.update_primary_region(KeyId=key_id, PrimaryRegion=THERE),
        lambda: kms.schedule_key_deletion(KeyId=key_id),
        lambda: kms.enable_key(KeyId=key_id),
        lambda: kms.rotate_key_on_demand(KeyId=key_id),
    ):
        with refused("KMSInvalidStateException", text):
            attempt()
    europe.encrypt(KeyId=key_id, Plaintext=b"the replica works on")
    assert kms.cancel_key_deletion(KeyId=key_id)["KeyId"] == primary["Arn"]
    assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"] == "Disabled"


def test_a_replica_goes_by_itself(kms, europe, replica, key_id):
    answer = europe.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    assert answer["KeyState"] == "PendingDeletion" and "DeletionDate" in answer
    kms.encrypt(KeyId=key_id, Plaintext=b"x")
    with refused("AlreadyExistsException"):
        kms.replicate_key(KeyId=key_id, ReplicaRegion=THERE)
    with refused("KMSInvalidStateException", f"{replica['Arn']} is pending deletion."):
        kms.update_primary_region(KeyId=key_id, PrimaryRegion=THERE)
    assert configuration(kms, key_id) == kin(key_id, HERE, HERE, THERE)
    europe.cancel_key_deletion(KeyId=key_id)
    europe.enable_key(KeyId=key_id)
    europe.encrypt(KeyId=key_id, Plaintext=b"x")


def test_the_primary_region_moves(kms, europe, primary, replica, key_id):
    kms.replicate_key(KeyId=key_id, ReplicaRegion=FAR)
    kms.enable_key_rotation(KeyId=key_id)
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    with refused("NotFoundException", f"Key '{arn('sa-east-1', key_id)}' does not exist"):
        kms.update_primary_region(KeyId=key_id, PrimaryRegion="sa-east-1")
    with refused("UnsupportedOperationException"):
        kms.update_primary_region(KeyId=key_id, PrimaryRegion=HERE)
    kms.update_primary_region(KeyId=primary["Arn"], PrimaryRegion=THERE)
    assert configuration(kms, key_id) == kin(key_id, HERE, THERE, HERE, FAR)
    assert configuration(europe, key_id) == kin(key_id, THERE, THERE, HERE, FAR)
    for client in (kms, europe):
        assert client.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"] == "Enabled"
        assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
        assert client.get_key_rotation_status(KeyId=key_id)["KeyRotationEnabled"] is True
    with refused("UnsupportedOperationException", f"{primary['Arn']} is not a multi-region primary key."):
        kms.replicate_key(KeyId=key_id, ReplicaRegion="sa-east-1")
    europe.rotate_key_on_demand(KeyId=key_id)
    europe.replicate_key(KeyId=key_id, ReplicaRegion="sa-east-1")
    assert kms.schedule_key_deletion(KeyId=key_id)["KeyState"] == "PendingDeletion"


def test_permissions_in_the_replicas_region(server, key_id):
    def user(*statements):
        return server.kms(server.create_user(ACCOUNT, policy=json.loads(policy(*statements))))

    replicate = statement("Allow", actions="kms:ReplicateKey", condition={"StringEquals": {"kms:ReplicaRegion": THERE}})
    create = statement("Allow", actions="kms:CreateKey", condition={"StringEquals": {"aws:RequestedRegion": THERE}})
    with refused("AccessDeniedException"):
        user(create).replicate_key(KeyId=key_id, ReplicaRegion=THERE)
    with refused("AccessDeniedException"):
        user(replicate).replicate_key(KeyId=key_id, ReplicaRegion=THERE)
    allowed = user(replicate, create)
    with refused("AccessDeniedException"):
        allowed.replicate_key(KeyId=key_id, ReplicaRegion=FAR)
    with refused("AccessDeniedException"):
        allowed.replicate_key(KeyId=key_id, ReplicaRegion=THERE, Tags=[{"TagKey": "a", "TagValue": "b"}])
    allowed.replicate_key(KeyId=key_id, ReplicaRegion=THERE)
    mover = user(statement("Allow", actions="kms:UpdatePrimaryRegion", condition={"StringEquals": {"kms:PrimaryRegion": FAR}}))
    with refused("AccessDeniedException"):
        mover.update_primary_region(KeyId=key_id, PrimaryRegion=THERE)


def test_replicas_and_primary_keys_told_apart_by_condition(server, kms, replica, key_id):
    only = {"StringEquals": {"kms:MultiRegionKeyType": "REPLICA"}}
    user = server.create_user(ACCOUNT, policy=json.loads(policy(statement("Allow", actions="kms:Encrypt", condition=only))))
    server.kms(user, region=THERE).encrypt(KeyId=key_id, Plaintext=b"x")
    with refused("AccessDeniedException"):
        server.kms(user).encrypt(KeyId=key_id, Plaintext=b"x")


def test_another_account_cannot_replicate(server, kms, primary, key_id, tenant):
    document = policy(statement("Allow", [f"arn:aws:iam::{ACCOUNT}:root", tenant.arn]))
    kms.put_key_policy(KeyId=key_id, Policy=document)
    with refused("AccessDeniedException"):
        server.kms(tenant).replicate_key(KeyId=primary["Arn"], ReplicaRegion=THERE)
    with refused("AccessDeniedException"):
        server.kms(tenant).update_primary_region(KeyId=primary["Arn"], PrimaryRegion=THERE)


def test_the_cli(server, tmp_path):
    environment = {"PATH": CLEAN_ENVIRONMENT["PATH"], "HOME": str(tmp_path)} | server.environment

    def aws(region, *arguments):
        done = subprocess.run(
            [sys.executable, str(AWS), "--region", region, "kms", *arguments],
            env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    key_id = aws(HERE, "create-key", "--multi-region")["KeyMetadata"]["KeyId"]
    made = aws(HERE, "replicate-key", "--key-id", key_id, "--replica-region", THERE, "--tags", "TagKey=a,TagValue=b")
    assert made["ReplicaKeyMetadata"]["Arn"] == arn(THERE, key_id)
    assert made["ReplicaTags"] == [{"TagKey": "a", "TagValue": "b"}]
    blob = tmp_path / "blob"
    blob.write_bytes(base64.b64decode(aws(HERE, "encrypt", "--key-id", key_id, "--plaintext", "hello")["CiphertextBlob"]))
    assert base64.b64decode(aws(THERE, "decrypt", "--ciphertext-blob", f"fileb://{blob}")["Plaintext"]) == b"hello"
    assert aws(HERE, "update-primary-region", "--key-id", key_id, "--primary-region", THERE) is None
    described = aws(HERE, "describe-key", "--key-id", key_id)["KeyMetadata"]
    assert described["MultiRegionConfiguration"] == kin(key_id, HERE, THERE, HERE)
