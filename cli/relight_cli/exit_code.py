"""How the command ends: one number for each kind of ending, so that a pipeline can tell them apart."""

from enum import IntEnum

from lab.errors import LabError


class Exit(IntEnum):
    """The exit codes of all commands; docs/exit-codes.md lists them for people."""

    DONE = 0
    """What was asked for holds: done, nothing to do, or yes."""
    OTHERWISE = 1
    """It ended in another way: a phase failed, a rehearsal ended differently, or no."""
    BAD_INPUT = 2
    """The command line is wrong, or something is missing on this machine. may-deploy: it cannot be known."""
    CONFIGURATION = 3
    """The environment's values contradict one another or what the templates allow."""
    NO_CREDENTIALS = 10
    EXPIRED = 11
    WRONG_ACCOUNT = 12
    REGIONS = 13
    """The pair of Regions cannot be used."""
    CERTIFICATE = 14
    ZONE = 15
    NOT_HOME = 16
    """The home primary is not active, a run is on, or the ledgers do not say."""
    STACK = 17
    """A stack is in a state from which it cannot be deployed."""
    RECORD = 18
    """A DNS record stands in the way."""
    NO_CONSENT = 19
    """Nobody said yes."""
    NO_SWITCH_DATA = 20
    """The switches were not published in time."""
    AWS = 21
    """AWS could not be reached, or denied or refused a call; some commands tell these apart. A function has failed."""
    UNKNOWN_RUN = 22
    """The ledger knows no run of that name."""
    NOTHING_ASKED = 23
    """The run goes on, and asks nothing now."""
    ANSWERED = 24
    """Somebody has answered its question already."""
    TOKEN = 25
    """The task token is not that of the newest question, or its question is closed."""
    ENDED = 26
    """The run has ended."""
    NO_LEDGER = 27
    """There is no ledger, or an empty one."""
    NO_ANSWER = 28
    """The Region did not answer."""
    DENIED = 29
    """AWS denies the call."""
    ONE_LEDGER = 30
    """Only one of the two ledgers could be changed."""
    NO_WAY_HOME = 31
    """There is no way home to go: the Region is active already, or there never was a failover."""
    RUN_ON = 32
    """Another run, or a drill, is on there."""
    NOT_A_FAILBACK = 33
    """The run is no failback, so it cannot be told to stay."""
    NO_REPORT = 34
    """The run has kept no reconciliation report."""
    UNKNOWN_RETIRED = 35
    """No retired database has that name."""
    TOO_YOUNG = 36
    """The retired database has to be kept for longer."""
    DRILL_REFUSED = 42
    """The drill did not begin: something stands in the way, and nothing was touched."""
    DRILL_FAILED = 43
    """The drill failed, or was stopped."""
    REPORT_DAMAGED = 44
    """Something of a run's evidence is missing, or is not what the manifest says."""
    TOO_LATE = 45
    """The run is behind the one-way door: it goes forward only."""
    NOT_REDRIVEN = 46
    """The run cannot be driven on where it stopped; a new one can be started."""
    UNWELL = 47
    """Something is missing that a failover, or whoever operates it, needs."""


class Refused(LabError):
    """A foreseen reason not to go on: one line, and the exit code that stands for it."""

    def __init__(self, what: str, *, code: Exit, where: str = "", do: str = "") -> None:
        """What, where and what to do about it, as in every LabError."""
        super().__init__(what, where=where, do=do)
        self.code = code
