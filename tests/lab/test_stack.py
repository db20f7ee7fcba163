"""The lab's CloudFormation: what it makes, changes and deletes, and each thing that it refuses."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]

from lab.cloud import ACCOUNT, Cloud
from lab.errors import LabError, StackRefused
from lab.network import Network
from lab.resources.kind import Kind
from lab.resources.registry import KINDS
from lab.stack import Stacks
from lab.template import load, transform

REGION = "eu-west-1"
PEER = "eu-central-1"


class Recording:
    """A runtime that remembers the functions it is told of."""

    def __init__(self) -> None:
        self.functions: dict[str, tuple[str, Path, str, dict[str, str], int, list[Path], int]] = {}

    def define_function(
        self,
        region: str,
        name: str,
        code_dir: Path,
        handler: str,
        environment: Mapping[str, str],
        timeout_seconds: int,
        layer_dirs: Sequence[Path],
        memory: int,
    ) -> None:
        self.functions[name] = (
            region,
            code_dir,
            handler,
            dict(environment),
            timeout_seconds,
            list(layer_dirs),
            memory,
        )


class Counting:
    """The cloud's clients, with each API call counted by operation."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._known: set[int] = set()
        self.calls: Counter[str] = Counter()

    def client(self, service: str, region: str) -> Any:
        client = self._cloud.client(service, region)
        if id(client) not in self._known:
            self._known.add(id(client))
            client.meta.events.register("before-call", self._count)
        return client

    def _count(self, model: Any, **_: Any) -> None:
        self.calls[model.name] += 1


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    cloud = Cloud(Network())
    yield cloud
    cloud.stop()


@pytest.fixture(scope="module")
def clients(cloud: Cloud) -> Counting:
    return Counting(cloud)


@pytest.fixture
def runtime() -> Recording:
    return Recording()


@pytest.fixture
def stacks(clients: Counting, runtime: Recording) -> Iterator[Stacks]:
    stacks = Stacks(clients, runtime, {"/images/linux": "ami-12345678"})
    yield stacks
    for region in (REGION, PEER):
        if stacks.get("s", region):
            stacks.delete("s", region)


