"""What AWS says about its own health, as EventBridge delivers it."""

from typing import Any

import pytest
from relight.errors import InputInvalid
from relight.health import HealthEvent, health_event

ARN = "arn:aws:health:eu-west-1::event/RDS/AWS_RDS_OPERATIONAL_ISSUE/AWS_RDS_OPERATIONAL_ISSUE_1"
EVENT: dict[str, Any] = {
    "id": "7bf73129-1428-4cd3-a780-95db273d1602",
    "source": "aws.health",
    "detail-type": "AWS Health Event",
    "time": "2026-09-21T12:00:00Z",
    "region": "eu-west-1",
    "detail": {
        "eventArn": ARN,
        "service": "RDS",
        "eventTypeCode": "AWS_RDS_OPERATIONAL_ISSUE",
        "eventTypeCategory": "issue",
        "eventRegion": "eu-west-1",
        "eventDescription": [{"language": "en_US", "latestDescription": "Connectivity issues in one zone."}],
    },
}


def test_an_event_is_kept_as_aws_wrote_it() -> None:
    assert health_event(EVENT) == HealthEvent(
        time="2026-09-21T12:00:00Z",
        arn=ARN,
        service="RDS",
        code="AWS_RDS_OPERATIONAL_ISSUE",
        category="issue",
        region="eu-west-1",
        description="Connectivity issues in one zone.",
    )


def test_what_an_event_leaves_out_is_said_to_be_unknown_and_the_rest_is_kept() -> None:
    found = health_event({**EVENT, "detail": {}})
    assert (found.service, found.code, found.category, found.description) == ("unknown", "unknown", "unknown", "")
    assert (found.arn, found.region) == (EVENT["id"], "eu-west-1")


def test_a_description_of_any_length_fits_into_the_ledger() -> None:
    detail = {**EVENT["detail"], "eventDescription": [{"latestDescription": "x" * 500_000}]}
    assert len(health_event({**EVENT, "detail": detail}).description) == 2000


@pytest.mark.parametrize(
    "change",
    [
        {"source": "aws.rds"},
        {"source": None},
        {"detail": None},
        {"detail": "all is well"},
        {"time": None},
        {"time": 1790000000},
    ],
)
def test_what_is_no_such_event_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputInvalid, match=r"this is no event of aws\.health"):
        health_event({**EVENT, **change})


@pytest.mark.parametrize("said", [[], None, [{}], [{"latestDescription": None}]])
def test_a_description_of_another_shape_is_no_failure(said: Any) -> None:
    detail = {**EVENT["detail"], "eventDescription": said}
    assert isinstance(health_event({**EVENT, "detail": detail}).description, str)
