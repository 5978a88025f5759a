"""Every constraint of the service model, for every member of every operation that the server offers: what breaks it is refused in AWS's words,
and nothing happens. Requests are signed by hand, since botocore would not send them."""

import base64
import json
import re

import pytest

import wire
from wire import SERVICE_MODEL

# What a request needs beyond the members that the model requires.
NEEDED = {
    "Decrypt": {"CiphertextBlob": "eA=="},
    "GenerateDataKey": {"KeySpec": "AES_256"},
    "GenerateDataKeyWithoutPlaintext": {"KeySpec": "AES_256"},
    "GenerateRandom": {"NumberOfBytes": 8},
    "ReEncrypt": {"CiphertextBlob": "eA=="},
}

# Members of requests whose rules are stricter than the model's, and what may stand there instead of the model's text.
RULES_OF_AWS = {("ScheduleKeyDeletion", "PendingWindowInDays"): (7, 30)}


@pytest.fixture(scope="module")
def place(server):
    """An account with a key, and an operation's name for each that the server offers."""
    root = server.create_account()
    kms = server.kms(root)
    key = kms.create_key(Description="as it was", Tags=[{"TagKey": "as", "TagValue": "it was"}])["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/as-it-was", TargetKeyId=key)
    return root, kms, key


def is_offered(server, operation, principal):
    reply = wire.call(server, operation, b"{}", principal)
    return reply.status == 200 or "is not offered by this deployment" not in (reply.message or "")


def state(kms, key):
    """Everything that a request could have changed."""
    described = kms.describe_key(KeyId=key)["KeyMetadata"]
    return {
        "keys": [entry["KeyId"] for entry in kms.list_keys()["Keys"]],
        "aliases": kms.list_aliases()["Aliases"],
        "tags": kms.list_resource_tags(KeyId=key)["Tags"],
        "policy": kms.get_key_policy(KeyId=key)["Policy"],
        "rotation": kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"],
        "rotations": kms.list_key_rotations(KeyId=key)["Rotations"],
        "described": {name: value for name, value in described.items() if name not in ("CreationDate",)},
    }


# Values ------------------------------------------------------------------------------------------------------------------------


def valid(shape, name, key):
    """A value that the model allows."""
    low = shape.metadata.get("min", 0)
    if shape.type_name == "structure":
        return {member: valid(shape.members[member], member, key) for member in shape.required_members}
    if shape.type_name == "list":
        return [valid(shape.member, name, key)] * max(low, 1)
    if shape.type_name == "map":
        return {}
    if shape.type_name == "blob":
        return base64.b64encode(b"x" * max(low, 1)).decode()
    if shape.type_name == "boolean":
        return False
    if shape.type_name in ("integer", "long"):
        return max(low, 1)
    if shape.type_name == "timestamp":
        return 1_900_000_000
    if shape.enum:
        return shape.enum[0]
    if name.endswith("KeyId") and name != "XksKeyId":
        return key
    pattern = shape.metadata.get("pattern")
    candidates = ["a" * max(low, 1), "alias/valid", "a" * 64, "1" * max(low, 1), "https://example.com", "/kms/xks/v1", "arn:aws:iam::123456789012:root"]
    candidates += ["cluster-abcdefghijk", "cks-1234567890abcdef0", "us-east-1", "arn:aws:kms:us-east-1:123456789012:key/a", "A" * 20, "a" * 43, "vpce.svc-a"]
    for candidate in candidates:
        if fits(shape, pattern, candidate):
            return candidate
    raise AssertionError(f"no valid value for {name} ({shape.metadata})")


def request(operation, key):
    """A request that breaks no rule."""
    return valid(SERVICE_MODEL.operation_model(operation).input_shape, operation, key) | NEEDED.get(operation, {})


def fits(shape, pattern, text):
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max", 10**9)
    return low <= len(text) <= high and (pattern is None or re.fullmatch(pattern, text) is not None)


