"""What a rehearsal is asked to do: the options of `relight rehearse`, checked before anything is started."""

import errno
import os
import platform
import re
import socket
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from lab.errors import OptionRefused, PortBusy, TemplateError

API_HOST = "127.0.0.1"
MOST_CLIENTS = 50
MOST_SEED_ORDERS = 1_000_000
MOST_SWITCHOVERS = 40
DRILL_CLIENTS = 24
"""Clients of a rehearsal of drills, unless another number is given: they write a hundred orders a second."""


class Fault(StrEnum):
    """What is broken during the rehearsal."""

    PRIMARY_LOST = "primary-lost"
    NETWORK_CUT = "network-cut"
    FALSE_ALARM = "false-alarm"
    NONE = "none"
    APP_LOST = "app-lost"
    DATABASE_LOST = "database-lost"
    DATABASE_REBOOTING = "database-rebooting"
    DR_ISOLATED = "dr-isolated"
    REVIVED_PRIMARY = "revived-primary"
    US_EAST_1_LOST = "us-east-1-lost"
    DNS_FLAPPING = "dns-flapping"
    DR_LOST_WHILE_ACTIVE = "dr-lost-while-active"


class Lost(StrEnum):
    """How a lost Region looks from outside: it answers `no`, or nothing at all."""

    REFUSED = "refused"
    BLACK_HOLED = "black-holed"


class Profile(StrEnum):
    """Which profile of `lab.timings`."""

    LAB = "lab"
    AWS = "aws"


class Step(StrEnum):
    """A step during which the orchestrator can be stopped."""

    SCALE = "scale"
    PROMOTE = "promote"
    FENCE = "fence"
    SWITCH = "switch"
    VERIFY = "verify"
    ASSESS = "assess"
    RECORD = "record"
    QUIESCE = "quiesce"
    HARDEN = "harden"
    RETIRE = "retire"
    REPROTECT = "reprotect"
    COMPARE = "compare"
    OBJECTS = "objects"
    SWITCHOVER = "switchover"
    LIGHT = "light"


class Reply(StrEnum):
    """What the person answers who is asked."""

    APPROVE = "approve"
    DECLINE = "decline"
    NONE = "none"


class DrillKind(StrEnum):
    """What a drill of the orchestrator rehearses."""

    PLAN = "plan"
    RESTORE = "restore"
    PROMOTE = "promote"


class LambdaMode(StrEnum):
    """What the handlers run in: a process of their own each, the runtime emulator, or containers of `sam local`."""

    PROCESS = "process"
    RIE = "rie"
    SAM = "sam"


# A run that stands down never gets past its decision, so these steps would be waited for in vain.
_STEPS_AFTER_THE_DECISION = frozenset({Step.PROMOTE, Step.FENCE, Step.SWITCH, Step.VERIFY, Step.HARDEN, Step.QUIESCE})
STEPS_HOME = frozenset({Step.RETIRE, Step.REPROTECT, Step.COMPARE, Step.OBJECTS, Step.SWITCHOVER, Step.LIGHT})
"""Those of the failback: the run that does them is started by a person, and by a person again when it was stopped."""
_FAILED_OVER = frozenset(
    {
        Fault.PRIMARY_LOST,
        Fault.APP_LOST,
        Fault.DATABASE_LOST,
        Fault.REVIVED_PRIMARY,
        Fault.US_EAST_1_LOST,
        Fault.DR_LOST_WHILE_ACTIVE,
    }
)


