"""examples/: that Terraform and CDK leave alone what the functions change, and forget none of it."""

import ast
import re
from typing import Any

import pytest

from tests.template.reading import ROOT, as_list
from tests.template.region import region

TERRAFORM = (ROOT / "examples" / "terraform" / "workload.tf").read_text()
CDK = (ROOT / "examples" / "cdk" / "workload.py").read_text()
# Services in which a workload lives. The ledger, the evidence, metrics and runs are Relight's own.
OF_A_WORKLOAD = {"rds", "autoscaling", "ec2", "elasticloadbalancing", "route53", "s3"}
READS = ("Describe", "Get", "List")
# What each action changes, as Terraform's AWS provider names it.
CHANGES = {
    "rds:PromoteReadReplica": {"aws_db_instance": {"replicate_source_db", "backup_retention_period"}},
    "rds:ModifyDBInstance": {
        "aws_db_instance": {"backup_retention_period", "deletion_protection", "multi_az", "identifier"}
    },
    "rds:CreateDBInstanceReadReplica": {"aws_db_instance": {"identifier", "replicate_source_db"}},
    "autoscaling:UpdateAutoScalingGroup": {"aws_autoscaling_group": {"min_size", "desired_capacity", "max_size"}},
    "autoscaling:ResumeProcesses": {"aws_autoscaling_group": {"suspended_processes"}},
    "ec2:CreateNetworkAclEntry": {"aws_network_acl": {"ingress"}},
    "ec2:DeleteNetworkAclEntry": {"aws_network_acl": {"ingress"}},
}
# What changes nothing that such code describes, and why.
BESIDE_IT = {
    "ec2:CreateLaunchTemplate": "a drill's own, beside the workload's",
    "ec2:CreateTags": "of a drill's own launch template",
    "ec2:DeleteLaunchTemplate": "with the tag of a drill only",
    "rds:AddTagsToResource": "the tags that the instance before had, and those of a drill",
    "rds:CopyDBSnapshot": "under the name of a drill only",
    "rds:CreateDBSnapshot": "of what is about to be retired, or deleted",
    "rds:RebootDBInstance": "of a replica that waits for it to take its parameter group",
    "rds:DeleteDBInstance": "of a retired instance, which no code describes any more, or a drill's",
    "rds:DeleteDBSnapshot": "with the tag of a drill only",
    "rds:RestoreDBInstanceFromDBSnapshot": "under a retired name, or a drill's",
    "rds:RestoreDBInstanceToPointInTime": "under the name of a drill only",
    "rds:StartDBInstance": "of what a person has stopped; no code says so",
    "rds:StartDBInstanceAutomatedBackupsReplication": "what the instance before had, by its template",
    "s3:CreateJob": "of a bucket that is Relight's own",
}


def mutating() -> set[str]:
    """What the functions may change in a workload, by their roles."""
    found = set()
    for path, role in region("dr").of("AWS::IAM::Role").items():
        if not path.startswith(("Watch/", "Failover/", "Failback/", "Drill/")):
            continue
        for policy in role.get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                resources = " ".join(map(str, as_list(statement["Resource"])))
                found |= {action for action in as_list(statement["Action"]) if "relight-evidence" not in resources}
    return {
        action
        for action in found
        if action.partition(":")[0] in OF_A_WORKLOAD and not action.partition(":")[2].startswith(READS)
    }


def blocks() -> dict[str, str]:
    """The body of each resource of the Terraform example, by its type."""
    return dict(re.findall(r'^resource "(\w+)" "\w+" \{\n(.*?)^\}', TERRAFORM, re.MULTILINE | re.DOTALL))


def ignored(body: str) -> set[str]:
    (inside,) = re.findall(r"ignore_changes = \[(.*?)\]", body, re.DOTALL)
    return set(re.findall(r"\w+", re.sub(r"#.*", "", inside)))


def test_every_change_that_the_functions_may_make_is_known() -> None:
    assert mutating() == CHANGES.keys() | BESIDE_IT.keys()
    assert not CHANGES.keys() & BESIDE_IT.keys()


@pytest.mark.parametrize("action", CHANGES)
def test_terraform_looks_away_from_what_the_action_changes_and_says_whose_doing_it_is(action: str) -> None:
    for kind, attributes in CHANGES[action].items():
        assert attributes <= ignored(blocks()[kind])
        assert action.partition(":")[2] in blocks()[kind]


def test_terraform_is_not_asked_to_look_away_from_what_it_would_mend() -> None:
    """Each attribute that is ignored is changed by a function, or by a person in an emergency."""
    changed: dict[str, set[str]] = {}
    for kinds in CHANGES.values():
        for kind, attributes in kinds.items():
            changed.setdefault(kind, set()).update(attributes)
    beside = {"aws_db_instance": {"instance_class"}}
    for kind, body in blocks().items():
        assert ignored(body) == changed[kind] | beside.get(kind, set())


def test_terraform_writes_down_what_it_ignores() -> None:
    """An attribute of which only ignore_changes speaks would be a spelling mistake that nobody finds."""
    for body in blocks().values():
        before, _, _ = body.partition("ignore_changes")
        for attribute in ignored(body) - {"suspended_processes"}:
            assert re.search(rf"^  {attribute}\b", before, re.MULTILINE), attribute


def test_its_braces_close() -> None:
    bare = re.sub(r'"[^"\n]*"', "", re.sub(r"#.*", "", TERRAFORM))
    for opening, closing in ("{}", "[]", "()"):
        assert bare.count(opening) == bare.count(closing)


def keywords(tree: ast.AST) -> dict[str, Any]:
    return {
        word.arg: word.value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        for word in call.keywords
        if word.arg
    }


def test_cdk_sends_no_sizes_along_with_an_update_and_keeps_the_database() -> None:
    given = keywords(ast.parse(CDK))
    flag = given["ignore_unmodified_group_size_properties"]
    assert isinstance(flag, ast.Constant)
    assert flag.value is True
    assert "desired_capacity" not in given
    assert {
        "source_db_instance_identifier",
        "backup_retention_period",
        "deletion_protection",
        "multi_az",
        "apply_to_update_replace_policy",
    } <= given.keys()


@pytest.mark.parametrize("action", CHANGES)
def test_cdk_says_what_becomes_of_each_change(action: str) -> None:
    assert action.partition(":")[2] in CDK


@pytest.mark.parametrize("example", [TERRAFORM, CDK])
def test_an_example_says_what_becomes_of_the_database_on_the_way_home(example: str) -> None:
    """Terraform's AWS provider follows the instance, CloudFormation its name."""
    assert "retired" in example
    assert ("terraform import" in example) is (example is TERRAFORM)


@pytest.mark.parametrize("number", re.findall(r"rule_n(?:o|umber)\s*=\s*(\d+)", TERRAFORM + CDK))
def test_the_fences_numbers_stay_free(number: str) -> None:
    assert int(number) > 99


@pytest.mark.parametrize("example", [TERRAFORM, CDK])
def test_a_pipeline_asks_first(example: str) -> None:
    assert "relight may-deploy --env" in example
