"""CloudFormation's API of the lab, through boto3: change sets, statuses, events, protection, deletion."""

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError
from moto.moto_api._internal import moto_api_backend

from lab import cloudformation_api
from lab.cloud import Cloud
from lab.cloudformation import CloudFormation
from lab.network import Network
from lab.seam import Seams
from lab.stack import Stacks

REGION = "eu-west-1"
BUCKET = "packages"
TABLE = """
Parameters:
  Name: { Type: String, AllowedPattern: "[a-z]+" }
  Threshold: { Type: Number, Default: 1 }
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    DeletionPolicy: Retain
    Properties:
      TableName: !Ref Name
      BillingMode: PAY_PER_REQUEST
      KeySchema: [{ AttributeName: pk, KeyType: HASH }]
      AttributeDefinitions: [{ AttributeName: pk, AttributeType: S }]
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      { AlarmName: !Sub "${Name}-down", MetricName: m, Namespace: n, Period: 60, EvaluationPeriods: 1,
        Statistic: Maximum, ComparisonOperator: GreaterThanThreshold, Threshold: !Ref Threshold }
Outputs:
  Table: { Value: !Ref Table }
"""
OUTER = """
Parameters:
  Name: { Type: String }
Resources:
  Inner: { Type: AWS::CloudFormation::Stack, Properties: { TemplateURL: "%s", Parameters: { Name: !Ref Name } } }
  Queue: { Type: AWS::SQS::Queue, Properties: { QueueName: !GetAtt Inner.Outputs.Table } }
"""
BROKEN = """
Resources:
  First: { Type: AWS::SQS::Queue, Properties: { QueueName: first } }
  Second: { Type: AWS::SQS::Queue, DependsOn: First, Properties: { QueueName: "not/a/name" } }
"""


class Account:
    """An account whose CloudFormation is the lab's."""

    def __init__(self, cloud: Cloud, cloudformation: CloudFormation) -> None:
        self.cloud = cloud
        self.engine = cloudformation
        self.api = cloud.client("cloudformation", REGION)
        self.s3 = cloud.client("s3", REGION)

    def put(self, key: str, body: str | bytes) -> str:
        """An object, and its address as sam package writes it."""
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        return f"{self.cloud.endpoint_url}/{BUCKET}/{key}"

    def ask(self, stack: str, template: str, kind: str = "CREATE", **parameters: str) -> str:
        given = [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()]
        made = self.api.create_change_set(
            StackName=stack, ChangeSetName="c", ChangeSetType=kind, TemplateBody=template, Parameters=given
        )
        return str(made["Id"])

    def execute(self, change_set: str) -> dict[str, Any]:
        described = self.api.describe_change_set(ChangeSetName=change_set)
        self.api.execute_change_set(ChangeSetName=change_set)
        return self.settled(described["StackId"])

    def settled(self, stack: str) -> dict[str, Any]:
        deadline = time.monotonic() + 30
        while True:
            found: dict[str, Any] = self.api.describe_stacks(StackName=stack)["Stacks"][0]
            if not found["StackStatus"].endswith("_IN_PROGRESS"):
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.05)

    def events(self, stack: str) -> list[tuple[str, str]]:
        told = self.api.describe_stack_events(StackName=stack)["StackEvents"]
        return [(event["LogicalResourceId"], event["ResourceStatus"]) for event in reversed(told)]


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    cloud = Cloud(Network())
    seams = Seams()

    def fetch(region: str) -> Callable[[str, str], bytes]:
        def fetched(bucket: str, key: str) -> bytes:
            s3 = cloud.client("s3", region)
            try:
                return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
            except s3.exceptions.NoSuchKey:
                raise KeyError(key) from None

        return fetched

    cloudformation = CloudFormation(Stacks(cloud), tmp_path, fetch, seconds_per_step=0.1)
    cloudformation_api.install(seams, cloudformation, fetch)
    account = Account(cloud, cloudformation)
    account.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    yield account
    cloudformation.join(30)
    seams.undo()
    cloud.stop()
    moto_api_backend.reset()


