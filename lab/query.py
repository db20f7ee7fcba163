"""JSONata as Step Functions evaluates it: the functions that AWS adds, undefined told from null, plain JSON out.

moto brings the executor for JSONata state machines without the evaluator.
"""

import hashlib
import json
import random
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

from jsonata import Jsonata
from jsonata.utils import Utils

_NULL = Utils.NULL_VALUE
_HASHES = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}
_LARGEST_ARRAY = 100_000


class QueryError(Exception):
    """An expression that does not parse, fails, or returns nothing or what is no JSON."""


def check(expression: str) -> None:
    """Parse `expression` (without its `{% %}`); QueryError with what is wrong."""
    try:
        Jsonata(expression)
    except Exception as error:  # the parser raises its own error, and bare ones of Python's
        raise QueryError(_message(error)) from error


def evaluate(expression: str, variables: Mapping[str, Any]) -> Any:
    """The value of `expression` with these variables (their names without `$`), as plain JSON.

    Raises QueryError, also where the expression returns nothing: Step Functions accepts null, not undefined.
    """
    try:
        query = Jsonata(expression)
        query.set_output_convert_nulls(False)
        for name, function in _FUNCTIONS.items():
            query.register_lambda(name, function)
        found = query.evaluate(None, {name: _inward(value) for name, value in variables.items()})
    except Exception as error:  # whatever the evaluator trips over is an error of the expression, as on AWS
        raise QueryError(_message(error)) from error
    if found is None:
        raise QueryError(f"The JSONata expression '{expression}' returned nothing (undefined).")
    try:
        return _outward(found)
    except TypeError as error:
        raise QueryError(f"The JSONata expression '{expression}' returned an unsupported result type.") from error


def _message(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _inward(value: Any) -> Any:
    """JSON to what the evaluator takes. None would mean undefined there."""
    match value:
        case None:
            return _NULL
        case dict():
            return {str(key): _inward(item) for key, item in value.items()}
        case list() | tuple():
            return [_inward(item) for item in value]
        case float() if value.is_integer():
            return int(value)  # JSON has one kind of number
        case datetime() | date():
            return timestamp(value)
        case _:
            return value


def _outward(value: Any) -> Any:
    """What the evaluator returns to JSON; TypeError for a function."""
    if value is _NULL or value is None:
        return None
    match value:
        case dict():
            return {key: _outward(item) for key, item in value.items()}
        case list():
            return [_outward(value[index]) for index in range(len(value))]
        case float() if value.is_integer():
            return int(value)
        case str() | bool() | int() | float():
            return value
        case _:
            raise TypeError(f"{type(value).__name__} is not JSON")


def timestamp(moment: datetime | date) -> str:
    """A moment as Step Functions writes it: UTC, milliseconds, Z."""
    if not isinstance(moment, datetime):
        return moment.isoformat()
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


# The functions that Step Functions adds to JSONata.


def _parse(text: str | None = None) -> Any:
    return None if text is None else _inward(json.loads(text))


def _uuid() -> str:
    return str(uuid.uuid4())


def _random(seed: Any = None) -> float:
    return (random if seed is None else random.Random(seed)).random()  # noqa: S311 - as in AWS, not for secrets


def _range(first: float, last: float, step: float) -> list[Any]:
    if not step:
        raise ValueError("$range: the step is zero")
    count = max(0, int((last - first) / step) + 1)
    if count > _LARGEST_ARRAY:
        raise ValueError(f"$range: {count} elements are too many")
    return [first + index * step for index in range(count)] if (last - first) * step >= 0 else []


def _partition(array: list[Any], size: int) -> list[Any]:
    if size < 1:
        raise ValueError("$partition: the size is not positive")
    return [array[start : start + size] for start in range(0, len(array), size)]


def _hash(text: Any, algorithm: str) -> str:
    if algorithm not in _HASHES:
        raise ValueError(f"$hash: no algorithm {algorithm}")
    content = text if isinstance(text, str) else json.dumps(_outward(text), separators=(",", ":"))
    return hashlib.new(_HASHES[algorithm], content.encode(), usedforsecurity=False).hexdigest()


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "parse": _parse,
    "uuid": _uuid,
    "random": _random,
    "range": _range,
    "partition": _partition,
    "hash": _hash,
}
