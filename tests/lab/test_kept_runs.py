"""What runs have recorded is kept when their Regions go: every file of each, and nothing of a Region that is lost."""

import io
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from lab.kept_runs import FILES, keep_runs
from lab.network import Network
from lab.network import Path as NetworkPath
from lab.region import REGION_NAME, Side
from lab.workflow import ExecutionRecord
from lab.world import World

WHOLE = {f"runs/away-2/{name}": name for name in FILES}
OBJECTS = {
    Side.PRIMARY: {f"runs/home-1/{name}": name for name in FILES},
    # The report could not be made, or the run died before it.
    Side.DR: WHOLE | {"runs/away-3/run.json": "run.json"},
}
RUNS = {Side.PRIMARY: {"home-1": 20}, Side.DR: {"away-3": 30, "away-2": 10, "away-4": 40}}


class Bucket:
    def __init__(self, side: Side) -> None:
        self.side = side

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        if Bucket != f"evidence-{self.side}" or Key not in OBJECTS[self.side]:
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": Key}}, "GetObject")
        return {"Body": io.BytesIO(OBJECTS[self.side][Key].encode())}


def execution(name: str, second: int) -> ExecutionRecord:
    return ExecutionRecord(
        name, "machine", name, "SUCCEEDED", datetime.fromtimestamp(second, UTC), None, None, None, None
    )


@pytest.fixture
def world() -> World:
    side_of = {region: side for side, region in REGION_NAME.items()}
    made = SimpleNamespace(
        network=Network(),
        workflows=SimpleNamespace(
            executions=lambda region: [execution(*run) for run in RUNS[side_of[region]].items()],
        ),
        cloud=SimpleNamespace(client=lambda _, region: Bucket(side_of[region])),
        stacks_made={side: SimpleNamespace(outputs={"EvidenceBucket": f"evidence-{side}"}) for side in Side},
    )
    return cast("World", made)


def test_every_file_of_each_run_is_kept(world: World, tmp_path: Path) -> None:
    reports = keep_runs(world, tmp_path / "kept")
    assert reports == tuple(str(tmp_path / f"kept/{run}/report.html") for run in ("away-2", "home-1"))
    found = {str(path.relative_to(tmp_path / "kept")): path.read_text() for path in tmp_path.rglob("*.*")}
    every = OBJECTS[Side.PRIMARY] | OBJECTS[Side.DR]
    assert found == {key.removeprefix("runs/"): content for key, content in every.items()}
    assert keep_runs(world, tmp_path / "kept") == reports, "what is there is written again"


def test_of_a_region_that_is_lost_nothing_is_asked(world: World, tmp_path: Path) -> None:
    world.network.lose(Side.PRIMARY, NetworkPath.BLACK_HOLED)
    assert [Path(report).parent.name for report in keep_runs(world, tmp_path)] == ["away-2"]
    assert not (tmp_path / "home-1").exists()


def test_a_folder_that_cannot_be_written_is_an_error(world: World, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file")
    with pytest.raises(OSError, match="kept"):
        keep_runs(world, tmp_path / "kept")