def test_a_stack_is_under_review_then_on_its_way_then_there(account: Account) -> None:
    change_set = account.ask("s", TABLE, Name="kept")
    assert account.api.describe_stacks(StackName="s")["Stacks"][0]["StackStatus"] == "REVIEW_IN_PROGRESS"
    changes = account.api.describe_change_set(ChangeSetName=change_set)["Changes"]
    assert [one["ResourceChange"]["Action"] for one in changes] == ["Add", "Add"]
    account.api.execute_change_set(ChangeSetName=change_set)
    assert account.api.describe_stacks(StackName="s")["Stacks"][0]["StackStatus"] == "CREATE_IN_PROGRESS"
    found = account.settled("s")
    assert found["StackStatus"] == "CREATE_COMPLETE"
    assert found["Outputs"] == [{"OutputKey": "Table", "OutputValue": "kept"}]
    assert {one["ParameterKey"]: one["ParameterValue"] for one in found["Parameters"]} == {
        "Name": "kept",
        "Threshold": "1",
    }
    assert account.events("s")[0] == ("s", "REVIEW_IN_PROGRESS")
    assert ("Table", "CREATE_COMPLETE") in account.events("s")


def test_a_stack_that_is_not_there_is_said_as_sam_expects(account: Account) -> None:
    with pytest.raises(ClientError, match=r"\(ValidationError\).*Stack with id none does not exist"):
        account.api.describe_stacks(StackName="none")
    with pytest.raises(ClientError, match="does not exist"):
        account.ask("none", TABLE, kind="UPDATE", Name="kept")


def test_a_change_set_without_changes_fails_as_sam_expects(account: Account) -> None:
    account.execute(account.ask("s", TABLE, Name="kept"))
    change_set = account.ask("s", TABLE, kind="UPDATE", Name="kept", Threshold="1")
    with pytest.raises(WaiterError) as failed:
        account.api.get_waiter("change_set_create_complete").wait(
            ChangeSetName=change_set, WaiterConfig={"Delay": 1, "MaxAttempts": 2}
        )
    assert "The submitted information didn't contain changes." in failed.value.last_response["StatusReason"]
    with pytest.raises(ClientError, match="InvalidChangeSetStatus"):
        account.api.execute_change_set(ChangeSetName=change_set)


def test_an_update_says_what_a_parameter_changes_and_changes_it(account: Account) -> None:
    account.execute(account.ask("s", TABLE, Name="kept"))
    change_set = account.ask("s", TABLE, kind="UPDATE", Name="kept", Threshold="5")
    changes = account.api.describe_change_set(ChangeSetName=change_set)["Changes"]
    assert [one["ResourceChange"]["LogicalResourceId"] for one in changes] == ["Alarm"]
    assert changes[0]["ResourceChange"]["Details"][0]["CausingEntity"] == "Threshold"
    assert account.execute(change_set)["StackStatus"] == "UPDATE_COMPLETE"
    alarm = account.cloud.client("cloudwatch", REGION).describe_alarms()["MetricAlarms"][0]
    assert alarm["Threshold"] == 5


def test_values_of_before_can_be_kept(account: Account) -> None:
    account.execute(account.ask("s", TABLE, Name="kept", Threshold="3"))
    made = account.api.create_change_set(
        StackName="s",
        ChangeSetName="d",
        ChangeSetType="UPDATE",
        TemplateBody=TABLE.replace("Period: 60", "Period: 120"),
        Parameters=[
            {"ParameterKey": "Name", "UsePreviousValue": True},
            {"ParameterKey": "Threshold", "UsePreviousValue": True},
        ],
    )
    account.execute(made["Id"])
    alarm = account.cloud.client("cloudwatch", REGION).describe_alarms()["MetricAlarms"][0]
    assert (alarm["Threshold"], alarm["Period"]) == (3, 120)