WRONG_TYPES = {
    "string": [1, 1.5, True, ["a"], {"a": "b"}],
    "blob": [1, True, [1], {"a": 1}, "not base64!", "YQ"],
    "boolean": ["true", 1, 0, [], {}],
    "integer": ["1", 1.5, True, [1], {}, 1e300],
    "long": ["1", 1.5, True, [1], {}],
    "timestamp": ["tomorrow", True, [1], {}],
    "list": ["a", 1, True, {"a": "b"}],
    "map": ["a", 1, True, ["a"]],
    "structure": ["a", 1, True],
}


def violations(shape, path, key):
    """Wrong values of a member: the value, the member's name as errors spell it, and what the rule says; none for the type."""
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    name = path.rsplit(".", 1)[-1]
    for wrong in WRONG_TYPES[shape.type_name]:
        yield wrong, None, None
    if shape.type_name in ("integer", "long"):
        if low is not None:
            yield low - 1, path, f"Member must have value greater than or equal to {low}"
        if high is not None:
            yield high + 1, path, f"Member must have value less than or equal to {high}"
    elif shape.type_name == "string":
        if low:
            yield "", path, f"Member must have length greater than or equal to {low}"
        if high is not None:
            yield "a" * (high + 1), path, f"Member must have length less than or equal to {high}"
        if shape.enum:
            yield "NO_SUCH_NAME", path, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"
        pattern = shape.metadata.get("pattern")
        if pattern:
            for text in ("!", "\u0100", " ", "\n", "a b", "\u20ac"):
                text *= max(low or 1, 1)
                if not re.fullmatch(pattern, text):
                    yield text, path, f"Member must satisfy regular expression pattern: {pattern}"
                    break
    elif shape.type_name == "blob":
        if low:
            yield "", path, f"Member must have length greater than or equal to {low}"
        if high is not None:
            yield base64.b64encode(b"x" * (high + 1)).decode(), path, f"Member must have length less than or equal to {high}"
    elif shape.type_name == "list":
        yield from list_violations(shape, path, key)
    elif shape.type_name == "map":
        yield {"a": 1}, None, None
        yield {"a": None}, None, None
    elif shape.type_name == "structure":
        filled = valid(shape, name, key)
        for member, inner in shape.members.items():
            inner_path = f"{path}.{lower(member)}"
            if member in shape.required_members:
                yield {other: value for other, value in filled.items() if other != member}, inner_path, "Member must not be null"
            for wrong, at, rule in violations(inner, inner_path, key):
                yield filled | {member: wrong}, at, rule


def list_violations(shape, path, key):
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    item = shape.member
    good = valid(item, path, key)
    if low:
        yield [], path, f"Member must have length greater than or equal to {low}"
    if high is not None:
        yield [good] * (high + 1), path, f"Member must have length less than or equal to {high}"
    yield [None], None, None
    for wrong, at, rule in violations(item, f"{path}.1.member", key):
        if item.type_name == "structure":
            yield [wrong], at, rule
        else:
            # Rules for plain items are told of the list: "Member must satisfy constraint: [...]".
            yield [wrong], at and path, rule


def lower(name):
    return name[0].lower() + name[1:]


# Tests -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", SERVICE_MODEL.operation_names)
def test_every_constraint(server, place, operation):
    root, kms, key = place
    if not is_offered(server, operation, root):
        pytest.skip("not offered")
    shape = SERVICE_MODEL.operation_model(operation).input_shape
    base = request(operation, key)
    before, wrong_answers, tried = state(kms, key), [], 0

    def expect(body, member, rule):
        nonlocal tried
        tried += 1
        reply = wire.call(server, operation, json.dumps(body).encode(), root)
        if reply.status == 400:
            if rule is None and reply.error in ("SerializationException", "ValidationException"):
                return
            told = reply.message or ""
            # Texts repeat the rule as it is, and name the member.
            if reply.error == "ValidationException" and f"at '{member}' failed to satisfy constraint: " in told and rule in told:
                return
            if "is not offered" in told or "are not offered" in told:
                return
        wrong_answers.append(f"{str(body)[:200]}: expected {member}: {rule}, got {reply.status} {reply.body[:300]}")

    for name in shape.required_members:
        missing = {other: value for other, value in base.items() if other != name}
        expect(missing, lower(name), "Member must not be null")
        expect(missing | {name: None}, lower(name), "Member must not be null")
    for name, member in shape.members.items():
        low, high = RULES_OF_AWS.get((operation, name), (None, None))
        for wrong, path, rule in violations(member, lower(name), key):
            if low is not None and rule:
                rule = rule.split(" than ")[0]
            expect(base | {name: wrong}, path, rule)
    assert not wrong_answers, "\n".join(wrong_answers)
    assert tried or not shape.members
    if operation != "CreateKey":
        assert state(kms, key) == before
    else:
        # The key that asking whether it is offered made.
        assert len(state(kms, key)["keys"]) == len(before["keys"])


