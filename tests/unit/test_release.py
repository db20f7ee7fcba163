"""The release that a Region serves: when two are the same, and what the ledger keeps of the other Region's."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from relight.ledger import Ledger
from relight.release import Release, look, of_kept, remember

from tests.unit.conftest import Clients
from tests.unit.standby import HOME, NOW

pytestmark = pytest.mark.readiness

BUCKET, KEY = "relight-data-shop-123456789012-eu-west-1", "releases/current.tar.gz"
ONE = Release(KEY, '"abc"', "v1", 1000)
type Upload = Callable[[bytes], None]


@pytest.fixture
def s3(aws: None, clients: Clients) -> Any:
    found = clients("s3", HOME)
    found.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": HOME})
    found.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    return found


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (ONE, True),
        (replace(ONE, etag='"encrypted"'), True),  # KMS: the ETag says nothing, the version is the source's
        (replace(ONE, version="v2"), True),
        (replace(ONE, etag='"encrypted"', version="v2"), False),
        (replace(ONE, size=1001), False),
        (replace(ONE, replication="REPLICA"), True),
    ],
)
def test_the_same_release(other: Release, same: bool) -> None:
    assert ONE.same(other) is same
    assert other.same(ONE) is same


def test_without_versions_only_the_etag_counts() -> None:
    unversioned = replace(ONE, version="null")
    assert not unversioned.same(replace(unversioned, etag='"other"'))


def test_what_was_kept_is_the_same_release() -> None:
    kept = {"key": KEY, "etag": ONE.kept, "seen": NOW}
    assert of_kept(kept) == ONE
    assert of_kept({**kept, "etag": replace(ONE, etag='"with a space"').kept}).etag == '"with a space"'


def test_the_release_of_the_other_region_is_kept(s3: Any, ledger: Ledger) -> None:
    for body in (b"one", b"another one"):
        s3.put_object(Bucket=BUCKET, Key=KEY, Body=body)
        assert remember(s3, ledger, BUCKET, KEY, NOW)
        kept, now = ledger.release(), look(s3, BUCKET, KEY)
        assert kept is not None
        assert now is not None
        assert of_kept(kept) == replace(now, replication=None)
        assert now.size == len(body)
        assert kept["seen"] == NOW


def test_a_release_that_is_not_there_changes_nothing(s3: Any, ledger: Ledger) -> None:
    ledger.keep_release(KEY, ONE.kept, NOW)
    assert look(s3, BUCKET, KEY) is None
    assert remember(s3, ledger, BUCKET, KEY, NOW + 60)
    assert ledger.release() == {"key": KEY, "etag": ONE.kept, "seen": NOW}


def test_an_other_region_that_is_lost_leaves_what_was_kept(ledger: Ledger) -> None:
    class Lost:
        def head_object(self, **_: Any) -> Any:
            raise EndpointConnectionError(endpoint_url="https://s3.eu-west-1.amazonaws.com/")

    ledger.keep_release(KEY, ONE.kept, NOW)
    lost: Any = Lost()
    assert not remember(lost, ledger, BUCKET, KEY, NOW + 60)
    assert ledger.release() == {"key": KEY, "etag": ONE.kept, "seen": NOW}


@pytest.mark.parametrize(("bucket", "key"), [(None, KEY), (BUCKET, None)])
def test_where_relight_knows_no_release_there_is_nothing_to_keep(
    ledger: Ledger, bucket: str | None, key: str | None
) -> None:
    nobody: Any = None
    assert remember(nobody, ledger, bucket, key, NOW)
    assert ledger.release() is None