def test_nested_stacks_come_from_s3_and_are_stacks(account: Account) -> None:
    outer = OUTER % account.put("inner.yaml", TABLE)
    account.execute(account.ask("s", outer, Name="kept"))
    listed = account.api.list_stack_resources(StackName="s")["StackResourceSummaries"]
    inner = next(one["PhysicalResourceId"] for one in listed if one["LogicalResourceId"] == "Inner")
    found = account.api.describe_stacks(StackName=inner)["Stacks"][0]
    assert found["ParentId"].startswith("arn:aws:cloudformation:")
    assert found["Outputs"][0]["OutputValue"] == "kept"
    assert account.cloud.client("sqs", REGION).get_queue_url(QueueName="kept")

    # What CloudFormation cannot know before it has looked is listed, and is nothing.
    change_set = account.ask("s", outer, kind="UPDATE", Name="kept")
    changes = account.api.describe_change_set(ChangeSetName=change_set)["Changes"]
    details = {one["ResourceChange"]["LogicalResourceId"]: one["ResourceChange"]["Details"] for one in changes}
    assert [one["ChangeSource"] for one in details["Inner"]] == ["Automatic"]
    assert [(one["Evaluation"], one["CausingEntity"]) for one in details["Queue"]] == [
        ("Dynamic", "Inner.Outputs.Table")
    ]

    # A new nested template has a new address, and is a change of the parent's own.
    again = OUTER % account.put("inner-2.yaml", TABLE.replace("Period: 60", "Period: 120"))
    changes = account.api.describe_change_set(ChangeSetName=account.ask("s", again, "UPDATE", Name="kept"))["Changes"]
    sources = [one["ChangeSource"] for one in changes[0]["ResourceChange"]["Details"]]
    assert sources == ["DirectModification", "Automatic"]


def test_a_stack_that_the_engine_has_made_by_itself_is_told_of_once_it_is_taken_over(
    account: Account, tmp_path: Path
) -> None:
    (tmp_path / "inner.yaml").write_text(TABLE, encoding="utf-8")
    outer = tmp_path / "outer.yaml"
    outer.write_text(OUTER % "inner.yaml", encoding="utf-8")
    engine = Stacks(account.cloud)
    made = engine.create("s", REGION, outer, {"Name": "kept"})
    with pytest.raises(ClientError, match="does not exist"):
        account.api.describe_stacks(StackName="s")

    account.engine.take_over(made)
    found = account.api.describe_stacks(StackName="s")["Stacks"][0]
    assert (found["StackId"], found["StackStatus"]) == (made.stack_id, "CREATE_COMPLETE")
    assert {"ParameterKey": "Name", "ParameterValue": "kept"} in found["Parameters"]
    # boto3 makes a mapping of a template that is JSON, and leaves YAML as it is written.
    assert account.api.get_template(StackName="s")["TemplateBody"] == outer.read_text(encoding="utf-8")
    listed = account.api.list_stack_resources(StackName="s")["StackResourceSummaries"]
    assert {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in listed} == made.resources
    inner = account.api.describe_stacks(StackName=made.resources["Inner"])["Stacks"][0]
    assert (inner["ParentId"], inner["StackStatus"]) == (made.stack_id, "CREATE_COMPLETE")
    assert inner["Outputs"] == [{"OutputKey": "Table", "OutputValue": "kept"}]

    account.engine.take_over(engine.update("s", REGION, outer, {}))
    stacks = account.api.describe_stacks()["Stacks"]
    assert [one["StackStatus"] for one in stacks] == ["UPDATE_COMPLETE", "UPDATE_COMPLETE"]
    assert account.engine.all(REGION)[0].engine is engine.get("s", REGION)


