"""Gathering the facts of readiness: on two freshly created Regions, and with everything that may be missing."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError
from relight import inspection
from relight.inquiry import Inquiry, attempt, seek
from relight.inspection import PEERS
from relight.ledger import Ledger
from relight.readiness import Level, Readiness
from relight.readiness_facts import Unseen
from relight.version import version

from tests.unit.conftest import Clients
from tests.unit.deployed import BUCKET, KEY, PEER_BUCKET, REPLICA, Deployed
from tests.unit.loopback import NameServer, WebServer
from tests.unit.rds import error
from tests.unit.standby import HERE, HOME, Clock, head_item, make_ledger

pytestmark = pytest.mark.readiness

MOST_CALLS = 60


class Silent:
    """An API that does not answer; like boto3's, its paginators do not either, once they are asked."""

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **given: Any) -> Any:
            raise ConnectTimeoutError(endpoint_url=f"https://{name}.eu-west-1.amazonaws.com/")

        return call


@pytest.fixture
def deployed(aws: None, clients: Clients, names: NameServer, web: WebServer) -> Iterator[Deployed]:
    """moto notes its own time, so the clock stands still at today's."""
    found = Deployed(clients, Clock(time.time()), names, web)
    found.build()
    with found.heard():
        yield found


@pytest.fixture
def ledgers(deployed: Deployed, clients: Clients) -> tuple[Ledger, Ledger]:
    ledgers = make_ledger(clients("dynamodb", HERE)), make_ledger(clients("dynamodb", HOME))
    deployed.calls.clear()
    return ledgers


def levels(readiness: Readiness) -> dict[str, Level]:
    return {check.name: check.level for check in readiness.checks}


def told(readiness: Readiness) -> list[str]:
    return [f"{one.name}: {one.level}: {one.sentence}" for one in readiness.checks if one.level is not Level.PASS]


def test_freshly_created_regions_pass_every_check_in_under_sixty_calls(
    deployed: Deployed, ledgers: tuple[Ledger, Ledger]
) -> None:
    readiness = deployed.inspection(*ledgers).readiness()
    assert told(readiness) == []
    # The function keeps the look and the release, asks for what was told and keeps it, and may tell the event bus. With
    # HTTPS, ACM is asked in the place of the listeners. S3's own figures and reservations take a call more each.
    assert len(deployed.calls) + 5 + 2 < MOST_CALLS, Counter(deployed.calls)
    changing = ("Put", "Create", "Update", "Delete", "Modify", "Start", "Set")
    assert [call for call in deployed.calls if call[1].startswith(changing)] == []
    assert ("secretsmanager", "GetSecretValue") not in deployed.calls


def test_which_calls_are_made(deployed: Deployed, ledgers: tuple[Ledger, Ledger]) -> None:
    """Each once, but for the ledgers, what is asked in both Regions, and the functions and roles of a failover."""
    deployed.inspection(*ledgers).readiness()
    made = Counter(deployed.calls)
    more = {call: count for call, count in made.items() if count > 1}
    assert set(more) == {
        ("cloudwatch", "GetMetricData"),
        ("dynamodb", "GetItem"),
        ("dynamodb", "Query"),
        ("iam", "SimulatePrincipalPolicy"),
        ("lambda", "GetFunction"),
        ("rds", "DescribeDBInstances"),
        ("rds", "DescribeDBParameters"),
        ("s3", "GetBucketReplication"),
        ("s3", "HeadObject"),
        ("secretsmanager", "DescribeSecret"),
    }


def test_it_says_what_it_saw(deployed: Deployed, ledgers: tuple[Ledger, Ledger]) -> None:
    facts = deployed.inspection(*ledgers).look()
    assert not isinstance(facts.database.here, Unseen)
    assert not isinstance(facts.capacity.groups, Unseen)
    assert facts.database.here is not None
    assert (facts.database.here.source or "").endswith(":db:shop-primary")
    assert facts.database.parameters == {"rds.force_ssl": "1"}
    assert facts.database.key_state == "Enabled"
    group = facts.capacity.groups[REPLICA]
    assert group is not None
    assert not isinstance(group.launch, Unseen)
    assert (group.launch.types, group.launch.reservation) == (("t4g.small",), "none")
    assert facts.capacity.vcpus == {"t4g.small": 2}
    assert facts.capacity.quota == 32
    assert not isinstance(facts.traffic.switches, Unseen)
    assert {name: seen and seen[0] for name, seen in facts.traffic.switches.items()} == {"STOP": 0.0, "GO": 0.0}
    assert facts.storage.release is not None
    assert facts.orchestrator.version == version()


