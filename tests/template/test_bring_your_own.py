"""template.yaml beside an existing workload: what is made, what is asked for, and each thing that is refused."""

import json
import re
from fnmatch import fnmatchcase
from typing import Any

import pytest
from relight import settings as known
from relight.retired import retired_name
from relight.settings import FenceSettings, GuardSettings, Settings

from lab.errors import StackRefused
from lab.expression import Expression, Scope
from lab.parameter import check_rules, resolve
from tests.template.reading import ROOT, as_list, statements, written
from tests.template.region import ACCOUNT, REGIONS, Region, given, region

OTHER = {"primary": "dr", "dr": "primary"}
# What the parameters of a new workload are, and an existing one must not be given.
OF_A_NEW_ONE = {"CertificateArn": "", "SourceDatabaseArn": "", "MinSize": "0", "DesiredCapacity": "0"}


def existing(role: str) -> dict[str, str]:
    """All that an existing workload needs, with a network ACL that may be changed."""
    here, there = ("orders", "orders-dr") if role == "primary" else ("orders-dr", "orders")
    name = REGIONS[role]
    group = "autoScalingGroup:5b1c2d3e-0f1a-4b2c-8d3e-4f5a6b7c8d9e:autoScalingGroupName"
    arn = f"arn:aws:autoscaling:{name}:{ACCOUNT}:{group}"
    return {
        "CreateWorkload": "false",
        "ExistingDatabaseId": here,
        "PeerDatabaseId": there,
        "ExistingDatabaseHost": f"{here}.c7tj4example.{name}.rds.amazonaws.com",
        "ExistingDatabaseName": "orders",
        "ExistingGroupArns": f"{arn}/web,{arn}/workers",
        "PeerGroupNames": "web,workers",
        "ExistingCheckSubnetIds": "subnet-0a1,subnet-0b2",
        "ExistingCheckSecurityGroupId": "sg-0c3",
        "ExistingNetworkAclId": "acl-0own",
        "ExistingAppCidrs": "172.16.1.0/24,172.16.2.0/24",
        "PeerAppCidrs": "172.17.1.0/24",
        "ExistingBalancerName": f"web-1234567890.{name}.elb.amazonaws.com",
        "ExistingBalancerZoneId": "Z32O12XQLNTSW2",
        "ExistingBalancerFullName": "app/web/50dc6c495c0c9188",
        "ExistingTargetGroupFullName": "targetgroup/web/73e2d6bc24d8a067",
        **OF_A_NEW_ONE,
    }


def brought(role: str, **changed: str) -> Region:
    return region(role, **existing(role) | changed)


def refused(parameters: dict[str, str]) -> str:
    """Why CloudFormation would not begin with these parameters; empty where it would."""
    template = written()
    try:
        values = resolve(template, parameters, lambda _: "ami-12345678")
        scope = Scope(
            {"AWS::Region": REGIONS[parameters["Role"]], **values}, {}, {}, lambda _: "", lambda _, __: "", lambda _: []
        )
        check_rules(template, lambda where: Expression(scope, where))
    except StackRefused as why:
        return str(why)
    return ""


def variables(made: Region, function: str) -> dict[str, str]:
    (found,) = [
        dict(properties["Environment"]["Variables"])
        for properties in made.of("AWS::Lambda::Function").values()
        if properties["FunctionName"] == f"relight-shop-{function}"
    ]
    return {name: str(value) for name, value in found.items()} | {"AWS_REGION": made.name}


SETTINGS: dict[str, type[Settings]] = {
    "assess": known.ViewSettings,
    "compare": known.CompareSettings,
    "dbcheck": known.DbcheckSettings,
    "drill": known.DrillSettings,
    "fence": FenceSettings,
    "guard": GuardSettings,
    "harden": known.HardenSettings,
    "objects": known.ObjectsSettings,
    "probe": known.ProbeSettings,
    "promote": known.PromoteSettings,
    "quiesce": known.QuiesceSettings,
    "readiness": known.ReadinessSettings,
    "record": known.RecordSettings,
    "reprotect": known.ReprotectSettings,
    "retire": known.RetireSettings,
    "scale": known.ScaleSettings,
    "survey": known.SurveySettings,
    "switch": known.SwitchSettings,
    "verify": known.VerifySettings,
}


