"""The site of a drill: a launch template, and a stack with a balancer, a target group and a group of its own.

Nothing of it hangs on anything that a failover uses: not on the Region's balancer, whose second target group would make
it unhealthy in Route 53's eyes, nor on its Auto Scaling group.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight.drill import TAG, site_name
from relight.drill_plan import APPLICATION_TAG, tags, tags_of
from relight.drill_template import NEEDED, Apart, environment, template_data, variables, with_environment
from relight.errors import SiteNotBuilt
from relight.step import Outcome
from relight.steps.remains import stack_of
from relight.steps.scale import enough

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_autoscaling import AutoScalingClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_elbv2 import ElasticLoadBalancingv2Client

    from relight.ledger import Ledger
    from relight.run import Run
    from relight.settings import DrillSettings

TEMPLATE = Path(__file__).parents[1] / "drill_site.yaml"
SITE = "drill site"
"""Under which name the ledger keeps whether there is one."""
TARGET_PORT = "8000"  # of an application whose environment names none
SOON = 5
# CloudFormation's own limit for all of it; a balancer takes some minutes.
TIMEOUT_MINUTES = 30
_BUSY = frozenset({"CREATE_IN_PROGRESS", "REVIEW_IN_PROGRESS"})
_ORDINARY_PORT = {"https": 443, "http": 80}


@dataclass(frozen=True)
class Blueprint:
    """What the standby's own instances are made from."""

    told: Mapping[str, Any]
    user_data: str

    @property
    def port(self) -> str:
        """Where the application listens."""
        return (environment(self.user_data) or {}).get("PORT", TARGET_PORT)

    @property
    def instance_type(self) -> str | None:
        """As the launch template names it."""
        return self.told.get("InstanceType")