@pytest.mark.parametrize("operation", SERVICE_MODEL.operation_names)
def test_all_faults_are_told_together(server, place, operation):
    root, _, key = place
    if not is_offered(server, operation, root):
        pytest.skip("not offered")
    shape = SERVICE_MODEL.operation_model(operation).input_shape
    body, members, empty = request(operation, key), [], {}
    for name, member in shape.members.items():
        found = [(wrong, path) for wrong, path, rule in violations(member, lower(name), key) if rule and member.type_name not in ("structure",)]
        if found:
            body[name] = found[0][0]
            members.append(found[0][1])
            empty[found[0][1]] = found[0][0] == ""
    if len(members) < 2:
        pytest.skip("only one member with a rule")
    reply = wire.call(server, operation, json.dumps(body).encode(), root)
    assert (reply.status, reply.error) == (400, "ValidationException"), reply.body
    # Every member is told, and nothing else. A member that breaks two rules, as an empty text with a pattern does, is told twice.
    told = re.findall(r"at '([^']+)' failed to satisfy constraint: ", reply.message)
    assert set(told) == set(members), reply.message
    assert all(told.count(member) == 1 or (told.count(member) == 2 and empty[member]) for member in members), reply.message
    assert reply.message.startswith(f"{len(told)} validation errors detected: "), (members, reply.message)
    for member in members:
        assert f"at '{member}' failed" in reply.message, (member, reply.message)


@pytest.mark.parametrize("operation", SERVICE_MODEL.operation_names)
def test_key_ids_that_name_no_key_get_errors_of_the_model(server, place, operation):
    """`wire` checks each answer against the errors that the model lists for the operation."""
    root, _, key = place
    if not is_offered(server, operation, root):
        pytest.skip("not offered")
    shape = SERVICE_MODEL.operation_model(operation).input_shape
    named = [name for name in shape.members if name in ("KeyId", "TargetKeyId", "SourceKeyId", "DestinationKeyId")]
    references = [
        "nonsense",
        "alias/",
        "alias/nothing",
        "alias/aws/nothing",
        "00000000-0000-4000-8000-000000000000",
        "mrk-00000000000000000000000000000000",
        key.upper(),
        f" {key}",
        "arn:aws:kms:us-east-1:123456789012",
        f"arn:aws:kms:us-east-1:{root.account}:key/",
        f"arn:aws:kms:us-east-1:{root.account}:key/nonsense",
        f"arn:aws:kms:us-east-1:{root.account}:alias/nothing",
        f"arn:aws:kms:us-east-1:{root.account}:other/{key}",
        f"arn:aws:kms:eu-west-1:{root.account}:key/{key}",
        f"arn:aws:kms:us-east-1:999999999999:key/{key}",
        f"arn:aws-cn:kms:us-east-1:{root.account}:key/{key}",
        f"arn:aws:s3:::{key}",
        "arn:",
        "\u20ac",
        "k" * 2048,
    ]
    for name in named:
        for reference in references:
            body = request(operation, key) | {name: reference}
            reply = wire.call(server, operation, json.dumps(body).encode(), root)
            assert reply.status != 500, (name, reference, reply.body)
