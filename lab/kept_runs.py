"""What the runs of a rehearsal have recorded, copied out of the evidence buckets before these are gone."""

from contextlib import suppress
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from lab.network import Path as NetworkPath
from lab.region import REGION_NAME, Side, Vantage
from lab.world import World

FOLDER = Path("build/rehearsal")
"""Where they go, below the folder that a rehearsal is started in."""
REPORT = "report.html"
FILES = ("run.json", REPORT, "manifest.json")


def keep_runs(world: World, folder: Path = FOLDER) -> tuple[str, ...]:
    """Copy each run's record, report and manifest to a folder of the run's name: the paths of the reports.

    Oldest run first. Of a Region that is lost nothing can be had, and of a run that wrote nothing there is nothing.
    OSError where the folder cannot be written.
    """
    found = [(each, side) for side in Side if _reachable(world, side) for each in _runs(world, side)]
    found.sort()
    reports: list[str] = []
    for (_, run), side in found:
        copied = [name for name in FILES if _copy(world, side, f"runs/{run}/{name}", folder / run / name)]
        reports += [str(folder / run / name) for name in copied if name == REPORT]
    return tuple(reports)


def _reachable(world: World, side: Side) -> bool:
    return world.network.state(Vantage.OUTSIDE, side) is NetworkPath.OPEN


def _runs(world: World, side: Side) -> list[tuple[float, str]]:
    """The executions of that side's machines: when each was started, and its name."""
    return [(each.started.timestamp(), each.name) for each in world.workflows.executions(REGION_NAME[side])]


def _copy(world: World, side: Side, key: str, target: Path) -> bool:
    """Whether there is such an object; it is under the path then."""
    bucket = world.stacks_made[side].outputs["EvidenceBucket"]
    with suppress(BotoCoreError, ClientError):
        answer = world.cloud.client("s3", REGION_NAME[side]).get_object(Bucket=bucket, Key=key)
        content = answer["Body"].read()
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return True
    return False
