"""Lambda. moto keeps the configuration; the code itself stays on disk and is handed to the lab's runtime."""

import io
import zipfile
from functools import cache
from pathlib import Path

from lab.resources.call import OneCall
from lab.resources.kind import Kind, Made, Properties, Request
from lab.template import ARTEFACT_BUCKET

_CONFIGURATION = frozenset(
    [
        "Architectures",
        "DeadLetterConfig",
        "Description",
        "Environment",
        "EphemeralStorage",
        "FunctionName",
        "Handler",
        "KmsKeyArn",
        "Layers",
        "LoggingConfig",
        "MemorySize",
        "Role",
        "Runtime",
        "Tags",
        "Timeout",
        "TracingConfig",
        "VpcConfig",
    ]
)
_CODE = frozenset({"Code", "Architectures"})


@cache
def _placeholder() -> bytes:
    """What moto is given for code that it never runs."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("README", "The lab runs the code from where the template lies.\n")
    return archive.getvalue()


def _local(request: Request, location: Properties) -> Path:
    address = f"s3://{location.get('S3Bucket')}/{location.get('S3Key')}"
    if location.get("S3Bucket") != ARTEFACT_BUCKET or address not in request.place.artefacts:
        raise request.refusal("its code does not lie beside the template", "use a local CodeUri or ContentUri")
    return request.place.artefacts[address]


def _create_function(request: Request) -> Made:
    own: Properties = {"FunctionName": request.name()} | request.properties
    code, reserved = own.pop("Code"), own.pop("ReservedConcurrentExecutions", None)
    own["Code"] = {"ZipFile": _placeholder()}
    own["Tags"] = {tag["Key"]: tag["Value"] for tag in own.get("Tags", [])}
    answer = request.call("lambda", "create_function", **own)
    made = Made(answer["FunctionName"], {"Arn": answer["FunctionArn"]})
    _reserve(request, made, reserved)
    _define(request, made, _local(request, code))
    return made


def _reserve(request: Request, made: Made, reserved: object) -> None:
    if reserved is not None:
        request.call(
            "lambda",
            "put_function_concurrency",
            FunctionName=made.physical_id,
            ReservedConcurrentExecutions=reserved,
        )


def _define(request: Request, made: Made, code: Path) -> None:
    """Tell the runtime where the code is and how it runs."""
    if request.place.runtime is None:
        return
    own = request.properties
    layers = [request.place.layers[arn] for arn in own.get("Layers", []) if arn in request.place.layers]
    if len(layers) != len(own.get("Layers", [])):
        raise request.refusal("a layer is not made by this stack", "use layers of the template only")
    variables = {key: str(value) for key, value in own.get("Environment", {}).get("Variables", {}).items()}
    request.place.runtime.define_function(
        request.place.region,
        made.physical_id,
        code,
        own["Handler"],
        variables,
        int(own.get("Timeout", 3)),
        layers,
        int(own.get("MemorySize", 128)),
    )


def _update_function(request: Request, made: Made, changed: frozenset[str]) -> Made:
    own = request.properties
    wanted = {key: own.get(key) for key in changed - _CODE - {"Tags", "ReservedConcurrentExecutions"}}
    if wanted:
        request.call("lambda", "update_function_configuration", FunctionName=made.physical_id, **wanted)
    if changed & _CODE:
        request.call(
            "lambda",
            "update_function_code",
            FunctionName=made.physical_id,
            ZipFile=_placeholder(),
            Architectures=own.get("Architectures"),
        )
    if "ReservedConcurrentExecutions" in changed:
        _reserve(request, made, own.get("ReservedConcurrentExecutions"))
    _define(request, made, _local(request, own["Code"]))
    return made


def _delete_function(request: Request, made: Made) -> None:
    request.call("lambda", "delete_function", FunctionName=made.physical_id)


def _create_layer(request: Request) -> Made:
    own: Properties = {"LayerName": request.name()} | request.properties
    code = _local(request, own.pop("Content"))
    answer = request.call("lambda", "publish_layer_version", Content={"ZipFile": _placeholder()}, **own)
    arn = str(answer["LayerVersionArn"])
    request.place.layers[arn] = code
    return Made(arn, {"LayerVersionArn": arn})


def _delete_layer(request: Request, made: Made) -> None:
    layer, version = made.physical_id.rsplit(":", 1)
    request.call("lambda", "delete_layer_version", LayerName=layer, VersionNumber=version)
    request.place.layers.pop(made.physical_id, None)


def _create_permission(request: Request) -> Made:
    statement = request.name()
    request.call("lambda", "add_permission", StatementId=statement, **request.properties)
    return Made(statement)


def _delete_permission(request: Request, made: Made) -> None:
    own = request.properties
    request.call("lambda", "remove_permission", FunctionName=own["FunctionName"], StatementId=made.physical_id)


KINDS = [
    Kind(
        type="AWS::Lambda::Function",
        properties=_CONFIGURATION | {"Code", "ReservedConcurrentExecutions"},
        create=_create_function,
        update=_update_function,
        delete=_delete_function,
        fixed=frozenset({"FunctionName"}),
        attributes=frozenset({"Arn"}),
    ),
    Kind(
        type="AWS::Lambda::LayerVersion",
        properties=frozenset({"LayerName", "Content", "CompatibleRuntimes", "CompatibleArchitectures", "Description"}),
        create=_create_layer,
        delete=_delete_layer,
        attributes=frozenset({"LayerVersionArn"}),
    ),
    Kind(
        type="AWS::Lambda::Permission",
        properties=frozenset({"FunctionName", "Action", "Principal", "SourceArn", "SourceAccount", "EventSourceToken"}),
        create=_create_permission,
        delete=_delete_permission,
    ),
    OneCall(
        type="AWS::Lambda::EventInvokeConfig",
        service="lambda",
        create="put_function_event_invoke_config",
        properties="FunctionName Qualifier MaximumRetryAttempts MaximumEventAgeInSeconds DestinationConfig",
        physical_id="{given[FunctionName]}|{given[Qualifier]}",
        update="put_function_event_invoke_config",
        fixed="FunctionName Qualifier",
        delete="delete_function_event_invoke_config",
        delete_by={"FunctionName": "{given[FunctionName]}", "Qualifier": "{given[Qualifier]}"},
    ).kind,
]