# What is made.


@pytest.mark.parametrize("role", REGIONS)
def test_only_the_orchestrator_is_made(role: str) -> None:
    made = brought(role)
    assert {path.partition("/")[0] for path in made.resources} <= {
        "Ledger",
        "Watch",
        "Failover",
        "Failback",
        "Drill",
        "Observability",
        "Dashboard",
        "Operator",
    }
    kinds = {each.type.split("::")[1] for each in made.resources.values()}
    assert not kinds & {"EC2", "RDS", "AutoScaling", "ElasticLoadBalancingV2", "SecretsManager"}


@pytest.mark.parametrize("role", REGIONS)
def test_the_outputs_are_those_that_the_other_stacks_take(role: str) -> None:
    outputs = brought(role).outputs
    assert outputs["BalancerName"] == existing(role)["ExistingBalancerName"]
    assert outputs["BalancerZoneId"] == existing(role)["ExistingBalancerZoneId"]
    assert outputs["NetworkAclId"] == "acl-0own"
    assert not {"DatabaseArn", "Warning"} & outputs.keys()
    assert "NetworkAclId" not in brought(role, ExistingNetworkAclId="", ExistingAppCidrs="").outputs


@pytest.mark.parametrize("acl", ["acl-0own", ""])
@pytest.mark.parametrize("role", REGIONS)
@pytest.mark.parametrize("function", SETTINGS)
def test_each_functions_environment_is_what_it_can_read(role: str, function: str, acl: str) -> None:
    made = brought(role, ExistingNetworkAclId=acl, PeerNetworkAclId=acl)
    SETTINGS[function].from_env(variables(made, function))


@pytest.mark.parametrize("role", REGIONS)
def test_the_way_home_makes_nothing_up_of_a_workload_that_is_not_ours(role: str) -> None:
    """Its groups and keys are those of the instance before it, and its buckets are its owner's."""
    made, told = brought(role), existing(role)
    reprotect = known.ReprotectSettings.from_env(variables(made, "reprotect"))
    assert (reprotect.replica_id, reprotect.peer_database_id) == (told["ExistingDatabaseId"], told["PeerDatabaseId"])
    assert (reprotect.subnet_group, reprotect.parameter_group, reprotect.security_group_ids) == (None, None, None)
    assert reprotect.data_key_arn == given(role)["DataKeyArn"]
    objects = known.ObjectsSettings.from_env(variables(made, "objects"))
    assert (objects.bucket, objects.peer_bucket, objects.peer_batch_role_arn) == (None, None, None)
    of_objects = {action for each in statements(made["Failback/ObjectsRole"]) for action in as_list(each["Action"])}
    assert not of_objects & {"s3:CreateJob", "s3:ListBucketVersions", "iam:PassRole"}


@pytest.mark.parametrize("role", REGIONS)
def test_an_identifier_that_is_cut_short_is_a_retired_name_all_the_same(role: str) -> None:
    """RDS takes 63 characters; of a new workload no identifier is so long, and its roles name it whole."""
    longest = "a" + 62 * "b"
    kept = retired_name(longest, 12)
    allowed = statements(brought(role, ExistingDatabaseId=longest)["Failback/RetireRole"])
    (delete,) = [each["Resource"] for each in allowed if each["Action"] == "rds:DeleteDBInstance"]
    assert fnmatchcase(f"arn:aws:rds:{REGIONS[role]}:{ACCOUNT}:db:{kept}", delete)
    assert not fnmatchcase(f"arn:aws:rds:{REGIONS[role]}:{ACCOUNT}:db:{longest}", delete)
    application = written().body["Parameters"]["Application"]["MaxLength"] * "a"
    assert retired_name(f"{application}-primary", 10**9).startswith(f"{application}-primary-retired-")


