"""stacks/compute.yaml in each Region: how an instance starts, what it may do, and how many there are."""

import base64
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.errors import StackRefused
from lab.expression import Expression, Scope
from lab.instance import environment_of
from lab.parameter import check, check_rules, resolve
from tests.template.reading import REGIONS, as_list, statements, written
from tests.template.region import ACCOUNT, given, region

ROLES = list(REGIONS)
PEER = {"primary": "dr", "dr": "primary"}


def launched(role: str, **parameters: str) -> dict[str, Any]:
    data: dict[str, Any] = region(role, **parameters)["Compute/Template"]["LaunchTemplateData"]
    return data


def user_data(role: str) -> str:
    return base64.b64decode(launched(role)["UserData"]).decode()


def heredoc(text: str, path: str) -> str:
    """What the user data writes into that file."""
    found = re.search(rf"^cat >{re.escape(path)} <<'(\w+)'\n(.*?)^\1$", text, re.MULTILINE | re.DOTALL)
    assert found is not None, path
    return found[2]


def group(role: str, **parameters: str) -> dict[str, Any]:
    return dict(region(role, **parameters)["Compute/Group"])


def attributes(role: str, **parameters: str) -> dict[str, str]:
    found = region(role, **parameters)["Compute/Balancer"]["LoadBalancerAttributes"]
    return {each["Key"]: each["Value"] for each in found}


# How an instance starts.


@pytest.mark.parametrize("role", ROLES)
def test_an_instance_is_private_encrypted_and_takes_metadata_requests_from_itself_only(role: str) -> None:
    data = launched(role)
    assert data["MetadataOptions"] == {
        "HttpTokens": "required",
        "HttpEndpoint": "enabled",
        "HttpPutResponseHopLimit": 1,
    }
    (interface,) = data["NetworkInterfaces"]
    assert interface["AssociatePublicIpAddress"] is False
    assert interface["Groups"] == ["Network/AppSecurityGroup"]
    assert "SecurityGroupIds" not in data  # EC2 refuses both
    assert data["BlockDeviceMappings"]
    assert all(device["Ebs"]["Encrypted"] is True for device in data["BlockDeviceMappings"])


@pytest.mark.parametrize("role", ROLES)
def test_each_group_stands_in_the_subnets_of_the_application(role: str) -> None:
    subnets = group(role)["VPCZoneIdentifier"]
    public = region(role)["Compute/Balancer"]["Subnets"]
    assert len(subnets) == len(set(subnets)) >= 2
    assert not set(subnets) & set(public)
    assert not any(region(role)[subnet].get("MapPublicIpOnLaunch") for subnet in subnets)


@pytest.mark.parametrize(("architecture", "kind"), [("arm64", "t4g.small"), ("x86_64", "t3.small")])
def test_the_image_is_amazon_linux_of_the_architecture_of_the_instances(architecture: str, kind: str) -> None:
    data = launched("dr", InstanceArchitecture=architecture, InstanceType=kind)
    name = f"/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{architecture}"
    assert data["ImageId"] == f"{{{{resolve:ssm:{name}}}}}"
    assert data["InstanceType"] == kind
    assert launched("dr", ImageId="ami-0123456789abcdef0")["ImageId"] == "ami-0123456789abcdef0"


def rules(**parameters: str) -> None:
    template = written()
    scope = Scope(
        parameters={"AWS::Region": REGIONS["primary"]}
        | resolve(template, given("primary") | parameters, lambda _: "ami-12345678"),
        mappings={},
        conditions={},
        ref=str,
        attribute=lambda *_: "",
        zones=lambda _: [],
    )
    check_rules(template, lambda where: Expression(scope, where))


@pytest.mark.parametrize(
    ("parameters", "refusal"),
    [
        ({"InstanceType": "t3.small"}, "InstanceType is none known here for arm64"),
        ({"InstanceArchitecture": "x86_64"}, "InstanceType is none known here for x86_64"),
        (
            {"MoreInstanceTypes": "m7g.large,m7i.large"},
            "MoreInstanceTypes has a type that is none known here for arm64",
        ),
        (
            {"InstanceArchitecture": "x86_64", "InstanceType": "t3.small", "MoreInstanceTypes": "t4g.small"},
            "MoreInstanceTypes has a type that is none known here for x86_64",
        ),
        ({"Scheme": "https", "CertificateArn": ""}, "Scheme https needs CertificateArn"),
    ],
)
def test_what_could_not_start_is_refused_before_anything_is_made(parameters: dict[str, str], refusal: str) -> None:
    with pytest.raises(StackRefused, match=refusal):
        rules(**parameters)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"MoreInstanceTypes": "m7g.large,c7g.large"},
        {"InstanceArchitecture": "x86_64", "InstanceType": "m7i.large", "MoreInstanceTypes": "m7a.large"},
        {"InstanceType": "x2gd.medium", "ImageId": "ami-0123456789abcdef0"},
        {"Scheme": "http", "CertificateArn": ""},
    ],
)
def test_what_can_start_is_taken(parameters: dict[str, str]) -> None:
    rules(**parameters)


