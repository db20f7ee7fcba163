"""Secrets Manager and KMS."""

import json
from typing import Any

from lab.resources.call import OneCall
from lab.resources.kind import Kind, Made, Request


def _secret_string(request: Request) -> Any:
    own = request.properties
    if "GenerateSecretString" not in own:
        return own.get("SecretString")
    wanted = dict(own["GenerateSecretString"])
    template, key = wanted.pop("SecretStringTemplate", None), wanted.pop("GenerateStringKey", None)
    password = request.call("secretsmanager", "get_random_password", **wanted)["RandomPassword"]
    if template is None:
        return password
    return json.dumps(json.loads(template) | {str(key): password})


def _create_secret(request: Request) -> Made:
    own = request.properties
    arn = request.call(
        "secretsmanager",
        "create_secret",
        Name=own.get("Name") or request.name(),
        Description=own.get("Description"),
        SecretString=_secret_string(request),
        KmsKeyId=own.get("KmsKeyId"),
        AddReplicaRegions=own.get("ReplicaRegions"),
        Tags=own.get("Tags"),
    )["ARN"]
    return Made(arn, {"Id": arn})


def _update_secret(request: Request, made: Made, changed: frozenset[str]) -> Made:
    if changed & {"Description", "KmsKeyId", "SecretString"}:
        own = {key: request.properties.get(key) for key in ("Description", "KmsKeyId", "SecretString")}
        request.call("secretsmanager", "update_secret", SecretId=made.physical_id, **own)
    if "ReplicaRegions" in changed:
        _replicate(request, made)
    return made


def _replicate(request: Request, made: Made) -> None:
    """A replica's key is chosen when it is made: one with another key is another replica."""
    before, wanted = (given.get("ReplicaRegions", []) for given in (request.before, request.properties))
    gone = [replica["Region"] for replica in before if replica not in wanted]
    new = [replica for replica in wanted if replica not in before]
    if gone:
        request.call(
            "secretsmanager",
            "remove_regions_from_replication",
            SecretId=made.physical_id,
            RemoveReplicaRegions=gone,
        )
    if new:
        request.call("secretsmanager", "replicate_secret_to_regions", SecretId=made.physical_id, AddReplicaRegions=new)


def _delete_secret(request: Request, made: Made) -> None:
    regions = [replica["Region"] for replica in request.properties.get("ReplicaRegions", [])]
    if regions:
        request.call(
            "secretsmanager",
            "remove_regions_from_replication",
            SecretId=made.physical_id,
            RemoveReplicaRegions=regions,
        )
    request.call("secretsmanager", "delete_secret", SecretId=made.physical_id, ForceDeleteWithoutRecovery=True)


def _create_key(request: Request) -> Made:
    own = request.properties
    key = request.call(
        "kms",
        "create_key",
        Description=own.get("Description"),
        Policy=own.get("KeyPolicy"),
        KeySpec=own.get("KeySpec"),
        KeyUsage=own.get("KeyUsage"),
        MultiRegion=own.get("MultiRegion"),
        Tags=[{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in own.get("Tags", [])],
    )["KeyMetadata"]
    made = Made(key["KeyId"], {"Arn": key["Arn"], "KeyId": key["KeyId"]})
    return _update_key(request, made, frozenset({"EnableKeyRotation"} & own.keys()))


def _update_key(request: Request, made: Made, changed: frozenset[str]) -> Made:
    own = request.properties
    if "EnableKeyRotation" in changed:
        wanted = str(own.get("EnableKeyRotation")).lower() == "true"
        request.call("kms", "enable_key_rotation" if wanted else "disable_key_rotation", KeyId=made.physical_id)
    if "KeyPolicy" in changed:
        request.call("kms", "put_key_policy", KeyId=made.physical_id, PolicyName="default", Policy=own.get("KeyPolicy"))
    return made


def _delete_key(request: Request, made: Made) -> None:
    window = request.properties.get("PendingWindowInDays", 7)
    request.call("kms", "schedule_key_deletion", KeyId=made.physical_id, PendingWindowInDays=window)


KINDS = [
    Kind(
        type="AWS::SecretsManager::Secret",
        properties=frozenset(
            {"Name", "Description", "SecretString", "GenerateSecretString", "KmsKeyId", "ReplicaRegions", "Tags"}
        ),
        create=_create_secret,
        update=_update_secret,
        delete=_delete_secret,
        fixed=frozenset({"Name"}),
        attributes=frozenset({"Id"}),
        holds_data=True,
    ),
    Kind(
        type="AWS::KMS::Key",
        properties=frozenset(
            [
                "Description",
                "KeyPolicy",
                "KeySpec",
                "KeyUsage",
                "MultiRegion",
                "EnableKeyRotation",
                "PendingWindowInDays",
                "Tags",
            ]
        ),
        create=_create_key,
        update=_update_key,
        delete=_delete_key,
        fixed=frozenset({"Description", "KeySpec", "KeyUsage", "MultiRegion"}),
        attributes=frozenset({"Arn", "KeyId"}),
        holds_data=True,
    ),
    OneCall(
        type="AWS::KMS::Alias",
        service="kms",
        create="create_alias",
        properties="AliasName TargetKeyId",
        physical_id="{given[AliasName]}",
        update="update_alias",
        update_by={"AliasName": "{id}"},
        fixed="AliasName",
        delete="delete_alias",
        delete_by={"AliasName": "{id}"},
    ).kind,
]
