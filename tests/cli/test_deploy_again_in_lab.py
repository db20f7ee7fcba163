"""`relight deploy --delete-failed`: a stack whose first creation failed, with the real SAM CLI against the lab."""

import shutil
from collections.abc import Iterator

import pytest
from relight_cli.exit_code import Exit

from lab.binaries import folder
from lab.region import Side
from tests.cli.estate import Estate

pytestmark = [
    pytest.mark.deploy,
    pytest.mark.linux,
    pytest.mark.timeout(300),
]

DEPLOY = ("deploy", "--env", "staging", "--yes", "--skip-build", "--look-every", "0.2")
ALIAS = "alias/relight-shop-staging-data"
KEYS = "relight-shop-staging-keys"


@pytest.fixture
def estate() -> Iterator[Estate]:
    place = folder()
    try:
        with Estate(place, databases=False) as estate:
            yield estate
    finally:
        shutil.rmtree(place, ignore_errors=True)


def test_a_stack_whose_first_creation_failed_is_deleted_only_where_one_says_so(estate: Estate) -> None:
    for side in Side:
        kms = estate.client("kms", side)
        kms.create_alias(AliasName=ALIAS, TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
    ended = estate.relight(*DEPLOY)
    assert (ended.returncode, ended.stderr.count("\n")) == (Exit.OTHERWISE, 1)
    assert f"keys, primary failed, {KEYS} in eu-west-1 is ROLLBACK_COMPLETE" in ended.stderr

    estate.client("kms", Side.PRIMARY).delete_alias(AliasName=ALIAS)
    ended = estate.relight(*DEPLOY)
    assert (ended.returncode, ended.stderr.count("\n")) == (Exit.STACK, 1)
    assert "--delete-failed" in ended.stderr

    ended = estate.relight(*DEPLOY, "--delete-failed")
    assert f"delete {KEYS} in eu-west-1, whose first creation failed" in ended.stdout
    assert "\nkeys, primary: CREATE_COMPLETE\n" in ended.stdout
    # The other Region's alias is taken still, and that is where it ends.
    assert ended.returncode == Exit.OTHERWISE
    assert f"keys, dr failed, {KEYS} in eu-central-1 is ROLLBACK_COMPLETE" in ended.stderr
