"""TagResource, UntagResource, ListResourceTags."""

import pytest

from harness import alias_name, constraint, refused, refused_as_no_key_id

MISSING = "00000000-0000-4000-8000-000000000000"


def tags(kms, key_id):
    return {tag["TagKey"]: tag["TagValue"] for tag in kms.list_resource_tags(KeyId=key_id)["Tags"]}


def as_list(pairs):
    return [{"TagKey": name, "TagValue": value} for name, value in pairs.items()]


def test_tags_are_added_replaced_and_removed(kms, key_id, arn):
    kms.tag_resource(KeyId=key_id, Tags=as_list({"a": "1", "b": "2"}))
    kms.tag_resource(KeyId=arn, Tags=as_list({"b": "3", "c": ""}))
    assert tags(kms, key_id) == {"a": "1", "b": "3", "c": ""}
    kms.untag_resource(KeyId=key_id, TagKeys=["a", "not there"])
    assert tags(kms, arn) == {"b": "3", "c": ""}
    kms.untag_resource(KeyId=key_id, TagKeys=["b", "c"])
    assert tags(kms, key_id) == {}


def test_names_that_differ_in_case_alone_are_refused(kms, key_id):
    """AWS KMS would take them; conditions, which ignore the case, could not tell which of the two is meant."""
    duplicate = "Duplicate tag keys found. Please note that Tag keys are case insensitive."
    with refused("TagException", duplicate):
        kms.tag_resource(KeyId=key_id, Tags=as_list({"Name": "1", "name": "2"}))
    kms.tag_resource(KeyId=key_id, Tags=as_list({"Name": "1"}))
    with refused("TagException", duplicate):
        kms.tag_resource(KeyId=key_id, Tags=as_list({"name": "2"}))
    with refused("TagException", duplicate):
        kms.create_key(Tags=as_list({"Team": "1", "TEAM": "2"}))
    assert tags(kms, key_id) == {"Name": "1"}
    # To take a tag away its name has to be spelled as it is.
    kms.untag_resource(KeyId=key_id, TagKeys=["name"])
    assert tags(kms, key_id) == {"Name": "1"}


def test_names_are_any_text(kms, key_id):
    pairs = {"Name": "1", "names": "2", "ключ": "значение", "a b+c=d._:/@-": "x"}
    kms.tag_resource(KeyId=key_id, Tags=as_list(pairs))
    assert tags(kms, key_id) == pairs


def test_no_more_than_fifty(kms, key_id):
    kms.tag_resource(KeyId=key_id, Tags=as_list({f"k{number}": "v" for number in range(50)}))
    with refused("TagException", "Too many tags"):
        kms.tag_resource(KeyId=key_id, Tags=as_list({"one more": ""}))
    # Replacing adds none.
    kms.tag_resource(KeyId=key_id, Tags=as_list({"k0": "new"}))
    assert len(tags(kms, key_id)) == 50


@pytest.mark.parametrize("name", ["aws:x", "AWS:x", "Aws:"])
def test_reserved_names(kms, key_id, name):
    with refused("TagException", "Tags beginning with aws: are reserved"):
        kms.tag_resource(KeyId=key_id, Tags=as_list({name: "v", "fine": "v"}))
    assert tags(kms, key_id) == {}


def test_duplicates(kms, key_id):
    with refused("TagException", "Duplicate tag keys"):
        kms.tag_resource(KeyId=key_id, Tags=as_list({"k": "1"}) * 2)


@pytest.mark.parametrize(
    ("tag", "field", "rule"),
    [
        ({"TagKey": "", "TagValue": "v"}, "tags.1.member.tagKey", "Member must have length greater than or equal to 1"),
        ({"TagKey": "k" * 129, "TagValue": "v"}, "tags.1.member.tagKey", "Member must have length less than or equal to 128"),
        ({"TagKey": "k", "TagValue": "v" * 257}, "tags.1.member.tagValue", "Member must have length less than or equal to 256"),
        ({"TagKey": "k"}, "tags.1.member.tagValue", "Member must not be null"),
        ({"TagValue": "v"}, "tags.1.member.tagKey", "Member must not be null"),
    ],
)
def test_limits_of_the_model(unchecked, key_id, tag, field, rule):
    with refused("ValidationException", constraint(field, rule)):
        unchecked.tag_resource(KeyId=key_id, Tags=[tag])


def test_required_members(unchecked, key_id):
    with refused("ValidationException", constraint("tags", "Member must not be null")):
        unchecked.tag_resource(KeyId=key_id)
    with refused("ValidationException", constraint("tagKeys", "Member must not be null")):
        unchecked.untag_resource(KeyId=key_id)


def test_missing_keys(kms):
    for call in (
        lambda: kms.tag_resource(KeyId=MISSING, Tags=as_list({"k": "v"})),
        lambda: kms.untag_resource(KeyId=MISSING, TagKeys=["k"]),
        lambda: kms.list_resource_tags(KeyId=MISSING),
    ):
        with refused("NotFoundException", f"Key 'arn:aws:kms:us-east-1:123456789012:key/{MISSING}' does not exist"):
            call()


def test_not_while_the_key_waits_for_deletion(kms, key_id, arn):
    kms.tag_resource(KeyId=key_id, Tags=as_list({"k": "v"}))
    kms.schedule_key_deletion(KeyId=key_id)
    with refused("KMSInvalidStateException", f"{arn} is pending deletion."):
        kms.tag_resource(KeyId=key_id, Tags=as_list({"other": "v"}))
    with refused("KMSInvalidStateException", f"{arn} is pending deletion."):
        kms.untag_resource(KeyId=key_id, TagKeys=["k"])
    assert tags(kms, key_id) == {"k": "v"}


def test_not_by_alias(kms, key_id):
    name = alias_name()
    kms.create_alias(AliasName=name, TargetKeyId=key_id)
    for call in (
        lambda: kms.tag_resource(KeyId=name, Tags=as_list({"k": "v"})),
        lambda: kms.untag_resource(KeyId=name, TagKeys=["k"]),
        lambda: kms.list_resource_tags(KeyId=name),
    ):
        with refused_as_no_key_id():
            call()
    assert tags(kms, key_id) == {}