@dataclass(frozen=True)
class Options:
    """The options of one rehearsal. Making one checks each value and their combination: OptionRefused."""

    fault: Fault = Fault.PRIMARY_LOST
    lost: Lost = Lost.REFUSED
    timings: Profile = Profile.LAB
    seed_orders: int = 200
    """Orders that are in the database before the clients start."""
    clients: int = 4
    json: Path | None = None
    """Where the result document is written."""
    keep: bool = False
    """Leave the lab running at the end until it is interrupted."""
    kill_orchestrator_at: tuple[Step, ...] = ()
    """The steps during which a run is stopped, each once; more than one on the way home only."""
    circle: bool = False
    """Go on after the failover: the home Region comes back, and a person starts the way home."""
    switchovers: int = 0
    """Lose nothing: let a person switch over so often, there and back in turn; 0 for a fault instead."""
    drill: tuple[DrillKind, ...] = ()
    """Lose nothing: let a person start a drill of each of these kinds, one after the other."""
    during_drill: DrillKind | None = None
    """Lose the Region in the middle of a drill of that kind."""
    answer: Reply = Reply.APPROVE
    """What the person answers where a run asks about a failover."""
    lease: bool = False
    """Deploy with the write lease: the primary writes only while the DR Region lets it."""
    lambda_mode: LambdaMode = LambdaMode.PROCESS
    port: int = 0
    """Where the Regions' API listens on `API_HOST`; 0 takes any free port."""
    template: Path = Path("template.yaml")

    def __post_init__(self) -> None:
        """Refuse numbers out of range and options that contradict one another."""
        _in_range("--seed-orders", self.seed_orders, 0, MOST_SEED_ORDERS)
        _in_range("--clients", self.clients, 1, MOST_CLIENTS)
        _in_range("--port", self.port, 0, 65535)
        _in_range("--switchovers", self.switchovers, 0, MOST_SWITCHOVERS)
        if self.lambda_mode is LambdaMode.RIE and platform.system() != "Linux":
            raise OptionRefused(
                "the runtime emulator needs Linux",
                where="in --lambda rie",
                do="leave --lambda out, or give --lambda process",
            )
        if self.lambda_mode is LambdaMode.SAM:
            self._refuse_what_no_container_reaches()
        self._refuse_contradictions()

    @property
    def fails_over(self) -> bool:
        """Whether this fault should end with the Region active that was the standby when it struck."""
        return self.fault in _FAILED_OVER and (self.fault is not Fault.APP_LOST or self.answer is Reply.APPROVE)

    @property
    def goes_home(self) -> bool:
        """Whether a person starts a failback in it."""
        return self.circle or self.fault is Fault.DR_LOST_WHILE_ACTIVE or self.switchovers > 0

    @property
    def way_lost(self) -> Lost:
        """How the lost Region looks: one that comes back was silent, or no connection would have outlived its loss."""
        return Lost.BLACK_HOLED if self.fault is Fault.REVIVED_PRIMARY else self.lost

    @property
    def pinned(self) -> int:
        """How many of the clients never ask DNS again: half of them where the old primary comes back, else none."""
        return self.clients // 2 if self.fault is Fault.REVIVED_PRIMARY else 0

    def _refuse_contradictions(self) -> None:
        if self.answer is not Reply.APPROVE and self.fault is not Fault.APP_LOST:
            raise OptionRefused(
                f"with --fault {self.fault} no run asks anybody", where="in --answer", do="give --fault app-lost"
            )
        if self.fault is Fault.REVIVED_PRIMARY and not self.pinned:
            raise OptionRefused(
                "one client cannot both follow DNS and stay where it was",
                where="in --clients",
                do=f"give 2 or more with --fault {self.fault}",
            )
        self._refuse_ways_home()
        self._refuse_drills()
        for step in self.kill_orchestrator_at:
            self._refuse_to_stop(step)

    def _refuse_what_no_container_reaches(self) -> None:
        """A container reaches what its function's variables name, and no database that comes into being later."""
        if self.goes_home or self.drill or self.during_drill:
            raise OptionRefused(
                "a container reaches its own Region's database, and neither a drill's nor a retired one",
                where="in --lambda sam",
                do="give --lambda process or rie with drills and ways home",
            )
        if self.template != Path("template.yaml"):
            raise OptionRefused(
                "SAM builds the functions of template.yaml", where="in --template", do="leave it out with --lambda sam"
            )

    def _refuse_ways_home(self) -> None:
        """Refuse a way home that does not begin where this fault ends."""
        if self.circle and (self.fault is not Fault.PRIMARY_LOST or self.lost is not Lost.REFUSED or self.lease):
            raise OptionRefused(
                "the circle begins with a primary that is lost with its power, and without the lease",
                where="in --circle",
                do="leave --fault, --lost and --lease out",
            )
        if self.switchovers and (self.fault is not Fault.NONE or self.circle or self.kill_orchestrator_at):
            raise OptionRefused(
                "nothing is broken while a person switches over",
                where="in --switchovers",
                do="give --fault none, and neither --circle nor --kill-orchestrator-at",
            )
        if self.switchovers % 2:
            raise OptionRefused(
                f"{self.switchovers} switchovers do not end at home", where="in --switchovers", do="give an even number"
            )

    def _refuse_drills(self) -> None:
        """Refuse drills in which something else happens, and a loss during a drill that would be another story."""
        if self.drill and (self.fault is not Fault.NONE or self.switchovers or self.during_drill):
            raise OptionRefused(
                "nothing is broken while a person lets drill",
                where="in --drill",
                do="leave --fault out, and give neither --switchovers nor --during-drill",
            )
        if self.during_drill is DrillKind.PLAN:
            raise OptionRefused(
                "a plan makes nothing that could be in the way",
                where="in --during-drill",
                do=f"give {DrillKind.RESTORE} or {DrillKind.PROMOTE}",
            )
        if self.during_drill and (self.fault is not Fault.PRIMARY_LOST or self.circle):
            raise OptionRefused(
                "it is the primary that is lost during a drill",
                where="in --during-drill",
                do=f"give --fault {Fault.PRIMARY_LOST}, and not --circle",
            )

    def _refuse_to_stop(self, step: Step) -> None:
        """Refuse a step that this fault never reaches."""
        where = "in --kill-orchestrator-at"
        if step in STEPS_HOME:
            if not self.circle:
                raise OptionRefused(f"{step} belongs to the way home", where=where, do="give --circle")
            return
        if self.fault is Fault.NONE:
            problem, do = f"with --fault none no run starts whose {step} could be stopped", "choose another fault"
            raise OptionRefused(problem, where=where, do=do)
        if len(self.kill_orchestrator_at) > 1 or self.fault is Fault.DR_LOST_WHILE_ACTIVE:
            problem = f"a run can be stopped once only, and not with --fault {Fault.DR_LOST_WHILE_ACTIVE}"
            raise OptionRefused(problem, where=where, do=f"give {step} alone")
        if step is Step.QUIESCE and self.fault is not Fault.APP_LOST:
            problem = f"an emergency, as with --fault {self.fault}, stops no writes first"
            raise OptionRefused(problem, where=where, do=f"give --fault {Fault.APP_LOST}")
        if step in _STEPS_AFTER_THE_DECISION and not self.fails_over:
            raise OptionRefused(
                f"a run that stands down, as with --fault {self.fault}, never reaches {step}",
                where=where,
                do=f"give --fault {Fault.PRIMARY_LOST}, or one of the steps scale, assess, record",
            )

    def preflight(self) -> None:
        """Look at what the options name outside the program, before anything is started.

        Raises TemplateError (no such template, not readable), OptionRefused (the result document cannot be written
        there) or PortBusy; EngineMissing or NotBuilt where `sam local` is asked for and cannot run here.
        """
        _readable_template(self.template)
        if self.json is not None:
            _writable(self.json)
        if self.port:
            _free(self.port)
        if self.lambda_mode is LambdaMode.SAM:
            _require_sam_local()


