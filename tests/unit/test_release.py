"""The release that a Region serves: when two are the same, and what the ledger keeps of the other Region's."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from relight.ledger import Ledger
from relight.readiness_facts import Unseen
from relight.release import Release, look, of_kept, remember

from tests.unit.conftest import Clients
from tests.unit.standby import HOME, NOW

pytestmark = pytest.mark.readiness

BUCKET, KEY = "relight-data-shop-123456789012-eu-west-1", "releases/current.tar.gz"
ONE = Release(KEY, '"abc"', "v1", 1000)
DIGEST = "a" * 64
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
        (replace(ONE, sha256=DIGEST), True),  # one digest alone tells nothing
    ],
)
def test_the_same_release(other: Release, same: bool) -> None:
    assert ONE.same(other) is same
    assert other.same(ONE) is same


def test_the_digest_that_was_written_beside_it_tells_more_than_all_else() -> None:
    """Put into both buckets, each with its own key and version; and another one that looks alike."""
    one = replace(ONE, sha256=DIGEST)
    assert one.same(replace(one, etag='"encrypted"', version="v2"))
    assert not one.same(replace(one, sha256="b" * 64))


def test_a_digest_is_read_where_it_is_written_and_kept(s3: Any, ledger: Ledger) -> None:
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"one", Metadata={"sha256": DIGEST})
    seen = look(s3, BUCKET, KEY)
    assert seen is not None
    assert seen.sha256 == DIGEST
    remember(ledger, seen, NOW)
    kept = ledger.release()
    assert kept is not None
    assert of_kept(kept) == replace(seen, replication=None)


def test_what_an_earlier_version_has_kept_is_still_read() -> None:
    assert of_kept({"key": KEY, "etag": '"abc" v1 1000', "seen": NOW}) == ONE


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
        seen = look(s3, BUCKET, KEY)
        remember(ledger, seen, NOW)
        kept = ledger.release()
        assert kept is not None
        assert seen is not None
        assert of_kept(kept) == replace(seen, replication=None)
        assert seen.size == len(body)
        assert kept["seen"] == NOW


def test_there_is_no_release_where_s3_says_so(s3: Any) -> None:
    assert look(s3, BUCKET, KEY) is None


@pytest.mark.parametrize("seen", [None, Unseen("eu-west-1 did not answer in time")])
def test_what_was_kept_stays_where_nothing_was_seen(ledger: Ledger, seen: Unseen | None) -> None:
    ledger.keep_release(KEY, ONE.kept, NOW)
    remember(ledger, seen, NOW + 60)
    assert ledger.release() == {"key": KEY, "etag": ONE.kept, "seen": NOW}
