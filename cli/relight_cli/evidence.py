"""The evidence of an application, as it lies in the buckets of its Regions: a folder for each run."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from botocore.exceptions import ClientError

from relight_cli.aws import Aws, code_of
from relight_cli.deployed import Deployed
from relight_cli.exit_code import Exit, Refused
from relight_cli.reaching import identity, reaching

_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_DOCUMENT = re.compile(rf"runs/({_RUN.pattern})/run\.json")


@dataclass(frozen=True)
class Shelf:
    """The bucket of one Region."""

    region: str
    bucket: str
    aws: Aws

    def where(self, run: str, name: str) -> str:
        """The address of a file."""
        return f"s3://{self.bucket}/runs/{run}/{name}"

    def read(self, run: str, name: str) -> bytes | None:
        """A file of a run; None where there is none. Refused where the Region, or the bucket, does not answer."""
        with reaching(self.region, f"read {name} of {run} from {self.bucket}"):
            try:
                answer = self.aws.client("s3", self.region).get_object(Bucket=self.bucket, Key=f"runs/{run}/{name}")
                return bytes(answer["Body"].read())
            except ClientError as error:
                if code_of(error) in _MISSING:
                    return None
                self._require_bucket(error)
                raise

    def runs(self) -> list[tuple[float, str]]:
        """When the document of each run was written (epoch seconds), and the run; newest first. Refused as above."""
        with reaching(self.region, f"list the runs in {self.bucket}"):
            try:
                return sorted(self._documents(), reverse=True)
            except ClientError as error:
                self._require_bucket(error)
                raise

    def _documents(self) -> Iterator[tuple[float, str]]:
        pages = self.aws.client("s3", self.region).get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.bucket, Prefix="runs/"):
            for one in page.get("Contents", []):
                found = _DOCUMENT.fullmatch(one["Key"])
                if found:
                    yield one["LastModified"].timestamp(), found[1]

    def _require_bucket(self, error: ClientError) -> None:
        if code_of(error) == "NoSuchBucket":
            what = f"there is no evidence bucket {self.bucket} in {self.region}"
            raise Refused(what, do="check application, Region and account", code=Exit.NO_LEDGER) from error


def shelves(deployed: Deployed, aws: Aws) -> list[Shelf]:
    """One for each Region, whether it answers or not. Refused where nobody says whose credentials these are."""
    account = identity(deployed, aws, deployed.regions).split(":")[4]
    return [
        Shelf(region, f"relight-evidence-{deployed.application}-{account}-{region}", aws) for region in deployed.regions
    ]


def name_of(run: str) -> str:
    """The run's id, once it is certain that it can be the name of a folder. Refused where it cannot."""
    if _RUN.fullmatch(run) is None:
        do = "take it from the notification, or from relight history"
        raise Refused(f"{run!r} is no run's id", where="in the command line", do=do, code=Exit.BAD_INPUT)
    return run
