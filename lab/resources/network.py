"""EC2's network: VPCs, subnets, routes, endpoints, addresses."""

from lab.resources.argument import tag_argument
from lab.resources.call import OneCall
from lab.resources.kind import Kind, Made, Request


def _create_vpc(request: Request) -> Made:
    own = request.properties
    answer = request.call(
        "ec2",
        "create_vpc",
        CidrBlock=own["CidrBlock"],
        InstanceTenancy=own.get("InstanceTenancy"),
        **tag_argument("ec2:vpc", own.get("Tags", [])),
    )
    vpc = answer["Vpc"]["VpcId"]
    _set_vpc_attributes(request, vpc, frozenset(own))
    ours = [{"Name": "vpc-id", "Values": [vpc]}]
    groups = request.call(
        "ec2", "describe_security_groups", Filters=[*ours, {"Name": "group-name", "Values": ["default"]}]
    )
    acls = request.call("ec2", "describe_network_acls", Filters=[*ours, {"Name": "default", "Values": ["true"]}])
    return Made(
        vpc,
        {
            "VpcId": vpc,
            "CidrBlock": own["CidrBlock"],
            "DefaultSecurityGroup": groups["SecurityGroups"][0]["GroupId"],
            "DefaultNetworkAcl": acls["NetworkAcls"][0]["NetworkAclId"],
        },
    )


def _set_vpc_attributes(request: Request, vpc: str, names: frozenset[str]) -> None:
    for name in sorted(names & {"EnableDnsSupport", "EnableDnsHostnames"}):
        request.call("ec2", "modify_vpc_attribute", VpcId=vpc, **{name: {"Value": request.properties[name]}})


def _update_vpc(request: Request, made: Made, changed: frozenset[str]) -> Made:
    _set_vpc_attributes(request, made.physical_id, changed & frozenset(request.properties))
    return made


def _delete_vpc(request: Request, made: Made) -> None:
    request.call("ec2", "delete_vpc", VpcId=made.physical_id)


def _create_subnet(request: Request) -> Made:
    own = dict(request.properties)
    public, tags = own.pop("MapPublicIpOnLaunch", None), own.pop("Tags", [])
    subnet = request.call("ec2", "create_subnet", **own, **tag_argument("ec2:subnet", tags))["Subnet"]
    if public is not None:
        request.call(
            "ec2", "modify_subnet_attribute", SubnetId=subnet["SubnetId"], MapPublicIpOnLaunch={"Value": public}
        )
    return Made(
        subnet["SubnetId"], {key: subnet[key] for key in ("SubnetId", "VpcId", "CidrBlock", "AvailabilityZone")}
    )


def _delete_subnet(request: Request, made: Made) -> None:
    request.call("ec2", "delete_subnet", SubnetId=made.physical_id)


def _attach_gateway(request: Request) -> Made:
    own = request.properties
    request.call("ec2", "attach_internet_gateway", VpcId=own["VpcId"], InternetGatewayId=own["InternetGatewayId"])
    return Made(f"IGW|{own['VpcId']}")


def _detach_gateway(request: Request, _: Made) -> None:
    own = request.properties
    request.call("ec2", "detach_internet_gateway", VpcId=own["VpcId"], InternetGatewayId=own["InternetGatewayId"])


def _create_route(request: Request) -> Made:
    own = request.properties
    request.call("ec2", "create_route", **own)
    return Made(f"{own['RouteTableId']}|{own['DestinationCidrBlock']}")


def _update_route(request: Request, made: Made, _: frozenset[str]) -> Made:
    """A route is pointed elsewhere in place, so that there is never none."""
    request.call("ec2", "replace_route", **request.properties)
    return made


def _delete_route(request: Request, _: Made) -> None:
    own = request.properties
    request.call(
        "ec2", "delete_route", RouteTableId=own["RouteTableId"], DestinationCidrBlock=own["DestinationCidrBlock"]
    )


def _create_flow_log(request: Request) -> Made:
    """The definition; no flow of the lab is logged."""
    own = dict(request.properties)
    resource, tags = own.pop("ResourceId"), own.pop("Tags", [])
    answer = request.call(
        "ec2", "create_flow_logs", ResourceIds=[resource], **own, **tag_argument("ec2:vpc-flow-log", tags)
    )
    for refused in answer.get("Unsuccessful", []):
        raise request.refusal(str(refused["Error"]["Message"]))
    made = str(answer["FlowLogIds"][0])
    return Made(made, {"Id": made})


def _delete_flow_log(request: Request, made: Made) -> None:
    request.call("ec2", "delete_flow_logs", FlowLogIds=[made.physical_id])