def write(folder: Path, text: str, name: str = "template.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


# --- What is evaluated ------------------------------------------------------------------------------------------------

EXPRESSIONS = """
Parameters:
  Name: { Type: String, Default: shop }
  Wanted: { Type: Number, Default: 2, MinValue: 1, MaxValue: 4 }
  Zones: { Type: CommaDelimitedList, Default: "a, b" }
  Subnets: { Type: "List<AWS::EC2::Subnet::Id>", Default: "subnet-1,subnet-2" }
  Image: { Type: "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>", Default: /images/linux }
Mappings:
  Sizes: { small: { Memory: 128 } }
Conditions:
  IsShop: !Equals [!Ref Name, shop]
  IsMany: !Not [!Equals [!Ref Wanted, 1]]
  Both: !And [!Condition IsShop, !Condition IsMany]
  Either: !Or [!Not [!Condition IsShop], !Equals [a, b]]
Resources:
  Queue:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: !Sub "${Name}-${AWS::Region}"
      VisibilityTimeout: !If [Both, !FindInMap [Sizes, small, Memory], 1]
      DelaySeconds: !If [Either, 1, !Ref AWS::NoValue]
  Never:
    Type: AWS::SQS::Queue
    Condition: Either
Outputs:
  Joined: { Value: !Join ["-", [!Ref Name, !Select [1, !Ref Zones], !Select ["0", !Split [",", "x,y"]]]] }
  Subbed: { Value: !Sub ["${Queue.Arn} ${Other} ${!Kept} ${Wanted}", { Other: !Ref AWS::AccountId }] }
  Blocks: { Value: !Join [",", !Cidr [10.1.0.0/16, 2, 8]] }
  Zone: { Value: !Select [0, !GetAZs ""] }
  Encoded: { Value: !Base64 "text" }
  Subnet: { Value: !Select [1, !Ref Subnets] }
  Image: { Value: !Ref Image }
  Absent: { Condition: Either, Value: !Ref Never }
  Partition: { Value: !Sub "${AWS::Partition} ${AWS::URLSuffix} ${AWS::StackName}" }
"""


def test_intrinsics_parameters_and_conditions(stacks: Stacks, cloud: Cloud, tmp_path: Path) -> None:
    stack = stacks.create("s", REGION, write(tmp_path, EXPRESSIONS), {"Wanted": 3})
    assert stack.outputs == {
        "Joined": "shop-b-x",
        "Subbed": f"arn:aws:sqs:{REGION}:{ACCOUNT}:shop-{REGION} {ACCOUNT} ${{Kept}} 3",
        "Blocks": "10.1.0.0/24,10.1.1.0/24",
        "Zone": f"{REGION}a",
        "Encoded": "dGV4dA==",
        "Subnet": "subnet-2",
        "Image": "ami-12345678",
        "Partition": "aws amazonaws.com s",
    }
    assert list(stack.resources) == ["Queue"]
    made = cloud.client("sqs", REGION).get_queue_attributes(
        QueueUrl=stack.resources["Queue"], AttributeNames=["VisibilityTimeout", "DelaySeconds"]
    )["Attributes"]
    assert made == {"VisibilityTimeout": "128", "DelaySeconds": "0"}


# --- What is refused --------------------------------------------------------------------------------------------------

QUEUE = "Resources: { Q: { Type: 'AWS::SQS::Queue' } }\n"


@pytest.mark.parametrize(
    ("text", "parameters", "said"),
    [
        (
            "Resources: { Q: { Type: 'AWS::SQS::Queue', Properties: { QueueName: !Join [!Sub '-x', [a, b]] } } }",
            {},
            "Fn::Join takes a text as its delimiter",
        ),
        (
            "Resources: { A: { Type: 'AWS::SES::Template' } }",
            {},
            "know this type of resource, template.yaml:1 A AWS::SES",
        ),
        (
            "Resources:\n A:\n  Type: AWS::SQS::Queue\n  Properties: { Colour: red }",
            {},
            r"know this property, template.yaml:2 A AWS::SQS::Queue.Colour, remove it",
        ),
        ("Resources: { A: { Type: 'AWS::SQS::Queue', CreationPolicy: {} } }", {}, "CreationPolicy of a resource"),
        ("Hooks: {}\n" + QUEUE, {}, "does not know the section Hooks, template.yaml, remove it"),
        (
            "Resources: { A: { Type: 'AWS::SQS::Queue', Properties: { QueueName: { 'Fn::Length': [] } } } }",
            {},
            "does not know the intrinsic Fn::Length, template.yaml:1 A AWS::SQS::Queue.QueueName",
        ),
        (
            "Resources: { A: { Type: 'AWS::SQS::Queue', Properties: { QueueName: !ImportValue x } } }",
            {},
            "Fn::ImportValue ties this stack to another one, .*pass the value as a parameter",
        ),
        (
            QUEUE + "Outputs: { O: { Value: 1, Export: { Name: x } } }",
            {},
            "an export ties other stacks to this one, template.yaml:2 Outputs.O, pass the value",
        ),
        (
            "Resources: { A: { Type: 'AWS::SQS::Queue', Properties: { QueueName: !Ref Gone } } }",
            {},
            "Gone is not defined in this template, .*QueueName, correct the name",
        ),
        (
            "Resources: { A: { Type: 'AWS::SQS::Queue', Properties: { QueueName: !Sub '${Gone.Arn}' } } }",
            {},
            "Gone is not defined",
        ),
        (
            "Parameters: { Q: { Type: String, Default: x } }\n" + QUEUE,
            {},
            "Q is a parameter and a resource, .*rename one",
        ),
        (QUEUE + "Outputs: { O: { Value: !GetAtt Q.Colour } }", {}, "GetAtt Q.Colour: there is no such attribute"),
        (QUEUE + "Outputs: { O: { Value: !Ref Q, Condition: Gone } }", {}, "there is no condition Gone"),
        (
            "Resources: { A: { Type: 'AWS::SQS::Queue', Properties: { QueueName: !If [Gone, a, b] } } }",
            {},
            "there is no condition Gone, template.yaml:1 A AWS::SQS::Queue.QueueName, define it",
        ),
        ("Resources: { A: { Type: 'AWS::SQS::Queue', Condition: Gone } }", {}, "there is no condition Gone"),
        ("Resources: { A: { Type: 'AWS::SQS::Queue', DependsOn: B } }", {}, "DependsOn names B, which is no resource"),
        (
            """Resources:
              A: { Type: 'AWS::SQS::Queue', DependsOn: B }
              B: { Type: 'AWS::SQS::Queue', Properties: { QueueName: !GetAtt A.QueueName } }""",
            {},
            "these need each other: (A -> B -> A|B -> A -> B), template.yaml, break the circle",
        ),
        ("Conditions: { C: !Equals [!Ref Q, 1] }\n" + QUEUE, {}, "Q is not defined in this template, .*Conditions.C"),
        ("Conditions: { C: true }\n" + QUEUE, {}, "a condition must be Fn::Equals"),
        (
            "Resources: { A: { Type: 'AWS::SQS::Queue', Properties: { QueueName: !FindInMap [M, a, b] } } }",
            {},
            "Fn::FindInMap M.a.b: there is no M",
        ),
        (QUEUE, {"Extra": "1"}, "there is no parameter Extra, template.yaml, leave it out"),
        ("Parameters: { P: { Type: String } }\n" + QUEUE, {}, "template.yaml:1 P, give it a value"),
        (
            "Parameters: { P: { Type: String, AllowedValues: [a, b] } }\n" + QUEUE,
            {"P": "c"},
            "'c' is none of a, b, template.yaml:1 P, give another value",
        ),
        (
            "Parameters: { P: { Type: String, AllowedPattern: '[a-z]+', ConstraintDescription: use letters. } }\n"
            + QUEUE,
            {"P": "1"},
            r"'1' does not match \[a-z\]\+, template.yaml:1 P, use letters.",
        ),
        ("Parameters: { P: { Type: String, MinLength: 2 } }\n" + QUEUE, {"P": "a"}, "'a' is below MinLength 2"),
        ("Parameters: { P: { Type: Number, MaxValue: 2 } }\n" + QUEUE, {"P": 3}, "'3' is above MaxValue 2"),
        ("Parameters: { P: { Type: Number } }\n" + QUEUE, {"P": "x"}, "'x' is no number"),
        (
            "Parameters: { P: { Type: String, NoEcho: true, MinLength: 9 } }\n" + QUEUE,
            {"P": "secret"},
            r"^\*\*\*\* is below",
        ),
        ("Parameters: { P: { Type: Colour } }\n" + QUEUE, {"P": "x"}, "does not know the parameter type Colour"),
        ("Parameters: { P: { Type: String, Colour: x } }\n" + QUEUE, {"P": "x"}, "does not know Colour of a parameter"),
        (
            "Parameters: { P: { Type: 'AWS::SSM::Parameter::Value<String>' } }\n" + QUEUE,
            {"P": "/gone"},
            "there is no SSM parameter /gone",
        ),
        (
            "Parameters: { P: { Type: String } }\n"
            "Rules: { R: { RuleCondition: !Equals [!Ref P, b], Assertions:"
            " [{ Assert: !Contains [[a, c], !Ref P], AssertDescription: P is b. }] } }\n" + QUEUE,
            {"P": "b"},
            "P is b., template.yaml:2 Rules.R, change the parameters",
        ),
        (
            "Parameters: { P: { Type: CommaDelimitedList } }\n"
            "Rules: { R: { Assertions: [{ Assert: !EachMemberIn [!Ref P, [a, c]] }] } }\n" + QUEUE,
            {"P": "a,b"},
            "the rule does not hold",
        ),
    ],
)
def test_refused_before_anything_is_made(
    stacks: Stacks, clients: Counting, tmp_path: Path, text: str, parameters: dict[str, Any], said: str
) -> None:
    before = clients.calls["CreateQueue"]
    with pytest.raises(StackRefused, match=said) as refused:
        stacks.create("s", REGION, write(tmp_path, text), parameters)
    assert "\n" not in str(refused.value)
    assert clients.calls["CreateQueue"] == before
    assert stacks.get("s", REGION) is None


def test_an_unknown_argument_within_a_property_is_refused_and_all_is_undone(
    stacks: Stacks, cloud: Cloud, tmp_path: Path
) -> None:
    text = """
Resources:
  Queue: { Type: AWS::SQS::Queue, Properties: { QueueName: undone } }
  Table:
    Type: AWS::DynamoDB::Table
    DependsOn: Queue
    Properties:
      BillingMode: PAY_PER_REQUEST
      KeySchema: [{ AttributeName: pk, KeyType: HASH, Colour: red }]
      AttributeDefinitions: [{ AttributeName: pk, AttributeType: S }]
"""
    with pytest.raises(StackRefused, match=r'Unknown parameter in KeySchema\[0\]: "Colour", template.yaml:4 Table'):
        stacks.create("s", REGION, write(tmp_path, text), {})
    with pytest.raises(ClientError, match="NonExistentQueue"):
        cloud.client("sqs", REGION).get_queue_url(QueueName="undone")


def test_what_the_api_answers_is_one_line(stacks: Stacks, tmp_path: Path) -> None:
    text = "Resources: { S: { Type: 'AWS::EC2::Subnet', Properties: { VpcId: vpc-0, CidrBlock: 10.0.0.0/24 } } }"
    with pytest.raises(StackRefused, match=r"CreateSubnet: InvalidVpcID.NotFound: .*, template.yaml:1 S AWS::EC2"):
        stacks.create("s", REGION, write(tmp_path, text), {})


def test_a_missing_property_is_named(stacks: Stacks, tmp_path: Path) -> None:
    text = "Resources: { P: { Type: 'AWS::SSM::Parameter', Properties: { Type: String, Value: x } } }"
    assert stacks.create("s", REGION, write(tmp_path, text), {})
    broken = "Resources: { G: { Type: 'AWS::EC2::SecurityGroup', Properties: { VpcId: vpc-0 } } }"
    with pytest.raises(StackRefused, match="the property 'GroupDescription' is missing"):
        stacks.create("s", PEER, write(tmp_path, broken), {})


# --- Nested stacks and dynamic references -----------------------------------------------------------------------------

INNER = """
Parameters:
  Name: { Type: String, AllowedPattern: "[a-z-]+" }
Resources:
  Queue: { Type: AWS::SQS::Queue, Properties: { QueueName: !Ref Name } }
Outputs:
  Arn: { Value: !GetAtt Queue.Arn }
"""
OUTER = """
Parameters:
  Name: { Type: String, Default: inner }
Resources:
  First: { Type: AWS::CloudFormation::Stack, Properties: { TemplateURL: inner.yaml, Parameters: { Name: !Ref Name } } }
  Second:
    Type: AWS::CloudFormation::Stack
    Properties:
      TemplateURL: inner.yaml
      Parameters: { Name: !Select [5, !Split [":", !Sub "${First.Outputs.Arn}-too"]] }
Outputs:
  Second: { Value: !GetAtt Second.Outputs.Arn }
"""


def test_nested_stacks_hand_on_their_outputs(stacks: Stacks, cloud: Cloud, tmp_path: Path) -> None:
    write(tmp_path, INNER, "inner.yaml")
    stack = stacks.create("s", REGION, write(tmp_path, OUTER), {})
    assert stack.outputs == {"Second": f"arn:aws:sqs:{REGION}:{ACCOUNT}:inner-too"}
    assert stack.resources["First"].startswith(f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/")
    assert stack.nested("First").resources["Queue"].endswith("/inner")
    with pytest.raises(StackRefused, match=r"a change of QueueName would replace it and its data, inner.yaml:5 Queue"):
        stacks.update("s", REGION, tmp_path / "template.yaml", {"Name": "other"})


@pytest.mark.parametrize(
    ("outer", "inner", "said"),
    [
        ("Name: !Ref Name", "Extra: 1", "there is no parameter of inner.yaml Extra, template.yaml:5 First"),
        ("Name: !Ref Name", "", "inner.yaml needs the parameter Name, template.yaml:5 First"),
        ("Name: !Ref Name", "Name: UPPER", "'UPPER' does not match .*, inner.yaml:3 Name"),
        ("First.Outputs.Arn", "First.Outputs.Url", "GetAtt First.Outputs.Url: there is no such attribute"),
        ("inner.yaml", "gone.yaml", "the template cannot be read .*gone.yaml"),
        ("TemplateURL: inner.yaml", "TemplateURL: !Ref Name", "TemplateURL must be a path"),
    ],
)
def test_what_a_nested_stack_cannot_take_is_refused_at_first(
    stacks: Stacks, clients: Counting, tmp_path: Path, outer: str, inner: str, said: str
) -> None:
    write(tmp_path, INNER, "inner.yaml")
    before = clients.calls["CreateQueue"]
    with pytest.raises(LabError, match=said):
        stacks.create("s", REGION, write(tmp_path, OUTER.replace(outer, inner, 1)), {})
    assert clients.calls["CreateQueue"] == before


def test_dynamic_references(stacks: Stacks, cloud: Cloud, tmp_path: Path) -> None:
    cloud.client("ssm", REGION).put_parameter(Name="/greeting", Value="hello", Type="String")
    text = """
Resources:
  Secret:
    Type: AWS::SecretsManager::Secret
    Properties:
      Name: login
      GenerateSecretString:
        { SecretStringTemplate: '{"username": "shop"}', GenerateStringKey: password, PasswordLength: 20 }
      ReplicaRegions: [{ Region: eu-central-1 }]
  User:
    Type: AWS::SSM::Parameter
    Properties: { Type: String, Value: !Sub "{{resolve:secretsmanager:${Secret}:SecretString:username}}!" }
  Greeting: { Type: AWS::SSM::Parameter, Properties: { Type: String, Value: "{{resolve:ssm:/greeting}}" } }
"""
    stack = stacks.create("s", REGION, write(tmp_path, text), {})
    ssm = cloud.client("ssm", REGION)
    values = [ssm.get_parameter(Name=stack.resources[name])["Parameter"]["Value"] for name in ("User", "Greeting")]
    assert values == ["shop!", "hello"]
    replica = cloud.client("secretsmanager", PEER).get_secret_value(SecretId="login")
    assert len(json.loads(replica["SecretString"])["password"]) == 20
    stacks.delete("s", REGION)
    broken = text.replace("SecretString:username", "SecretString:colour")
    with pytest.raises(StackRefused, match=r"colour}} stands for nothing \('colour'\), template.yaml:10 User"):
        stacks.create("s", REGION, write(tmp_path, broken), {})


# --- Update and delete ------------------------------------------------------------------------------------------------

CHANGING = """
Parameters:
  Threshold: { Type: Number, Default: 1 }
  Port: { Type: Number, Default: 80 }
  More: { Type: String, Default: "no" }
  TableName: { Type: String, Default: kept }
Conditions: { Extra: !Equals [!Ref More, "yes"] }
Resources:
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      { AlarmName: down, MetricName: m, Namespace: n, Period: 60, EvaluationPeriods: 1, Statistic: Maximum,
        ComparisonOperator: GreaterThanThreshold, Threshold: !Ref Threshold }
  Table:
    Type: AWS::DynamoDB::Table
    DeletionPolicy: Retain
    Properties:
      TableName: !Ref TableName
      BillingMode: PAY_PER_REQUEST
      KeySchema: [{ AttributeName: pk, KeyType: HASH }]
      AttributeDefinitions: [{ AttributeName: pk, AttributeType: S }]
  Vpc: { Type: AWS::EC2::VPC, Properties: { CidrBlock: 10.0.0.0/16 } }
  Group:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: g
      VpcId: !Ref Vpc
      SecurityGroupEgress: [{ IpProtocol: udp, FromPort: !Ref Port, ToPort: !Ref Port, CidrIp: 10.0.0.0/8 }]
  ManagedPolicy:
    Type: AWS::IAM::ManagedPolicy
    Properties:
      PolicyDocument:
        Version: "2012-10-17"
        Statement: [{ Effect: Allow, Action: "s3:GetObject", Resource: !Sub "arn:aws:s3:::b/${Port}" }]
  Rule:
    Type: AWS::EC2::SecurityGroupIngress
    Properties: { GroupId: !Ref Group, IpProtocol: tcp, FromPort: !Ref Port, ToPort: !Ref Port, CidrIp: 0.0.0.0/0 }
  Queue: { Type: AWS::SQS::Queue, Condition: Extra, Properties: { QueueName: extra } }
"""


def test_update_changes_what_differs_and_nothing_else(
    stacks: Stacks, cloud: Cloud, clients: Counting, tmp_path: Path
) -> None:
    template = write(tmp_path, CHANGING)
    stack = stacks.create("s", REGION, template, {})
    before = clients.calls.copy()
    stacks.update("s", REGION, template, {})
    assert clients.calls - before == Counter()

    changed = stacks.update("s", REGION, template, {"Threshold": 5, "Port": 443, "More": "yes"})
    alarms = cloud.client("cloudwatch", REGION).describe_alarms(AlarmNames=["down"])["MetricAlarms"]
    assert alarms[0]["Threshold"] == 5
    groups = cloud.client("ec2", REGION).describe_security_groups(GroupIds=[stack.resources["Group"]])
    assert [rule["FromPort"] for rule in groups["SecurityGroups"][0]["IpPermissions"]] == [443]
    assert [rule["FromPort"] for rule in groups["SecurityGroups"][0]["IpPermissionsEgress"]] == [443]
    assert changed.resources["Group"] == stack.resources["Group"]
    policy = stack.resources["ManagedPolicy"]
    iam = cloud.client("iam", "us-east-1")
    version = iam.get_policy(PolicyArn=policy)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=policy, VersionId=version)["PolicyVersion"]["Document"]
    assert document["Statement"][0]["Resource"] == "arn:aws:s3:::b/443"
    assert changed.resources["Queue"].endswith("/extra")

    # Values that are not given stay.
    without = stacks.update("s", REGION, template, {"More": "no"})
    assert "Queue" not in without.resources
    with pytest.raises(ClientError, match="NonExistentQueue"):
        cloud.client("sqs", REGION).get_queue_url(QueueName="extra")
    assert cloud.client("cloudwatch", REGION).describe_alarms(AlarmNames=["down"])["MetricAlarms"][0]["Threshold"] == 5

    with pytest.raises(StackRefused, match=r"a change of TableName would replace it and its data, template.yaml:"):
        stacks.update("s", REGION, template, {"TableName": "another"})

    stacks.delete("s", REGION)
    assert cloud.client("cloudwatch", REGION).describe_alarms(AlarmNames=["down"])["MetricAlarms"] == []
    assert "kept" in cloud.client("dynamodb", REGION).list_tables()["TableNames"]
    assert stacks.get("s", REGION) is None


def test_items_of_a_table_may_expire_by_one_attribute_at_a_time(stacks: Stacks, cloud: Cloud, tmp_path: Path) -> None:
    def expiring(attribute: str | None) -> Path:
        table = """
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: expiring
      BillingMode: PAY_PER_REQUEST
      KeySchema: [{ AttributeName: pk, KeyType: HASH }]
      AttributeDefinitions: [{ AttributeName: pk, AttributeType: S }]
"""
        return write(
            tmp_path,
            table
            + (
                f"      TimeToLiveSpecification: {{ AttributeName: {attribute}, Enabled: true }}\n" if attribute else ""
            ),
        )

    def status() -> tuple[str, str | None]:
        described = cloud.client("dynamodb", REGION).describe_time_to_live(TableName="expiring")[
            "TimeToLiveDescription"
        ]
        return described["TimeToLiveStatus"], described.get("AttributeName")

    stacks.create("s", REGION, expiring(None), {})
    assert status() == ("DISABLED", None)
    stacks.update("s", REGION, expiring("expires"), {})
    assert status() == ("ENABLED", "expires")
    with pytest.raises(StackRefused, match="TimeToLive is active on a different AttributeName"):
        stacks.update("s", REGION, expiring("ends"), {})
    stacks.update("s", REGION, expiring(None), {})
    assert status()[0] == "DISABLED"


def test_a_name_is_taken_once(stacks: Stacks, tmp_path: Path) -> None:
    template = write(tmp_path, QUEUE)
    stacks.create("s", REGION, template, {})
    with pytest.raises(StackRefused, match="the stack s exists already, eu-west-1"):
        stacks.create("s", REGION, template, {})
    with pytest.raises(StackRefused, match="there is no stack t"):
        stacks.update("t", REGION, template, {})


SIZED = """
Parameters:
  Grace: { Type: Number, Default: 30 }
Resources:
  Vpc: { Type: AWS::EC2::VPC, Properties: { CidrBlock: 10.0.0.0/16 } }
  Subnet: { Type: AWS::EC2::Subnet, Properties: { VpcId: !Ref Vpc, CidrBlock: 10.0.1.0/24 } }
  Template: { Type: AWS::EC2::LaunchTemplate, Properties: { LaunchTemplateData: { InstanceType: t4g.small } } }
  Group:
    Type: AWS::AutoScaling::AutoScalingGroup
    UpdatePolicy: { AutoScalingScheduledAction: { IgnoreUnmodifiedGroupSizeProperties: true } }
    Properties:
      { AutoScalingGroupName: sized, MinSize: "0", MaxSize: "4", DesiredCapacity: "0",
        HealthCheckGracePeriod: !Ref Grace, VPCZoneIdentifier: [!Ref Subnet],
        LaunchTemplate: { LaunchTemplateId: !Ref Template, Version: "1" } }
"""


@pytest.mark.parametrize(("keeps", "sizes"), [("true", (1, 3)), ("false", (0, 4))])
def test_an_update_of_a_group_resets_its_sizes_unless_the_template_says_otherwise(
    stacks: Stacks, cloud: Cloud, tmp_path: Path, keeps: str, sizes: tuple[int, int]
) -> None:
    template = write(tmp_path, SIZED.replace("Properties: true", f"Properties: {keeps}"))
    stacks.create("s", REGION, template, {})
    groups = cloud.client("autoscaling", REGION)
    groups.update_auto_scaling_group(AutoScalingGroupName="sized", MinSize=1, MaxSize=3, DesiredCapacity=1)
    stacks.update("s", REGION, template, {"Grace": 60})
    (group,) = groups.describe_auto_scaling_groups(AutoScalingGroupNames=["sized"])["AutoScalingGroups"]
    assert (group["MinSize"], group["MaxSize"]) == sizes


REPLICATED = """
Parameters:
  Peer: { Type: String, Default: eu-central-1 }
  KeyId: { Type: String }
Resources:
  Secret:
    Type: AWS::SecretsManager::Secret
    Properties:
      Name: replicated
      SecretString: text
      ReplicaRegions: [{ Region: !Ref Peer, KmsKeyId: !Ref KeyId }]
"""


def test_a_secrets_replica_with_another_key_is_another_replica_of_the_same_secret(
    stacks: Stacks, cloud: Cloud, clients: Counting, tmp_path: Path
) -> None:
    template = write(tmp_path, REPLICATED)
    before, called = stacks.create("s", REGION, template, {"KeyId": "one"}), clients.calls.copy()
    after = stacks.update("s", REGION, template, {"KeyId": "another"})
    assert after.resources == before.resources
    # moto does not show the key of a replica.
    assert clients.calls - called == {"RemoveRegionsFromReplication": 1, "ReplicateSecretToRegions": 1}
    manager = cloud.client("secretsmanager", REGION)
    (replica,) = manager.describe_secret(SecretId="replicated")["ReplicationStatus"]
    assert (replica["Region"], replica["Status"]) == (PEER, "InSync")
    assert cloud.client("secretsmanager", PEER).get_secret_value(SecretId="replicated")["SecretString"] == "text"


BACKED_UP = """
Parameters:
  Days: { Type: Number, Default: 7 }
  Where: { Type: String, Default: eu-central-1 }
Conditions:
  Elsewhere: !Not [!Equals [!Ref Where, ""]]
Resources:
  Database:
    Type: AWS::RDS::DBInstance
    DeletionPolicy: Delete
    Properties:
      { DBInstanceIdentifier: backed-up, Engine: postgres, DBInstanceClass: db.t4g.micro, AllocatedStorage: "20",
        MasterUsername: shop, MasterUserPassword: not-a-secret, BackupRetentionPeriod: !Ref Days,
        AutomaticBackupReplicationRegion: !If [Elsewhere, !Ref Where, !Ref "AWS::NoValue"],
        AutomaticBackupReplicationKmsKeyId: "arn:aws:kms:eu-central-1:123456789012:key/1" }
"""


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"Days": 0}, "without backups there are none to replicate, .*raise BackupRetentionPeriod"),
        ({"Where": ""}, "AutomaticBackupReplicationKmsKeyId needs AutomaticBackupReplicationRegion"),
    ],
)
def test_backups_are_replicated_where_cloudformation_takes_it(
    stacks: Stacks, tmp_path: Path, parameters: dict[str, Any], said: str
) -> None:
    template = write(tmp_path, BACKED_UP)
    with pytest.raises(StackRefused, match=said):
        stacks.create("s", REGION, template, parameters)
    stacks.create("s", REGION, template, {})
    with pytest.raises(StackRefused, match=said):
        stacks.update("s", REGION, template, parameters)