def test_packaged_code_is_unpacked(account: Account, tmp_path: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as written:
        written.writestr("handler.py", "def handler(event, context): ...")
    account.put("code", archive.getvalue())
    template = f"""
Transform: AWS::Serverless-2016-10-31
Resources:
  Probe:
    Type: AWS::Serverless::Function
    Properties: {{ CodeUri: "s3://{BUCKET}/code", Handler: handler.handler, Runtime: python3.13 }}
"""
    assert account.execute(account.ask("s", template))["StackStatus"] == "CREATE_COMPLETE"
    assert [path.name for path in tmp_path.glob("code-*/*")] == ["handler.py"]
    assert account.cloud.client("lambda", REGION).list_functions()["Functions"]


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (TABLE, "'KEPT' does not match"),
        ("Resources: {", "does not parse"),
        (OUTER % "https://s3.amazonaws.com/packages/gone.yaml", "there is no object gone.yaml in packages"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(account: Account, template: str, said: str) -> None:
    with pytest.raises(ClientError, match=r"\(ValidationError\)") as refused:
        account.ask("s", template, Name="KEPT")
    assert said in str(refused.value)


def test_a_creation_that_fails_is_rolled_back_and_only_fit_to_be_deleted(account: Account) -> None:
    found = account.execute(account.ask("s", BROKEN))
    assert found["StackStatus"] == "ROLLBACK_COMPLETE"
    assert account.cloud.client("sqs", REGION).list_queues().get("QueueUrls", []) == []
    failed = [event for event in account.events("s") if event[1] == "CREATE_FAILED"]
    assert failed == [("Second", "CREATE_FAILED")]
    with pytest.raises(ClientError, match="ROLLBACK_COMPLETE state and can not be updated"):
        account.ask("s", TABLE, kind="UPDATE", Name="kept")
    with pytest.raises(ClientError, match="already exists"):
        account.ask("s", TABLE, Name="kept")
    account.api.delete_stack(StackName="s")
    account.settled(found["StackId"])
    assert account.execute(account.ask("s", TABLE, Name="kept"))["StackStatus"] == "CREATE_COMPLETE"


def test_a_protected_stack_is_not_deleted_and_a_deleted_one_says_what_it_kept(account: Account) -> None:
    outer = OUTER % account.put("inner.yaml", TABLE)
    made = account.execute(account.ask("s", outer, Name="kept"))
    account.api.update_termination_protection(StackName="s", EnableTerminationProtection=True)
    with pytest.raises(ClientError, match="TerminationProtection is enabled"):
        account.api.delete_stack(StackName="s")
    listed = account.api.list_stack_resources(StackName="s")["StackResourceSummaries"]
    inner = next(one["PhysicalResourceId"] for one in listed if one["LogicalResourceId"] == "Inner")
    with pytest.raises(ClientError, match="that of the root stack"):
        account.api.update_termination_protection(StackName=inner, EnableTerminationProtection=False)
    account.api.update_termination_protection(StackName="s", EnableTerminationProtection=False)
    account.api.delete_stack(StackName="s")
    assert account.settled(made["StackId"])["StackStatus"] == "DELETE_COMPLETE"
    assert ("Table", "DELETE_SKIPPED") in account.events(inner)
    assert ("Alarm", "DELETE_COMPLETE") in account.events(inner)
    assert account.cloud.client("dynamodb", REGION).list_tables()["TableNames"] == ["kept"]
    with pytest.raises(ClientError, match="does not exist"):
        account.api.describe_stacks(StackName="s")


def test_a_stack_policy_forbids_an_update_of_its_own_stack(account: Account) -> None:
    account.execute(account.ask("s", TABLE, Name="kept"))
    policy = {"Statement": [{"Effect": "Deny", "Action": "Update:*", "Principal": "*", "Resource": "*"}]}
    account.api.set_stack_policy(StackName="s", StackPolicyBody=json.dumps(policy))
    assert json.loads(account.api.get_stack_policy(StackName="s")["StackPolicyBody"]) == policy
    found = account.execute(account.ask("s", TABLE, kind="UPDATE", Name="kept", Threshold="5"))
    assert found["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "denied by stack policy" in found["StackStatusReason"]


def test_what_the_lab_does_not_do_is_refused(account: Account) -> None:
    with pytest.raises(ClientError, match="changes stacks by change sets"):
        account.api.update_stack(StackName="s", TemplateBody=TABLE)