@pytest.mark.parametrize("role", REGIONS)
def test_no_role_is_passed_on_to_a_new_replica(role: str) -> None:
    """Enhanced monitoring has one, which its owner has made: they pass it on themselves."""
    assert "iam:PassRole" not in str(brought(role)["Failback/ReprotectRole"]["Policies"])


@pytest.mark.parametrize("role", REGIONS)
def test_without_a_key_of_its_owner_none_is_granted(role: str) -> None:
    made = brought(role, DataKeyArn="", PeerDataKeyArn="")
    for path in ("Failback/ReprotectRole", "Failback/RetireRole", "Failover/HardenRole"):
        assert "kms:CreateGrant" not in str(made[path]["Policies"]), path


@pytest.mark.parametrize("role", REGIONS)
def test_the_functions_are_told_what_was_given(role: str) -> None:
    made, told = brought(role, ReadinessPath="/up", TransactionPath="/checks"), existing(role)
    assert variables(made, "promote")["REPLICA_ID"] == told["ExistingDatabaseId"]
    assert variables(made, "promote")["PEER_DATABASE_ID"] == told["PeerDatabaseId"]
    assert variables(made, "dbcheck")["DATABASE_HOST"] == told["ExistingDatabaseHost"]
    assert variables(made, "dbcheck")["DATABASE_NAME"] == "orders"
    scale = known.ScaleSettings.from_env(variables(made, "scale"))
    assert scale.counterparts == {"web": "web", "workers": "workers"}
    assert variables(made, "verify")["TRANSACTION_PATH"] == "/checks"
    assert variables(made, "probe")["PEER_URL"] == f"https://{OTHER[role]}.shop.example.com:443/up"


@pytest.mark.parametrize("role", REGIONS)
def test_scale_may_change_each_group_and_no_other(role: str) -> None:
    (statement,) = [
        each
        for each in brought(role)["Failover/ScaleRole"]["Policies"][0]["PolicyDocument"]["Statement"]
        if "autoscaling:UpdateAutoScalingGroup" in each["Action"]
    ]
    assert statement["Resource"] == existing(role)["ExistingGroupArns"].split(",")


@pytest.mark.parametrize("role", REGIONS)
def test_a_certificate_and_a_key_that_nobody_has_named_may_be_described(role: str) -> None:
    """The balancer's listeners say which certificate it is, and RDS which key."""
    described = {
        action: statement["Resource"]
        for statement in statements(brought(role, DataKeyArn="")["Watch/ReadinessRole"])
        for action in as_list(statement["Action"])
    }
    here = f"{REGIONS[role]}:{ACCOUNT}"
    assert described["acm:DescribeCertificate"] == f"arn:aws:acm:{here}:certificate/*"
    assert described["kms:DescribeKey"] == f"arn:aws:kms:{here}:key/*"
    assert "elasticloadbalancing:DescribeListeners" in described


@pytest.mark.parametrize("role", REGIONS)
def test_without_a_network_acl_nothing_may_be_changed_in_one(role: str) -> None:
    made = brought(role, ExistingNetworkAclId="", ExistingAppCidrs="", PeerNetworkAclId="", PeerAppCidrs="")
    for path in ("Watch/GuardRole", "Failover/FenceRole"):
        for statement in made[path]["Policies"][0]["PolicyDocument"]["Statement"]:
            assert not [action for action in as_list(statement["Action"]) if action.startswith("ec2:")], path
    assert GuardSettings.from_env(variables(made, "guard")).network_acl_id is None
    assert FenceSettings.from_env(variables(made, "fence")).peer_network_acl_id is None


