"""Paged lists: ListKeys, ListAliases, ListResourceTags, ListKeyPolicies, ListKeyRotations."""

import base64
import re

import pytest

from harness import constraint, refused, refused_as_no_key_id


@pytest.fixture(scope="module")
def shelf(server):
    """An account with 7 keys; the first has 7 aliases, 7 tags and 7 rotations."""
    kms = server.kms(server.create_account())
    keys = [kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(7)]
    for number in range(7):
        kms.create_alias(AliasName=f"alias/a-{number}", TargetKeyId=keys[0])
        kms.tag_resource(KeyId=keys[0], Tags=[{"TagKey": f"t-{number}", "TagValue": str(number)}])
        kms.rotate_key_on_demand(KeyId=keys[0])
    return kms, keys


def lists(keys):
    """Each list: method, parameters, the member with its items, how many there are, and what tells one from another."""
    return {
        "keys": ("list_keys", {}, "Keys", 7, lambda item: item["KeyId"]),
        "aliases": ("list_aliases", {}, "Aliases", 7, lambda item: item["AliasName"]),
        "aliases of a key": ("list_aliases", {"KeyId": keys[0]}, "Aliases", 7, lambda item: item["AliasName"]),
        "tags": ("list_resource_tags", {"KeyId": keys[0]}, "Tags", 7, lambda item: item["TagKey"]),
        "rotations": ("list_key_rotations", {"KeyId": keys[0]}, "Rotations", 7, lambda item: item["KeyMaterialId"]),
        "materials": (
            "list_key_rotations",
            {"KeyId": keys[0], "IncludeKeyMaterial": "ALL_KEY_MATERIAL"},
            "Rotations",
            8,
            lambda item: item["KeyMaterialId"],
        ),
    }


NAMES = list(lists([""]))


def pages(kms, method, parameters, limit):
    marker, answers = {}, []
    while True:
        page = getattr(kms, method)(Limit=limit, **parameters, **marker)
        answers.append(page)
        assert page["Truncated"] == ("NextMarker" in page)
        if not page["Truncated"]:
            return answers
        marker = {"Marker": page["NextMarker"]}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 50])
