"""What instances are made from, and what stands before them: launch templates, groups, load balancers."""

from typing import Any

from lab.resources.call import OneCall
from lab.resources.kind import Kind, Made, Properties, Request

_SIZES = frozenset({"MinSize", "MaxSize", "DesiredCapacity"})
_GROUP = frozenset(
    [
        "AutoScalingGroupName",
        "MinSize",
        "MaxSize",
        "DesiredCapacity",
        "LaunchTemplate",
        "MixedInstancesPolicy",
        "VPCZoneIdentifier",
        "AvailabilityZones",
        "TargetGroupARNs",
        "HealthCheckType",
        "HealthCheckGracePeriod",
        "Cooldown",
        "TerminationPolicies",
        "NewInstancesProtectedFromScaleIn",
        "CapacityRebalance",
        "DefaultInstanceWarmup",
        "MaxInstanceLifetime",
        "Tags",
    ]
)


def _create_template(request: Request) -> Made:
    own = {"LaunchTemplateName": request.name(128)} | request.properties
    template = request.call("ec2", "create_launch_template", **own)["LaunchTemplate"]
    return Made(template["LaunchTemplateId"], _versions(template["LaunchTemplateId"], "1"))


def _update_template(request: Request, made: Made, _: frozenset[str]) -> Made:
    answer = request.call(
        "ec2",
        "create_launch_template_version",
        LaunchTemplateId=made.physical_id,
        LaunchTemplateData=request.properties["LaunchTemplateData"],
        VersionDescription=request.properties.get("VersionDescription"),
    )
    return Made(made.physical_id, _versions(made.physical_id, str(answer["LaunchTemplateVersion"]["VersionNumber"])))


def _versions(template: str, latest: str) -> dict[str, str]:
    return {"LaunchTemplateId": template, "LatestVersionNumber": latest, "DefaultVersionNumber": "1"}


def _delete_template(request: Request, made: Made) -> None:
    request.call("ec2", "delete_launch_template", LaunchTemplateId=made.physical_id)


def _group_arguments(properties: Properties) -> Properties:
    given = dict(properties)
    if "VPCZoneIdentifier" in given:
        given["VPCZoneIdentifier"] = ",".join(given["VPCZoneIdentifier"])
    if "Cooldown" in given:
        given["DefaultCooldown"] = given.pop("Cooldown")
    return given


def _create_group(request: Request) -> Made:
    own = {"AutoScalingGroupName": request.name(255)} | request.properties
    name = str(own["AutoScalingGroupName"])
    request.call("autoscaling", "create_auto_scaling_group", **_group_arguments(own))
    answer = request.call("autoscaling", "describe_auto_scaling_groups", AutoScalingGroupNames=[name])
    return Made(name, {"AutoScalingGroupARN": answer["AutoScalingGroups"][0]["AutoScalingGroupARN"]})


def _update_group(request: Request, made: Made, changed: frozenset[str]) -> Made:
    """What changed is sent; and the sizes, too, unless the template says that they are not its own any more."""
    keeps = request.update_policy.get("AutoScalingScheduledAction", {}).get("IgnoreUnmodifiedGroupSizeProperties")
    sent = changed if str(keeps).lower() == "true" else changed | _SIZES
    wanted = {key: request.properties[key] for key in sent - {"TargetGroupARNs", "Tags"} if key in request.properties}
    if wanted:
        given = _group_arguments(wanted)
        request.call("autoscaling", "update_auto_scaling_group", AutoScalingGroupName=made.physical_id, **given)
    if "TargetGroupARNs" in changed:
        _move_target_groups(request, made.physical_id)
    return made


def _move_target_groups(request: Request, name: str) -> None:
    answer = request.call("autoscaling", "describe_auto_scaling_groups", AutoScalingGroupNames=[name])
    present = set(answer["AutoScalingGroups"][0].get("TargetGroupARNs", []))
    wanted = set(request.properties.get("TargetGroupARNs", []))
    for verb, arns in (("attach", wanted - present), ("detach", present - wanted)):
        if arns:
            operation = f"{verb}_load_balancer_target_groups"
            request.call("autoscaling", operation, AutoScalingGroupName=name, TargetGroupARNs=sorted(arns))


def _delete_group(request: Request, made: Made) -> None:
    request.call("autoscaling", "delete_auto_scaling_group", AutoScalingGroupName=made.physical_id, ForceDelete=True)


def _create_balancer(request: Request) -> Made:
    own = {"Name": request.name(32)} | request.properties
    attributes = own.pop("LoadBalancerAttributes", None)
    balancer = request.call("elbv2", "create_load_balancer", **own)["LoadBalancers"][0]
    made = Made(
        balancer["LoadBalancerArn"],
        {
            "LoadBalancerArn": balancer["LoadBalancerArn"],
            "LoadBalancerName": balancer["LoadBalancerName"],
            "LoadBalancerFullName": _full_name(balancer["LoadBalancerArn"], "loadbalancer/"),
            "DNSName": balancer["DNSName"],
            "CanonicalHostedZoneID": balancer.get("CanonicalHostedZoneId", ""),
        },
    )
    _set_balancer(request, made, attributes)
    return made


def _set_balancer(request: Request, made: Made, attributes: Any) -> None:
    if attributes:
        arn = made.physical_id
        request.call("elbv2", "modify_load_balancer_attributes", LoadBalancerArn=arn, Attributes=attributes)


