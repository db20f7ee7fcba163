"""`reprotect`: build this Region's replica of the active database, under the identifier of the one before it.

It is made like that one was (relight.shape), so that CloudFormation finds under the name what it has made. It may take
hours: each look says how far it is, and keeps nothing in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relight import database, estimate
from relight.errors import AlreadyActive, EngineNotSupported, NotAReplicaOfThePeer, ReplicaNotBuilt
from relight.facts import ENGINE
from relight.moment import lasting
from relight.shape import PARAMETERS, applied, by_hand, creation, lacking, like_its_source, shape_of
from relight.step import Outcome
from relight.steps.harden import served
from relight.steps.promote import CALL_AGAIN_SECONDS, replicates
from relight.steps.retire import BROKEN, LATER, code_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_rds import RDSClient
    from mypy_boto3_rds.type_defs import DBInstanceTypeDef

    from relight.ledger import Ledger
    from relight.run import Run
    from relight.settings import ReprotectSettings

# An idle replica is up to a minute behind, which is how often its source writes a heartbeat; and half as much again.
LITTLE_SECONDS = 90.0
STOPPED = frozenset({"error", "terminated", "stopped"})
TERMINATED = frozenset({"terminated"})
# Its parameter group is there and does not count yet: the first passes by itself, the second with a reboot.
APPLYING, UNAPPLIED = frozenset({"applying", "removing"}), frozenset({"pending-reboot"})
TRY_AGAIN = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded"})
# What a person does about what RDS refuses for good.
REMEDY = {
    "InstanceQuotaExceeded": "raise this Region's quota of instances: the retired one counts, too",
    "StorageQuotaExceeded": "raise this Region's quota of storage: the retired one counts, too",
    "KMSKeyNotAccessible": "let RDS of this Region use the key",
    "StorageTypeNotSupported": "this Region does not have that storage",
    "DBParameterGroupNotFound": "bring the parameter group back",
    "DBSubnetGroupNotFound": "bring the subnet group back",
}
BY_HAND = "Relight deletes nothing: rename or delete {identifier} yourself, and start again"
STEP = "reprotect"


@dataclass
class Built:
    """What is known of the building, from one look to the next; JSON in the ledger."""

    called_at: float
    gib: int | None = None
    asked_at: float | None = None  # when ModifyDBInstance was told what creation did not take
    asked: dict[str, Any] = field(default_factory=dict)
    refused: str | None = None
    rebooted_at: float | None = None  # when RDS was asked to, for its parameter group
    unlike: list[str] = field(default_factory=list)  # what it came out otherwise in, for good
    by_hand: list[str] = field(default_factory=list)  # what a person does about those that Relight may not give it


@dataclass(frozen=True)
class Reprotect:
    """One look at the replica."""

    settings: ReprotectSettings
    ledger: Ledger
    rds: RDSClient
    peer_rds: RDSClient
    functions: LambdaClient
    clock: Callable[[], float]

    def ensure(self, run: Run) -> Outcome:
        """Create it where it is missing, wait while RDS builds it, finish it, and see that it follows.

        AlreadyActive: this Region needs no replica. NotAReplicaOfThePeer: the name is something else's.
        ReplicaNotBuilt: RDS refuses, or has given up; the sentence says what a person has to do.
        """
        s, head = self.settings, self.ledger.require(run)
        if head.active == s.aws_region or head.door_opened:
            raise AlreadyActive(f"{s.aws_region} is active, or is being activated: it stands by for nobody")
        try:
            found = database.instance(self.rds, s.replica_id)
        except BotoCoreError as error:
            return self._wait(f"RDS of this Region does not answer ({type(error).__name__}): it is asked again")
        return self._create(run) if found is None else self._follow(run, found)

    # It is not there.

    def _create(self, run: Run) -> Outcome:
        s = self.settings
        try:
            source = self._source(database.instance(self.peer_rds, s.peer_database_id))
        except BotoCoreError as error:
            return self._wait(f"RDS of {s.peer_region} does not answer ({type(error).__name__}): it is asked again")
        wanted = creation(self._shape(source), s.replica_id, source, s.peer_region)
        if source.get("StorageEncrypted") and "KmsKeyId" not in wanted:
            raise ReplicaNotBuilt(
                f"{s.peer_database_id} is encrypted, and no key of {s.aws_region} is known for its replica: say which "
                f"in the parameters of the stack (DATA_KEY_ARN), and start again"
            )
        # Written before the call: who comes after a lost answer knows since when it is waited for.
        built = self._built(run, source)
        built.called_at, built.gib = self.clock(), int(source["AllocatedStorage"])
        self._keep(run, built)
        return self._call(wanted, built)

    def _source(self, source: DBInstanceTypeDef | None) -> DBInstanceTypeDef:
        """The source, or ReplicaNotBuilt where RDS would replicate nothing from it."""
        s = self.settings
        if source is None:
            raise ReplicaNotBuilt(f"no database instance is called {s.peer_database_id} in {s.peer_region}")
        if source.get("Engine", ENGINE) != ENGINE:
            raise EngineNotSupported(f"{s.peer_database_id} is of the engine {source['Engine']}, not {ENGINE}")
        if source.get("ReadReplicaSourceDBInstanceIdentifier"):
            raise ReplicaNotBuilt(f"{s.peer_database_id} in {s.peer_region} is a replica itself: nothing follows it")
        if not source.get("BackupRetentionPeriod"):
            raise ReplicaNotBuilt(
                f"{s.peer_database_id} has no automated backups, and RDS replicates only from what has: set its "
                f"backup retention, and start again"
            )
        return source

    def _shape(self, source: DBInstanceTypeDef) -> Mapping[str, Any]:
        """As the one before it was; else as the one before that; else its source's, with what the settings say."""
        s = self.settings
        known = self.ledger.shape(s.replica_id) or self.ledger.shape(served(s.replica_id))
        if known is None:
            given = {
                "DBSubnetGroupName": s.subnet_group,
                "DBParameterGroupName": s.parameter_group,
                "VpcSecurityGroupIds": sorted(s.security_group_ids or ()),
                "KmsKeyId": s.data_key_arn,
                "PerformanceInsightsKMSKeyId": s.data_key_arn,
            }
            if not s.subnet_group:
                raise ReplicaNotBuilt(
                    f"nobody has seen what {s.replica_id} was like, and no subnet group is given for it "
                    f"(SUBNET_GROUP): say which, and start again"
                )
            known = like_its_source(source, given)
        self.ledger.keep_shape(s.replica_id, known, self.clock())
        return known

    def _call(self, wanted: Mapping[str, Any], built: Built) -> Outcome:
        identifier = self.settings.replica_id
        try:
            self.rds.create_db_instance_read_replica(**wanted)
        except BotoCoreError as error:
            return self._wait(f"RDS has not said whether it builds {identifier} ({type(error).__name__}): to be seen")
        except ClientError as error:
            code, message = code_of(error), error.response["Error"]["Message"]
            if code in LATER | TRY_AGAIN:
                return self._wait(f"RDS will not build {identifier} just now: {message}", built)
            if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                raise
            remedy = REMEDY.get(code, "put right what it names")
            raise ReplicaNotBuilt(
                f"RDS refuses to build {identifier}: {message} ({code}); {remedy}, and start again"
            ) from None
        return self._wait(f"{identifier} is being built", built)

    # It is there.

    def _follow(self, run: Run, found: DBInstanceTypeDef) -> Outcome:
        s = self.settings
        source = found.get("ReadReplicaSourceDBInstanceIdentifier")
        if not source or not replicates(source, s.peer_region, s.peer_database_id):
            what = f"replicates from {source}" if source else "is no replica"
            raise NotAReplicaOfThePeer(
                f"{s.replica_id} {what}: nothing can be built under its name. {BY_HAND.format(identifier=s.replica_id)}"
            )
        built = self._built(run, found)
        self._require_alive(found, built)
        status = found["DBInstanceStatus"]
        if status != "available":
            return self._building(found, built)
        if waits := self._finish(run, found, built) or self._apply_parameters(run, found, built):
            return waits
        return self._streaming(run, found, built)

    def _require_alive(self, found: DBInstanceTypeDef, built: Built) -> None:
        """ReplicaNotBuilt where RDS has given it up, or its replication has ended. While it reboots it only pauses."""
        identifier, status = self.settings.replica_id, found["DBInstanceStatus"]
        by_hand = BY_HAND.format(identifier=identifier)
        if status in BROKEN:
            raise ReplicaNotBuilt(f"{identifier} is {status}, and comes no further. {by_hand}")
        ended = TERMINATED if status == "rebooting" or self._recently(built.rebooted_at) else STOPPED
        for info in found.get("StatusInfos", []):
            if info.get("Status") in ended:
                why = info.get("Message") or "RDS does not say why"
                raise ReplicaNotBuilt(f"the replication of {identifier} is {info['Status']}: {why}. {by_hand}")

    def _building(self, found: DBInstanceTypeDef, built: Built) -> Outcome:
        identifier, status = self.settings.replica_id, found["DBInstanceStatus"]
        gib, percent = found.get("AllocatedStorage") or built.gib or 0, self._percent(built)
        how_long = estimate.told(self.clock() - built.called_at, gib, None)
        copied = "" if percent is None else f"; the snapshot of its source is {percent:g} % done"
        return self._wait(f"{identifier} is {status}: {how_long}{copied}", built, gib=gib, percent=percent)

    def _percent(self, built: Built) -> int | None:
        """How far the snapshot is that RDS takes of the source for it; None where there is none, or none is told."""
        s = self.settings
        try:
            answer = self.peer_rds.describe_db_snapshots(
                DBInstanceIdentifier=s.peer_database_id, SnapshotType="automated"
            )
        except (BotoCoreError, ClientError):
            return None
        under_way = [
            snapshot
            for snapshot in answer["DBSnapshots"]
            if snapshot.get("Status") == "creating"
            and (began := snapshot.get("SnapshotCreateTime")) is not None
            and began.timestamp() >= built.called_at
        ]
        return max((snapshot.get("PercentProgress", 0) for snapshot in under_way), default=None)

    def _finish(self, run: Run, found: DBInstanceTypeDef, built: Built) -> Outcome | None:
        """Give it what creation does not take; None where that is done, or cannot be had.

        Once its replica is like it was, the shape is kept for `harden` only: what a person changes of it from then on
        is not changed back.
        """
        identifier, now = self.settings.replica_id, self.clock()
        shape = self.ledger.shape(identifier)
        if shape is None:
            return None
        missing = lacking(shape, shape_of(found))
        wanted = {key: value for key, value in missing.items() if built.asked.get(key) != value}
        if wanted:
            built.asked, built.asked_at = {**built.asked, **wanted}, now
            refused = self._modify(wanted)
            if refused is not None and refused[0] in LATER | TRY_AGAIN:
                return self._wait(f"RDS will not finish {identifier} just now: {refused[1]}", built)
            built.refused = None if refused is None else refused[1]
            self._keep(run, built)
            if refused is None:
                return self._wait(f"{identifier} is built, and is given {', '.join(sorted(wanted))}", built)
        pending = bool(missing.keys() & found.get("PendingModifiedValues", {}).keys())
        recent = built.refused is None and self._recently(built.asked_at)
        if missing and (pending or recent):
            return self._wait(f"{identifier} is being given {', '.join(sorted(missing))}", built)
        return None

    def _apply_parameters(self, run: Run, found: DBInstanceTypeDef, built: Built) -> Outcome | None:
        """Reboot it where its parameter group waits for that; None where the group counts. Nobody is served by it yet.

        One that stood by before is left alone: what a person changes in its group is theirs to apply.
        """
        identifier, status = self.settings.replica_id, applied(found)
        if self.ledger.shape(identifier) is None or status not in APPLYING | UNAPPLIED:
            return None
        if status in APPLYING:
            return self._wait(f"the parameter group of {identifier} is {status}", built)
        if self._recently(built.rebooted_at):
            return self._wait(f"{identifier} is about to be rebooted, so that its parameter group counts", built)
        # Written before the call: who comes after a lost answer takes a pause of its replication for no end of it.
        built.rebooted_at = self.clock()
        self._keep(run, built)
        try:
            self.rds.reboot_db_instance(DBInstanceIdentifier=identifier)
        except BotoCoreError as error:
            said = f"RDS has not said whether it reboots {identifier} ({type(error).__name__}): to be seen"
            return self._wait(said, built)
        except ClientError as error:
            if code_of(error) not in LATER | TRY_AGAIN:
                raise
            built.rebooted_at = None
            self._keep(run, built)
            return self._wait(f"RDS will not reboot {identifier} just now: {error.response['Error']['Message']}", built)
        return self._wait(f"{identifier} is rebooted, so that its parameter group counts", built)

    def _recently(self, at: float | None) -> bool:
        """Whether RDS may not yet show what it was asked for then."""
        return at is not None and self.clock() - at < CALL_AGAIN_SECONDS

    def _modify(self, wanted: Mapping[str, Any]) -> tuple[str, str] | None:
        """None where RDS has accepted; else its code and what it says. Raises what is no answer to the values.

        ReplicaNotBuilt where there is no such parameter group: it would be another database with RDS's own.
        """
        try:
            self.rds.modify_db_instance(DBInstanceIdentifier=self.settings.replica_id, ApplyImmediately=True, **wanted)
        except ClientError as error:
            code = code_of(error)
            if code in REMEDY and PARAMETERS in wanted:
                raise ReplicaNotBuilt(
                    f"{self.settings.replica_id} is built, and RDS refuses to give it the parameter group "
                    f"{wanted[PARAMETERS]} ({code}); {REMEDY[code]}, and start again"
                ) from None
            if code not in LATER | TRY_AGAIN and not code.startswith("InvalidParameter"):
                raise
            return code, str(error.response["Error"]["Message"])
        return None

    def _streaming(self, run: Run, found: DBInstanceTypeDef, built: Built) -> Outcome:
        s = self.settings
        answer = database.state(self.functions, s.dbcheck_function)
        if answer is None:
            return self._wait(f"{s.replica_id} is available, and could not be asked whether it follows", built)
        receiver = answer.get("receiver") or {}
        if not answer["in_recovery"] or receiver.get("status") != "streaming":
            return self._wait(f"{s.replica_id} is available, and does not stream yet", built)
        moments = [at for at in (answer.get("last_replayed_at"), answer.get("heartbeat_at")) if at is not None]
        if not moments:
            return self._wait(f"{s.replica_id} streams, and nothing tells yet how far it is behind", built)
        lag = max(0.0, self.clock() - max(moments))
        if lag > LITTLE_SECONDS:
            return self._wait(f"{s.replica_id} streams, and is {lasting(lag)} behind", built, lag_seconds=round(lag, 1))
        self._settle(run, found, built)
        said = f"{s.replica_id} follows {s.peer_database_id}, {lag:.0f} s behind"
        if built.unlike:
            left = len(built.unlike) > len(built.by_hand)
            why = [built.refused or "RDS has not changed it"] if left else []
            said += f"; unlike the one before it in {', '.join(built.unlike)}: {'; '.join([*why, *built.by_hand])}"
        facts = self._facts(built, found.get("AllocatedStorage"), round(lag, 1))
        return Outcome.done(said, **facts, unlike=built.unlike)

    def _settle(self, run: Run, found: DBInstanceTypeDef, built: Built) -> None:
        """Note what it came out otherwise in. From here on its own shape counts; the old one is left to `harden`."""
        identifier = self.settings.replica_id
        shape = self.ledger.shape(identifier)
        if shape is None:
            return
        now = shape_of(found)
        theirs = by_hand(shape, now)
        unapplied = [PARAMETERS] if applied(found) == "failed-to-apply" else []
        built.unlike = sorted({*lacking(shape, now), *theirs, *unapplied})
        built.by_hand = sorted(theirs.values())
        self._keep(run, built)
        name = served(identifier)
        self.ledger.forget_shape(name)
        self.ledger.keep_shape(name, shape, self.clock())
        self.ledger.forget_shape(identifier)

    # From one look to the next.

    def _built(self, run: Run, seen: DBInstanceTypeDef) -> Built:
        """What this run knows; of an instance that is there already, since when it is."""
        known = self.ledger.progress(run.id, STEP)
        if known is not None:
            return Built(**known)
        here = seen["DBInstanceIdentifier"] == self.settings.replica_id
        created = seen.get("InstanceCreateTime") if here else None
        built = Built(created.timestamp() if created else self.clock(), seen.get("AllocatedStorage"))
        self._keep(run, built)
        return built

    def _keep(self, run: Run, built: Built) -> None:
        self.ledger.keep_progress(run, STEP, vars(built))

    @staticmethod
    def _facts(built: Built, gib: int | None, lag: float | None, percent: int | None = None) -> dict[str, Any]:
        return {"called_at": built.called_at, "gib": gib or built.gib, "percent": percent, "lag_seconds": lag}

    def _wait(self, sentence: str, built: Built | None = None, **facts: Any) -> Outcome:
        known = self._facts(built, None, None) if built is not None else {}
        return Outcome.wait(sentence, self.settings.look_again_seconds, **{**known, **facts})