def test_what_is_lacking_is_said(deployed: Deployed, ledgers: tuple[Ledger, Ledger], clients: Clients) -> None:
    """One thing broken in each corner: AWS itself answers, and the checks that look there fail, and no others."""
    scaling = clients("autoscaling", HERE)
    scaling.update_auto_scaling_group(AutoScalingGroupName=REPLICA, HealthCheckType="ELB", MaxSize=1)
    scaling.suspend_processes(AutoScalingGroupName=REPLICA, ScalingProcesses=["Launch"])
    clients("s3", HERE).delete_bucket_replication(Bucket=BUCKET)
    clients("s3", HOME).put_object(Bucket=PEER_BUCKET, Key=KEY, Body=b"another release")
    clients("events", HERE).disable_rule(Name="relight-shop-primary-down")
    clients("cloudwatch", HERE).delete_alarms(AlarmNames=["relight-shop-probe-silent"])
    queue = clients("sqs", HERE).get_queue_url(QueueName="relight-shop-dead-letters")["QueueUrl"]
    clients("sqs", HERE).send_message(QueueUrl=queue, MessageBody="{}")
    clients("lambda", HERE).delete_function(FunctionName="relight-shop-verify")
    deployed.quota, deployed.decision, deployed.dbcheck.receiver = 3.0, "implicitDeny", None
    readiness = deployed.inspection(*ledgers).readiness()
    found = levels(readiness)
    fail = {"stream", "health_check_type", "quota", "release", "alarms", "rules", "machinery", "permissions"}
    assert {name for name, level in found.items() if level is Level.FAIL} == fail
    assert {name for name, level in found.items() if level is Level.WARN} == {
        "groups",
        "processes",
        "replication",
        "dead_letters",
    }
    assert not readiness.ready


def test_a_single_call_that_iam_denies_is_named(deployed: Deployed, ledgers: tuple[Ledger, Ledger]) -> None:
    deployed.denied = "autoscaling:ResumeProcesses"
    readiness = deployed.inspection(*ledgers).readiness()
    assert told(readiness) == ["permissions: FAIL: scale may not autoscaling:ResumeProcesses (explicitDeny)"]


def test_a_group_without_a_counterpart_is_no_capacity_that_was_never_seen(
    deployed: Deployed, ledgers: tuple[Ledger, Ledger]
) -> None:
    facts = deployed.inspection(*ledgers, settings=deployed.settings(peer_group_names=())).look()
    assert facts.ledger.capacity == {}


def test_what_aws_does_not_know_is_no_guess(deployed: Deployed, ledgers: tuple[Ledger, Ledger]) -> None:
    """Nothing of that name exists: the checks that need it in this Region fail."""
    settings = deployed.settings(
        replica_id="nobody",
        group_arns=("arn:aws:autoscaling:eu-central-1:123456789012:autoScalingGroup:*:autoScalingGroupName/nobody",),
        balancer_name="nobody.eu-central-1.elb.amazonaws.com",
        certificate_arn="arn:aws:acm:eu-central-1:123456789012:certificate/00000000-0000-0000-0000-000000000000",
        database_secret="nobody",
        release_key="releases/nobody.tar.gz",
        topic_arn="arn:aws:sns:eu-central-1:123456789012:nobody",
        failover_machine="arn:aws:states:eu-central-1:123456789012:stateMachine:nobody",
        application="nobody",
    )
    found = levels(deployed.inspection(*ledgers, settings=settings).readiness())
    fail = {"replica", "groups", "target_group", "certificate", "secret", "release", "topic", "machinery"}
    assert fail <= {name for name, level in found.items() if level is Level.FAIL}
    unseen = {"class", "storage", "parameters", "key", "processes", "image", "quota"}
    assert unseen <= {name for name, level in found.items() if level is Level.WARN}