@dataclass(frozen=True)
class DrillSite:
    """One look at it."""

    settings: DrillSettings
    ledger: Ledger
    ec2: EC2Client
    groups: AutoScalingClient
    stacks: Any  # CloudFormation
    balancing: ElasticLoadBalancingv2Client
    clock: Callable[[], float]

    @property
    def capacity(self) -> int:
        """How many instances it has."""
        return max(1, self.settings.default_capacity)

    def name(self, run: Run) -> str:
        """Of the stack, and of the launch template."""
        return site_name(self.settings.application, run.epoch)

    # Whether there can be one.

    def blueprint(self) -> Blueprint | str:
        """What it is made from; or why it is left out, in words that follow a "because". BotoCoreError, ClientError."""
        missing = self._missing()
        if missing:
            return f"the workload is not Relight's own, and nothing is given of what keeps a drill apart: {missing}"
        name = self.settings.group_arns[0].rpartition("autoScalingGroupName/")[2]
        found = self.groups.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        specification = _specification(found[0]) if found else None
        if specification is None:
            return f"{name} is made from no launch template"
        version = specification.pop("Version", "$Default")
        specification.pop("LaunchTemplateName" if "LaunchTemplateId" in specification else "", None)
        answer = self.ec2.describe_launch_template_versions(Versions=[version], **specification)
        told: Mapping[str, Any] = answer["LaunchTemplateVersions"][0]["LaunchTemplateData"]
        user_data = _text(told.get("UserData", ""))
        if not (environment(user_data) or {}).keys() >= NEEDED:
            return f"the instances of {name} are not told by /etc/relight/app.env which database is theirs"
        return Blueprint(told, user_data)

    def _missing(self) -> str:
        s = self.settings
        needed = {
            "SUBNET_IDS": s.subnet_ids,
            "PUBLIC_SUBNET_IDS": s.public_subnet_ids,
            "SECURITY_GROUP": s.security_group,
            "BALANCER_SECURITY_GROUP": s.balancer_security_group,
            "VPC_ID": s.vpc_id,
            "INSTANCE_PROFILE_ARN": s.instance_profile_arn,
            "BUCKET": s.bucket,
            "SITE_ROLE_ARN": s.site_role_arn,
            "GROUP_ARNS": s.group_arns,
        }
        return ", ".join(name for name, given in needed.items() if not given)

    # It is made.

    def ensure(self, run: Run, endpoint: Mapping[str, Any] | None) -> Outcome:
        """Have it made where it is missing, and wait until enough of its instances are healthy.

        Done at once where it is left out: the facts say why. SiteNotBuilt where CloudFormation has given up.
        """
        stack = stack_of(self.stacks, self.name(run))
        if stack is not None:
            self._require_own(run, stack)
            return self._follow(run, stack)
        if endpoint is None:
            return self._wait("the throwaway database has no address yet")
        blueprint = self.blueprint()
        if isinstance(blueprint, str):
            self._keep(run, blueprint)
            facts = {"stack": None, "balancer": None, "url": None, "left_out": blueprint}
            return Outcome.done(f"no site is made, because {blueprint}", **facts)
        self._keep(run, None)  # the lock is looked at once more by that
        return self._create(run, self._template(run, blueprint, endpoint), blueprint)

    def _keep(self, run: Run, left_out: str | None) -> None:
        known = self.ledger.progress(run.id, SITE) or {"called_at": self.clock(), "ready_at": None}
        self.ledger.keep_progress(run, SITE, {**known, "left_out": left_out})

    def _template(self, run: Run, blueprint: Blueprint, endpoint: Mapping[str, Any]) -> str:
        """The id of the drill's launch template, which is made where it is missing."""
        s, name = self.settings, self.name(run)
        named: Any = [{"Name": "launch-template-name", "Values": [name]}]
        found = self.ec2.describe_launch_templates(Filters=named)["LaunchTemplates"]
        if found:
            self._require_own(run, found[0])
            return str(found[0]["LaunchTemplateId"])
        changes = variables(str(endpoint["host"]), int(endpoint["port"]), s.bucket or "", s.peer_region)
        user_data = with_environment(blueprint.user_data, changes) or ""
        tagged = tags(run.id, s.application, name)
        data: Any = template_data(
            blueprint.told,
            base64.b64encode(user_data.encode()).decode(),
            Apart(s.security_group or "", s.instance_profile_arn or "", tagged),
        )
        specification: Any = [{"ResourceType": "launch-template", "Tags": tagged}]
        made = self.ec2.create_launch_template(
            LaunchTemplateName=name, LaunchTemplateData=data, TagSpecifications=specification
        )
        return str(made["LaunchTemplate"]["LaunchTemplateId"])

    def _create(self, run: Run, template: str, blueprint: Blueprint) -> Outcome:
        s, name = self.settings, self.name(run)
        given = {
            "Application": s.application,
            "Epoch": str(run.epoch),
            "Run": run.id,
            "VpcId": s.vpc_id or "",
            "PublicSubnetIds": ",".join(s.public_subnet_ids or ()),
            "SubnetIds": ",".join(s.subnet_ids or ()),
            "BalancerSecurityGroupId": s.balancer_security_group or "",
            "LaunchTemplateId": template,
            "LaunchTemplateVersion": "1",
            "Capacity": str(self.capacity),
            "TargetPort": blueprint.port,
            "ReadinessPath": s.readiness_path,
            "SitePort": str(s.site_port),
            "CertificateArn": s.certificate_arn or "",
        }
        tagged: Any = [tag for tag in tags(run.id, s.application, name) if tag["Key"] != "Name"]
        try:
            self.stacks.create_stack(
                StackName=name,
                TemplateBody=TEMPLATE.read_text(),
                Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
                RoleARN=s.site_role_arn or "",
                Tags=tagged,
                TimeoutInMinutes=TIMEOUT_MINUTES,
            )
        except self.stacks.exceptions.AlreadyExistsException:
            return self._wait(f"the stack {name} is about to be made")
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                raise
            said = error.response["Error"]
            raise SiteNotBuilt(f"CloudFormation refuses {name}: {said['Message']} ({said['Code']})") from None
        return self._wait(f"the stack {name} is being made: a balancer, and its instances ({self.capacity})")

    # It is there.

    def _require_own(self, run: Run, found: Any) -> None:
        tagged = tags_of(found)
        if tagged.get(TAG) != run.id or tagged.get(APPLICATION_TAG) != self.settings.application:
            raise SiteNotBuilt(f"{self.name(run)} is there already, and not this drill's: it is left alone")

    def _follow(self, run: Run, stack: Mapping[str, Any]) -> Outcome:
        name, status = stack["StackName"], stack["StackStatus"]
        if status in _BUSY:
            return self._wait(f"the stack {name} is {status}", stack=name)
        if status != "CREATE_COMPLETE":
            raise SiteNotBuilt(f"the stack {name} is {status}: {self._why(name)}")
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
        answer = self.balancing.describe_target_health(TargetGroupArn=outputs["TargetsArn"])
        states = [target["TargetHealth"] for target in answer["TargetHealthDescriptions"]]
        healthy = sum(state.get("State") == "healthy" for state in states)
        needed = enough(self.capacity, self.settings.healthy_percent)
        reasons = sorted({str(state["Reason"]) for state in states if state.get("Reason")})
        where = {"stack": name, "balancer": outputs["BalancerName"], "url": self._url(outputs["BalancerName"])}
        said = f"{healthy} of {self.capacity} instances of the drill's site are healthy, {needed} needed"
        if healthy < needed:
            why = f" ({', '.join(reasons)})" if reasons else ""
            return self._wait(f"{said}{why}", soon=len(states) >= needed, **where, healthy=healthy)
        return Outcome.done(f"{said}: {where['url']}", **where, healthy=healthy, **self._taken(run))

    def _taken(self, run: Run) -> dict[str, Any]:
        """How long it took; the first look at which it was ready stays."""
        known = self.ledger.progress(run.id, SITE)
        if known is None:
            return {}
        if known["ready_at"] is None:
            known = {**known, "ready_at": self.clock()}
            self.ledger.keep_progress(run, SITE, known)
        return {"seconds": round(known["ready_at"] - known["called_at"], 3)}

    def _why(self, name: str) -> str:
        """What CloudFormation says of the first thing that failed."""
        try:
            pages = self.stacks.get_paginator("describe_stack_events").paginate(StackName=name)
            events = [event for page in pages for event in page["StackEvents"]]
        except (BotoCoreError, ClientError) as error:
            return f"why is not told ({type(error).__name__})"
        failed = [event for event in events if event.get("ResourceStatus") == "CREATE_FAILED"]
        if not failed:
            return "why is not told"
        first = failed[-1]  # the newest comes first
        return f"{first.get('LogicalResourceId')}: {first.get('ResourceStatusReason', 'no reason is told')}"

    def _url(self, balancer: str) -> str:
        scheme = "https" if self.settings.certificate_arn else "http"
        port = self.settings.site_port
        return f"{scheme}://{balancer}{'' if _ORDINARY_PORT[scheme] == port else f':{port}'}"

    # It is asked.

    def left_out(self, run: Run) -> bool:
        """Whether this drill has none."""
        known = self.ledger.progress(run.id, SITE)
        return known is not None and known["left_out"] is not None

    def balancer(self, run: Run) -> str:
        """The name under which its balancer is found. SiteNotBuilt where it is not there."""
        stack = stack_of(self.stacks, self.name(run))
        outputs = {output["OutputKey"]: output["OutputValue"] for output in (stack or {}).get("Outputs", [])}
        if "BalancerName" not in outputs:
            raise SiteNotBuilt(f"there is no stack {self.name(run)} with a balancer that could be asked")
        return str(outputs["BalancerName"])

    def _wait(self, sentence: str, *, soon: bool = False, **facts: Any) -> Outcome:
        return Outcome.wait(sentence, self.settings.look_again_seconds / (SOON if soon else 1), **facts)


def _specification(group: Any) -> dict[str, Any] | None:
    """The launch template of a group and its version; None where it has none."""
    mixed = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {}).get("LaunchTemplateSpecification")
    found = group.get("LaunchTemplate") or mixed
    return dict(found) if found else None


def _text(user_data: str) -> str:
    """What is written in it; nothing where it is no text, as packed user data is none."""
    try:
        return base64.b64decode(user_data, validate=False).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
