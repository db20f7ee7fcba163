"""The application's release: from this machine into both Regions' data buckets, where instances fetch it at boot."""

import base64
import hashlib
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from relight_cli.aws import Aws, asking, code_of
from relight_cli.exit_code import Exit, Refused
from relight_cli.samconfig import REGIONAL, Environment, Slot

DEFAULT_KEY = "releases/current.tar.gz"
_DIGEST = "sha256"


def find(environment: Environment, asked: Path | None) -> Path | None:
    """The file to upload: the one that was asked for (Refused where there is none), or what `make release` has built.
    None where nothing was built, or the application is not ours.
    """
    if not environment.own_workload:
        return None
    file = asked or environment.folder / "build" / f"release-{_architecture(environment)}.tar.gz"
    if file.is_file():
        return file
    if asked is not None:
        raise _missing(environment, str(asked))
    return None


def require_uploaded(environment: Environment, aws: Aws) -> None:
    """Refused unless both buckets hold a release already: without one no instance would ever serve."""
    for slot in REGIONAL:
        bucket, key = environment.data_bucket[slot], environment.given(slot, "ReleaseKey", DEFAULT_KEY)
        with asking(f"look for the release in {bucket}"):
            if _there(aws.client("s3", environment.stacks[slot].region), bucket, key) is None:
                raise _missing(environment, f"build/, and {bucket}")


def _architecture(environment: Environment) -> str:
    return environment.given(Slot.PRIMARY, "InstanceArchitecture", "arm64")


def _missing(environment: Environment, where: str) -> Refused:
    do = f"build one with make release ARCH={_architecture(environment)}, or name it with --release"
    return Refused("there is no release of the application", where=where, do=do, code=Exit.BAD_INPUT)


def upload(environment: Environment, slot: Slot, file: Path, aws: Aws) -> str:
    """Put it where that Region's instances look for it, unless it is there already: a sentence."""
    bucket, region = environment.data_bucket[slot], environment.stacks[slot].region
    key = environment.given(slot, "ReleaseKey", DEFAULT_KEY)
    digest = _digest(file)
    s3 = aws.client("s3", region)
    with asking(f"upload the release to {bucket}"):
        if _there(s3, bucket, key) == digest:
            return f"the release is in {bucket} already ({key})"
        with file.open("rb") as body:
            s3.put_object(
                Bucket=bucket,
                Key=key,
                Body=body,
                Metadata={_DIGEST: digest},
                ChecksumSHA256=base64.b64encode(bytes.fromhex(digest)).decode(),
            )
    return f"uploaded {file.name} to {bucket} as {key}"


def _there(s3: Any, bucket: str, key: str) -> str | None:
    """The digest of what lies there; None where nothing does, and no text where it was put there by another way."""
    try:
        return str(s3.head_object(Bucket=bucket, Key=key).get("Metadata", {}).get(_DIGEST, ""))
    except ClientError as error:
        if code_of(error) in {"404", "NoSuchKey", "NotFound", "NoSuchBucket"}:
            return None
        raise


def _digest(file: Path) -> str:
    with file.open("rb") as body:
        return hashlib.file_digest(body, "sha256").hexdigest()