KINDS = [
    Kind(
        type="AWS::EC2::VPC",
        properties=frozenset({"CidrBlock", "InstanceTenancy", "EnableDnsSupport", "EnableDnsHostnames", "Tags"}),
        create=_create_vpc,
        update=_update_vpc,
        delete=_delete_vpc,
        fixed=frozenset({"CidrBlock", "InstanceTenancy"}),
        attributes=frozenset({"VpcId", "CidrBlock", "DefaultSecurityGroup", "DefaultNetworkAcl"}),
    ),
    Kind(
        type="AWS::EC2::Subnet",
        properties=frozenset({"VpcId", "CidrBlock", "AvailabilityZone", "MapPublicIpOnLaunch", "Tags"}),
        create=_create_subnet,
        delete=_delete_subnet,
        attributes=frozenset({"SubnetId", "VpcId", "CidrBlock", "AvailabilityZone"}),
    ),
    OneCall(
        type="AWS::EC2::InternetGateway",
        service="ec2",
        create="create_internet_gateway",
        properties="",
        tags="ec2:internet-gateway",
        physical_id="{answer[InternetGateway][InternetGatewayId]}",
        attributes={"InternetGatewayId": "{id}"},
        delete="delete_internet_gateway",
        delete_by={"InternetGatewayId": "{id}"},
    ).kind,
    Kind(
        type="AWS::EC2::VPCGatewayAttachment",
        properties=frozenset({"VpcId", "InternetGatewayId"}),
        create=_attach_gateway,
        delete=_detach_gateway,
    ),
    OneCall(
        type="AWS::EC2::RouteTable",
        service="ec2",
        create="create_route_table",
        properties="VpcId",
        tags="ec2:route-table",
        physical_id="{answer[RouteTable][RouteTableId]}",
        attributes={"RouteTableId": "{id}"},
        delete="delete_route_table",
        delete_by={"RouteTableId": "{id}"},
    ).kind,
    Kind(
        type="AWS::EC2::Route",
        properties=frozenset(
            {"RouteTableId", "DestinationCidrBlock", "GatewayId", "NatGatewayId", "VpcPeeringConnectionId"}
        ),
        create=_create_route,
        update=_update_route,
        delete=_delete_route,
        fixed=frozenset({"RouteTableId", "DestinationCidrBlock"}),
    ),
    OneCall(
        type="AWS::EC2::SubnetRouteTableAssociation",
        service="ec2",
        create="associate_route_table",
        properties="RouteTableId SubnetId",
        physical_id="{answer[AssociationId]}",
        attributes={"Id": "{id}"},
        delete="disassociate_route_table",
        delete_by={"AssociationId": "{id}"},
    ).kind,
    OneCall(
        type="AWS::EC2::EIP",
        service="ec2",
        create="allocate_address",
        properties="Domain",
        tags="ec2:elastic-ip",
        physical_id="{answer[PublicIp]}",
        attributes={"AllocationId": "{answer[AllocationId]}", "PublicIp": "{id}"},
        delete="release_address",
        delete_by={"AllocationId": "{attributes[AllocationId]}"},
    ).kind,
    OneCall(
        type="AWS::EC2::NatGateway",
        service="ec2",
        create="create_nat_gateway",
        properties="SubnetId AllocationId ConnectivityType",
        tags="ec2:natgateway",
        physical_id="{answer[NatGateway][NatGatewayId]}",
        attributes={"NatGatewayId": "{id}"},
        delete="delete_nat_gateway",
        delete_by={"NatGatewayId": "{id}"},
    ).kind,
    OneCall(
        type="AWS::EC2::VPCEndpoint",
        service="ec2",
        create="create_vpc_endpoint",
        properties="VpcId ServiceName VpcEndpointType RouteTableIds SubnetIds SecurityGroupIds PrivateDnsEnabled"
        " PolicyDocument",
        tags="ec2:vpc-endpoint",
        physical_id="{answer[VpcEndpoint][VpcEndpointId]}",
        attributes={"Id": "{id}"},
        delete="delete_vpc_endpoints",
        delete_by={"VpcEndpointIds": "{id}"},
    ).kind,
    Kind(
        type="AWS::EC2::FlowLog",
        properties=frozenset(
            [
                "DeliverLogsPermissionArn",
                "LogDestination",
                "LogDestinationType",
                "LogFormat",
                "LogGroupName",
                "MaxAggregationInterval",
                "ResourceId",
                "ResourceType",
                "Tags",
                "TrafficType",
            ]
        ),
        create=_create_flow_log,
        delete=_delete_flow_log,
        attributes=frozenset({"Id"}),
    ),
]