def test_five_types_are_as_many_as_there_is_room_for() -> None:
    types = {"MoreInstanceTypes": "a1.large,b1.large,c1.large,d1.large"}
    check(written("compute"), types, lambda _: None)
    with pytest.raises(StackRefused, match="at most four"):
        check(written("compute"), {"MoreInstanceTypes": types["MoreInstanceTypes"] + ",e1.large"}, lambda _: None)


# Its user data.


@pytest.mark.parametrize("role", ROLES)
def test_an_instance_knows_its_region_its_peer_and_who_is_home(role: str) -> None:
    environment = environment_of(user_data(role))
    assert environment["AWS_REGION"] == REGIONS[role]
    assert environment["PEER_REGION"] == REGIONS[PEER[role]]
    assert environment["HOME_REGION"] == REGIONS["primary"]
    assert environment["LEDGER_TABLE"] == "relight-shop"
    assert environment["DATABASE_SECRET"] == "relight/shop/database"
    assert environment["DATA_BUCKET"] == f"relight-data-shop-{ACCOUNT}-{REGIONS[role]}"
    assert environment["PORT"] == str(region(role)["Compute/Targets"]["Port"])


@pytest.mark.parametrize("role", ROLES)
def test_an_instance_takes_its_release_from_the_bucket_of_its_own_region(role: str) -> None:
    lines = heredoc(user_data(role), "/etc/relight/release.env").splitlines()
    assert dict(line.split("=") for line in lines) == {
        "AWS_REGION": REGIONS[role],
        "BUCKET": f"relight-data-shop-{ACCOUNT}-{REGIONS[role]}",
        "KEY": "releases/current.tar.gz",
        "LOG_GROUP": region(role)["Compute/Log"]["LogGroupName"],
    }
    assert region(role)["Compute/Log"]["LogGroupName"] == f"/relight/shop/{role}/application"


