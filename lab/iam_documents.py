"""The policies that IAM takes and moto does not: a job of S3 Batch Operations is in a Region, and so is its ARN."""

from moto.iam import policy_validation

from lab.seam import MotoChangedError, Seams, require

_RULES = "SERVICE_TYPE_REGION_INFORMATION_ERROR_ASSOCIATIONS"
_STARTS = "valid_starting_values"

require(policy_validation, _RULES)


def install(seams: Seams) -> None:
    """Let moto's IAM take policies over such jobs, where it does not. MotoChangedError if it judges otherwise now."""
    rules = getattr(policy_validation, _RULES)
    starts = rules.get("s3", {}).get(_STARTS, [])
    if not starts:
        raise MotoChangedError(f"moto's IAM judges ARNs of S3 otherwise now: {starts}")
    if "job/" not in starts:
        seams.replace(policy_validation, _RULES, {**rules, "s3": {**rules["s3"], _STARTS: [*starts, "job/"]}})
