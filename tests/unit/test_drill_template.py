"""A drill's instances start as the standby's own do, and write elsewhere."""

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from relight.drill_template import Apart, environment, template_data, variables, with_environment

from lab.instance import environment_of

COMPUTE = Path(__file__).parents[2] / "stacks" / "compute.yaml"
CHANGES = variables("copy.example", 5433, "shop-drill", "eu-west-1")
TAGS = [{"Key": "relight:drill", "Value": "run-1"}]
APART = Apart("sg-drill", "arn:aws:iam::1:instance-profile/drill", TAGS)


@pytest.fixture(scope="module")
def user_data() -> str:
    """As stacks/compute.yaml has it, each parameter by its name."""
    found = re.search(r"Fn::Base64: !Sub \|\n(.*?)\n  Group:", COMPUTE.read_text(), re.DOTALL)
    assert found is not None
    return textwrap.dedent(found[1]).replace("${", "<").replace("}", ">") + "\n"


def test_only_where_it_writes_is_another_place(user_data: str) -> None:
    changed = with_environment(user_data, CHANGES)
    assert changed is not None
    before, after = environment_of(user_data), environment_of(changed)
    assert {name: value for name, value in after.items() if before.get(name) != value} == {
        "DATABASE_HOST": "copy.example",
        "DATABASE_PORT": "5433",
        "DATA_BUCKET": "shop-drill",
        "HOME_REGION": "eu-west-1",
        "RELIGHT_LEASE_TERM_SECONDS": "0",
        "RELIGHT_DRILL": "1",
    }
    assert before.keys() <= after.keys()
    outside = [line for line in user_data.splitlines() if line not in changed.splitlines()]
    assert [line.partition("=")[0] for line in outside] == [
        "HOME_REGION",
        "DATABASE_HOST",
        "DATABASE_PORT",
        "DATA_BUCKET",
        "RELIGHT_LEASE_TERM_SECONDS",
    ]


def test_the_release_comes_from_the_regions_own_bucket(user_data: str) -> None:
    changed = with_environment(user_data, CHANGES) or ""
    assert "\nBUCKET=<BucketName>\n" in changed
    assert changed.count("shop-drill") == 1


def test_once_more_changes_nothing(user_data: str) -> None:
    once = with_environment(user_data, CHANGES) or ""
    assert with_environment(once, CHANGES) == once


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#!/bin/bash\necho hello\n",
        "cat >/etc/other.env <<'ENV'\nDATABASE_HOST=a\nDATABASE_PORT=1\nENV\n",
        "cat >/etc/relight/app.env <<'ENV'\nDATABASE_PORT=1\nENV\n",
        "cat >/etc/relight/app.env <<'ENV'\nDATABASE_HOST=a\nDATABASE_PORT=1\n",
    ],
    ids=["empty", "another", "another file", "no host", "no end"],
)
def test_what_is_not_ours_is_left_out(text: str) -> None:
    assert with_environment(text, CHANGES) is None


@pytest.mark.parametrize("opening", ["<<ENV", '<<"ENV"', "<< 'ENV'", "<<-ENV"])
def test_however_the_block_is_opened_and_indented(opening: str) -> None:
    text = f"  cat > /etc/relight/app.env {opening}\n\t# where\n\tDATABASE_HOST='a'\n\tDATABASE_PORT=1\n  ENV\ntrue\n"
    changed = with_environment(text, {"DATABASE_HOST": "b", "RELIGHT_DRILL": "1"})
    assert changed == text.replace("'a'", "b").replace("=1\n", "=1\n\tRELIGHT_DRILL=1\n", 1)
    assert environment(text) == {"DATABASE_HOST": "a", "DATABASE_PORT": "1"}


def test_what_keeps_an_instance_apart_is_its_own_and_all_else_the_standbys() -> None:
    told: dict[str, Any] = {
        "ImageId": "ami-1",
        "InstanceType": "t4g.small",
        "IamInstanceProfile": {"Arn": "arn:aws:iam::1:instance-profile/shop"},
        "NetworkInterfaces": [{"DeviceIndex": 0, "Groups": ["sg-app"]}],
        "SecurityGroupIds": ["sg-app"],
        "CapacityReservationSpecification": {"CapacityReservationPreference": "open"},
        "MetadataOptions": {"State": "applied", "HttpTokens": "required"},
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 16, "Encrypted": True}}],
        "TagSpecifications": [{"ResourceType": "volume", "Tags": [{"Key": "relight:role", "Value": "dr"}]}],
        "Operator": {"Managed": False},
        "UserData": "b2xk",
    }
    data = template_data(told, "bmV3", APART)
    assert data == {
        "ImageId": "ami-1",
        "InstanceType": "t4g.small",
        "MetadataOptions": {"HttpTokens": "required"},
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 16, "Encrypted": True}}],
        "IamInstanceProfile": {"Arn": APART.instance_profile_arn},
        "NetworkInterfaces": [
            {
                "DeviceIndex": 0,
                "AssociatePublicIpAddress": False,
                "DeleteOnTermination": True,
                "Groups": ["sg-drill"],
            }
        ],
        "CapacityReservationSpecification": {"CapacityReservationPreference": "none"},
        "TagSpecifications": [{"ResourceType": kind, "Tags": TAGS} for kind in ("instance", "volume")],
        "UserData": "bmV3",
    }
