"""Reading templates: YAML with CloudFormation's tags, and the SAM transform.

What `sam package` would upload stays on disk: `CodeUri`, `ContentUri` and `DefinitionUri` are given invented S3
addresses for the transform, and `Template.artefacts` says which local path stands behind each.
"""

import copy
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import yaml
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.utils.py27hash_fix import to_py27_compatible_template, undo_mark_unicode_str_in_template

from lab.errors import TemplateError

SAM = "AWS::Serverless-2016-10-31"
ARTEFACT_BUCKET = "artefacts-on-this-machine"
# Where a SAM resource names something that lies beside the template.
_LOCAL_URIS = {
    "AWS::Serverless::Function": "CodeUri",
    "AWS::Serverless::LayerVersion": "ContentUri",
    "AWS::Serverless::StateMachine": "DefinitionUri",
}
_NAMED_SECTIONS = frozenset({"Parameters", "Rules", "Mappings", "Conditions", "Resources", "Outputs"})


@dataclass(frozen=True)
class Template:
    """A template with intrinsics in their long form."""

    path: Path
    body: dict[str, Any]
    lines: Mapping[str, int] = field(default_factory=dict)
    """Line of each resource, parameter, rule, mapping, condition and output by its name."""
    artefacts: Mapping[str, Path] = field(default_factory=dict)
    """Local path behind each invented S3 address."""

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        resources: dict[str, dict[str, Any]] = self.body["Resources"]
        return resources

    @property
    def is_sam(self) -> bool:
        return SAM in _as_list(self.body.get("Transform"))

    def where(self, logical_id: str) -> str:
        """`template.yaml:12`, or the file alone for what the transform has made."""
        line = self.lines.get(logical_id)
        return f"{self.path.name}:{line}" if line else self.path.name


class _Loader(yaml.SafeLoader):
    """YAML as CloudFormation reads it: dates stay text, and a key given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _construct_tag(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    match node:
        case yaml.ScalarNode():
            value = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case yaml.MappingNode():
            value = loader.construct_mapping(node, deep=True)
        case _:
            value = None
    if suffix in {"Ref", "Condition"}:
        return {suffix: value}
    if suffix == "GetAtt":
        return {"Fn::GetAtt": value.split(".", 1) if isinstance(value, str) else value}
    return {f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _construct_tag)


def load(path: Path) -> Template:
    """The template of that file, before any transform. TemplateError, with file and line, when it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        problem = f"the template cannot be read ({error.strerror})"
        raise TemplateError(problem, where=str(path), do="give the path of a template") from error
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        body = loader.construct_document(root) if root else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1 if mark else 1}"
        raise TemplateError(f"the template does not parse: {error.problem}", where=where, do="mend the YAML") from error
    except yaml.YAMLError as error:
        raise TemplateError(f"the template does not parse: {error}", where=str(path), do="mend the YAML") from error
    finally:
        loader.dispose()
    if not isinstance(body, dict) or not isinstance(body.get("Resources"), dict) or not body["Resources"]:
        raise TemplateError("the template has no Resources", where=str(path), do="give it at least one")
    lines = _lines(root)
    for name, resource in body["Resources"].items():
        if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
            where = f"{path}:{lines.get(name, 1)}"
            raise TemplateError(f"resource {name} has no Type", where=where, do="say which type of resource it is")
    return Template(path=path, body=body, lines=lines)


def transform(template: Template, region: str, parameters: Mapping[str, str]) -> Template:
    """The template with its SAM resources turned into CloudFormation's; unchanged where it uses no SAM."""
    unknown = [name for name in _as_list(template.body.get("Transform")) if name != SAM]
    if unknown:
        raise TemplateError(f"Transform {unknown[0]} is unknown", where=str(template.path), do=f"use {SAM} only")
    if not template.is_sam:
        for name, resource in template.resources.items():
            if resource["Type"].startswith("AWS::Serverless::"):
                problem = f"resource {name} is a {resource['Type']} in a template without the SAM transform"
                raise TemplateError(problem, where=template.where(name), do=f"add `Transform: {SAM}`")
        return template
    body = copy.deepcopy(template.body)
    artefacts = _take_artefacts(template, body)
    session = boto3.session.Session(
        region_name=region,
        aws_access_key_id="unused",
        aws_secret_access_key="unused",  # noqa: S106 (the transform calls nothing)
    )
    translator = Translator(None, Parser(), boto_session=session)
    try:
        to_py27_compatible_template(body, dict(parameters))
        translated = translator.translate(body, parameter_values=dict(parameters), get_managed_policy_map=dict)
    except InvalidDocumentException as error:
        causes = "; ".join(str(cause.message) for cause in error.causes)
        raise TemplateError(f"SAM refuses the template: {causes}", where=str(template.path)) from error
    finally:
        translator.metrics.publish()  # to nobody; else it warns that nobody was told
    finished = undo_mark_unicode_str_in_template(translated)
    finished.pop("Transform", None)
    return Template(path=template.path, body=finished, lines=template.lines, artefacts=artefacts)


def _take_artefacts(template: Template, body: dict[str, Any]) -> dict[str, Path]:
    """Put an invented S3 address in the place of each local path and say what each stands for."""
    artefacts: dict[str, Path] = {}
    shared = body.get("Globals", {}).get("Function", {})
    for name, resource in body["Resources"].items():
        key = _LOCAL_URIS.get(resource["Type"])
        if key is None:
            continue
        properties = resource.setdefault("Properties", {})
        given = properties.get(key, shared.get(key))
        if given is None:
            continue
        local = template.path.parent / given if isinstance(given, str) else None
        if local is None or not local.exists():
            problem = f"{name}.{key} names {given}, which does not exist"
            raise TemplateError(problem, where=template.where(name), do="name a path relative to the template")
        address = f"s3://{ARTEFACT_BUCKET}/{given.strip('./') or name}"
        artefacts[address] = local.resolve()
        properties[key] = address
    return artefacts


def _lines(root: yaml.Node | None) -> dict[str, int]:
    lines: dict[str, int] = {}
    if isinstance(root, yaml.MappingNode):
        for section_key, section in root.value:
            if isinstance(section, yaml.MappingNode) and section_key.value in _NAMED_SECTIONS:
                lines |= {key.value: key.start_mark.line + 1 for key, _ in section.value}
    return lines


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
