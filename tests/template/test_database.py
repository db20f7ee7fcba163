"""The database of both Regions, as the evaluated templates describe it."""

import re
from collections.abc import Mapping
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from lab.resources.registry import KINDS, NESTED_STACK
from lab.stack_policy import Change, StackPolicy
from tests.template.reading import ROOT, written
from tests.template.region import ACCOUNT, REGIONS, given, keys, region

INSTANCE = {"primary": "Database/Primary", "dr": "Database/Replica"}
PEER = {"primary": "dr", "dr": "primary"}
WEEK = timedelta(days=7)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def instance(role: str, **parameters: str) -> Mapping[str, Any]:
    return region(role, **parameters)[INSTANCE[role]]


@pytest.mark.parametrize("role", REGIONS)
def test_the_instance_is_encrypted_closed_and_hard_to_lose(role: str) -> None:
    found = instance(role)
    assert found["KmsKeyId"] == found["PerformanceInsightsKMSKeyId"] == given(role)["DataKeyArn"]
    assert found["KmsKeyId"].split(":")[3] == REGIONS[role]
    assert (found["PubliclyAccessible"], found["DeletionProtection"]) == (False, True)
    assert (found["EnableIAMDatabaseAuthentication"], found["CopyTagsToSnapshot"]) == (True, True)
    whole = region(role).resources[INSTANCE[role]].whole
    assert (whole["DeletionPolicy"], whole["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_the_primary_is_backed_up_and_the_replica_only_once_it_is_promoted() -> None:
    assert instance("primary", BackupRetentionDays="9")["BackupRetentionPeriod"] in {"9", 9}
    assert instance("primary")["StorageEncrypted"] is True
    assert "BackupRetentionPeriod" not in instance("dr")
    promote = region("dr", BackupRetentionDays="9")["Failover/Promote"]
    assert promote["Environment"]["Variables"]["BACKUP_RETENTION_DAYS"] == "9"


def test_both_regions_force_tls_and_have_the_same_parameters() -> None:
    primary, dr = (region(role)["Database/Settings"] for role in REGIONS)
    assert primary["Parameters"] == dr["Parameters"]
    assert (primary["Family"], primary["Parameters"]["rds.force_ssl"]) == ("postgres18", "1")
    assert int(primary["Parameters"]["max_slot_wal_keep_size"]) > 0


def test_the_source_is_the_primary_by_its_name() -> None:
    """The name survives a failback; so the template stays true."""
    assert instance("dr")["SourceDBInstanceIdentifier"] == given("dr")["SourceDatabaseArn"]
    assert region("primary").outputs["DatabaseArn"] == given("dr")["SourceDatabaseArn"]
    source = written("database").resources["Replica"]["Properties"]["SourceDBInstanceIdentifier"]
    assert source == {"Ref": "SourceDatabaseArn"}, "a condition could take it away, and promote the replica"


def test_multi_az_by_parameter() -> None:
    for role in REGIONS:
        assert [instance(role, MultiAz=value)["MultiAZ"] for value in ("true", "false")] == ["true", "false"]


def test_the_disk_grows_up_to_a_limit_or_not_at_all() -> None:
    for role in REGIONS:
        assert str(instance(role, DatabaseMaxStorage="200")["MaxAllocatedStorage"]) == "200"
        assert "MaxAllocatedStorage" not in instance(role, DatabaseMaxStorage="0")
        assert instance(role, DatabaseStorage="40")["AllocatedStorage"] == "40"
    parameters = written().body["Parameters"]
    assert parameters["DatabaseMaxStorage"]["Default"] >= 1.26 * parameters["DatabaseStorage"]["Default"]


def test_backups_are_replicated_by_parameter_with_the_key_of_the_other_region() -> None:
    found = instance("primary", BackupReplication="true", BackupRetentionDays="9")
    assert found["AutomaticBackupReplicationRegion"] == REGIONS["dr"]
    assert found["AutomaticBackupReplicationKmsKeyId"] == given("primary")["PeerDataKeyArn"]
    assert str(found["AutomaticBackupReplicationRetentionPeriod"]) == "9"
    for without in (instance("primary"), instance("dr", BackupReplication="true")):
        assert not [name for name in without if name.startswith("AutomaticBackupReplication")]


def test_the_secret_is_generated_in_the_primary_and_replicated_with_a_key_of_each_region() -> None:
    secret = region("primary")["Database/Secret"]
    assert secret["KmsKeyId"] == given("primary")["DataKeyArn"]
    assert secret["ReplicaRegions"] == [{"Region": REGIONS["dr"], "KmsKeyId": given("primary")["PeerDataKeyArn"]}]
    assert secret["GenerateSecretString"]["PasswordLength"] >= 32
    assert "Database/Secret" not in region("dr").resources


def test_what_the_database_logs_is_kept_for_a_time() -> None:
    for role in REGIONS:
        found, log = instance(role), region(role)["Database/Log"]
        exported = [
            f"/aws/rds/instance/{found['DBInstanceIdentifier']}/{kind}" for kind in found["EnableCloudwatchLogsExports"]
        ]
        assert exported == [log["LogGroupName"]]
        assert log["RetentionInDays"] > 0
        assert region(role).resources[INSTANCE[role]].whole["DependsOn"] == "Log"


def test_the_user_of_dbcheck_survives_a_rebuilt_instance() -> None:
    for role, name in REGIONS.items():
        allowed = str([each.properties for each in region(role).resources.values() if each.type == "AWS::IAM::Role"])
        (user,) = set(re.findall(r"arn:aws:rds-db:[^'\"]+", allowed))
        assert user == f"arn:aws:rds-db:{name}:{ACCOUNT}:dbuser:*/relight_check"


def spans(window: str) -> list[tuple[timedelta, timedelta]]:
    """When in a week a window of RDS is open: `thu:02:00-thu:02:30`, or each day `01:00-01:30`."""
    begin, end = window.split("-")
    if begin.count(":") == 1:
        return [span for day in DAYS for span in spans(f"{day}:{begin}-{day}:{end}")]
    at = []
    for moment in (begin, end):
        day, hour, minute = moment.split(":")
        at.append(timedelta(days=DAYS.index(day), hours=int(hour), minutes=int(minute)))
    return [(at[0], at[1])]


def test_no_two_windows_are_open_at_once_and_dr_is_upgraded_first() -> None:
    found = {
        (role, what): spans(instance(role)[f"Preferred{what}Window"])
        for role in REGIONS
        for what in ("Backup", "Maintenance")
    }
    every = sorted(span for windows in found.values() for span in windows)
    assert all(end - begin >= timedelta(minutes=30) for begin, end in every)
    assert all(first[1] <= second[0] for first, second in pairwise(every))
    ((dr, _),), ((primary, _),) = found["dr", "Maintenance"], found["primary", "Maintenance"]
    assert timedelta(days=1) <= primary - dr <= WEEK / 2
    assert all(instance(role)["AutoMinorVersionUpgrade"] for role in REGIONS)


# The stack policy, which `relight deploy` sets on every stack and on those nested in it.

POLICY = StackPolicy.parse((ROOT / "stacks/policy.json").read_text(encoding="utf-8"))
DISPOSABLE = {"AWS::Logs::LogGroup", "AWS::SQS::Queue"}
"""Hold data that nobody needs to go on. So does the bucket `Logs`, which comes and goes with AccessLogs."""


@pytest.mark.parametrize("role", REGIONS)
def test_the_stack_policy_denies_to_replace_or_delete_data(role: str) -> None:
    held = [
        (path.rpartition("/")[2], each.type)
        for path, each in {**region(role, AccessLogs="true").resources, **keys(role).resources}.items()
        if each.whole.get("DeletionPolicy") == "Retain" or (each.type in KINDS and KINDS[each.type].holds_data)
    ]
    wanted = [(name, kind) for name, kind in held if name != "Logs" and kind not in DISPOSABLE]
    assert {"AWS::RDS::DBInstance", "AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::KMS::Key"} <= {
        t for _, t in wanted
    }
    wanted += [("Group", "AWS::AutoScaling::AutoScalingGroup"), ("DatabaseAcl", "AWS::EC2::NetworkAcl")]
    wanted += [("Database", NESTED_STACK)]
    allowed = [
        (name, change)
        for name, kind in wanted
        for change in (Change.REPLACE, Change.DELETE)
        if POLICY.refusal(change, name, kind) is None
    ]
    assert allowed == []


@pytest.mark.parametrize("role", REGIONS)
def test_the_stack_policy_allows_what_replaces_nothing(role: str) -> None:
    for path, each in region(role).resources.items():
        assert POLICY.refusal(Change.MODIFY, path.rpartition("/")[2], each.type) is None
    assert POLICY.refusal(Change.DELETE, "Logs", "AWS::S3::Bucket") is None
    assert POLICY.refusal(Change.REPLACE, "Probe", "AWS::Lambda::Function") is None