def _update_balancer(request: Request, made: Made, changed: frozenset[str]) -> Made:
    own = request.properties
    if "LoadBalancerAttributes" in changed:
        _set_balancer(request, made, own.get("LoadBalancerAttributes"))
    if "SecurityGroups" in changed:
        groups = own.get("SecurityGroups", [])
        request.call("elbv2", "set_security_groups", LoadBalancerArn=made.physical_id, SecurityGroups=groups)
    return made


def _delete_balancer(request: Request, made: Made) -> None:
    request.call("elbv2", "delete_load_balancer", LoadBalancerArn=made.physical_id)


def _create_targets(request: Request) -> Made:
    own = {"Name": request.name(32)} | request.properties
    attributes = own.pop("TargetGroupAttributes", None)
    group = request.call("elbv2", "create_target_group", **own)["TargetGroups"][0]
    arn = group["TargetGroupArn"]
    full_name = f"targetgroup/{_full_name(arn, 'targetgroup/')}"
    made = Made(
        arn, {"TargetGroupArn": arn, "TargetGroupName": group["TargetGroupName"], "TargetGroupFullName": full_name}
    )
    _set_targets(request, made, attributes)
    return made


def _set_targets(request: Request, made: Made, attributes: Any) -> None:
    if attributes:
        request.call("elbv2", "modify_target_group_attributes", TargetGroupArn=made.physical_id, Attributes=attributes)


def _update_targets(request: Request, made: Made, changed: frozenset[str]) -> Made:
    own = request.properties
    if "TargetGroupAttributes" in changed:
        _set_targets(request, made, own.get("TargetGroupAttributes"))
    wanted = {key: own.get(key) for key in changed - {"TargetGroupAttributes", "Tags"}}
    if wanted:
        request.call("elbv2", "modify_target_group", TargetGroupArn=made.physical_id, **wanted)
    return made


def _delete_targets(request: Request, made: Made) -> None:
    request.call("elbv2", "delete_target_group", TargetGroupArn=made.physical_id)


def _full_name(arn: str, after: str) -> str:
    """The part of an ARN by which CloudWatch knows a balancer."""
    return arn.split(after, 1)[1]


KINDS = [
    Kind(
        type="AWS::EC2::LaunchTemplate",
        properties=frozenset({"LaunchTemplateName", "LaunchTemplateData", "VersionDescription", "TagSpecifications"}),
        create=_create_template,
        update=_update_template,
        delete=_delete_template,
        fixed=frozenset({"LaunchTemplateName"}),
        attributes=frozenset({"LaunchTemplateId", "LatestVersionNumber", "DefaultVersionNumber"}),
    ),
    Kind(
        type="AWS::AutoScaling::AutoScalingGroup",
        properties=_GROUP,
        create=_create_group,
        update=_update_group,
        delete=_delete_group,
        fixed=frozenset({"AutoScalingGroupName"}),
        attributes=frozenset({"AutoScalingGroupARN"}),
        harmless={"MetricsCollection": "the lab's reconciler, not CloudWatch, says how many instances there are"},
    ),
    OneCall(
        type="AWS::AutoScaling::WarmPool",
        service="autoscaling",
        create="put_warm_pool",
        properties="AutoScalingGroupName MaxGroupPreparedCapacity MinSize PoolState InstanceReusePolicy",
        physical_id="{given[AutoScalingGroupName]}",
        update="put_warm_pool",
        fixed="AutoScalingGroupName",
        delete="delete_warm_pool",
        delete_by={"AutoScalingGroupName": "{id}"},
    ).kind,
    Kind(
        type="AWS::ElasticLoadBalancingV2::LoadBalancer",
        properties=frozenset(
            {"Name", "Scheme", "Type", "IpAddressType", "Subnets", "SecurityGroups", "LoadBalancerAttributes", "Tags"}
        ),
        create=_create_balancer,
        update=_update_balancer,
        delete=_delete_balancer,
        fixed=frozenset({"Name", "Scheme", "Type", "IpAddressType", "Subnets"}),
        attributes=frozenset(
            {"LoadBalancerArn", "LoadBalancerName", "LoadBalancerFullName", "DNSName", "CanonicalHostedZoneID"}
        ),
    ),
    Kind(
        type="AWS::ElasticLoadBalancingV2::TargetGroup",
        properties=frozenset(
            [
                "Name",
                "Port",
                "Protocol",
                "ProtocolVersion",
                "VpcId",
                "TargetType",
                "HealthCheckEnabled",
                "HealthCheckIntervalSeconds",
                "HealthCheckPath",
                "HealthCheckPort",
                "HealthCheckProtocol",
                "HealthCheckTimeoutSeconds",
                "HealthyThresholdCount",
                "UnhealthyThresholdCount",
                "Matcher",
                "TargetGroupAttributes",
                "Tags",
            ]
        ),
        create=_create_targets,
        update=_update_targets,
        delete=_delete_targets,
        fixed=frozenset({"Name", "Port", "Protocol", "ProtocolVersion", "VpcId", "TargetType"}),
        attributes=frozenset({"TargetGroupArn", "TargetGroupName", "TargetGroupFullName"}),
    ),
    OneCall(
        type="AWS::ElasticLoadBalancingV2::Listener",
        service="elbv2",
        create="create_listener",
        properties="LoadBalancerArn Port Protocol DefaultActions Certificates SslPolicy AlpnPolicy",
        physical_id="{answer[Listeners][0][ListenerArn]}",
        attributes={"ListenerArn": "{id}"},
        update="modify_listener",
        update_by={"ListenerArn": "{id}"},
        fixed="LoadBalancerArn",
        delete="delete_listener",
        delete_by={"ListenerArn": "{id}"},
    ).kind,
]
