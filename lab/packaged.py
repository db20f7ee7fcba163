"""Packaged templates: what `sam package` has put into S3, brought back beside a template on disk.

Everything is named after its content, so that the same template is the same file, and an update of what has not changed
changes nothing.
"""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lab.errors import TemplateError
from lab.resources.registry import NESTED_STACK
from lab.template import load

type Fetch = Callable[[str, str], bytes]
"""The object of a bucket and a key; KeyError when there is none."""

_CODE = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}
_TEXT = {"AWS::Serverless::StateMachine": "DefinitionUri"}
_S3 = re.compile(r"s3://([^/]+)/(.+)")


def unpack(text: str, folder: Path, fetch: Fetch) -> Path:
    """The template of that text as a file in `folder`, with whatever it names in S3 beside it.

    TemplateError when it does not parse, or names what is not in S3.
    """
    name = _digest(text.encode())
    raw = folder / f"{name}.packaged"
    raw.write_text(text, encoding="utf-8")
    body = load(raw).body
    for resource in body["Resources"].values():
        _localise(resource, folder, fetch)
    shared = body.get("Globals", {}).get("Function", {})
    if _address(shared.get("CodeUri")):
        shared["CodeUri"] = _archive(_address(shared["CodeUri"]), folder, fetch)
    path = folder / f"{name}.yaml"
    # JSON is YAML too, and keeps what the tags have become.
    path.write_text(json.dumps(body), encoding="utf-8")
    return path


def object_at(url: str) -> tuple[str, str]:
    """Bucket and key of a path-style address."""
    bucket, _, key = unquote(urlsplit(url).path).strip("/").partition("/")
    return bucket, key


def _localise(resource: dict[str, Any], folder: Path, fetch: Fetch) -> None:
    kind, properties = resource["Type"], resource.get("Properties") or {}
    url = properties.get("TemplateURL")
    if kind == NESTED_STACK and isinstance(url, str) and "://" in url:
        nested = _fetched(*object_at(url), fetch).decode()
        properties["TemplateURL"] = unpack(nested, folder, fetch).name
    for types, bring in ((_CODE, _archive), (_TEXT, _file)):
        key = types.get(kind, "")
        address = _address(properties.get(key))
        if address:
            properties[key] = bring(address, folder, fetch)


def _address(named: Any) -> str:
    """What a template names, as an address in S3; no text where it names nothing there."""
    match named:
        case {"Bucket": bucket, "Key": key}:
            return f"s3://{bucket}/{key}"
        case str() if _S3.fullmatch(named):
            return named
        case _:
            return ""


def _archive(address: str, folder: Path, fetch: Fetch) -> str:
    """The folder that an archive in S3 was unpacked to."""
    content = _object(address, fetch)
    target = folder / f"code-{_digest(content)}"
    if not target.exists():
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            archive.extractall(target)
    return target.name


def _file(address: str, folder: Path, fetch: Fetch) -> str:
    content = _object(address, fetch)
    target = folder / f"definition-{_digest(content)}.asl.yaml"
    target.write_bytes(content)
    return target.name


def _object(address: str, fetch: Fetch) -> bytes:
    found = _S3.fullmatch(address)
    if found is None:
        raise TemplateError(f"{address} is no address in S3", do="package the template")
    return _fetched(found[1], found[2], fetch)


def _fetched(bucket: str, key: str, fetch: Fetch) -> bytes:
    try:
        return fetch(bucket, key)
    except KeyError:
        raise TemplateError(f"there is no object {key} in {bucket}", do="package and upload it again") from None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:24]
