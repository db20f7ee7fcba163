"""What is kept of a database, and what its successor is made from: each parameter where RDS takes it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relight import estimate
from relight.ledger import DatabaseProperties
from relight.shape import (
    by_hand,
    creation,
    grown,
    lacking,
    like_its_source,
    properties,
    restoration,
    same_life,
    shape_of,
)

from tests.unit.conftest import Clients
from tests.unit.instances import ACTIVE, ACTIVE_ARN, AS_THE_TEMPLATE_HAS_IT, KEPT, OLD
from tests.unit.standby import HERE, HOME

SOURCE: dict[str, Any] = AS_THE_TEMPLATE_HAS_IT | {
    "DBInstanceIdentifier": ACTIVE,
    "DBInstanceArn": ACTIVE_ARN,
    "AllocatedStorage": 30,
    "KmsKeyId": f"arn:aws:kms:{HERE}:123456789012:key/2",
    "DBSubnetGroup": {"DBSubnetGroupName": "of-dr"},
}
SHAPE = shape_of(AS_THE_TEMPLATE_HAS_IT)


def test_a_shape_is_json_and_knows_nothing_that_is_cloudformations_own() -> None:
    assert json.loads(json.dumps(SHAPE)) == SHAPE
    assert SHAPE["Tags"] == [{"Key": "team", "Value": "shop"}]
    assert "OptionGroupName" not in SHAPE, "RDS's own"
    assert SHAPE["DBParameterGroupName"] == "shop-settings"
    assert (SHAPE["DBSubnetGroupName"], SHAPE["VpcSecurityGroupIds"], SHAPE["Port"]) == ("shop-subnets", ["sg-1"], 5432)


def test_creation_is_told_all_that_it_takes_and_nothing_else(clients: Clients) -> None:
    wanted = creation(SHAPE, OLD, SOURCE, HERE)
    assert wanted == {
        "DBInstanceIdentifier": OLD,
        "SourceDBInstanceIdentifier": ACTIVE_ARN,
        "SourceRegion": HERE,
        "DBInstanceClass": "db.t4g.small",
        "MaxAllocatedStorage": 100,
        "StorageType": "gp3",
        "KmsKeyId": f"arn:aws:kms:{HOME}:123456789012:key/1",
        "MultiAZ": True,
        "PubliclyAccessible": False,
        "AutoMinorVersionUpgrade": True,
        "EnableIAMDatabaseAuthentication": True,
        "EnableCloudwatchLogsExports": ["postgresql"],
        "EnablePerformanceInsights": True,
        "PerformanceInsightsRetentionPeriod": 7,
        "PerformanceInsightsKMSKeyId": f"arn:aws:kms:{HOME}:123456789012:key/1",
        "DeletionProtection": True,
        "CopyTagsToSnapshot": True,
        "NetworkType": "IPV4",
        "DBSubnetGroupName": "shop-subnets",
        "VpcSecurityGroupIds": ["sg-1"],
        "Port": 5432,
        "Tags": [{"Key": "team", "Value": "shop"}],
    }
    model = clients("rds", HOME).meta.service_model
    assert wanted.keys() <= model.operation_model("CreateDBInstanceReadReplica").input_shape.members.keys()
    restored = restoration(SHAPE, KEPT, KEPT)
    assert restored.keys() <= model.operation_model("RestoreDBInstanceFromDBSnapshot").input_shape.members.keys()
    assert (restored["MultiAZ"], restored["DeletionProtection"]) == (False, True)
    assert restored["DBParameterGroupName"] == "shop-settings"


def test_what_creation_does_not_take_is_modified_and_backups_are_left_to_the_promotion(clients: Clients) -> None:
    now = shape_of(
        AS_THE_TEMPLATE_HAS_IT
        | {
            "DbiResourceId": "db-NEW",
            "BackupRetentionPeriod": 0,
            "PreferredBackupWindow": "22:00-22:30",
            "PreferredMaintenanceWindow": "sun:03:00-sun:03:30",
            "DatabaseInsightsMode": "advanced",
            "DBParameterGroups": [{"DBParameterGroupName": "default.postgres18", "ParameterApplyStatus": "in-sync"}],
        }
    )
    told = lacking(SHAPE, now)
    assert told == {
        "PreferredBackupWindow": "01:00-01:30",
        "PreferredMaintenanceWindow": "thu:02:00-thu:02:30",
        "DatabaseInsightsMode": "standard",
        "DBParameterGroupName": "shop-settings",
    }
    taken = clients("rds", HOME).meta.service_model.operation_model("ModifyDBInstance").input_shape.members
    assert told.keys() <= taken.keys()
    assert lacking(SHAPE, {**now, **told}) == {}
    assert properties(SHAPE) == DatabaseProperties(multi_az=True, backup_retention_days=14, deletion_protection=True)


def test_one_window_is_never_moved_without_the_other() -> None:
    now = SHAPE | {"PreferredBackupWindow": "02:00-02:30"}
    assert lacking(SHAPE, now).keys() == {"PreferredBackupWindow", "PreferredMaintenanceWindow"}


@pytest.mark.parametrize(
    ("otherwise", "told"),
    [
        ({"MultiAZ": False}, {"MultiAZ": True}),
        ({"DeletionProtection": False}, {"DeletionProtection": True}),
        ({"DBParameterGroupName": "another"}, {"DBParameterGroupName": "shop-settings"}),
        ({"MaxAllocatedStorage": 50}, {"MaxAllocatedStorage": 100}),
        ({"VpcSecurityGroupIds": ["sg-2"]}, {"VpcSecurityGroupIds": ["sg-1"]}),
        (
            {"EnableCloudwatchLogsExports": ["upgrade"]},
            {"CloudwatchLogsExportConfiguration": {"EnableLogTypes": ["postgresql"], "DisableLogTypes": ["upgrade"]}},
        ),
        (
            {"EnablePerformanceInsights": False},
            {
                "EnablePerformanceInsights": True,
                "PerformanceInsightsRetentionPeriod": 7,
                "PerformanceInsightsKMSKeyId": f"arn:aws:kms:{HOME}:123456789012:key/1",
            },
        ),
        ({"DBInstanceClass": "db.t4g.large"}, {}),  # an outage; creation has given it
        ({"BackupRetentionPeriod": 0}, {}),  # with the promotion
    ],
)
def test_a_replica_that_came_out_otherwise_is_mended(otherwise: dict[str, Any], told: dict[str, Any]) -> None:
    assert lacking(SHAPE, SHAPE | otherwise) == told


def test_what_rds_does_not_tell_is_not_known_to_be_missing() -> None:
    now = {
        key: value for key, value in SHAPE.items() if key not in {"DatabaseInsightsMode", "EnablePerformanceInsights"}
    }
    assert lacking(SHAPE, now) == {}


def test_a_group_of_rds_own_is_not_asked_for() -> None:
    own = {key: value for key, value in SHAPE.items() if key != "DBParameterGroupName"}
    assert lacking(own, own) == lacking(own, SHAPE) == {}


def test_enhanced_monitoring_is_left_to_who_may_pass_its_role_on() -> None:
    role = "arn:aws:iam::123456789012:role/watch"
    watched = SHAPE | {"MonitoringInterval": 60, "MonitoringRoleArn": role}
    assert creation(watched, OLD, SOURCE, HERE) == creation(SHAPE, OLD, SOURCE, HERE)
    assert lacking(watched, SHAPE) == {}
    (said,) = by_hand(watched, SHAPE).items()
    assert said[0] == "MonitoringInterval"
    assert said[1].endswith(f"modify it yourself, with --monitoring-interval 60 --monitoring-role-arn {role}")
    assert by_hand(watched, watched) == by_hand(SHAPE, SHAPE) == by_hand(SHAPE, watched) == {}


def test_a_limit_that_the_one_before_did_not_have_is_taken_off() -> None:
    without = {key: value for key, value in SHAPE.items() if key != "MaxAllocatedStorage"}
    assert lacking(without, SHAPE) == {"MaxAllocatedStorage": 20}
    assert "MaxAllocatedStorage" not in creation(without, OLD, SOURCE, HERE)


@given(had=st.integers(20, 1000), source=st.integers(20, 1000), limit=st.none() | st.integers(20, 2000))
def test_a_replica_has_room_for_its_source_and_a_limit_above_its_disk(had: int, source: int, limit: int | None) -> None:
    shape = {**SHAPE, "AllocatedStorage": had, "MaxAllocatedStorage": limit}
    wanted = creation(
        {k: v for k, v in shape.items() if v is not None}, OLD, SOURCE | {"AllocatedStorage": source}, HERE
    )
    gib = wanted.get("AllocatedStorage", source)
    assert gib == max(had, source)
    assert wanted.get("MaxAllocatedStorage", gib + 1) > gib
    assert ("Iops" in wanted) == (gib >= 400), "gp3 below that has a fixed rate"


def test_an_unencrypted_source_has_no_encrypted_replica() -> None:
    assert "KmsKeyId" not in creation(SHAPE, OLD, SOURCE | {"StorageEncrypted": False}, HERE)


def test_of_one_that_nobody_has_seen_what_belongs_to_a_region_comes_from_the_settings() -> None:
    given = {
        "DBSubnetGroupName": "here",
        "VpcSecurityGroupIds": ["sg-9"],
        "KmsKeyId": "key-9",
        "DBParameterGroupName": None,
    }
    shape = like_its_source(SOURCE, given)
    wanted = creation(shape, OLD, SOURCE, HERE)
    assert (wanted["DBSubnetGroupName"], wanted["VpcSecurityGroupIds"], wanted["KmsKeyId"]) == (
        "here",
        ["sg-9"],
        "key-9",
    )
    assert "DBParameterGroupName" not in wanted
    assert "PerformanceInsightsKMSKeyId" not in wanted
    assert (wanted["DBInstanceClass"], wanted["DeletionProtection"]) == ("db.t4g.small", True)
    assert not {"PreferredBackupWindow", "Replicates", "DbiResourceId"} & shape.keys()


def test_a_life_is_known_by_its_resource_id_whatever_it_is_called() -> None:
    assert same_life(SHAPE, shape_of(AS_THE_TEMPLATE_HAS_IT | {"DBInstanceIdentifier": KEPT}))
    assert not same_life(SHAPE, SHAPE | {"DbiResourceId": "db-NEW"})
    assert not same_life({}, {})


@pytest.mark.parametrize(("gib", "more"), [(20, 25), (30, 36), (100, 120), (1000, 1200)])
def test_a_full_disk_gets_a_fifth_and_5_gib_at_least(gib: int, more: int) -> None:
    told = grown({"AllocatedStorage": gib, "StorageType": "gp3", "Iops": 12000})
    assert told["AllocatedStorage"] == more
    assert ("Iops" in told) == (more >= 400)


@pytest.mark.parametrize(
    ("elapsed", "gib", "percent", "said"),
    [
        (600, 100, None, "10 min so far, about 1 h 50 min more (100 GiB, assumed at 1 GiB a minute)"),
        (21600, 100, None, "6 h so far, longer than 100 GiB were assumed to take (1 GiB a minute)"),
        (600, 100, 25, "10 min so far, 25 % done, so about 30 min more"),
        (600, 100, 0, "10 min so far, about 1 h 50 min more (100 GiB, assumed at 1 GiB a minute)"),
    ],
)
def test_an_estimate_says_what_it_rests_on(elapsed: float, gib: float, percent: float | None, said: str) -> None:
    assert estimate.told(elapsed, gib, percent) == said


@given(elapsed=st.floats(0, 1e6), gib=st.floats(0, 65536), percent=st.none() | st.integers(0, 100))
def test_nothing_negative_is_ever_left(elapsed: float, gib: float, percent: int | None) -> None:
    left = estimate.remaining(elapsed, gib, percent)
    assert left is None or left >= 0
