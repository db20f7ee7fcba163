"""Two sorted listings, key by key: what is missing where, what differs, and in which order keys come."""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import pytest
from relight.bucket import Bucket, NotRead
from relight.objects import (
    NAMED,
    PATIENCE_SECONDS,
    Candidate,
    Counts,
    Entry,
    Kind,
    Looked,
    Next,
    Pair,
    State,
    Unsorted,
    decide,
    first,
    judge,
    merge,
)

from tests.unit.conftest import Clients
from tests.unit.shelf import ACCOUNT
from tests.unit.standby import HOME

# One, two, three and four bytes in UTF-8; in UTF-16 the last would come before the one before it.
KEYS = ["A", "a", "a/b", "ab", "sp ace+&<>\"'%2F", "z", "é", "日本", "\uffee", "\U0001f600"]
BUCKET = "relight-data-shop"


def entry(key: str, **more: Any) -> Entry:
    return replace(Entry(key, 1, '"e"', "v1", 100.0), **more)


def marker(key: str, version: str = "d1") -> Entry:
    return Entry(key, 0, "", version, 200.0, deleted=True)


def kinds(active: list[Entry], standby: list[Entry]) -> dict[str, Kind]:
    return {pair.key: pair.kind for pair in merge(active, standby) if pair.kind is not None}


def numbered(low: int, high: int) -> Iterator[Entry]:
    return (entry(f"state/{number:06}") for number in range(low, high))


def test_of_ten_thousand_objects_the_one_missing_the_one_differing_and_the_one_extra_are_found() -> None:
    active = [one for one in numbered(0, 10_000) if one.key != "state/009999"]
    standby = [
        replace(one, etag='"x"', version="v2") if one.key == "state/000500" else one
        for one in numbered(0, 10_000)
        if one.key != "state/000007"
    ]
    assert kinds(active, standby) == {
        "state/000007": Kind.MISSING,
        "state/000500": Kind.DIFFERS,
        "state/009999": Kind.EXTRA,
    }


def test_of_endless_listings_no_more_is_read_than_is_needed() -> None:
    def endless(step: int) -> Iterator[Entry]:
        return (entry(f"{number:012}") for number in range(0, 10**12, step))

    pairs = merge(endless(1), endless(2))
    assert [next(pairs).kind for _ in range(4)] == [None, Kind.MISSING, None, Kind.MISSING]


def test_keys_come_in_the_order_of_their_bytes() -> None:
    assert sorted(KEYS) == sorted(KEYS, key=lambda key: key.encode()) == KEYS
    assert not kinds([entry(key) for key in KEYS], [entry(key) for key in KEYS])
    assert kinds([entry(key) for key in KEYS], [entry(key) for key in KEYS[::2]]) == dict.fromkeys(
        KEYS[1::2], Kind.MISSING
    )
    assert kinds([], [entry(key) for key in KEYS]) == dict.fromkeys(KEYS, Kind.EXTRA)


@pytest.mark.parametrize("keys", [["b", "a"], ["a", "a"]])
def test_a_listing_out_of_order_is_not_believed(keys: list[str]) -> None:
    with pytest.raises(Unsorted):
        list(merge([entry(key) for key in keys], []))


@pytest.mark.parametrize(
    ("active", "standby", "kind"),
    [
        (entry("k"), entry("k"), None),
        (entry("k"), entry("k", version="v2"), None),
        (entry("k"), entry("k", etag='"x"'), None),
        (entry("k"), entry("k", etag='"x"', version="v2"), Kind.DIFFERS),
        (entry("k"), entry("k", size=2), Kind.DIFFERS),
        (entry("k", version="null"), entry("k", version="null", etag='"x"'), Kind.DIFFERS),
        (entry("k"), None, Kind.MISSING),
        (entry("k"), marker("k"), Kind.MISSING),
        (None, entry("k"), Kind.EXTRA),
        (marker("k"), entry("k"), Kind.EXTRA),
        (marker("k"), marker("k", "d2"), None),
        (marker("k"), None, None),
        (None, marker("k"), None),
    ],
)
def test_what_two_regions_have_under_a_key(active: Entry | None, standby: Entry | None, kind: Kind | None) -> None:
    assert Pair("k", active, standby).kind == kind


# One key, looked at again


def again(active: Looked, standby: Looked, before: Candidate | None = None) -> tuple[State | None, str] | None:
    seen = before or Candidate("k", Kind.DIFFERS, active.entry, standby.entry)
    judged = judge(seen, active, standby)
    return None if judged is None else (judged.state, judged.detail)


def state(active: Looked, standby: Looked, before: Candidate | None = None) -> State | None:
    judged = again(active, standby, before)
    return None if judged is None else judged[0]


OURS, OLDER = entry("k", modified=200.0), entry("k", etag='"x"', version="v0", modified=100.0)
NOTHING = Looked(None)


def test_what_has_arrived_is_no_difference_any_more() -> None:
    assert state(Looked(OURS, "COMPLETED"), Looked(OURS, "REPLICA")) is None
    assert state(NOTHING, NOTHING) is None


