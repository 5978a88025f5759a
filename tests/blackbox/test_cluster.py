"""What a node says of the cluster that it is in, and what owners say of keys in an outage. Clusters of several nodes: tests/cluster."""

import json

import pytest


def test_status_of_a_cluster_of_one(server):
    status = server.admin("cluster", "status")
    assert status["Shared"] is False and status["Store"].startswith("SQLite 3.")
    assert (status["LeaseMilliseconds"], status["Effective"], status["Replicas"]) == (1000, "immediately", [])
    assert "BackgroundWork" not in status, "nobody has to agree with anybody"
    (node,) = status["Nodes"]
    assert (node["Name"], node["State"], node["RootVersion"]) == (status["AnsweredBy"], "serving", 1)
    assert node["LogSize"] > 0 and abs(node["ClockAheadMilliseconds"]) < 1000 and node["LeaseAgeMilliseconds"] < 1000
    for_people = server.run("cluster", "status").stdout
    assert "serving" in for_people and "SQLite" in for_people


def test_only_the_administrator_sees_the_cluster(server):
    tenant = server.create_account()
    environment = {
        "CLAVIGER_ADMIN_ACCESS_KEY_ID": tenant.credentials.access_key,
        "CLAVIGER_ADMIN_SECRET_ACCESS_KEY": tenant.credentials.secret,
    }
    answer = server.run("cluster", "status", check=False, environment=environment)
    assert answer.returncode != 0 and "not authorized to perform: claviger:GetClusterStatus" in answer.stderr


@pytest.mark.parametrize("availability", ["strict", "grace 90s", "grace 10m", "account"])
def test_a_key_has_the_availability_that_its_owner_chose(server, availability):
    root = server.create_account()
    kms = server.kms(root)
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    own = {"AWS_ACCESS_KEY_ID": root.credentials.access_key, "AWS_SECRET_ACCESS_KEY": root.credentials.secret}
    answer = json.loads(server.run("key", "set-availability", key, availability, "--json", environment=own).stdout)
    assert answer == {"Availability": availability}
    ciphertext = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=ciphertext)["Plaintext"] == b"x"


@pytest.mark.parametrize("wrong", ["grace", "grace 10", "grace 25h", "always", ""])
def test_what_is_no_availability_is_refused_with_an_example(server, wrong):
    answer = server.run("account", "set-availability", wrong, check=False)
    assert answer.returncode != 0 and "grace 10m" in answer.stderr


def test_an_account_has_the_availability_that_was_chosen_for_it(server):
    root = server.create_account()
    assert server.admin("account", "set-availability", "grace 1h", "--account", root.account) == {"Availability": "grace 1h"}
    own = {
        "CLAVIGER_ADMIN_ACCESS_KEY_ID": root.credentials.access_key,
        "CLAVIGER_ADMIN_SECRET_ACCESS_KEY": root.credentials.secret,
    }
    answer = server.run("account", "set-availability", "strict", "--json", environment=own)
    assert json.loads(answer.stdout) == {"Availability": "strict"}
    other = server.create_account()
    answer = server.run("account", "set-availability", "strict", "--account", other.account, check=False, environment=own)
    assert answer.returncode != 0 and "not authorized to perform: claviger:SetAccountAvailability" in answer.stderr
