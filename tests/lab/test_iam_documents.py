"""What moto's IAM takes in a policy as AWS's does."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from lab import iam_documents
from lab.seam import Seams

JOBS = "arn:aws:s3:eu-west-1:123456789012:job/*"


@pytest.fixture
def seams(monkeypatch: pytest.MonkeyPatch) -> Iterator[Seams]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    seams = Seams()
    with mock_aws():
        yield seams
    seams.undo()


def put(resource: str) -> Any:
    statement = {"Effect": "Allow", "Action": "s3:DescribeJob", "Resource": resource}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam = boto3.client("iam", region_name="us-east-1")
    return iam.create_policy(PolicyName="jobs", PolicyDocument=document)["Policy"]["Arn"]


def test_a_policy_may_name_the_jobs_of_a_region(seams: Seams) -> None:
    with pytest.raises(ClientError, match="can not contain region"):
        put(JOBS)
    iam_documents.install(seams)
    assert put(JOBS)
    with pytest.raises(ClientError, match="can not contain region"):
        put("arn:aws:s3:eu-west-1:123456789012:bucket")
