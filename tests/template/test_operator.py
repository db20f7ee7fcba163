"""The operator's template: nothing in it has to be made, changed or asked for on the night that it is for."""

import re

from tests.template.reading import ROOT, of_type, statements, written


def test_it_makes_one_role_and_neither_a_user_nor_a_key() -> None:
    """CloudFormation would have to delete a user's MFA device and key before the user, and cannot."""
    assert {each["Type"] for each in written("operator").resources.values()} == {"AWS::IAM::Role"}


def test_no_function_of_the_product_passes_changes_or_takes_on_the_role() -> None:
    """So nothing of a failover makes or edits it, and nothing but a person uses it."""
    for path in sorted((ROOT / "stacks").glob("*.yaml")):
        assert path.stem == "operator" or "-operator-" not in path.read_text(), path.name


def test_the_longest_name_of_the_role_is_one_that_iam_takes() -> None:
    longest = written().body["Parameters"]["Application"]["MaxLength"]
    assert len("relight-" + longest * "a" + "-operator-ap-southeast-1") <= 64


def test_a_session_outlasts_a_run_its_hardening_and_a_question() -> None:
    declared = written().body["Parameters"]
    (role,) = of_type(written("operator"), "AWS::IAM::Role").values()
    lasts = role["MaxSessionDuration"]
    assert lasts >= declared["RunSeconds"]["Default"] + declared["HardenSeconds"]["Default"]
    assert lasts >= declared["ApprovalSeconds"]["Default"]
    assert lasts <= 43200


def test_the_policy_is_short_enough_for_iam() -> None:
    """10,240 characters for all inline policies of a role, white space apart (IAM's quotas)."""
    (role,) = of_type(written("operator"), "AWS::IAM::Role").values()
    text = re.sub(r"\s", "", str(list(statements(role))))
    filled = text.replace("${Application}", 18 * "a").replace("${AWS::AccountId}", 12 * "1")
    filled = filled.replace("${PeerRegion}", "ap-southeast-1").replace("${AWS::Region}", "ap-southeast-1")
    assert len(filled.replace("${AWS::Partition}", "aws")) < 10_240


def test_the_page_names_the_role_as_it_is_called() -> None:
    page = (ROOT / "docs" / "break-glass.md").read_text()
    assert "relight-shop-operator-$REGION" in page
    assert "relight-<app>-operator-<region>" in page
