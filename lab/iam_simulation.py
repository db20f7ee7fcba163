"""SimulatePrincipalPolicy over the policies that roles really have, judged as `lab.permission` judges.

moto does not know the call. Roles alone are judged, by their own and their attached policies: no boundary, no policy of
an organization or of a resource. A policy with what `lab.permission` does not know is refused, never guessed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from moto.backends import get_backend
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.iam.models import Role
from moto.iam.responses import IamResponse

from lab.permission import ACCOUNT, Need, PermissionUnknown, Statement, statements
from lab.seam import Seams, require

require(Role, "arn")
require(IamResponse, "_get_param")


class _Refused(ServiceException):  # type: ignore[misc]  # moto is untyped
    """The refusal of IAM."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def install(seams: Seams) -> None:
    """Let moto's IAM answer, where it does not yet. MotoChangedError if it can do so itself now."""
    if getattr(IamResponse, "simulate_principal_policy", None) is not _simulate:
        seams.add(IamResponse, "simulate_principal_policy", _simulate)


def judged(
    given: Mapping[str, Sequence[Statement]],
    actions: Sequence[str],
    resources: Sequence[str],
    context: Mapping[str, str],
) -> Iterator[dict[str, Any]]:
    """A result for each action on each resource, as IAM tells it; `given` are each policy's statements by its name.

    PermissionUnknown where a policy has an operator that is not known.
    """
    for action in actions:
        for resource in resources:
            need = Need(action, resource, context)
            covering = {name: [each for each in of if each.covers(need)] for name, of in given.items()}
            found = [each for of in covering.values() for each in of]
            denied = any(not each.allow for each in found)
            yield {
                "EvalActionName": action,
                "EvalResourceName": resource,
                "EvalDecision": "explicitDeny" if denied else "allowed" if found else "implicitDeny",
                "MatchedStatements": [
                    {"SourcePolicyId": name, "SourcePolicyType": "IAM Policy"} for name, of in covering.items() if of
                ],
                "MissingContextValues": _missing(given, need),
            }


def _missing(given: Mapping[str, Sequence[Statement]], need: Need) -> list[str]:
    """The condition keys of statements about that action and resource, of which the request says nothing."""
    about = (each for of in given.values() for each in of if each.unconditional.covers(need))
    keys = (key for each in about for _, key, _ in each.conditions if key not in need.context)
    return list(dict.fromkeys(keys))


def _simulate(response: Any) -> ActionResult:
    arn = str(response._get_param("PolicySourceArn"))
    entries = response._get_param("ContextEntries", [])
    context = {str(entry["ContextKeyName"]).lower(): _value(entry) for entry in entries}
    try:
        results = list(
            judged(
                _statements(arn),
                [str(name) for name in response._get_param("ActionNames", [])],
                [str(name) for name in response._get_param("ResourceArns", [])] or ["*"],
                context,
            )
        )
    except PermissionUnknown as error:
        raise _Refused("PolicyEvaluation", str(error)) from error
    return ActionResult({"EvaluationResults": results, "IsTruncated": False})


def _value(entry: Mapping[str, Any]) -> str:
    """Of a key with several values `lab.permission` judges one."""
    values = [str(value) for value in entry.get("ContextKeyValues", [])]
    if len(values) != 1:
        raise PermissionUnknown(f"{entry['ContextKeyName']} has {len(values)} values")
    return values[0]


def _statements(arn: str) -> dict[str, list[Statement]]:
    roles = get_backend("iam")[ACCOUNT]["aws"].roles.values()
    role = next((role for role in list(roles) if role.arn == arn), None)
    if role is None:
        raise _Refused("NoSuchEntity", f"The entity {arn} cannot be found.")
    attached = {str(name): policy.document for name, policy in role.managed_policies.items()}
    return {name: statements([_document(text)]) for name, text in {**role.policies, **attached}.items()}


def _document(text: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = text if isinstance(text, Mapping) else json.loads(unquote(str(text)))
    return found
