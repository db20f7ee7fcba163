"""What refuses a drill, in which order, what it would do, and what is claimed of its time and price."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from relight.drill import Kind
from relight.drill_plan import RULES, Facts, Origin, Quota, Source, cost, looked, minutes, refusal, would
from relight.errors import BackupNotFound, DrillRefused, DrillTooLarge, PeerUnreachable
from relight.head import Head, Promotion, Quiesce, State

from tests.unit.practice import PRIMARY_ARN, STANDBY
from tests.unit.standby import HERE, HOME

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "drills.md"
STEADY = Head(True, 1, HOME, State.STEADY)
BACKUP = Source(Origin.BACKUP, "arn:aws:rds:x:1:auto-backup:ab-1", 20, 1_790_000_000.0, True)
REPLICA = Source(Origin.REPLICA, PRIMARY_ARN, 20, None, True)
READY = Facts(
    kind=Kind.RESTORE,
    here=HERE,
    peer=HOME,
    head=STEADY,
    peer_head=STEADY,
    replica_id=STANDBY,
    standby={"DBInstanceClass": "db.t4g.small"},
    follows=True,
    source=BACKUP,
    peer_silent=None,
    primary_status="available",
    primary_backups=7,
    max_gib=100,
    max_usd=25.0,
    drill_seconds=14400.0,
    instances=1,
    instance_type="t4g.small",
)
DOOR = Promotion("shop-dr", "run-0", 1, None)
# Each changes one thing of what is ready, so that the rule in its place matches, and says what the sentence holds.
REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"head": replace(STEADY, active=HERE)}, DrillRefused, "drills run in the standby"),
    ({"head": replace(STEADY, state=State.PROMOTING, promotion=DOOR)}, DrillRefused, f"activates {HERE} was begun"),
    ({"peer_head": replace(STEADY, quiesce=Quiesce(1.0, None))}, DrillRefused, f"activates {HOME} is under way"),
    ({"down": ("outside: no answer",)}, DrillRefused, f"{HOME} is seen to be down (outside: no answer)"),
    ({"peer_head": None}, PeerUnreachable, f"the ledger of {HOME} does not answer"),
    ({"left_over": ("database shop-dr-drill-0",)}, DrillRefused, "left something over: database shop-dr-drill-0"),
    ({"unseen": ("stacks (Throttling)",)}, DrillRefused, "could not be seen: stacks"),
    ({"standby": None}, DrillRefused, "there is no standby to practise with"),
    ({"follows": False}, DrillRefused, "rebuild the standby"),
    ({"source": None, "peer_silent": "timed out"}, PeerUnreachable, f"{HOME} does not answer"),
    ({"source": None}, BackupNotFound, "nothing to begin with"),
    ({"kind": Kind.PROMOTE, "source": REPLICA, "primary_status": "backing-up"}, DrillRefused, "is backing-up"),
    ({"kind": Kind.PROMOTE, "source": REPLICA, "primary_backups": 0}, DrillRefused, "no automated backups"),
    ({"source": replace(BACKUP, gib=101)}, DrillTooLarge, "has 101 GiB, and a drill copies 100 at most"),
    ({"kind": Kind.PROMOTE, "source": REPLICA, "drill_seconds": 3599.0}, DrillTooLarge, "about 1 h until its write"),
    ({"max_usd": 0.01}, DrillTooLarge, "about 0.07 USD, and may cost 0.01 (parameter DrillMaxUsd)"),
    ({"source": replace(BACKUP, origin=Origin.COPY), "key_known": False}, DrillRefused, "no key of"),
    ({"quotas": (Quota("vCPUs", 4, 2, 5),)}, DrillRefused, "vCPUs: 4 of 5 are in use, 2 are needed"),
]


def test_what_is_ready_may_begin() -> None:
    assert refusal(READY) is None
    assert refusal(replace(READY, kind=Kind.PROMOTE, source=REPLICA)) is None
    assert refusal(replace(READY, kind=Kind.GAMEDAY, source=None)) is None


@pytest.mark.parametrize(("number", "change", "error", "said"), [(n, *case) for n, case in enumerate(REFUSED)])
def test_each_rule_is_reached_and_says_why(number: int, change: dict[str, Any], error: type, said: str) -> None:
    facts = replace(READY, **change)
    assert next(n for n, rule in enumerate(RULES) if rule.when(facts)) == number
    found = refusal(facts)
    assert type(found) is error
    assert said in str(found)


def test_every_rule_has_its_case() -> None:
    assert len(REFUSED) == len(RULES)


def test_what_is_at_stake_is_said_before_what_is_missing() -> None:
    everything: dict[str, Any] = {}
    for change, _, _ in reversed(REFUSED):
        everything |= change
    assert "drills run in the standby" in str(refusal(replace(READY, **everything)))


def test_a_head_that_is_being_activated_is_half_done_before_its_door_is_open() -> None:
    assert refusal(replace(READY, head=replace(STEADY, state=State.PROMOTING))) is not None


def test_a_freeze_does_not_refuse() -> None:
    frozen = replace(STEADY, frozen_until=9e9, frozen_because="sale")
    assert refusal(replace(READY, head=frozen, primary_status=None)) is None


def test_what_is_kept_for_people_does_not_count_against_its_time() -> None:
    assert refusal(replace(READY, drill_seconds=1800.0, keep_minutes=480)) is None
    assert isinstance(refusal(replace(READY, drill_seconds=1799.0)), DrillTooLarge)


def test_a_price_that_is_not_known_refuses_nothing() -> None:
    assert refusal(replace(READY, standby={"DBInstanceClass": "db.r9g.large"}, max_usd=0.01)) is None


def test_the_last_look_at_the_readiness_is_told_with_what_did_not_pass() -> None:
    checks = [
        {"name": "stream", "level": "PASS", "sentence": "it streams"},
        {"name": "quota", "level": "FAIL", "sentence": "8 vCPUs of 4"},
    ]
    look = {"at": 100.0, "on_duty": True, "score": 24, "checks": checks}
    said = "10 min ago its readiness was 24 of 100, 1 of 2 checks passed"
    assert looked(look, 700.0) == (said, ["FAIL quota: 8 vCPUs of 4"])
    assert looked(None, 700.0) == looked(look | {"on_duty": False}, 700.0) == ("no look at its readiness is known", [])


def test_a_plan_is_that_of_a_failover_and_of_a_restore() -> None:
    plan = replace(READY, kind=Kind.PLAN, failover_instances=3)
    assert refusal(plan) is None
    assert would(plan) == [
        f"a failover now would promote {STANDBY}, and bring up 3 instances in {HERE}",
        *would(READY),
    ]
    assert isinstance(refusal(replace(plan, source=None)), BackupNotFound)


def test_a_gameday_copies_nothing_so_that_its_size_does_not_count() -> None:
    facts = replace(READY, kind=Kind.GAMEDAY, source=None, max_gib=0)
    assert (refusal(facts), cost(facts), minutes(facts)) == (None, None, None)
    assert "planned mode" in would(facts)[0]
    assert isinstance(refusal(replace(facts, peer_silent="timed out")), PeerUnreachable)


def test_it_says_what_it_would_do_with_the_primary() -> None:
    said = would(replace(READY, kind=Kind.PROMOTE, source=REPLICA, keep_minutes=90))
    assert said == [
        f"{STANDBY}-drill-<epoch>, in one zone and without backups, follows {PRIMARY_ARN}, by replication",
        f"for it RDS takes a snapshot of {HOME}'s database, and keeps a slot there until its end",
        f"{STANDBY}-drill-<epoch> is promoted, and the time to its first write is taken; {STANDBY} stays as it is",
        "a balancer of its own serves from it, with 1 instance of t4g.small behind it: an order is written",
        "after 1 h 30 min, all of it is deleted",
    ]
    assert "no site is made, because it is not ours" in would(replace(READY, site="it is not ours"))[1]


def test_time_grows_with_what_crosses_and_with_what_is_kept() -> None:
    here = minutes(READY)
    assert here == 20 + 10 + 15
    assert minutes(replace(READY, source=replace(BACKUP, gib=80))) == here
    assert minutes(replace(READY, source=replace(BACKUP, origin=Origin.COPY))) == here + 20
    assert minutes(replace(READY, keep_minutes=60)) == here + 60


def test_the_price_is_of_what_is_known_and_else_none() -> None:
    # Three quarters of an hour: database, instance, balancer with two addresses, 20 GiB.
    assert cost(READY) == round(0.75 * (0.037 + 0.0192 + 0.037 + 20 * 0.137 / 730), 2)
    assert cost(replace(READY, standby={"DBInstanceClass": "db.r9g.large"})) is None
    assert cost(replace(READY, instance_type="m9g.large")) is None
    assert cost(replace(READY, site="it is not ours", instance_type=None)) is not None


def test_a_source_survives_json() -> None:
    assert Source.from_dict(BACKUP.to_dict()) == BACKUP


def test_the_figures_of_the_documentation_are_computed() -> None:
    copied, replica = replace(BACKUP, origin=Origin.COPY), replace(READY, kind=Kind.PROMOTE, source=REPLICA)
    figures = {
        "`restore` of 20 GiB from a backup in the standby": READY,
        "`restore` of 20 GiB, copied from the primary": replace(READY, source=copied),
        "`promote` of 20 GiB": replica,
        "`promote` of 100 GiB": replace(replica, source=replace(REPLICA, gib=100)),
    }
    text = DOCUMENTATION.read_text()
    for what, facts in figures.items():
        assert f"| {what} | {minutes(facts):g} | {cost(facts):g} |" in text
    hour = (cost(replace(READY, keep_minutes=60 * 10)) or 0) - (cost(READY) or 0)
    assert f"| each hour that its site is kept (20 GiB) | 60 | {hour / 10:.1g} |" in text
