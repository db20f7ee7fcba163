"""IAM. Roles and policies exist and can be read; the lab checks no permission.

AWS's own managed policies (`arn:aws:iam::aws:policy/...`) are not attached: moto would have to load all of them.
"""

from collections.abc import Iterable
from typing import Any

from lab.resources.kind import Kind, Made, Properties, Request

_AWS_MANAGED = "arn:aws:iam::aws:policy/"


def _dated(document: Properties) -> Properties:
    """IAM takes a policy without Version, as SAM writes some; moto does not."""
    return {"Version": "2012-10-17"} | document


def _attach(request: Request, role: str, arns: Iterable[str]) -> None:
    for arn in arns:
        if not arn.startswith(_AWS_MANAGED):
            request.call("iam", "attach_role_policy", RoleName=role, PolicyArn=arn)


def _detach_all(request: Request, role: str) -> None:
    for policy in request.call("iam", "list_attached_role_policies", RoleName=role)["AttachedPolicies"]:
        request.call("iam", "detach_role_policy", RoleName=role, PolicyArn=policy["PolicyArn"])


def _put_inline(request: Request, role: str, policies: Iterable[Properties]) -> None:
    for policy in policies:
        request.call(
            "iam",
            "put_role_policy",
            RoleName=role,
            PolicyName=policy["PolicyName"],
            PolicyDocument=_dated(policy["PolicyDocument"]),
        )


def _create_role(request: Request) -> Made:
    own: Properties = {"RoleName": request.name()} | request.properties
    inline, managed = own.pop("Policies", []), own.pop("ManagedPolicyArns", [])
    role = request.call("iam", "create_role", **own)["Role"]
    _put_inline(request, role["RoleName"], inline)
    _attach(request, role["RoleName"], managed)
    return Made(role["RoleName"], {"Arn": role["Arn"], "RoleId": role["RoleId"]})


def _update_role(request: Request, made: Made, changed: frozenset[str]) -> Made:
    own, role = request.properties, made.physical_id
    if "AssumeRolePolicyDocument" in changed:
        document = own["AssumeRolePolicyDocument"]
        request.call("iam", "update_assume_role_policy", RoleName=role, PolicyDocument=document)
    if changed & {"Description", "MaxSessionDuration"}:
        wanted = {key: own.get(key) for key in ("Description", "MaxSessionDuration")}
        request.call("iam", "update_role", RoleName=role, **wanted)
    if "Policies" in changed:
        _remove_inline(request, role)
        _put_inline(request, role, own.get("Policies", []))
    if "ManagedPolicyArns" in changed:
        _detach_all(request, role)
        _attach(request, role, own.get("ManagedPolicyArns", []))
    return made


def _remove_inline(request: Request, role: str) -> None:
    for name in request.call("iam", "list_role_policies", RoleName=role)["PolicyNames"]:
        request.call("iam", "delete_role_policy", RoleName=role, PolicyName=name)


def _delete_role(request: Request, made: Made) -> None:
    _remove_inline(request, made.physical_id)
    _detach_all(request, made.physical_id)
    request.call("iam", "delete_role", RoleName=made.physical_id)


def _create_policy(request: Request) -> Made:
    own = request.properties
    for role in own.get("Roles", []):
        _put_inline(request, role, [own])
    return Made(own["PolicyName"])


def _update_policy(request: Request, _: Made, __: frozenset[str]) -> Made:
    return _create_policy(request)


def _delete_policy(request: Request, made: Made) -> None:
    for role in request.properties.get("Roles", []):
        request.call("iam", "delete_role_policy", RoleName=role, PolicyName=made.physical_id)


def _create_managed(request: Request) -> Made:
    own = request.properties
    arn = request.call(
        "iam",
        "create_policy",
        PolicyName=own.get("ManagedPolicyName") or request.name(128),
        PolicyDocument=_dated(own["PolicyDocument"]),
        Description=own.get("Description"),
        Path=own.get("Path"),
    )["Policy"]["Arn"]
    for role in own.get("Roles", []):
        _attach(request, role, [arn])
    return Made(arn, {"PolicyArn": arn})


def _update_managed(request: Request, made: Made, _: frozenset[str]) -> Made:
    """A policy keeps five versions; the one that was in force goes."""
    arn = made.physical_id
    old = request.call("iam", "get_policy", PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document = _dated(request.properties["PolicyDocument"])
    request.call("iam", "create_policy_version", PolicyArn=arn, PolicyDocument=document, SetAsDefault=True)
    request.call("iam", "delete_policy_version", PolicyArn=arn, VersionId=old)
    return made


def _delete_managed(request: Request, made: Made) -> None:
    for role in request.properties.get("Roles", []):
        request.call("iam", "detach_role_policy", RoleName=role, PolicyArn=made.physical_id)
    request.call("iam", "delete_policy", PolicyArn=made.physical_id)


def _create_profile(request: Request) -> Made:
    own = request.properties
    name = own.get("InstanceProfileName") or request.name(128)
    path: dict[str, Any] = {"Path": own["Path"]} if "Path" in own else {}
    arn = request.call("iam", "create_instance_profile", InstanceProfileName=name, **path)["InstanceProfile"]["Arn"]
    for role in own["Roles"]:
        request.call("iam", "add_role_to_instance_profile", InstanceProfileName=name, RoleName=role)
    return Made(name, {"Arn": arn})


def _delete_profile(request: Request, made: Made) -> None:
    name = made.physical_id
    for role in request.properties["Roles"]:
        request.call("iam", "remove_role_from_instance_profile", InstanceProfileName=name, RoleName=role)
    request.call("iam", "delete_instance_profile", InstanceProfileName=name)


KINDS = [
    Kind(
        type="AWS::IAM::Role",
        properties=frozenset(
            [
                "AssumeRolePolicyDocument",
                "Description",
                "ManagedPolicyArns",
                "MaxSessionDuration",
                "Path",
                "PermissionsBoundary",
                "Policies",
                "RoleName",
                "Tags",
            ]
        ),
        create=_create_role,
        update=_update_role,
        delete=_delete_role,
        fixed=frozenset({"Path", "PermissionsBoundary", "RoleName"}),
        attributes=frozenset({"Arn", "RoleId"}),
    ),
    Kind(
        type="AWS::IAM::Policy",
        properties=frozenset({"PolicyName", "PolicyDocument", "Roles"}),
        create=_create_policy,
        update=_update_policy,
        delete=_delete_policy,
        fixed=frozenset({"PolicyName", "Roles"}),
    ),
    Kind(
        type="AWS::IAM::ManagedPolicy",
        properties=frozenset({"ManagedPolicyName", "PolicyDocument", "Description", "Path", "Roles"}),
        create=_create_managed,
        update=_update_managed,
        delete=_delete_managed,
        fixed=frozenset({"ManagedPolicyName", "Description", "Path", "Roles"}),
        attributes=frozenset({"PolicyArn"}),
    ),
    Kind(
        type="AWS::IAM::InstanceProfile",
        properties=frozenset({"InstanceProfileName", "Path", "Roles"}),
        create=_create_profile,
        delete=_delete_profile,
        attributes=frozenset({"Arn"}),
    ),
]
