"""Bad input is refused before anything is started, with what, where and what to do."""

import os
import socket
from pathlib import Path

import pytest

from lab.errors import LabError, OptionRefused, PortBusy, TemplateError
from lab.options import API_HOST, STEPS_HOME, Fault, LambdaMode, Lost, Options, Profile, Reply, Step, listed, option
from lab.rehearsal import profile as lab_profile


def test_a_word_that_is_known_and_one_that_is_not() -> None:
    assert option("--fault", Fault, "network-cut") is Fault.NETWORK_CUT
    with pytest.raises(OptionRefused) as refused:
        option("--fault", Fault, "earth\nquake\x1b[31m")
    assert refused.value.sentence == (
        "unknown value 'earth?quake?[31m', in --fault, choose one of: primary-lost network-cut false-alarm none "
        "app-lost database-lost database-rebooting dr-isolated revived-primary us-east-1-lost dns-flapping "
        "dr-lost-while-active"
    )


def test_a_list_has_each_word_once_and_in_its_order() -> None:
    assert listed("--kill-orchestrator-at", Step, "compare, reprotect,compare") == (Step.COMPARE, Step.REPROTECT)
    with pytest.raises(OptionRefused, match="unknown value ''"):
        listed("--kill-orchestrator-at", Step, "compare,")


def test_a_rehearsal_of_switchovers_has_promotions_of_a_second() -> None:
    assert lab_profile(Options(fault=Fault.NONE, switchovers=2)).promotion == pytest.approx(1.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"clients": 0},
        {"clients": 51},
        {"seed_orders": -1},
        {"port": 65536},
        {"port": -1},
        {"fault": Fault.NONE, "kill_orchestrator_at": (Step.SCALE,)},
        {"fault": Fault.FALSE_ALARM, "kill_orchestrator_at": (Step.PROMOTE,)},
        {"fault": Fault.DR_ISOLATED, "kill_orchestrator_at": (Step.HARDEN,)},
        {"fault": Fault.APP_LOST, "answer": Reply.DECLINE, "kill_orchestrator_at": (Step.VERIFY,)},
        {"kill_orchestrator_at": (Step.QUIESCE,)},
        {"answer": Reply.NONE},
        {"fault": Fault.REVIVED_PRIMARY, "clients": 1},
        {"circle": True, "fault": Fault.DATABASE_LOST},
        {"circle": True, "lost": Lost.BLACK_HOLED},
        {"circle": True, "lease": True},
        {"kill_orchestrator_at": (Step.REPROTECT,)},
        {"kill_orchestrator_at": (Step.SCALE, Step.PROMOTE)},
        {"fault": Fault.DR_LOST_WHILE_ACTIVE, "kill_orchestrator_at": (Step.PROMOTE,)},
        {"switchovers": 2},
        {"switchovers": 3, "fault": Fault.NONE},
        {"switchovers": 42, "fault": Fault.NONE},
        {"switchovers": 2, "fault": Fault.NONE, "circle": True},
    ],
)
def test_what_cannot_be_rehearsed_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(OptionRefused):
        Options(**changes)  # type: ignore[arg-type]


def test_the_edges_are_allowed() -> None:
    Options(clients=50, seed_orders=0, port=65535)
    Options(clients=1, fault=Fault.NETWORK_CUT, kill_orchestrator_at=(Step.RECORD,))
    Options(fault=Fault.APP_LOST, kill_orchestrator_at=(Step.QUIESCE,))
    Options(fault=Fault.APP_LOST, answer=Reply.DECLINE, kill_orchestrator_at=(Step.ASSESS,))
    Options(circle=True, kill_orchestrator_at=tuple(STEPS_HOME))
    Options(switchovers=40, fault=Fault.NONE)
    Options(fault=Fault.US_EAST_1_LOST, kill_orchestrator_at=(Step.HARDEN,))


def test_only_where_the_primary_comes_back_are_clients_pinned_and_there_it_was_silent() -> None:
    revived = Options(fault=Fault.REVIVED_PRIMARY, clients=5)
    assert (revived.pinned, revived.way_lost) == (2, Lost.BLACK_HOLED)
    lost = Options()
    assert (lost.pinned, lost.way_lost) == (0, Lost.REFUSED)


def test_the_lease_is_switched_on_by_parameters() -> None:
    for profile in Profile:
        without, leased = lab_profile(Options(timings=profile)), lab_profile(Options(timings=profile, lease=True))
        assert leased.parameters.keys() - without.parameters.keys() <= {"LeaseTermSeconds", "LongestTransactionSeconds"}
        assert float(leased.parameters["LeaseTermSeconds"]) > 0
        assert without.parameters.get("LeaseTermSeconds", "0") == "0"


def test_the_runtime_emulator_needs_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    with pytest.raises(OptionRefused, match="needs Linux"):
        Options(lambda_mode=LambdaMode.RIE)


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "template.yaml"
    path.write_text("Resources: {}")
    return path


def test_a_template_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="No such file"):
        Options(template=tmp_path / "template.yaml").preflight()
    with pytest.raises(TemplateError, match="directory"):
        Options(template=tmp_path).preflight()


def test_a_result_that_could_not_be_written(template: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "none" / "out.json", template / "out.json", tmp_path):
        with pytest.raises(OptionRefused, match="--json"):
            Options(template=template, json=path).preflight()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(template: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OptionRefused, match="Permission denied"):
        Options(template=template, json=tmp_path / "out.json").preflight()


def test_looking_leaves_nothing_behind(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Options(template=template, json=Path("out.json")).preflight()
    assert [path.name for path in tmp_path.iterdir()] == ["template.yaml"]


def test_a_busy_port(template: Path) -> None:
    with socket.create_server((API_HOST, 0)) as server:
        port = int(server.getsockname()[1])
        with pytest.raises(PortBusy, match=f"port {port} is busy"):
            Options(template=template, port=port).preflight()
    Options(template=template, port=port).preflight()


def test_an_error_is_one_line() -> None:
    error = LabError("it broke\nbadly", where="here", do=" mend it ")
    assert str(error) == error.sentence == "it broke badly, here, mend it"
    assert LabError("it broke", do="mend it").sentence == "it broke, mend it"
