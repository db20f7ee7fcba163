"""Metric math as far as the templates use it: arithmetic, and SUM, MAX and MIN over several metrics.

One period at a time. Arithmetic with a metric that has no data in a period has none either; SUM, MAX and MIN take
those that have some.
"""

import ast
import operator
from collections.abc import Callable, Collection, Mapping

type Formula = Callable[[Mapping[str, float | None]], float | None]
"""The values of one period by the metric's id (None: no data) to the value of the expression."""

_OPERATORS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_FUNCTIONS: Mapping[str, Callable[[list[float]], float]] = {"SUM": sum, "MAX": max, "MIN": min}


def formula(expression: str, ids: Collection[str]) -> Formula:
    """What an expression over the metrics of these ids computes; KeyError, with the reason, for any other."""
    try:
        root = ast.parse(expression.strip(), mode="eval").body
    except SyntaxError:
        raise KeyError(f"the lab cannot read the metric math {expression!r}") from None
    return _compile(root, tuple(ids))


def _compile(node: ast.expr, ids: tuple[str, ...]) -> Formula:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return lambda _: float(number)
        case ast.Name(id=name) if name in ids:
            return lambda values: values[name]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _arithmetic(_OPERATORS[type(op)], _compile(left, ids), _compile(right, ids))
        case ast.Call(func=ast.Name(id=name), args=[over], keywords=[]) if name in _FUNCTIONS:
            return _aggregate(_FUNCTIONS[name], [_compile(item, ids) for item in _listed(over, ids)])
    raise KeyError(f"the lab computes no {ast.unparse(node)} in metric math over {', '.join(ids)}")


def _listed(node: ast.expr, ids: tuple[str, ...]) -> list[ast.expr]:
    """[m1, m2], or METRICS() for all of them."""
    match node:
        case ast.List(elts=items):
            return items
        case ast.Call(func=ast.Name(id="METRICS"), args=[], keywords=[]):
            return [ast.Name(id=name) for name in ids]
    raise KeyError(f"the lab aggregates lists and METRICS(), not {ast.unparse(node)}")


def _arithmetic(apply: Callable[[float, float], float], left: Formula, right: Formula) -> Formula:
    def compute(values: Mapping[str, float | None]) -> float | None:
        one, other = left(values), right(values)
        if one is None or other is None:
            return None
        try:
            return apply(one, other)
        except ZeroDivisionError:
            return None

    return compute


def _aggregate(apply: Callable[[list[float]], float], parts: list[Formula]) -> Formula:
    def compute(values: Mapping[str, float | None]) -> float | None:
        found = [value for part in parts if (value := part(values)) is not None]
        return apply(found) if found else None

    return compute
