"""The Regions' APIs and their front: who reaches which Region, and what a lost one looks like to boto3."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from lab.cloud import ACCOUNT, Cloud
from lab.errors import PortBusy
from lab.network import Network, Path
from lab.region import GLOBAL, REGION_NAME, Place, Shared, Side, Vantage, access_key

PRIMARY, DR = REGION_NAME[Side.PRIMARY], REGION_NAME[Side.DR]


@pytest.fixture(scope="module")
def module_network() -> Network:
    return Network()


@pytest.fixture(scope="module")
def cloud(module_network: Network) -> Iterator[Cloud]:
    cloud = Cloud(module_network)
    yield cloud
    cloud.stop()


@pytest.fixture
def network(module_network: Network) -> Iterator[Network]:
    yield module_network
    for place in (*Side, *Shared):
        module_network.restore(place)


def once(cloud: Cloud, service: str, region: str, vantage: Vantage, patience: float = 10) -> Any:
    """A client that does not try again and waits for `patience` seconds."""
    session: Any = boto3.session.Session(
        aws_access_key_id=access_key(vantage), aws_secret_access_key="x", region_name=region
    )
    config = Config(connect_timeout=patience, read_timeout=patience, retries={"total_max_attempts": 1}, proxies={})
    return session.client(service, endpoint_url=cloud.endpoint_url, config=config)


def test_each_region_has_its_own_resources(cloud: Cloud) -> None:
    cloud.client("sqs", PRIMARY).create_queue(QueueName="only-in-the-primary")
    assert "QueueUrls" in cloud.client("sqs", PRIMARY).list_queues(QueueNamePrefix="only-")
    assert "QueueUrls" not in cloud.client("sqs", DR).list_queues(QueueNamePrefix="only-")


def test_the_account_is_fixed(cloud: Cloud) -> None:
    assert cloud.client("sts", DR).get_caller_identity()["Account"] == ACCOUNT


def test_a_refused_region_closes_the_connection_at_once(cloud: Cloud, network: Network) -> None:
    network.lose(Side.PRIMARY, Path.REFUSED)
    with pytest.raises(ConnectionClosedError):
        once(cloud, "sqs", PRIMARY, Vantage.DR).list_queues()
    with pytest.raises(ConnectionClosedError):
        once(cloud, "sqs", DR, Vantage.PRIMARY).list_queues()
    once(cloud, "sqs", PRIMARY, Vantage.PRIMARY).list_queues()
    once(cloud, "sqs", DR, Vantage.DR).list_queues()


def test_a_black_holed_region_is_silent_until_the_caller_gives_up(cloud: Cloud, network: Network) -> None:
    network.lose(Side.PRIMARY, Path.BLACK_HOLED)
    with pytest.raises(ReadTimeoutError):
        once(cloud, "dynamodb", PRIMARY, Vantage.DR, patience=0.3).list_tables()
    network.restore(Side.PRIMARY)
    once(cloud, "dynamodb", PRIMARY, Vantage.DR).list_tables()


def test_a_cut_between_the_regions_spares_the_world_outside(cloud: Cloud, network: Network) -> None:
    network.cut_between(Path.REFUSED)
    with pytest.raises(ConnectionClosedError):
        once(cloud, "sqs", PRIMARY, Vantage.DR).list_queues()
    once(cloud, "sqs", PRIMARY, Vantage.OUTSIDE).list_queues()


@pytest.mark.parametrize(
    ("service", "operation", "region", "lost"),
    [
        ("route53", "list_hosted_zones", PRIMARY, Shared.GLOBAL),
        ("iam", "list_roles", DR, Shared.GLOBAL),
        ("sts", "get_caller_identity", GLOBAL, Shared.GLOBAL),
        ("sts", "get_caller_identity", PRIMARY, Side.PRIMARY),
    ],
)
def test_what_counts_as_us_east_1(
    cloud: Cloud, network: Network, service: str, operation: str, region: str, lost: Place
) -> None:
    client = once(cloud, service, region, Vantage.OUTSIDE)
    for place in {*Side, *Shared} - {lost}:
        network.lose(place, Path.REFUSED)
    getattr(client, operation)()
    for place in (*Side, *Shared):
        network.restore(place)
    network.lose(lost, Path.REFUSED)
    with pytest.raises(ConnectionClosedError):
        getattr(client, operation)()


def test_a_presigned_url_is_known_by_the_scope_in_its_query(cloud: Cloud, network: Network) -> None:
    s3 = cloud.client("s3", PRIMARY)
    s3.create_bucket(Bucket="presigned", CreateBucketConfiguration={"LocationConstraint": PRIMARY})
    s3.put_object(Bucket="presigned", Key="key", Body=b"value")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "presigned", "Key": "key"})
    with urllib.request.urlopen(url, timeout=5) as answer:
        assert answer.read() == b"value"
    network.lose(Side.PRIMARY, Path.REFUSED)
    with pytest.raises(ConnectionResetError):
        urllib.request.urlopen(url, timeout=5)


def test_a_call_without_a_scope_is_refused(cloud: Cloud) -> None:
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(cloud.endpoint_url, timeout=5)


def test_no_answer_comes_out_of_a_region_that_was_lost_meanwhile() -> None:
    class LostAfterTheFirstLook(Network):
        looks = 0

        def state(self, vantage: Vantage, place: Place) -> Path:
            self.looks += 1
            return Path.OPEN if self.looks == 1 else Path.REFUSED

    network = LostAfterTheFirstLook()
    cloud = Cloud(network)
    try:
        with pytest.raises(ConnectionClosedError):
            once(cloud, "sqs", PRIMARY, Vantage.OUTSIDE).create_queue(QueueName="made-but-not-answered")
    finally:
        cloud.stop()
    assert network.looks == 2


def test_the_interpreter_of_state_machines_calls_from_its_own_region(cloud: Cloud, network: Network) -> None:
    queue = cloud.client("sqs", PRIMARY, Vantage.PRIMARY).create_queue(QueueName="from-a-state-machine")["QueueUrl"]
    states = cloud.client("stepfunctions", PRIMARY, Vantage.PRIMARY)
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:sqs:sendMessage",
        "Parameters": {"QueueUrl": queue, "MessageBody": "here"},
        "End": True,
    }
    machine = states.create_state_machine(
        name="sends",
        definition=json.dumps({"StartAt": "Send", "States": {"Send": task}}),
        roleArn=f"arn:aws:iam::{ACCOUNT}:role/any",
    )["stateMachineArn"]
    network.lose(Side.PRIMARY, Path.REFUSED)
    network.lose(Side.DR, Path.REFUSED)
    run = states.start_execution(stateMachineArn=machine, name=str(uuid.uuid4()))["executionArn"]
    deadline = time.monotonic() + 20
    while (status := states.describe_execution(executionArn=run)["status"]) == "RUNNING":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert status == "SUCCEEDED"
    received = cloud.client("sqs", PRIMARY, Vantage.PRIMARY).receive_message(QueueUrl=queue)
    assert [message["Body"] for message in received["Messages"]] == ["here"]


def test_a_child_process_needs_only_the_environment(cloud: Cloud, network: Network) -> None:
    network.cut_between(Path.REFUSED)
    program = (
        "import boto3, botocore.exceptions as e\n"
        "boto3.client('sqs').list_queues()\n"
        "try: boto3.client('sqs', region_name='eu-west-1').list_queues()\n"
        "except e.ConnectionClosedError: print('refused')\n"
    )
    environment = cloud.environment(Vantage.DR, DR) | {"AWS_MAX_ATTEMPTS": "1", "PATH": os.defpath}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr


def test_the_calls_of_one_session_token_are_heard_and_no_others(cloud: Cloud) -> None:
    def asked(token: str) -> None:
        session = boto3.session.Session(
            aws_access_key_id=access_key(Vantage.DR), aws_secret_access_key="x", aws_session_token=token, region_name=DR
        )
        session.client("sqs", endpoint_url=cloud.endpoint_url).list_queues()

    with cloud.heard("mine") as calls:
        asked("mine")
        asked("another's")
        cloud.client("sqs", DR).list_queues()
    asked("mine")
    assert len(calls) == 1
    assert calls[0].startswith("dr ")


def test_ids_of_hosted_zones_look_like_those_of_aws(cloud: Cloud) -> None:
    zone = cloud.client("route53", GLOBAL).create_hosted_zone(Name="example.test", CallerReference="1")["HostedZone"]
    assert zone["Id"].startswith("/hostedzone/Z")


def test_a_busy_port_is_said_in_one_line() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortBusy, match=rf"taken, 127\.0\.0\.1:{port}, choose another one$"):
            Cloud(Network(), port)


def test_stop_lets_go_of_calls_that_hang_and_of_the_port() -> None:
    network = Network()
    before = os.environ.get("MOTO_PORT")
    cloud = Cloud(network)
    network.lose(Side.PRIMARY, Path.BLACK_HOLED)
    with socket.create_connection(("127.0.0.1", cloud.port), timeout=20) as caller:
        scope = f"Credential={access_key(Vantage.DR)}/20260101/{PRIMARY}/sqs/aws4_request"
        caller.sendall(f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: AWS4-HMAC-SHA256 {scope}\r\n\r\n".encode())
        cloud.stop()
        cloud.stop()
        with pytest.raises(ConnectionResetError):
            caller.recv(1)
    assert os.environ.get("MOTO_PORT") == before
    again = Cloud(Network(), cloud.port)
    again.stop()
