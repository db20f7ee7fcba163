"""An AWS account of the lab to deploy into, with the real SAM CLI, the command as a process, and a project."""

import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from moto.moto_api._internal import moto_api_backend
from relight import switches
from relight.ledger import Head, State

from lab import change_batch, cloudformation_api, environment, holding, replication_regions
from lab.alarms import Alarms
from lab.cloud import ACCOUNT, Cloud
from lab.cloudformation import CloudFormation
from lab.network import Network
from lab.rds import Databases
from lab.region import GLOBAL, REGION_NAME, Side, Vantage, claim
from lab.seam import Seams
from lab.stack import Stacks
from lab.timings import AWS, LAB

ROOT = Path(__file__).parents[2]
SAM = ROOT / ".tools/sam/bin/sam"
PARTS = ("template.yaml", "stacks", "functions", "layers", "statemachine")
DOMAIN = "shop-staging.example.com"
PATIENCE = 200.0


class Estate:
    """A context manager: on entry the APIs answer, and nothing is deployed."""

    def __init__(self, folder: Path, *, databases: bool) -> None:
        """`databases` is whether databases are real ones; without them no replica can be made in another Region."""
        self.project = folder / "project"
        self._folder = folder
        self._databases = databases
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        # moto's state outlives a Cloud, and what another estate has left is none of this one's.
        moto_api_backend.reset()
        part = self._exits.callback
        network = Network()
        if self._databases:
            part(claim().close)
        self.cloud = Cloud(network)
        part(self.cloud.stop)
        if self._databases:
            databases = Databases(network, replace(LAB, rds_pending=0.1), self._folder)
            databases.install()
            part(databases.stop)
        # At AWS's pace, so that one publication lasts.
        alarms = Alarms(AWS, lambda *_: None)
        alarms.start()
        part(alarms.stop)
        packages = self._folder / "packages"
        packages.mkdir()
        self.stacks = Stacks(self.cloud, None, environment.IMAGE)
        self.cloudformation = CloudFormation(self.stacks, packages, self.fetch)
        seams = Seams()
        part(seams.undo)
        cloudformation_api.install(seams, self.cloudformation, self.fetch)
        change_batch.install(seams)
        replication_regions.install(seams)
        holding.install(seams)
        self._begin_project()
        return self

    def __exit__(self, *_: object) -> None:
        self.cloudformation.join(30)
        self._exits.close()

    def client(self, service: str, side: Side | None = None) -> Any:
        """A client in a Region; in us-east-1 without a side."""
        return self.cloud.client(service, REGION_NAME[side] if side else GLOBAL)

    def fetch(self, region: str) -> Any:
        """What CloudFormation of a Region reads from S3."""

        def fetched(bucket: str, key: str) -> bytes:
            s3 = self.cloud.client("s3", region)
            try:
                return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
            except s3.exceptions.NoSuchKey:
                raise KeyError(key) from None

        return fetched

    def _begin_project(self) -> None:
        """The templates as `sam build` leaves them, but for the layers' packages, and staging's own values."""
        for target in (self.project, self.project / ".aws-sam/build"):
            target.mkdir(parents=True)
            for name in PARTS:
                source = ROOT / name
                ignored = shutil.ignore_patterns("__pycache__")
                if source.is_dir():
                    shutil.copytree(source, target / name, ignore=ignored)
                else:
                    shutil.copy(source, target / name)
        certificates = {side: self._certificate(side) for side in Side}
        made = self.client("route53").create_hosted_zone(Name="example.com", CallerReference="estate")
        self.zone_id = str(made["HostedZone"]["Id"]).rpartition("/")[2]
        text = (ROOT / "samconfig.toml").read_text()
        for side, arn in certificates.items():
            text = re.sub(rf"arn:aws:acm:{REGION_NAME[side]}:\d+:certificate/[0-9a-f-]+", arn, text)
        text = text.replace("111122223333", ACCOUNT).replace("Z0123456789EXAMPLE", self.zone_id)
        (self.project / "samconfig.toml").write_text(text)
        self.release = self.project / "build" / "release-arm64.tar.gz"
        self.release.parent.mkdir()
        self.release.write_bytes(b"a release")

    def configure(self, before: str, after: str) -> None:
        """Change samconfig.toml."""
        file = self.project / "samconfig.toml"
        text = file.read_text()
        assert before in text
        file.write_text(text.replace(before, after))

    def _certificate(self, side: Side) -> str:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, DOMAIN)])
        now = datetime.now(UTC)
        names = x509.SubjectAlternativeName([x509.DNSName(DOMAIN), x509.DNSName(f"*.{DOMAIN}")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=90))
            .add_extension(names, critical=False)
            .sign(key, hashes.SHA256())
        )
        answer = self.client("acm", side).import_certificate(
            Certificate=certificate.public_bytes(serialization.Encoding.PEM),
            PrivateKey=key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            ),
        )
        return str(answer["CertificateArn"])

    def publish_switches(self) -> None:
        """What the functions `guard` do within a minute of their deployment."""
        for side in Side:
            region, home = REGION_NAME[side], REGION_NAME[Side.PRIMARY]
            values = switches.switches(Head(False, 0, home, State.STEADY), region, home)
            switches.publish(self.client("cloudwatch", side), "Relight/Switches/shop-staging", values)

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """The command, in the project's folder and with the estate's credentials."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        more = {
            "SAM_CLI_POLL_DELAY": "0.2",
            "SAM_CLI_TELEMETRY": "0",
            "PATH": f"{SAM.parent}{os.pathsep}{own.get('PATH', '')}",
        }
        return subprocess.Popen(
            [sys.executable, "-m", "relight_cli.main", *words],
            cwd=self.project,
            env=own | self.cloud.environment(Vantage.OUTSIDE) | more,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def relight(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """The command, until it ends."""
        with self.start(*words) as process:
            out, complaint = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(words, process.returncode, out, complaint)
