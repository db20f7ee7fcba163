"""Refusals and failures. The class name is the error name that the state machines catch."""


class RelightError(Exception):
    """Base of everything that Relight raises itself; the message is one sentence for the person on call."""


class SettingsInvalid(RelightError):
    """A function's environment lacks names or holds values that do not parse."""


class InputInvalid(RelightError):
    """The input of an execution or of a step is not what the documentation says."""


class RunSuperseded(RelightError):
    """The run that asks no longer holds the lock at its epoch, so it may change nothing."""


class ReplicaNotFound(RelightError):
    """No database instance has the configured identifier."""


class NotAReplicaOfThePeer(RelightError):
    """The instance exists, but it does not replicate from the peer's database and was not promoted by Relight."""


class CapacityGroupNotFound(RelightError):
    """No Auto Scaling group has the configured name."""


class WriteNotReadBack(RelightError):
    """A write was acknowledged and then read back different: the Region answers, but cannot be trusted."""


class DatabaseCheckFailed(RelightError):
    """The function that asks the database failed itself, so nothing is known about the database."""


class RecordIncomplete(RelightError):
    """The run ended, but its evidence or its notification could not be delivered."""


class PeerUnreachable(RelightError):
    """The other Region did not answer, or refused; what was asked of it may have happened or not."""


class NotFenced(RelightError):
    """This Region has been superseded, and not all that should keep it from serving could be done."""


class EngineNotSupported(RelightError):
    """The replica is of another engine than PostgreSQL, whose promotion Relight knows."""


class AlreadyActive(RelightError):
    """This Region is active: there is no way home to go, and nothing here to be made a standby."""


class NeverFailedOver(RelightError):
    """Neither ledger knows of a run that has made the other Region active."""


class DrillInProgress(RelightError):
    """A drill holds a lock that this run needs."""


class AnotherRunInProgress(RelightError):
    """A run in the other Region holds its lock."""


class LeaseInTheWay(RelightError):
    """With the write lease the home Region's application writes by leave of the other ledger, which may be lost."""


class DatabaseNotKept(RelightError):
    """The old database is in a state in which it can be neither kept under another name nor passed over."""


class ReplicaNotBuilt(RelightError):
    """RDS gave up on the new replica, or it no longer follows its source."""


class PilotNotLit(RelightError):
    """The other Region's run, which rebuilds its standby, did not succeed."""


class RetiredNotFound(RelightError):
    """No retired database has that name."""


class RetiredTooYoung(RelightError):
    """A retired database is kept for longer than that."""


class DrillRefused(RelightError):
    """A drill may not begin now, and nothing was touched; the message says why."""


class DrillTooLarge(RelightError):
    """The database is larger than a drill may copy."""


class BackupNotFound(RelightError):
    """There is no backup or snapshot that a throwaway database could be restored from."""


class SiteNotBuilt(RelightError):
    """CloudFormation gave up on a drill's site."""


class ThrowawayNotBuilt(RelightError):
    """RDS refuses a drill's database, or has given it up."""
