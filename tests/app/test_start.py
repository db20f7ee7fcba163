"""How the shop starts: the secret, what it lacks, where the database is not there yet."""

import json
import os
import subprocess
import sys
from pathlib import Path

import boto3

from lab.postgres import Postgres
from tests.app.instance import ROOT, StartShop

AWS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


def put_secret(endpoint: str, name: str, text: str) -> None:
    client = boto3.client(
        "secretsmanager",
        region_name="eu-central-1",
        endpoint_url=endpoint,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    client.create_secret(Name=name, SecretString=text)


def serve(**environment: str) -> subprocess.CompletedProcess[str]:
    base = {
        "PATH": os.environ["PATH"],
        "AWS_REGION": "eu-central-1",
        "DATABASE_HOST": "database.invalid",
        "DATABASE_PORT": "5432",
        "DATABASE_NAME": "shop",
        "ALLOWED_HOSTS": "shop.example",
        "BIND": "127.0.0.1:0",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    chosen = {name: value for name, value in (base | environment).items() if value}
    command = [sys.executable, "-m", "app.serve"]
    return subprocess.run(command, cwd=ROOT, env=chosen, capture_output=True, text=True, timeout=60, check=False)


def test_it_signs_in_with_the_secret_of_its_region(start_shop: StartShop, primary: Postgres, endpoint: str) -> None:
    put_secret(endpoint, "shop/login", json.dumps({"username": primary.user, "password": primary.password}))
    login = {
        "DATABASE_USER": "",
        "DATABASE_PASSWORD": "",
        "DATABASE_SECRET": "shop/login",
        "AWS_ENDPOINT_URL": endpoint,
    }
    shop = start_shop(primary, "eu-central-1", **login, **AWS)
    assert shop.order("by-secret").status == 201


def test_a_secret_that_cannot_be_used_is_named_in_one_line_without_its_content(endpoint: str) -> None:
    put_secret(endpoint, "shop/broken", "hunter2")
    for name, part in (("shop/broken", "is not JSON"), ("shop/missing", "cannot be read")):
        ended = serve(DATABASE_SECRET=name, AWS_ENDPOINT_URL=endpoint, **AWS)
        (line,) = ended.stderr.splitlines()
        assert ended.returncode == 1
        assert name in json.loads(line)["message"]
        assert part in json.loads(line)["message"]
        assert "hunter2" not in line


def test_all_that_is_missing_is_named_in_one_line() -> None:
    ended = serve(DATABASE_USER="x", DATABASE_PASSWORD="x", DATABASE_NAME="", ALLOWED_HOSTS="")
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert json.loads(line)["message"] == "the shop's environment lacks DATABASE_NAME, ALLOWED_HOSTS"
    assert "DATABASE_SECRET" in serve().stderr


def test_in_a_drill_every_answer_the_page_and_the_log_say_so(start_shop: StartShop, primary: Postgres) -> None:
    drill = start_shop(primary, RELIGHT_DRILL="1")
    for path, status in (("/", 200), ("/health/ready", 200), ("/orders/none", 404)):
        answer = drill.ask("GET", path)
        assert (answer.status, answer.headers["X-Relight-Drill"]) == (status, "1"), path
    assert drill.order("practised").headers["X-Relight-Drill"] == "1"
    assert drill.ask("GET", "/", host="evil.example").headers["X-Relight-Drill"] == "1"
    assert "This is a drill." in drill.ask("GET", "/").text
    (said,) = (line for line in drill.problems() if line["logger"] == "app.serve")
    assert said["level"] == "WARNING"
    assert said["message"] == "this is a drill: orders go into database.invalid, and are deleted with it"


def test_outside_a_drill_nobody_speaks_of_one(start_shop: StartShop, primary: Postgres) -> None:
    shop = start_shop(primary, RELIGHT_DRILL="0")
    page = shop.ask("GET", "/")
    assert "X-Relight-Drill" not in page.headers
    assert "drill" not in page.text
    assert shop.problems() == []


def test_it_leaves_nothing_behind(start_shop: StartShop, primary: Postgres, tmp_path: Path) -> None:
    shop = start_shop(primary, HOME=str(tmp_path / "home"), XDG_RUNTIME_DIR=str(tmp_path / "runtime"))
    shop.stop()
    assert shop.process.returncode == 0
    assert not (tmp_path / "home").exists()
    assert not (tmp_path / "runtime").exists()