def test_without_the_other_region_only_what_compares_is_unseen(
    deployed: Deployed, ledgers: tuple[Ledger, Ledger]
) -> None:
    here, _ = ledgers
    lost: Any = Silent()
    peer = dict.fromkeys(PEERS, lost)
    readiness = deployed.inspection(here, Ledger(lost, "relight-shop", HOME), peer=peer).readiness()
    warned = {check.name for check in readiness.of(Level.WARN)}
    compared = {"engine_version", "class", "storage", "parameters", "secret", "release", "replication", "backlog"}
    assert warned == {*compared, "retention", "version"}
    assert readiness.of(Level.FAIL) == ()


class BlackHole:
    """An API on a path that swallows packets: whoever asks is never answered."""

    def __init__(self) -> None:
        self.over = Event()

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **given: Any) -> Any:
            self.over.wait(60)
            raise ConnectTimeoutError(endpoint_url=f"https://{name}.eu-west-1.amazonaws.com/")

        return call


def test_an_other_region_that_swallows_everything_holds_the_look_up_for_its_patience_only(
    deployed: Deployed, ledgers: tuple[Ledger, Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "PATIENCE_SECONDS", 0.5)
    here, hole = ledgers[0], BlackHole()
    gone: Any = hole
    given = {"peer": dict.fromkeys(PEERS, gone), "clock": time.time}
    readiness = deployed.inspection(here, Ledger(gone, "relight-shop", HOME), **given).readiness()
    hole.over.set()
    said = {check.name: check.sentence for check in readiness.of(Level.WARN)}
    assert said["secret"] == "could not be seen: it did not answer in time"
    assert said["version"] == "could not be seen: it did not answer in time"


def test_the_other_region_s_timeouts_fit_into_ten_seconds() -> None:
    """Two seconds to connect and five to answer, once; what depends on an answer is not asked without one."""
    assert 2 + 5 < inspection.PATIENCE_SECONDS < 10


def test_the_active_region_asks_its_ledger_only(deployed: Deployed, ledgers: tuple[Ledger, Ledger]) -> None:
    settings = deployed.settings(home_region=HERE, peer_region=HOME)
    here, there = (Ledger(one.dynamodb, one.table, HERE) for one in ledgers)
    readiness = deployed.inspection(here, there, settings=settings).readiness()
    assert not readiness.on_duty
    assert deployed.calls == [("dynamodb", "GetItem")]


def test_a_look_changes_nothing_in_the_ledger(deployed: Deployed, ledgers: tuple[Ledger, Ledger]) -> None:
    before = [head_item(one) for one in ledgers]
    deployed.inspection(*ledgers).readiness()
    assert [head_item(one) for one in ledgers] == before


def test_an_answer_that_does_not_come_is_unseen_and_holds_nothing_up() -> None:
    clock, never = Clock(), Event()
    with ThreadPoolExecutor(max_workers=2) as threads:
        ask = Inquiry(threads, clock, clock())  # no time is left
        silent, quick = ask.send(never.wait), ask.send(lambda: 7)
        quick.result()
        assert ask.told(quick) == 7
        assert ask.told(silent) == Unseen("it did not answer in time")
        never.set()


def test_an_answer_that_depends_on_one_that_failed_says_why_that_one_did() -> None:
    refused = error("AccessDenied", "you may not", "DescribeDBInstances")

    def refuse() -> int:
        raise refused

    assert attempt(refuse) == Unseen("DescribeDBInstances: AccessDenied: you may not")
    assert seek(refuse, "AccessDenied") is None
    assert seek(refuse, "DBInstanceNotFound") == Unseen("DescribeDBInstances: AccessDenied: you may not")
    with pytest.raises(ZeroDivisionError):  # a mistake of ours is not what AWS has said
        attempt(lambda: 1 // 0)
