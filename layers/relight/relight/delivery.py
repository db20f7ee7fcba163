"""Putting the evidence of a run down in the bucket of the Region that ran it: run.json, report.html, manifest.json.

run.json first: nothing that may go wrong with the others keeps it from lying there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from relight import manifest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client

RUN, REPORT = "run.json", "report.html"
TYPES = {RUN: "application/json", REPORT: "text/html; charset=utf-8", manifest.NAME: "application/json"}
LINK_SECONDS = 12 * 3600
"""What a link is asked for. It dies with the credentials that signed it: those of a function's role, whose term Lambda
tells nobody, and which are good for 12 hours at the very most."""
NO_ANSWER = (BotoCoreError, ClientError)


@dataclass(frozen=True)
class Delivered:
    """Where run.json is; why it is `not_kept`; why the report or its manifest is `not_reported`; the report's link."""

    where: str
    not_kept: str | None = None
    not_reported: str | None = None
    link: str | None = None


@dataclass(frozen=True)
class Delivery:
    """The bucket of this Region."""

    s3: S3Client
    bucket: str
    region: str

    def deliver(self, document: Mapping[str, Any]) -> Delivered:
        """Put all of it down, as far as that can be done; raises nothing that S3 or a template does."""
        folder = f"runs/{document['run']['id']}"
        where = f"s3://{self.bucket}/{folder}/{RUN}"
        files = {RUN: json.dumps(document, indent=2, sort_keys=True).encode()}
        not_kept = self._put(folder, RUN, files[RUN])
        if not_kept is not None:
            return Delivered(where, not_kept=f"evidence: {not_kept}")
        page, wrong = rendered(document)
        if page is not None:
            wrong = self._put(folder, REPORT, page)
            files |= {} if wrong else {REPORT: page}
        listed = self._put(folder, manifest.NAME, manifest.manifest(files))
        why = "; ".join(
            f"{name}: {said}" for name, said in (("report", wrong), ("manifest", listed)) if said is not None
        )
        link = self._link(f"{folder}/{REPORT}") if REPORT in files else None
        return Delivered(where, None, why or None, link)

    def _put(self, folder: str, name: str, body: bytes) -> str | None:
        """Why it could not be put there."""
        key = f"{folder}/{name}"
        try:
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=TYPES[name])
        except NO_ANSWER as error:
            return f"{type(error).__name__}: {error}"
        return None

    def _link(self, key: str) -> str | None:
        """A link by which whoever has it can read the report for a while; None where nothing can be signed.

        With a client of its own: by default botocore signs links in the old way for the older Regions, which a bucket
        of today refuses, and by the global name, which does not know a new bucket of another Region for hours.
        """
        try:
            signer: S3Client = boto3.client(
                "s3",
                region_name=self.region,
                config=Config(signature_version="s3v4", s3={"addressing_style": "virtual"}),
            )
            return signer.generate_presigned_url(
                "get_object", Params={"Bucket": self.bucket, "Key": key}, ExpiresIn=LINK_SECONDS
            )
        except BotoCoreError:
            return None


def rendered(document: Mapping[str, Any]) -> tuple[bytes | None, str | None]:
    """The report, or why there is none."""
    try:
        # Needed at the end of a run alone, and never to be what a run fails of.
        from relight.report import render  # noqa: PLC0415

        return render(document).encode(), None
    except Exception as error:  # whatever it is: run.json has all of it
        return None, f"{type(error).__name__}: {error}"
