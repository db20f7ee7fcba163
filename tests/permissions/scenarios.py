"""Everything that the functions and the state machine may do, done once.

Each scenario asserts that it has come to the end that it is there for: a scenario that goes another way records
other calls.
"""

from collections.abc import Callable, Mapping

from lab.permission import ACCOUNT
from tests.permissions.estate import ACL, DOMAIN, HERE, MACHINE_NAME, OTHER, PEER_ACL, Estate
from tests.template.region import REGIONS

AUTOMATIC = {"trigger": "automatic", "reason": "probe: region_lost"}


def a_lost_region_is_failed_over(estate: Estate) -> None:
    """The probe sees it up, sees it lost, and starts the run; processes of the group are suspended."""
    estate.call("probe", {})
    estate.fleet.groups.suspend_processes(AutoScalingGroupName="shop-dr", ScalingProcesses=["Launch"])
    estate.lose()
    started = estate.call("probe", {})["started"]
    assert started is not None
    arn = f"arn:aws:states:{HERE}:{ACCOUNT}:execution:{MACHINE_NAME}:{started}"
    ended = estate.machine.outcome(arn)
    assert (ended.status, ended.output["status"]) == ("SUCCEEDED", "SUCCEEDED"), ended
    assert estate.fleet.suspended() == set()


def a_false_alarm_is_undone(estate: Estate) -> None:
    """A run takes over from a dead one, finds the primary up, and undoes what was done before it."""
    estate.hold_lock()
    estate.fence("primary", PEER_ACL)
    estate.call("probe", {})
    ended = estate.run(AUTOMATIC)
    assert ended.output["status"] == "STOOD_DOWN", ended
    assert {"Who holds the lock", "Is its owner alive", "Take over the lock", "Undo"} <= set(ended.states)
    assert estate.fleet.sizes().desired == 0
    assert estate.fenced("primary", PEER_ACL) == set()


def a_person_is_asked(estate: Estate) -> None:
    """Nothing is known from outside."""
    estate.call("probe", {})
    estate.lose()
    del estate.names.records[f"_seen.{DOMAIN}", "TXT"]
    execution = estate.machine.start(AUTOMATIC)
    token = estate.question()
    estate.machine.client.send_task_failure(taskToken=token, error="Declined", cause="we mend it ourselves")
    ended = estate.machine.outcome(execution)
    assert ended.output["sentence"] == "declined: we mend it ourselves", ended


def guard_of_a_superseded_region(estate: Estate, side: str) -> None:
    """The other ledger says, at a higher epoch, that the other Region is active."""
    estate.head(side, active=REGIONS[side], epoch=1)
    estate.head(OTHER[side], active=REGIONS[OTHER[side]], epoch=2)
    said = estate.call("guard", {}, side)
    assert (said["standing"], said["fenced"]) == ("superseded", True)
    assert len(estate.fenced(side, ACL)) == 2


def guard_of_a_confirmed_region(estate: Estate, side: str) -> None:
    """The other ledger says, steadily, that this one is active, and a fence is left over."""
    estate.fence(side, ACL)
    estate.head(side, active=REGIONS[side], epoch=2)
    estate.head(OTHER[side], active=REGIONS[side], epoch=2)
    said = estate.call("guard", {}, side)
    assert (said["standing"], said["lifted"]) == ("confirmed", True)
    assert estate.fenced(side, ACL) == set()


def checks_of_the_database(estate: Estate, side: str) -> None:
    """It cannot be reached where nothing is deployed, but each check has asked for its token by then."""
    for check in ("state", "write", "heartbeat"):
        assert estate.call("dbcheck", {"check": check}, side)["reached"] is False


SCENARIOS: Mapping[str, Callable[[Estate], None]] = {
    "failover": a_lost_region_is_failed_over,
    "stand down": a_false_alarm_is_undone,
    "question": a_person_is_asked,
    **{
        f"{play.__name__.replace('_', ' ')}, {side}": lambda estate, play=play, side=side: play(estate, side)  # type: ignore[misc]
        for play in (guard_of_a_superseded_region, guard_of_a_confirmed_region, checks_of_the_database)
        for side in REGIONS
    },
}


def play_all(estate: Estate) -> None:
    """Every scenario, each in an estate of its own."""
    for name, play in SCENARIOS.items():
        with estate.staged(name):
            play(estate)
