"""Functions as Lambda answers for them, by name; all else as moto has it."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError
from relight_cli.aws import Aws


@dataclass
class Functions:
    """What each answers; one that is not there is not deployed. `failed` are those that raise."""

    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def client(self, region: str) -> Any:
        """The client of one Region."""
        functions = self

        class Lambda:
            def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 - as boto3 calls it
                functions.asked.append((region, FunctionName, json.loads(Payload)))
                if FunctionName not in functions.answers:
                    why: Any = {"Error": {"Code": "ResourceNotFoundException", "Message": "Function not found"}}
                    raise ClientError(why, "Invoke")
                body = io.BytesIO(json.dumps(functions.answers[FunctionName]).encode())
                return {"Payload": body} | ({"FunctionError": "x"} if FunctionName in functions.failed else {})

        return Lambda()


class WithFunctions(Aws):
    """AWS as moto has it, but for the functions, which it would run in a container."""

    def __init__(self, functions: Functions) -> None:
        """`functions` are those of both Regions."""
        super().__init__()
        self._functions = functions

    def client(self, service: str, region: str) -> Any:
        return self._functions.client(region) if service == "lambda" else super().client(service, region)
