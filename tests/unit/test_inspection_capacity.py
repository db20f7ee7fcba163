"""What a group launches, as its launch template, its overrides or neither say it, and what EC2 would give."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from relight import inspection_capacity as capacity
from relight.readiness_facts import Image, Launch, NotSeen

from tests.unit.conftest import Clients
from tests.unit.standby import HERE

pytestmark = pytest.mark.readiness

MIXED = {
    "LaunchTemplate": {
        "LaunchTemplateSpecification": {"LaunchTemplateName": "shop", "Version": "$Latest"},
        "Overrides": [{"InstanceType": "t4g.small"}, {"InstanceType": "t4g.medium"}],
    }
}


class Ec2:
    """Answers with one page each, and remembers what it was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[dict[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        def call(**given: Any) -> Any:
            self.asked.append(given)
            return self.answers[name]

        return call

    def get_paginator(self, name: str) -> Any:
        """Of one page, or of what was given as a list."""
        found = self.answers[name]

        class Pages:
            @staticmethod
            def paginate(**given: Any) -> Any:
                self.asked.append(given)
                return iter(found if isinstance(found, list) else [found])

        return Pages


def template(**data: Any) -> Ec2:
    return Ec2(describe_launch_template_versions={"LaunchTemplateVersions": [{"LaunchTemplateData": data}]})


def group(**values: Any) -> dict[str, Any]:
    return {"AutoScalingGroupName": "shop-dr", **values}


def test_a_launch_template_names_one_type() -> None:
    ec2 = template(ImageId="ami-1", InstanceType="t4g.small")
    given = {"LaunchTemplate": {"LaunchTemplateId": "lt-1", "LaunchTemplateName": "shop", "Version": "3"}}
    assert capacity.launched(ec2, group(**given)) == Launch("ami-1", ("t4g.small",), None)
    assert ec2.asked == [{"LaunchTemplateId": "lt-1", "Versions": ["3"]}]


def test_overrides_are_the_types_in_their_order() -> None:
    ec2 = template(
        ImageId="ami-1",
        InstanceType="t4g.small",
        CapacityReservationSpecification={"CapacityReservationPreference": "open"},
    )
    found = capacity.launched(ec2, group(MixedInstancesPolicy=MIXED))
    assert found == Launch("ami-1", ("t4g.small", "t4g.medium"), "open")
    assert ec2.asked == [{"LaunchTemplateName": "shop", "Versions": ["$Latest"]}]


def test_an_image_that_is_resolved_at_launch_is_unknown() -> None:
    ec2 = template(ImageId="resolve:ssm:/aws/service/ami", InstanceType="t4g.small")
    assert capacity.launched(ec2, group(MixedInstancesPolicy=MIXED)).image is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"LaunchConfigurationName": "old"}, "launches by no launch template"),
        (
            {"MixedInstancesPolicy": {"LaunchTemplate": {"LaunchTemplateSpecification": {"LaunchTemplateId": "lt-1"}}}},
            "types",
        ),
    ],
)
def test_what_nobody_names_was_not_seen(values: dict[str, Any], said: str) -> None:
    with pytest.raises(NotSeen, match=said):
        capacity.launched(template(ImageId="ami-1"), group(**values))


def test_a_version_that_is_gone_was_not_seen() -> None:
    ec2 = Ec2(describe_launch_template_versions={"LaunchTemplateVersions": []})
    with pytest.raises(NotSeen, match="no version 7"):
        capacity.launched(ec2, group(LaunchTemplate={"LaunchTemplateId": "lt-1", "Version": "7"}))


def instance(kind: str, **values: Any) -> dict[str, Any]:
    return {"InstanceType": kind, **values}


def test_standard_instances_on_demand_count_and_the_groups_own_do_not() -> None:
    own = [{"Key": "aws:autoscaling:groupName", "Value": "shop-dr"}]
    found = [
        instance("t4g.small"),
        instance("m7g.large", Tags=[{"Key": "Name", "Value": "another"}]),
        instance("t4g.small", Tags=own),
        instance("t4g.small", InstanceLifecycle="spot"),
        instance("p4d.24xlarge"),
    ]
    ec2 = Ec2(describe_instances={"Reservations": [{"Instances": found}]})
    assert capacity.on_demand(ec2, frozenset({"shop-dr"})) == Counter({"t4g.small": 1, "m7g.large": 1})


def test_more_instances_than_are_counted_were_not_seen() -> None:
    pages = [{"Reservations": [], "NextToken": "more"}] * (capacity.MOST_PAGES + 1)
    with pytest.raises(NotSeen, match="more than 5000"):
        capacity.on_demand(Ec2(describe_instances=pages), frozenset())


def test_an_image_and_when_it_was_made() -> None:
    found = {
        "ImageId": "ami-1",
        "State": "available",
        "CreationDate": "2026-05-01T00:00:00.000Z",
        "DeprecationTime": "2026-08-01T00:00:00.000Z",
    }
    images = capacity.imaged(Ec2(describe_images={"Images": [found]}), {"ami-1", "ami-2"})
    may, august = (datetime(2026, month, 1, tzinfo=UTC).timestamp() for month in (5, 8))
    assert images == {"ami-1": Image("available", may, august), "ami-2": None}


def test_an_image_that_ec2_refuses_does_not_exist(aws: None, clients: Clients) -> None:
    assert capacity.imaged(clients("ec2", HERE), {"ami-0123456789abcdef0"}) == {"ami-0123456789abcdef0": None}
    assert capacity.imaged(clients("ec2", HERE), set()) == {}


def test_reservations_are_asked_for_only_where_they_are_meant_to_be_used() -> None:
    ec2 = Ec2()
    assert capacity.reservations(ec2, [Launch("ami-1", ("t4g.small",), kind) for kind in (None, "none")]) == {}
    assert ec2.asked == []


def test_free_places_in_open_reservations() -> None:
    places = [
        {"InstanceType": "t4g.small", "AvailableInstanceCount": 2, "InstanceMatchCriteria": "open"},
        {"InstanceType": "t4g.small", "AvailableInstanceCount": 3, "InstanceMatchCriteria": "open"},
        {"InstanceType": "t4g.small", "AvailableInstanceCount": 9, "InstanceMatchCriteria": "targeted"},
    ]
    ec2 = Ec2(describe_capacity_reservations={"CapacityReservations": places})
    assert capacity.reservations(ec2, [Launch("ami-1", ("t4g.small",), "open")]) == {"t4g.small": 5}
