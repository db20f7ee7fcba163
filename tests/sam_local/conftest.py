"""Both Regions, steady, and the DR Region's built functions in containers: made once for all tests."""

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from lab.binaries import folder
from lab.environment import APPLICATION
from lab.errors import LabError
from lab.kept import Kept, noted
from lab.lent_lock import lent
from lab.options import LambdaMode, Profile
from lab.region import REGION_NAME, Side, Vantage
from lab.sam_functions import functions
from lab.sam_local import SamLocal, require
from lab.sandbox import Function, Host
from lab.timings import timings
from lab.world import ROOT, World

DR = REGION_NAME[Side.DR]


@pytest.fixture(scope="session")
def containers() -> None:
    """Skips what needs containers where there can be none, and says why; in CI, that fails."""
    try:
        require()
    except LabError as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI has to prove the packaging: {error.sentence}")
        pytest.skip(f"NOT PROVEN, the packaging of every function: {error.sentence}")


@pytest.fixture(scope="session")
def world(containers: None) -> Iterator[World]:
    """Both Regions from template.yaml; nothing is lost, and no client orders."""
    place = folder("relight-sam-test-")
    chosen = timings(Profile.LAB)
    with World(chosen, place, port=0, mode=LambdaMode.PROCESS, template=ROOT / "template.yaml") as made:
        made.deploy(lambda _: None)
        made.events.stop()  # no schedule calls in between: a run that it began would hold the lock
        yield made
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def kept(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    """The same, with the note by which `make local-invoke` finds a rehearsal that is kept."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    host, port = world.resolver.address
    regions = (DR, REGION_NAME[Side.PRIMARY])
    me = psutil.Process()
    one = Kept(world.cloud.endpoint_url, APPLICATION, regions, "", f"{host}:{port}", me.pid, me.create_time())
    with noted(one, tmp_path / "relight" / "kept"):
        yield one


@dataclass
class Packaging:
    """`sam local start-lambda` of the DR Region, and whoever asks it."""

    world: World
    sam: SamLocal
    lines: list[str] = field(default_factory=list)

    def ask(self, name: str, event: Mapping[str, Any]) -> tuple[Any, str | None]:
        """The answer of that function, and its error; a run in the event holds the lock meanwhile."""
        dynamodb = self.world.cloud.client("dynamodb", DR)
        with lent(event, dynamodb, f"relight-{APPLICATION}") as given:
            return self.sam.sandbox(self._functions[name]).invoke("", given, 60.0)

    def __post_init__(self) -> None:
        api = self.world.cloud.client("lambda", DR)
        self._functions: dict[str, Function] = {}
        for name, packaged in functions().items():
            found = api.get_function_configuration(FunctionName=packaged.in_aws(APPLICATION))
            self._functions[name] = Function(
                DR,
                found["FunctionName"],
                ROOT / "functions" / name,
                found["Handler"],
                found["Environment"]["Variables"],
                found["Timeout"],
                (),
                found["MemorySize"],
            )
            self.sam.define(self._functions[name])


@pytest.fixture(scope="session")
def packaging(world: World) -> Iterator[Packaging]:
    """All functions of the DR Region, by one `sam local start-lambda`."""
    host, lines = Host(bare=True), list[str]()
    sam = SamLocal(host, lambda region: world.cloud.environment(Vantage.DR, region), lambda _, line: lines.append(line))
    try:
        yield Packaging(world, sam, lines)
    finally:
        sam.stop()
        host.close()