@pytest.mark.parametrize("role", REGIONS)
def test_without_a_network_acl_the_peers_dbcheck_is_the_fence(role: str) -> None:
    """And where the network ACL is the fence, no `dbcheck` of the peer may be called for one."""
    peer = REGIONS[OTHER[role]]
    dbcheck = f"arn:aws:lambda:{peer}:{ACCOUNT}:function:relight-shop-dbcheck"
    for acl, fence in (("acl-0peer", f"arn:aws:ec2:{peer}:{ACCOUNT}:network-acl/acl-0peer"), ("", dbcheck)):
        allowed = {
            resource
            for statement in statements(brought(role, PeerNetworkAclId=acl)["Failover/FenceRole"])
            for resource in as_list(statement["Resource"])
        }
        assert allowed & {dbcheck, f"arn:aws:ec2:{peer}:{ACCOUNT}:network-acl/acl-0peer"} == {fence}


@pytest.mark.parametrize("role", REGIONS)
def test_the_guard_empties_each_group_of_its_region_and_the_fence_each_of_the_peers(role: str) -> None:
    made = brought(role)
    assert GuardSettings.from_env(variables(made, "guard")).group_names == ("web", "workers")
    assert FenceSettings.from_env(variables(made, "fence")).peer_group_names == ("web", "workers")
    (own,) = [each for each in statements(made["Watch/GuardRole"]) if "autoscaling" in str(each["Action"])]
    assert own["Resource"] == existing(role)["ExistingGroupArns"].split(",")
    (peers,) = [each for each in statements(made["Failover/FenceRole"]) if "autoscaling" in str(each["Action"])]
    some_id = "arn:*:autoscaling:*:*:autoScalingGroup:*:autoScalingGroupName"
    assert peers["Resource"] == [f"{some_id}/web", f"{some_id}/workers"]
    assert peers["Condition"] == {"StringEquals": {"aws:RequestedRegion": REGIONS[OTHER[role]]}}


@pytest.mark.parametrize("role", REGIONS)
def test_the_alarms_watch_the_existing_balancer_group_and_database(role: str) -> None:
    alarms = json.dumps(brought(role).of("AWS::CloudWatch::Alarm"), default=str)
    for name in ("app/web/50dc6c495c0c9188", "targetgroup/web/73e2d6bc24d8a067", existing(role)["ExistingDatabaseId"]):
        assert f'"{name}"' in alarms
    assert '"Name": "AutoScalingGroupName", "Value": "web"' in alarms


# What is refused.


@pytest.mark.parametrize("role", REGIONS)
def test_neither_a_new_nor_an_existing_workload_is_refused(role: str) -> None:
    assert refused(given(role)) == ""
    assert refused(given(role) | existing(role)) == ""
    plain = {"ExistingNetworkAclId": "", "ExistingAppCidrs": "", "PeerNetworkAclId": "", "PeerAppCidrs": ""}
    assert refused(given(role) | existing(role) | plain) == ""
    assert refused(given(role) | existing(role) | {"DataKeyArn": "", "PeerDataKeyArn": ""}) == ""
    assert refused(given(role) | existing(role) | {"ReadinessIsDeep": "false", "GoAfter": "verify"}) == ""


@pytest.mark.parametrize("role", REGIONS)
@pytest.mark.parametrize(
    "missing",
    [
        "ExistingDatabaseId",
        "PeerDatabaseId",
        "ExistingDatabaseHost",
        "ExistingDatabaseName",
        "ExistingGroupArns",
        "PeerGroupNames",
        "ExistingCheckSubnetIds",
        "ExistingCheckSecurityGroupId",
        "ExistingBalancerName",
        "ExistingBalancerZoneId",
        "ExistingBalancerFullName",
        "ExistingTargetGroupFullName",
        "ExistingAppCidrs",
        "PeerAppCidrs",
    ],
)
def test_what_is_missing_is_named(role: str, missing: str) -> None:
    said = refused(given(role) | existing(role) | {missing: ""})
    assert missing in said
    assert "ExistingWorkload" in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SourceDatabaseArn", f"arn:aws:rds:eu-west-1:{ACCOUNT}:db:orders"),
        ("CertificateArn", f"arn:aws:acm:eu-west-1:{ACCOUNT}:certificate/1"),
        ("MultiAz", "true"),
        ("BackupReplication", "true"),
        ("ReplicationTimeControl", "true"),
        ("AccessLogs", "true"),
        ("CapacityReservation", "only"),
        ("WarmPoolSize", "2"),
    ],
)
def test_what_only_a_new_workload_could_have_is_refused_for_an_existing_one(name: str, value: str) -> None:
    said = refused(given("dr") | existing("dr") | {name: value})
    assert name in said


