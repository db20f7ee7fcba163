"""A drill previewed: what `plan` says and refuses, with the ledger, RDS and what lives for drills left as they were."""

from typing import Any

import pytest
from relight.drill import Kind
from relight.errors import InputInvalid, RelightError
from relight.ledger import State

from tests.unit.standby import HEAD, HERE, HOME, claims, release_lock
from tests.unit.test_drill import Scene, scene

__all__ = ["scene"]


def tables(scene: Scene) -> list[Any]:
    """All that both ledgers hold."""
    return [one.dynamodb.scan(TableName=one.table)["Items"] for one in (scene.ledger, scene.peer_ledger)]


def preview(scene: Scene, **event: Any) -> dict[str, Any]:
    """Asked without a lock; nothing has changed by it."""
    before = tables(scene), scene.there
    said = scene.drilling.preview(event)
    assert (tables(scene), scene.there) == before
    assert (scene.rds.calls, scene.peer.calls) == ([], []), "RDS was asked, and told nothing"
    return said


def begin(scene: Scene) -> None:
    """The scene's run takes the lock again, at its epoch."""
    scene.ledger.dynamodb.update_item(
        TableName=scene.ledger.table,
        Key=HEAD,
        UpdateExpression="SET #owner = :me, epoch = :epoch",
        ExpressionAttributeNames={"#owner": "owner"},
        ExpressionAttributeValues={":me": {"S": scene.run.owner}, ":epoch": {"N": str(scene.run.epoch)}},
    )


@pytest.mark.parametrize("kind", list(Kind))
def test_it_says_what_the_plan_says(scene: Scene, kind: Kind) -> None:
    scene.backup()
    release_lock(scene.ledger)
    said = preview(scene, kind=kind.value, keep_minutes=30)
    assert (said["preview"], said["may_begin"], said["finding"], said["region"]) == (True, True, None, HERE)
    assert said["asks"] is (kind in {Kind.PROMOTE, Kind.GAMEDAY})
    begin(scene)
    told = scene.ask("plan", kind=kind.value, keep_minutes=30)
    assert said["sentence"] == told["sentence"]
    assert {name: said[name] for name in told["facts"]} == told["facts"]


def no_standby(scene: Scene) -> None:
    scene.rds.instances.clear()


def active_here(scene: Scene) -> None:
    scene.ledger.mirror(claims(5, HERE), 0)


def half_done_there(scene: Scene) -> None:
    scene.peer_ledger.mirror(claims(5, HOME, State.PROMOTING), 0)


def nothing_to_restore(scene: Scene) -> None:
    scene.rds.snapshots.clear()
    scene.peer.snapshots.clear()


def left_over(scene: Scene) -> None:
    scene.left_behind("drill-7", 7)


@pytest.mark.parametrize("trouble", [no_standby, active_here, half_done_there, nothing_to_restore, left_over])
def test_it_refuses_in_the_words_of_the_plan(scene: Scene, trouble: Any) -> None:
    release_lock(scene.ledger)
    trouble(scene)
    said = preview(scene)
    assert (said["may_begin"], said["would"], said["kind"]) == (False, [], "restore")
    begin(scene)
    with pytest.raises(RelightError) as refused:
        scene.ask("plan")
    assert (said["finding"], said["sentence"]) == (type(refused.value).__name__, str(refused.value))


def test_a_run_that_is_at_work_is_named_and_one_that_has_ended_is_not(scene: Scene) -> None:
    scene.backup()
    running = scene.start("drill-9")
    release_lock(scene.ledger)
    assert scene.ledger.lock_as_guest(running, scene.clock(), 600)
    said = preview(scene)
    assert (said["finding"], said["sentence"]) == ("in_progress", f"already in progress: {running}")
    scene.stop(running)
    assert preview(scene)["may_begin"] is True


def test_a_guest_of_the_other_region_is_at_work_until_its_lock_runs_out(scene: Scene) -> None:
    scene.backup()
    release_lock(scene.ledger)
    guest = f"arn:aws:states:{HOME}:123456789012:execution:relight-shop-failback:x"
    assert scene.ledger.lock_as_guest(guest, scene.clock(), 600)
    assert preview(scene)["finding"] == "in_progress"
    scene.clock.advance(700)
    assert preview(scene)["may_begin"] is True


def test_what_is_no_drill_is_no_input(scene: Scene) -> None:
    with pytest.raises(InputInvalid):
        scene.drilling.preview({"kind": "fire"})
