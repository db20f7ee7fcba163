"""Step Functions. As in AWS, placeholders are replaced in the text of a definition before it is parsed."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from lab.errors import StackRefused
from lab.expression import as_text
from lab.resources.kind import Kind, Made, Properties, Request
from lab.template import ARTEFACT_BUCKET, Template

_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


def _check_machine(template: Template, logical_id: str, where: str, properties: Properties) -> None:
    """Each placeholder has a substitution, the definition parses, and no function is named by a name of its own."""
    source = _artefact(template.artefacts, properties.get("DefinitionS3Location", {}))
    text = source.read_text(encoding="utf-8") if source else json.dumps(properties.get("Definition", {}))
    where = f"{where} ({source.name})" if source else where
    substitutions = properties.get("DefinitionSubstitutions", {})
    for name in _PLACEHOLDER.findall(text):
        if name not in substitutions:
            do = f"add {name} to DefinitionSubstitutions of {logical_id}"
            raise StackRefused(f"the state machine names ${{{name}}}, which has no substitution", where=where, do=do)
    definition = _parse(_PLACEHOLDER.sub("0", text), where)
    functions = [
        resource.get("Properties", {}).get("FunctionName")
        for resource in template.resources.values()
        if resource["Type"] == "AWS::Lambda::Function"
    ]
    named = _parse(_PLACEHOLDER.sub("${}", text), where) if source else definition
    for function in _named_functions(named):
        if function not in functions:
            problem = f"the state machine names the function {function}, which the template lacks"
            raise StackRefused(problem, where=where, do="name a function of the template by a substitution")


def _named_functions(node: Any) -> Iterator[str]:
    """Functions that are named literally: not by a placeholder, not by JSONata."""
    if isinstance(node, list):
        for item in node:
            yield from _named_functions(item)
    if isinstance(node, dict):
        for key, item in node.items():
            if key == "FunctionName" and isinstance(item, str) and not item.startswith(("${", "{%")):
                yield item
            yield from _named_functions(item)


def _artefact(artefacts: Mapping[str, Path], location: Mapping[str, Any]) -> Path | None:
    return artefacts.get(f"s3://{ARTEFACT_BUCKET}/{location.get('Key')}")


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        definition = yaml.load(text, yaml.CSafeLoader)  # JSON is YAML; in C it takes a twelfth of the time
    except yaml.YAMLError as error:
        raise StackRefused(f"the state machine does not parse: {error}", where=where, do="mend the file") from error
    if not isinstance(definition, dict):
        raise StackRefused("the state machine is no mapping", where=where, do="mend the file")
    return definition


def _definition(request: Request) -> str:
    own = request.properties
    match request.one("Definition", "DefinitionString", "DefinitionS3Location"):
        case "Definition":
            text = json.dumps(own["Definition"])
        case "DefinitionString":
            text = own["DefinitionString"]
        case _:
            source = _artefact(request.place.artefacts, own["DefinitionS3Location"])
            if source is None:
                raise request.refusal("its definition does not lie beside the template", "use a local DefinitionUri")
            text = source.read_text(encoding="utf-8")
    for name, value in own.get("DefinitionSubstitutions", {}).items():
        text = text.replace(f"${{{name}}}", as_text(value))
    return json.dumps(_parse(text, request.where))


def _create_machine(request: Request) -> Made:
    own = request.properties
    name = own.get("StateMachineName") or request.name(80)
    arn = request.call(
        "stepfunctions",
        "create_state_machine",
        name=name,
        definition=_definition(request),
        roleArn=own["RoleArn"],
        type=own.get("StateMachineType"),
        loggingConfiguration=own.get("LoggingConfiguration"),
        tracingConfiguration=own.get("TracingConfiguration"),
        tags=[{"key": tag["Key"], "value": tag["Value"]} for tag in own.get("Tags", [])],
    )["stateMachineArn"]
    return Made(arn, {"Arn": arn, "Name": name})


def _update_machine(request: Request, made: Made, _: frozenset[str]) -> Made:
    own = request.properties
    request.call(
        "stepfunctions",
        "update_state_machine",
        stateMachineArn=made.physical_id,
        definition=_definition(request),
        roleArn=own["RoleArn"],
        loggingConfiguration=own.get("LoggingConfiguration"),
        tracingConfiguration=own.get("TracingConfiguration"),
    )
    return made


def _delete_machine(request: Request, made: Made) -> None:
    request.call("stepfunctions", "delete_state_machine", stateMachineArn=made.physical_id)


KINDS = [
    Kind(
        type="AWS::StepFunctions::StateMachine",
        properties=frozenset(
            [
                "Definition",
                "DefinitionS3Location",
                "DefinitionString",
                "DefinitionSubstitutions",
                "LoggingConfiguration",
                "RoleArn",
                "StateMachineName",
                "StateMachineType",
                "Tags",
                "TracingConfiguration",
            ]
        ),
        create=_create_machine,
        update=_update_machine,
        delete=_delete_machine,
        fixed=frozenset({"StateMachineName", "StateMachineType"}),
        attributes=frozenset({"Arn", "Name"}),
        check=_check_machine,
    ),
]