@pytest.mark.parametrize("role", ROLES)
def test_the_user_data_is_a_shell_script_that_fits(role: str, tmp_path: Path) -> None:
    text = user_data(role)
    assert len(text.encode()) < 16 * 1024  # EC2's limit, before Base64
    for name, script in {"user-data": text, "fetch": heredoc(text, "/usr/local/sbin/relight-release")}.items():
        assert script.startswith("#!/bin/bash\n")
        (tmp_path / name).write_text(script, encoding="utf-8")
        checked = subprocess.run(["bash", "-n", tmp_path / name], capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")
    peers = {line.partition("=")[0] for line in text.splitlines() if REGIONS[PEER[role]] in line}
    assert peers <= {"PEER_REGION", "HOME_REGION"}  # nothing else of the boot needs the other Region


@pytest.mark.parametrize("role", ROLES)
def test_the_release_is_asked_for_until_it_is_there(role: str) -> None:
    """The first deployment makes instances before anybody can have uploaded one."""
    unit = heredoc(user_data(role), "/etc/systemd/system/relight-release.service").splitlines()
    assert {"Type=oneshot", "RemainAfterExit=yes", "Restart=on-failure", "RestartSec=10"} <= set(unit)
    assert {"StartLimitIntervalSec=0", "WantedBy=multi-user.target"} <= set(unit)
    assert "ExecStart=/usr/local/sbin/relight-release" in unit


class Host:
    """An instance's disk, its bucket, and the user data's script between them."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "relight"
        self.root.mkdir()
        self.bucket = folder / "bucket"
        self.installations = folder / "installations"
        tools = folder / "bin"
        tools.mkdir()
        aws = tools / "aws"
        # Stands for the AWS CLI: the ETag of a file, and its bytes.
        aws.write_text(
            '#!/bin/bash\n[ -e "$FAKE_BUCKET" ] || exit 254\n[ "$1" = s3api ] || exec cat "$FAKE_BUCKET"\n'
            'echo "\\"$(sha256sum <"$FAKE_BUCKET" | cut -c1-8)\\""\n'
        )
        aws.chmod(0o755)
        script = heredoc(user_data("dr"), "/usr/local/sbin/relight-release")
        assert script.count("/opt/relight") == 2
        self.script = folder / "fetch"
        self.script.write_text(script.replace("/opt/relight", str(self.root)))
        self.environment = {
            "PATH": f"{tools}:/usr/bin:/bin",
            "FAKE_BUCKET": str(self.bucket),
            "INSTALLATIONS": str(self.installations),
            "AWS_REGION": "eu-central-1",
            "BUCKET": "b",
            "KEY": "releases/current.tar.gz",
        }

    def release(self, name: str, *, works: bool = True) -> None:
        """Put a release into the bucket."""
        folder = self.root.parent / f"release-{name}"
        folder.mkdir()
        install = folder / "install.sh"
        install.write_text(f'#!/bin/bash\n{"" if works else "exit 7"}\necho {name} >>"$INSTALLATIONS"\n')
        install.chmod(0o755)
        subprocess.run(["tar", "-czf", self.bucket, "-C", folder, "."], check=True)

    def boot(self) -> tuple[int, list[str]]:
        """Exit code of the script, and what has been installed so far."""
        ended = subprocess.run(["bash", self.script], env=self.environment, capture_output=True, check=False)
        done = self.installations.read_text().split() if self.installations.exists() else []
        return ended.returncode, done


def test_the_release_is_installed_once_and_again_when_there_is_another(tmp_path: Path) -> None:
    host = Host(tmp_path)
    assert host.boot() == (1, [])  # nothing yet: systemd asks again
    host.release("first", works=False)
    assert host.boot() == (7, [])
    host.release("second")
    assert host.boot() == (0, ["second"])
    assert host.boot() == (0, ["second"])
    host.release("third")
    assert host.boot() == (0, ["second", "third"])
    host.bucket.unlink()
    assert host.boot() == (0, ["second", "third"])  # what is installed serves without S3


# What it may do.


@pytest.mark.parametrize("role", ROLES)
def test_an_instance_may_read_its_release_and_secret_write_state_and_log_and_ask_both_ledgers(role: str) -> None:
    here, peer = REGIONS[role], REGIONS[PEER[role]]
    bucket = f"arn:aws:s3:::relight-data-shop-{ACCOUNT}-{here}"
    allowed: dict[str, set[str]] = {}
    for statement in statements(region(role)["Compute/InstanceRole"]):
        assert statement["Effect"] == "Allow"
        for action in as_list(statement["Action"]):
            allowed.setdefault(action, set()).update(as_list(statement["Resource"]))
    key = given(role)["DataKeyArn"]
    secret = f"arn:aws:secretsmanager:{here}:{ACCOUNT}:secret:relight/shop/database-??????"
    log = f"arn:aws:logs:{here}:{ACCOUNT}:log-group:/relight/shop/{role}/application:*"
    assert allowed == {
        "s3:GetObject": {f"{bucket}/releases/*", f"{bucket}/static/*", f"{bucket}/state/*"},
        "s3:PutObject": {f"{bucket}/state/*"},
        "secretsmanager:GetSecretValue": {secret},
        "kms:Decrypt": {key},
        "kms:GenerateDataKey": {key},
        "logs:CreateLogStream": {log},
        "logs:DescribeLogStreams": {log},
        "logs:PutLogEvents": {log},
        "dynamodb:GetItem": {f"arn:aws:dynamodb:{at}:{ACCOUNT}:table/relight-shop" for at in (here, peer)},
    }


@pytest.mark.parametrize("role", ROLES)
def test_the_key_is_for_what_s3_and_secrets_manager_keep_under_it(role: str) -> None:
    via = {
        action: set(as_list(statement["Condition"]["StringEquals"]["kms:ViaService"]))
        for statement in statements(region(role)["Compute/InstanceRole"])
        for action in as_list(statement["Action"])
        if action.startswith("kms:")
    }
    s3, secrets = (f"{service}.{REGIONS[role]}.amazonaws.com" for service in ("s3", "secretsmanager"))
    assert via == {"kms:Decrypt": {s3, secrets}, "kms:GenerateDataKey": {s3}}


# How many there are.


@pytest.mark.parametrize(("role", "sizes"), [("primary", ("1", "2")), ("dr", ("0", "0"))])
def test_the_primary_serves_and_dr_waits_at_zero(role: str, sizes: tuple[str, str]) -> None:
    found = group(role)
    assert (found["MinSize"], found["DesiredCapacity"]) == sizes
    assert found["HealthCheckType"] == "EC2"
    assert all(tag["PropagateAtLaunch"] for tag in found["Tags"])
    assert {tag["Key"]: tag["Value"] for tag in found["Tags"]}["relight:role"] == role
    assert "MixedInstancesPolicy" not in found
    assert not region(role).of("AWS::AutoScaling::WarmPool")


@pytest.mark.parametrize("more", [["m7g.large"], ["m7g.large", "c7g.large", "r7g.large", "m8g.large"]])
def test_more_types_are_for_where_the_first_is_sold_out(more: list[str]) -> None:
    found = group("dr", MoreInstanceTypes=",".join(more))
    assert "LaunchTemplate" not in found
    policy = found["MixedInstancesPolicy"]
    assert policy["InstancesDistribution"] == {
        "OnDemandAllocationStrategy": "prioritized",
        "OnDemandPercentageAboveBaseCapacity": 100,
    }
    kinds = [override["InstanceType"] for override in policy["LaunchTemplate"]["Overrides"]]
    assert kinds == ["t4g.small", *more]


def test_a_warm_pool_holds_stopped_instances_and_takes_them_back() -> None:
    pool = region("dr", WarmPoolSize="2")["Compute/WarmPool"]
    assert pool == {
        "AutoScalingGroupName": "shop-dr",
        "PoolState": "Stopped",
        "MinSize": "2",
        "MaxGroupPreparedCapacity": "2",
        "InstanceReusePolicy": {"ReuseOnScaleIn": True},
    }


@pytest.mark.parametrize(
    ("wish", "preference"), [("none", "none"), ("open-first", "open"), ("only", "capacity-reservations-only")]
)
def test_a_reservation_is_taken_as_wished(wish: str, preference: str) -> None:
    found = launched("dr", CapacityReservation=wish)["CapacityReservationSpecification"]
    assert found == {"CapacityReservationPreference": preference}


# What stands before them.


@pytest.mark.parametrize("role", ROLES)
def test_https_is_spoken_with_the_certificate(role: str) -> None:
    listener = region(role)["Compute/Listener"]
    assert (listener["Protocol"], listener["Port"]) == ("HTTPS", "443")
    assert listener["Certificates"] == [{"CertificateArn": given(role)["CertificateArn"]}]
    assert "TLS13" in listener["SslPolicy"]
    assert "Warning" not in region(role).outputs


@pytest.mark.parametrize("role", ROLES)
def test_plain_http_is_warned_of(role: str) -> None:
    plain = region(role, Scheme="http", SitePort="80", CertificateArn="")
    listener = plain["Compute/Listener"]
    assert listener["Protocol"] == "HTTP"
    assert not {"Certificates", "SslPolicy"} & listener.keys()
    assert "plain HTTP" in plain.outputs["Warning"]


@pytest.mark.parametrize("role", ROLES)
def test_the_balancer_lets_clients_go_and_is_not_deleted_by_mistake(role: str) -> None:
    found = attributes(role)
    assert found["client_keep_alive.seconds"] == "60"
    assert found["routing.http.drop_invalid_header_fields.enabled"] == "true"
    assert found["deletion_protection.enabled"] == "true"
    assert attributes(role, BalancerProtection="false")["deletion_protection.enabled"] == "false"
    targets = region(role)["Compute/Targets"]
    assert targets["HealthCheckPath"] == "/health/ready"
    delay = {each["Key"]: each["Value"] for each in targets["TargetGroupAttributes"]}
    assert int(delay["deregistration_delay.timeout_seconds"]) <= 30


@pytest.mark.parametrize("role", ROLES)
def test_access_logs_go_to_the_bucket_of_the_region_where_they_are_wanted(role: str) -> None:
    assert attributes(role)["access_logs.s3.enabled"] == "false"
    found = attributes(role, AccessLogs="true")
    assert found["access_logs.s3.enabled"] == "true"
    assert found["access_logs.s3.bucket"] == f"relight-logs-shop-{ACCOUNT}-{REGIONS[role]}"