@pytest.mark.parametrize(
    "name",
    [
        "ExistingDatabaseId",
        "PeerDatabaseId",
        "ExistingDatabaseHost",
        "ExistingGroupArns",
        "ExistingNetworkAclId",
        "ExistingBalancerName",
    ],
)
def test_an_existing_part_is_refused_where_all_is_made(name: str) -> None:
    assert "CreateWorkload is true" in refused(given("dr") | {name: existing("dr")[name]})


def test_a_shallow_readiness_demands_that_go_waits() -> None:
    said = refused(given("dr") | existing("dr") | {"ReadinessIsDeep": "false"})
    assert "would let traffic in before the promotion" in said
    assert "GoAfter verify" in said


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("ExistingBalancerName", "internal-web-1.eu-west-1.elb.amazonaws.com", "Route 53's checkers cannot reach"),
        ("ExistingBalancerName", "dualstack.internal-web-1.eu-west-1.elb.amazonaws.com", "not an internal one"),
        ("ExistingBalancerName", "d111111abcdef8.cloudfront.net", "not CloudFront"),
        ("ExistingBalancerName", "a1234567890abcdef.awsglobalaccelerator.com", "Global Accelerator"),
        ("ExistingBalancerFullName", "net/web/50dc6c495c0c9188", "app/<name>/<id>"),
        ("ExistingDatabaseHost", "orders.cluster-c7tj4.eu-west-1.rds.amazonaws.com", "Aurora"),
        ("ExistingDatabaseHost", "orders.cluster-ro-c7tj4.eu-west-1.rds.amazonaws.com", "Multi-AZ DB cluster"),
        ("ExistingDatabaseHost", "orders.proxy-c7tj4.eu-west-1.rds.amazonaws.com", "or a proxy"),
        ("ExistingGroupArns", "web", "full ARNs"),
        ("PeerGroupNames", "arn:aws:x", "names of the other"),
        ("ReadinessPath", "up", "begins with a slash"),
        ("TransactionPath", "/orders/", "does not end with one"),
        ("ExistingAppCidrs", "everything", "subnets"),
        ("ExistingCheckSubnetIds", "vpc-1", "subnets for dbcheck"),
        ("GoAfter", "never", "decision, or verify"),
        ("CreateWorkload", "maybe", "true, or false"),
    ],
)
def test_what_cannot_be_failed_over_is_refused_with_the_reason(name: str, value: str, reason: str) -> None:
    assert reason in refused(given("primary") | existing("primary") | {name: value})


def parameters() -> list[tuple[str, dict[str, Any]]]:
    declared: dict[str, dict[str, Any]] = written().body["Parameters"]
    names = existing("dr").keys() - OF_A_NEW_ONE.keys() | {
        "GoAfter",
        "ReadinessIsDeep",
        "ReadinessPath",
        "TransactionPath",
    }
    return [(name, declared[name]) for name in sorted(names)]


@pytest.mark.parametrize(("name", "declared"), parameters())
def test_each_parameter_has_its_limits_and_says_them(name: str, declared: dict[str, Any]) -> None:
    assert {"AllowedPattern", "AllowedValues", "MinValue"} & declared.keys(), name
    assert declared["ConstraintDescription"]


def test_each_parameter_is_in_the_table_of_the_documentation() -> None:
    page = (ROOT / "docs" / "bring-your-own.md").read_text()
    named = set(re.findall(r"^\| `([A-Za-z]+)`", page, re.MULTILINE))
    assert {name for name, _ in parameters()} <= named
    assert named <= written().body["Parameters"].keys() | written("global").body["Parameters"].keys()