# --- Stack policies ---------------------------------------------------------------------------------------------------

POLICY = {
    "Statement": [
        {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"},
        {
            "Effect": "Deny",
            "Action": ["Update:Replace", "Update:Delete"],
            "Principal": "*",
            "Resource": "*",
            "Condition": {"StringEquals": {"ResourceType": ["AWS::SQS::Queue", "AWS::DynamoDB::Table"]}},
        },
        {"Effect": "Deny", "Action": "Update:Modify", "Principal": "*", "Resource": "LogicalResourceId/Al*"},
    ]
}
DELETED = r"^Action denied by stack policy: Statement \[#2\] does not allow \[Update:Delete\] for resource \[.*/Queue\]"


def test_a_stack_policy_forbids_what_it_denies_and_nothing_else(
    stacks: Stacks, cloud: Cloud, clients: Counting, tmp_path: Path
) -> None:
    template = write(tmp_path, CHANGING)
    stacks.create("s", REGION, template, {"More": "yes", "TableName": "guarded"})
    stacks.protect("s", REGION, json.dumps(POLICY))
    before = clients.calls.copy()
    with pytest.raises(StackRefused, match=DELETED):
        stacks.update("s", REGION, template, {"More": "no", "Threshold": 9})
    with pytest.raises(StackRefused, match=r"Statement \[#2\] does not allow \[Update:Replace\] .*Id/Table\]"):
        stacks.update("s", REGION, template, {"More": "yes", "TableName": "another", "Threshold": 1})
    with pytest.raises(StackRefused, match=r"Statement \[#3\] does not allow \[Update:Modify\] .*Id/Alarm\]"):
        stacks.update("s", REGION, template, {"TableName": "guarded", "Threshold": 9})
    assert clients.calls - before == Counter()

    # What it does not deny goes on: a rule of another port is another rule.
    changed = stacks.update("s", REGION, template, {"Threshold": 1, "Port": 443})
    groups = cloud.client("ec2", REGION).describe_security_groups(GroupIds=[changed.resources["Group"]])
    assert [rule["FromPort"] for rule in groups["SecurityGroups"][0]["IpPermissions"]] == [443]


def test_with_a_stack_policy_what_it_does_not_allow_is_denied(stacks: Stacks, tmp_path: Path) -> None:
    write(tmp_path, INNER, "inner.yaml")
    template = write(tmp_path, OUTER)
    stacks.create("s", REGION, template, {})
    statement = {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "NotResource": "LogicalResourceId/First"}
    stacks.protect("s", REGION, json.dumps({"Statement": [statement]}))
    with pytest.raises(StackRefused, match=r"no statement allows \[Update:Modify\] for \[LogicalResourceId/First\]"):
        stacks.update("s", REGION, template, {"Name": "other"})


def test_the_policy_of_a_nested_stack_is_its_own(stacks: Stacks, tmp_path: Path) -> None:
    write(tmp_path, INNER, "inner.yaml")
    template = write(tmp_path, OUTER)
    stacks.create("s", REGION, template, {})
    stacks.protect("s", REGION, json.dumps(POLICY))
    with pytest.raises(StackRefused, match=r"^Action denied .*Update:Replace.*Id/Queue\], inner.yaml:5 Queue AWS::SQS"):
        stacks.update("s", REGION, template, {"Name": "other"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"Principal": "me"}, 'Principal must be "\\*"'),
        ({"Effect": "Maybe"}, "Effect must be Allow or Deny"),
        ({"Action": "Update:Rename"}, "Update:Rename is no action of a stack policy"),
        ({"Resource": "Database"}, "LogicalResourceId/<logical id>, not Database"),
        ({"NotResource": "*"}, "either Resource or NotResource"),
        ({"Condition": {"StringEquals": {"aws:PrincipalTag": "x"}}}, "StringEquals or StringLike of ResourceType"),
        ({"Colour": "red"}, "there is no Colour in a statement"),
    ],
)
def test_a_stack_policy_that_cloudformation_would_not_take(
    stacks: Stacks, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    stacks.create("s", REGION, write(tmp_path, QUEUE), {})
    statement = {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"} | change
    with pytest.raises(StackRefused, match=f"^SetStackPolicy: .*{said}"):
        stacks.protect("s", REGION, json.dumps({"Statement": [statement]}))
    with pytest.raises(StackRefused, match="no JSON object with a list Statement"):
        stacks.protect("s", REGION, "Statement: []")


# --- Functions and state machines -------------------------------------------------------------------------------------

SERVERLESS = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  Seconds: { Type: Number, Default: 3 }
Globals:
  Function:
    Runtime: python3.13
    Handler: handler.handler
    Timeout: 7
    Layers: [!Ref Core]
    Environment: { Variables: { SECONDS: !Ref Seconds } }
Resources:
  Core: { Type: AWS::Serverless::LayerVersion, Properties: { ContentUri: layer, RetentionPolicy: Delete } }
  DeadLetters: { Type: AWS::SQS::Queue }
  Probe:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: probe
      CodeUri: code
      MemorySize: 256
      DeadLetterQueue: { Type: SQS, TargetArn: !GetAtt DeadLetters.Arn }
      EventInvokeConfig: { MaximumRetryAttempts: 0 }
      Policies:
        - Version: "2012-10-17"
          Statement: [{ Effect: Allow, Action: "sqs:SendMessage", Resource: !GetAtt DeadLetters.Arn }]
      Events:
        EachMinute:
          Type: ScheduleV2
          Properties:
            { Name: each-minute, ScheduleExpression: rate(1 minute), RetryPolicy: { MaximumRetryAttempts: 0 } }
  Failover:
    Type: AWS::Serverless::StateMachine
    Properties:
      Name: failover
      DefinitionUri: failover.asl.yaml
      DefinitionSubstitutions: { Probe: !GetAtt Probe.Arn, Seconds: !Ref Seconds }
      Policies: [{ LambdaInvokePolicy: { FunctionName: !Ref Probe } }]
      Events:
        Down:
          Type: EventBridgeRule
          Properties:
            Pattern: { source: [aws.cloudwatch], detail: { state: { value: [ALARM] } } }
            InputPath: $.detail
            DeadLetterConfig: { Arn: !GetAtt DeadLetters.Arn }
            RetryPolicy: { MaximumRetryAttempts: 2 }
"""
MACHINE = """
StartAt: Probe
QueryLanguage: JSONata
States:
  Probe:
    Type: Task
    Resource: arn:aws:states:::lambda:invoke
    TimeoutSeconds: ${Seconds}
    Arguments: { FunctionName: "${Probe}", Payload: "{% $states.input %}" }
    End: true
"""


@pytest.fixture
def serverless(tmp_path: Path) -> Path:
    (tmp_path / "layer").mkdir()
    (tmp_path / "code").mkdir()
    write(tmp_path, MACHINE, "failover.asl.yaml")
    return write(tmp_path, SERVERLESS)


def test_functions_are_configured_and_handed_to_the_runtime(
    stacks: Stacks, cloud: Cloud, runtime: Recording, serverless: Path
) -> None:
    stacks.create("s", REGION, serverless, {})
    folder = serverless.parent
    told = (REGION, folder / "code", "handler.handler", {"SECONDS": "3"}, 7, [folder / "layer"], 256)
    assert runtime.functions == {"probe": told}
    made = cloud.client("lambda", REGION).get_function_configuration(FunctionName="probe")
    assert (made["Timeout"], made["Environment"]["Variables"]) == (7, {"SECONDS": "3"})
    schedule = cloud.client("scheduler", REGION).get_schedule(Name="each-minute")
    assert schedule["Target"]["Arn"] == made["FunctionArn"]
    assert schedule["Target"]["RetryPolicy"]["MaximumRetryAttempts"] == 0

    stacks.update("s", REGION, serverless, {"Seconds": 4})
    assert runtime.functions["probe"][3] == {"SECONDS": "4"}
    assert (
        cloud.client("lambda", REGION).get_function_configuration(FunctionName="probe")["Environment"]["Variables"]
        == runtime.functions["probe"][3]
    )


def test_placeholders_are_replaced_before_the_definition_is_parsed(
    stacks: Stacks, cloud: Cloud, serverless: Path
) -> None:
    stack = stacks.create("s", REGION, serverless, {})
    states = cloud.client("stepfunctions", REGION)
    machine = states.describe_state_machine(stateMachineArn=stack.resources["Failover"])
    probe = json.loads(machine["definition"])["States"]["Probe"]
    assert probe["TimeoutSeconds"] == 3
    assert probe["Arguments"]["FunctionName"] == f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:probe"
    rule = stack.resources["FailoverDown"]
    target = cloud.client("events", REGION).list_targets_by_rule(Rule=rule)["Targets"][0]
    assert (target["Arn"], target["InputPath"]) == (machine["stateMachineArn"], "$.detail")


@pytest.mark.parametrize(
    ("file", "before", "after", "said"),
    [
        (
            "failover.asl.yaml",
            "${Probe}",
            "${Gone}",
            r"names \$\{Gone\}, which has no substitution, template.yaml:.* Failover .*\(failover.asl.yaml\), add Gone",
        ),
        (
            "failover.asl.yaml",
            '"${Probe}"',
            "relight-gone",
            "names the function relight-gone, which the template lacks",
        ),
        ("failover.asl.yaml", "States:", "States: [", "the state machine does not parse: "),
        ("template.yaml", "!GetAtt Probe.Arn, S", "!GetAtt Gone.Arn, S", "Gone is not defined in this template"),
    ],
)
def test_a_state_machine_that_names_what_is_not_there(
    stacks: Stacks, serverless: Path, file: str, before: str, after: str, said: str
) -> None:
    text = (serverless.parent / file).read_text(encoding="utf-8")
    write(serverless.parent, text.replace(before, after), file)
    with pytest.raises(LabError, match=said) as refused:
        stacks.check(REGION, serverless, {})
    assert "\n" not in str(refused.value)


# --- Every kind -------------------------------------------------------------------------------------------------------


def test_every_kind_is_made_and_deleted_again(stacks: Stacks, cloud: Cloud) -> None:
    path = Path(__file__).parent / "every_kind.yaml"
    types = {resource["Type"] for resource in transform(load(path), REGION, {}).resources.values()}
    assert KINDS.keys() - types == set()

    stack = stacks.create("s", REGION, path, {})
    assert stack.outputs["BalancerName"].startswith("app/")
    assert stack.outputs["TargetsName"].startswith("targetgroup/")
    assert not stack.outputs["Host"].startswith(":")
    assert stack.outputs["NameServers"].count(",") == 3
    ours = [{"Name": "cidr", "Values": ["10.77.0.0/16"]}]
    assert cloud.client("ec2", REGION).describe_vpcs(Filters=ours)["Vpcs"]
    stacks.delete("s", REGION)
    assert cloud.client("ec2", REGION).describe_vpcs(Filters=ours)["Vpcs"] == []


def named(pointers: Sequence[str]) -> set[str]:
    """The properties that JSON pointers of a schema such as /properties/Name/Part begin with."""
    return {pointer.split("/")[2] for pointer in pointers}


# What CloudFormation says to replace sometimes, and here never.
IN_PLACE = {
    # only with an UpdatePolicy AutoScalingReplacingUpdate
    "AWS::AutoScaling::AutoScalingGroup": {"LaunchTemplate", "MixedInstancesPolicy", "VPCZoneIdentifier"},
    "AWS::RDS::DBInstance": {  # only in a cluster of Aurora
        "AutoMinorVersionUpgrade",
        "BackupRetentionPeriod",
        "DBParameterGroupName",
        "MultiAZ",
        "PreferredMaintenanceWindow",
    },
}


@pytest.mark.parametrize("kind", [pytest.param(kind, id=name) for name, kind in KINDS.items()])
def test_what_cloudformation_replaces_the_lab_replaces_too(kind: Kind) -> None:
    """By the resource schemas that cfn-lint has from CloudFormation itself."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind.type).schema
    fixed = kind.properties if kind.update is None else kind.fixed
    whole = named([pointer for pointer in schema.get("createOnlyProperties", []) if pointer.count("/") == 2])
    assert (whole & kind.properties) - fixed == set()
    sometimes = named([*schema.get("createOnlyProperties", []), *schema.get("conditionalCreateOnlyProperties", [])])
    known = fixed | kind.sometimes_fixed.keys() | IN_PLACE.get(kind.type, set())
    assert (sometimes & kind.properties) - known == set()