@pytest.mark.parametrize("standby", [NOTHING, Looked(OLDER, "REPLICA"), Looked(marker("k"))])
@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ("PENDING", State.PENDING),
        ("FAILED", State.FAILED),
        (None, State.NEVER),
        ("COMPLETED", State.SETTLED),
        ("REPLICA", State.SETTLED),
    ],
)
def test_what_the_standby_lacks_is_as_its_source_says(standby: Looked, status: str | None, wanted: State) -> None:
    assert state(Looked(OURS, status), standby) is wanted


def test_what_the_old_region_still_sends_may_arrive() -> None:
    newer = replace(OLDER, modified=300.0)
    assert state(Looked(OURS, "COMPLETED"), Looked(newer, "PENDING")) is State.PENDING
    assert state(NOTHING, Looked(newer, "PENDING")) is State.PENDING
    settled = again(Looked(OURS, "COMPLETED"), Looked(newer, "FAILED"))
    assert settled == (State.SETTLED, "the standby's is newer and stays as it is (FAILED)")


@pytest.mark.parametrize(
    ("status", "wanted"),
    [(None, State.LOST), ("FAILED", State.LOST), ("COMPLETED", State.SETTLED), ("REPLICA", State.SETTLED)],
)
def test_lost_is_only_what_the_active_region_never_had(status: str | None, wanted: State) -> None:
    assert state(NOTHING, Looked(OURS, status)) is wanted


def test_a_deletion_is_waited_for() -> None:
    assert state(Looked(marker("k")), Looked(OURS, "REPLICA")) is State.PENDING


def test_what_changed_between_two_looks_is_not_final() -> None:
    before = Candidate("k", Kind.DIFFERS, OLDER, None)
    for active, standby in ((Looked(OURS, "COMPLETED"), NOTHING), (NOTHING, Looked(OURS))):
        assert state(active, standby, before) is State.PENDING
    assert state(Looked(OURS, "FAILED"), NOTHING, before) is State.FAILED


def test_a_candidate_is_kept_as_it_is() -> None:
    for candidate in (
        Candidate("日本", Kind.DIFFERS, OURS, OLDER, State.FAILED, "why"),
        Candidate("k", Kind.EXTRA, marker("k"), OURS),
        Candidate("k", Kind.MISSING, OURS, None),
    ):
        assert Candidate.from_json(json.loads(json.dumps(candidate.as_json()))) == candidate


# What follows


def test_a_job_comes_first_then_patience_then_the_truth() -> None:
    every = [Counts(*numbers) for numbers in product((0, 1), repeat=5)]
    for counts, can_mend, waited in product(every, (True, False), (0.0, PATIENCE_SECONDS)):
        following = decide(counts, can_mend=can_mend, waited=waited)
        if (counts.failed or counts.never_replicated) and can_mend:
            assert following is Next.MEND
        else:
            assert following is (Next.WAIT if counts.pending and waited == 0 else Next.TELL)


def test_an_answer_stays_small_however_long_the_keys_are() -> None:
    def named(key: str) -> Candidate:
        return Candidate(key, Kind.MISSING, None, None, State.NEVER, "it was never replicated")

    assert len(first(named(f"{number}") for number in range(100))) == NAMED
    long = first(named("\U0001f600" * 256) for _ in range(100))
    assert 0 < len(long) < NAMED
    assert len(json.dumps(long)) < 64_000


# S3's listing


@pytest.fixture
def s3(aws: None, clients: Clients) -> Any:
    s3 = clients("s3", HOME)
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": HOME})
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for key in reversed(KEYS):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"old")
    s3.put_object(Bucket=BUCKET, Key="a", Body=b"newer")
    s3.delete_object(Bucket=BUCKET, Key="é")
    return s3


@pytest.mark.parametrize("page", [1, 2, 3, 1000])
def test_a_listing_has_the_newest_of_each_key_however_it_is_paged(s3: Any, page: int) -> None:
    bucket = Bucket(s3, BUCKET, HOME, ACCOUNT, page)
    found = list(bucket.latest())
    assert [one.key for one in found] == KEYS
    assert [(one.key, one.size) for one in found if one.size != 3] == [("a", 5), ("é", 0)]
    assert [one.key for one in found if one.deleted] == ["é"]
    for before, key in pairwise(KEYS):
        assert next(bucket.latest(before)).key == key
    assert not list(bucket.latest(KEYS[-1]))


def test_one_key_looked_at_is_as_the_listing_has_it(s3: Any) -> None:
    bucket = Bucket(s3, BUCKET, HOME, ACCOUNT)
    for listed in bucket.latest():
        looked = bucket.look(listed.key).entry
        assert looked is not None
        assert replace(looked, modified=0) == replace(listed, modified=0)
        assert bucket.has(listed.key, listed.version) is not listed.deleted
    assert bucket.look("nothing") == Looked(None)
    assert not bucket.has("a", "00000000-0000-4000-8000-000000000000")


def test_a_bucket_that_is_not_there_is_named(aws: None, clients: Clients) -> None:
    bucket = Bucket(clients("s3", HOME), "relight-nothing", HOME, ACCOUNT)
    with pytest.raises(NotRead, match=r"the bucket relight-nothing in eu-west-1: .*NoSuchBucket") as caught:
        next(bucket.latest())
    assert caught.value.refused