def test_pages_hold_everything_once_in_order(shelf, name, limit):
    kms, keys = shelf
    method, parameters, member, count, identity = lists(keys)[name]
    whole = [identity(item) for item in getattr(kms, method)(**parameters)[member]]
    assert len(whole) == len(set(whole)) == count
    answers = pages(kms, method, parameters, limit)
    assert [identity(item) for page in answers for item in page[member]] == whole
    assert len(answers) == -(-count // limit)
    assert all(len(page[member]) <= limit for page in answers)


@pytest.mark.parametrize("name", ["keys", "aliases", "tags", "rotations"])
def test_botocores_paginators_work(shelf, name):
    kms, keys = shelf
    method, parameters, member, count, _ = lists(keys)[name]
    found = kms.get_paginator(method).paginate(**parameters, PaginationConfig={"PageSize": 2}).build_full_result()
    assert len(found[member]) == count


def test_keys_and_aliases_are_sorted_and_stable(shelf):
    kms, keys = shelf
    assert [key["KeyId"] for key in kms.list_keys()["Keys"]] == sorted(keys)
    assert [alias["AliasName"] for alias in kms.list_aliases()["Aliases"]] == [f"alias/a-{number}" for number in range(7)]


def test_entries(shelf):
    kms, keys = shelf
    for key in kms.list_keys()["Keys"]:
        assert kms.describe_key(KeyId=key["KeyArn"])["KeyMetadata"]["KeyId"] == key["KeyId"]
    account = kms.describe_key(KeyId=keys[0])["KeyMetadata"]["AWSAccountId"]
    for alias in kms.list_aliases()["Aliases"]:
        assert alias["AliasArn"] == f"arn:aws:kms:us-east-1:{account}:{alias['AliasName']}"
        assert alias["TargetKeyId"] == keys[0]
        assert alias["CreationDate"] and alias["LastUpdatedDate"]


def test_aliases_of_a_key_by_id_and_arn(shelf):
    kms, keys = shelf
    assert kms.list_aliases(KeyId=keys[1])["Aliases"] == []
    arn = kms.describe_key(KeyId=keys[0])["KeyMetadata"]["Arn"]
    assert kms.list_aliases(KeyId=arn)["Aliases"] == kms.list_aliases(KeyId=keys[0])["Aliases"]


def test_aliases_of_an_alias_are_no_list(shelf):
    kms, _ = shelf
    with refused_as_no_key_id():
        kms.list_aliases(KeyId="alias/a-0")


def test_markers_are_opaque(shelf):
    kms, keys = shelf
    for name in NAMES:
        method, parameters, member, _, _ = lists(keys)[name]
        page = getattr(kms, method)(Limit=1, **parameters)
        marker = page["NextMarker"]
        forms = [marker.encode()]
        letters = re.sub("[^A-Za-z0-9+/]", "", marker.translate(str.maketrans("-_", "+/")))
        forms.append(base64.b64decode(letters[: len(letters) // 4 * 4]))
        for form in forms:
            for secret in (keys[0].encode(), bytes.fromhex(keys[0].replace("-", "")), b"alias/", b"t-0", b"keys"):
                assert secret not in form, f"{name}: the marker shows {secret}"


@pytest.mark.parametrize("name", NAMES)
def test_markers_that_nobody_gave_out(shelf, name):
    kms, keys = shelf
    method, parameters, _, _, _ = lists(keys)[name]
    marker = getattr(kms, method)(Limit=2, **parameters)["NextMarker"]
    tampered = [marker[:i] + ("A" if marker[i] != "A" else "B") + marker[i + 1 :] for i in {0, 1, len(marker) // 2, len(marker) - 2}]
    for wrong in ["garbage", " ", "ÿ", "AAAA", marker[:-4], marker + "AAAA", marker.swapcase(), *tampered]:
        with refused("InvalidMarkerException"):
            getattr(kms, method)(Marker=wrong, **parameters)


def test_markers_of_one_list_do_not_continue_another(server, shelf):
    kms, keys = shelf
    markers = {}
    for name, (method, parameters, *_) in lists(keys).items():
        markers[name] = getattr(kms, method)(Limit=2, **parameters)["NextMarker"]
    for name, (method, parameters, *_) in lists(keys).items():
        for other, marker in markers.items():
            if {name, other} in ({"rotations", "materials"}, {"aliases", "aliases of a key"}):
                continue
            if name != other:
                with refused("InvalidMarkerException"):
                    getattr(kms, method)(Marker=marker, **parameters)
    # Nor the same list of somebody else, or of another Region.
    other_account = server.kms(server.create_account())
    other_region = server.kms(region="eu-west-1")
    for client in (other_account, other_region):
        with refused("InvalidMarkerException"):
            client.list_keys(Marker=markers["keys"])
        with refused("InvalidMarkerException"):
            client.list_aliases(Marker=markers["aliases"])
    with refused("InvalidMarkerException"):
        kms.list_resource_tags(KeyId=keys[1], Marker=markers["tags"])
    with refused("InvalidMarkerException"):
        kms.list_key_rotations(KeyId=keys[1], Marker=markers["rotations"])


@pytest.mark.parametrize("name", NAMES)
def test_limits_of_the_limit(server, shelf, name):
    kms, keys = shelf
    method, parameters, *_ = lists(keys)[name]
    for wrong, rule in ((0, "greater than or equal to 1"), (-1, "greater than or equal to 1"), (1001, "less than or equal to 1000")):
        client = server.kms(parameter_validation=False)
        with refused("ValidationException", constraint("limit", f"Member must have value {rule}")):
            getattr(client, method)(Limit=wrong, **parameters)


def test_limits_of_the_marker(unchecked):
    with refused("ValidationException", constraint("marker", "Member must have length greater than or equal to 1")):
        unchecked.list_keys(Marker="")
    with refused("ValidationException", constraint("marker", "Member must have length less than or equal to 1024")):
        unchecked.list_keys(Marker="m" * 1025)


def test_default_and_greatest_pages(server, tenant):
    """ListAliases gives 50 by default and 100 at most, ListResourceTags 50, ListKeys 100 and 1000."""
    kms = server.kms(tenant)
    keys = [kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(101)]
    for number, key in enumerate(keys):
        kms.create_alias(AliasName=f"alias/{number:03}", TargetKeyId=key)
    assert len(kms.list_keys()["Keys"]) == 100
    assert len(kms.list_keys(Limit=1000)["Keys"]) == 101
    assert len(kms.list_aliases()["Aliases"]) == 50
    assert len(kms.list_aliases(Limit=1000)["Aliases"]) == 100
    assert len(pages(kms, "list_keys", {}, 10)) == 11


def test_a_list_that_changes_between_pages(server, tenant):
    kms = server.kms(tenant)
    keys = sorted(kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(6))
    first = kms.list_keys(Limit=3)
    seen = [key["KeyId"] for key in first["Keys"]]
    added = [kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(5)]
    rest = [key["KeyId"] for key in kms.list_keys(Marker=first["NextMarker"])["Keys"]]
    assert seen == keys[:3]
    assert not set(seen) & set(rest)
    assert set(keys) <= set(seen + rest)
    assert set(seen + rest) - set(keys) <= set(added)


def test_list_key_policies(kms, key_id):
    answer = kms.list_key_policies(KeyId=key_id)
    assert (answer["PolicyNames"], answer["Truncated"]) == (["default"], False)
    with refused("InvalidMarkerException"):
        kms.list_key_policies(KeyId=key_id, Marker="garbage")
    with refused("NotFoundException"):
        kms.list_key_policies(KeyId="00000000-0000-4000-8000-000000000000")


def test_empty_lists(server, tenant):
    kms = server.kms(tenant)
    assert kms.list_keys()["Keys"] == []
    assert kms.list_aliases()["Aliases"] == []
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    assert kms.list_resource_tags(KeyId=key)["Tags"] == []
    assert kms.list_key_rotations(KeyId=key)["Rotations"] == []