def option[Word: StrEnum](name: str, words: type[Word], value: str) -> Word:
    """The word that an option's value stands for; OptionRefused, listing the words there are, for any other."""
    try:
        return words(value)
    except ValueError:
        raise OptionRefused(
            f"unknown value {_shown(value)}",
            where=f"in {name}",
            do=f"choose one of: {' '.join(word.value for word in words)}",
        ) from None


def listed[Word: StrEnum](name: str, words: type[Word], value: str) -> tuple[Word, ...]:
    """The words of a list with commas, each once and in the order of the list; OptionRefused as for one of them."""
    return tuple(dict.fromkeys(option(name, words, each.strip()) for each in value.split(",")))


def _shown(value: str) -> str:
    """A person's input as it can stand in one line of a terminal: no control characters, not endless."""
    clean = re.sub(r"[^\x20-\x7e\u00a0-\uffff]", "?", value)
    return repr(clean if len(clean) <= 60 else clean[:57] + "...")


def _in_range(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise OptionRefused(f"{value} is out of range", where=f"in {name}", do=f"give a number from {low} to {high}")


def _require_sam_local() -> None:
    from lab.sam_local import require  # noqa: PLC0415 - it imports what no other rehearsal needs

    require()


def _readable_template(path: Path) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise TemplateError(
            f"the template cannot be read ({os.strerror(error.errno or errno.EIO)})",
            where=str(path),
            do="run this in the folder that holds template.yaml, or name it with --template",
        ) from error


def _writable(path: Path) -> None:
    """Prove that a document can be put there, by putting an empty one beside it and taking it away again."""
    if path.is_dir():
        raise OptionRefused("the result document would replace a folder", where=f"in --json {path}", do="name a file")
    try:
        with tempfile.NamedTemporaryFile(dir=path.absolute().parent, prefix=f".{path.name}."):
            pass
    except OSError as error:
        raise OptionRefused(
            f"the result document cannot be written there ({os.strerror(error.errno or errno.EIO)})",
            where=f"in --json {path}",
            do="name a file in a folder that exists and can be written to",
        ) from error


def _free(port: int) -> None:
    with socket.socket() as probe:
        # As a server would bind: what is left of closed connections does not make a port busy.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((API_HOST, port))
        except OSError as error:
            busy = error.errno == errno.EADDRINUSE
            raise PortBusy(
                f"port {port} is busy"
                if busy
                else f"port {port} cannot be used ({os.strerror(error.errno or errno.EIO)})",
                where=f"{API_HOST}:{port}",
                do="stop what listens there, or leave --port out to take any free port",
            ) from error
