"""Where a command looks for AWS: a profile, an endpoint, a kept rehearsal; and for which application."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.moto_api._internal import moto_api_backend
from moto.server import ThreadedMotoServer
from relight_cli.aws import Aws
from relight_cli.command import run
from relight_cli.deployed import APP, ENV, REGIONS, Deployed, Whereabouts
from relight_cli.exit_code import Exit, Refused
from relight_cli.following import going_on
from relight_cli.surroundings import aws_here, hoisted, relight_here, surround

from lab.kept import Kept, find, noted, notes
from tests.cli.on_call import document
from tests.unit.standby import HERE, HOME

pytestmark = pytest.mark.cli
ROOT = Path(__file__).parents[2]
URL = "http://127.0.0.1:5000"
KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "c"}


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A person with an empty home and nothing in the environment; what a command puts there goes with the test."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(("AWS_", "RELIGHT_", "XDG_")) or name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ["HOME"] = str(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield
    os.environ.clear()
    os.environ.update(before)


# Options wherever they stand.

PLAIN = st.sampled_from(["status", "--env", "prod", "--json", "history", "-h", "--page=x", ""])
OURS = st.sampled_from(
    [("--lab",), ("--profile", "p"), ("--profile=p",), ("--endpoint-url", URL), ("--endpoint-url=",)]
)


@given(st.lists(st.one_of(PLAIN.map(lambda word: (word,)), OURS)), st.lists(st.text(max_size=8), max_size=3))
def test_what_is_about_aws_comes_first_and_all_else_stays_in_its_order(
    given_words: list[tuple[str, ...]], after: list[str]
) -> None:
    ours = [word for words in given_words if words[0].startswith(("--lab", "--prof", "--endp")) for word in words]
    theirs = [word for words in given_words if not words[0].startswith(("--lab", "--prof", "--endp")) for word in words]
    line = [word for words in given_words for word in words]
    assert hoisted(line) == [*ours, *theirs]
    assert hoisted(hoisted(line)) == hoisted(line)
    assert hoisted([*line, "--", *after]) == [*ours, *theirs, "--", *after]


@pytest.mark.parametrize("words", [["status", "--profile"], ["status", "--profile", "--json"], ["--endpoint-url"]])
def test_a_missing_value_is_said_and_no_other_word_taken_for_it(
    words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == Exit.BAD_INPUT
    said = "".join(capfd.readouterr())
    assert "requires an argument" in said
    assert "AWS_PROFILE" not in os.environ


# A profile, an endpoint.


def chosen(environment: dict[str, str], **asked: Any) -> dict[str, str]:
    surround(**{"lab": False, "profile": None, "endpoint_url": None} | asked, environment=environment)
    return environment


def test_nothing_asked_for_changes_nothing() -> None:
    assert chosen(dict(KEYS)) == KEYS


@pytest.mark.parametrize(
    "before",
    [{}, KEYS, {"AWS_DEFAULT_PROFILE": "other"}, {"AWS_PROFILE": "other"}, {"AWS_WEB_IDENTITY_TOKEN_FILE": "t"}],
)
def test_a_profile_that_was_asked_for_is_the_one_that_counts(
    before: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text("[night]\naws_access_key_id = NIGHT\naws_secret_access_key = x\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/other")
    surround(lab=False, profile="night", endpoint_url=None)
    found = boto3.session.Session().get_credentials()
    assert found is not None
    assert found.access_key == "NIGHT"
    # As SAM CLI and other children find it, too.
    assert os.environ["AWS_PROFILE"] == "night"


def test_an_endpoint_that_was_asked_for_is_the_one_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    surround(lab=False, profile=None, endpoint_url=URL)
    assert Aws().client("dynamodb", HERE).meta.endpoint_url == URL


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:5000", "ftp://a", "http://", "http://[", "http://a:b", "http://a:99999"]
)
def test_what_is_no_endpoint_is_refused_in_one_line(url: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "--endpoint-url", url]) == Exit.BAD_INPUT
    complaint = capfd.readouterr().err
    assert complaint.startswith(f"relight: {url!r} is no endpoint's URL, in the command line, give one such as http://")
    assert complaint.count("\n") == 1
    assert "AWS_ENDPOINT_URL" not in os.environ


def test_a_blank_profile_is_refused() -> None:
    with pytest.raises(Refused, match="blank"):
        chosen({}, profile=" ")


@pytest.mark.parametrize("more", [{"profile": "p"}, {"endpoint_url": URL}])
def test_the_lab_and_another_place_contradict_each_other(more: dict[str, str]) -> None:
    with pytest.raises(Refused, match="--lab says where AWS is already"):
        chosen({}, lab=True, **more)


# The commands that are told to be copied.


@pytest.mark.parametrize(
    ("environment", "relight", "aws"),
    [
        ({}, "relight", "aws"),
        ({"AWS_PROFILE": "the prod"}, "relight --profile 'the prod'", "aws --profile 'the prod'"),
        ({"AWS_ENDPOINT_URL": URL}, f"relight --endpoint-url {URL}", f"aws --endpoint-url {URL}"),
        ({"AWS_ACCESS_KEY_ID": "lab", "AWS_ENDPOINT_URL": URL}, "relight --lab", f"aws --endpoint-url {URL}"),
    ],
)
def test_a_command_that_is_told_reaches_the_same_aws(
    environment: dict[str, str], relight: str, aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (relight_here(), aws_here()) == (relight, aws)


def test_the_ways_to_see_a_run_through_lead_to_the_same_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "prod")
    execution = f"arn:aws:states:{HERE}:123456789012:execution:relight-shop-failover:failover-4-1"
    watch, cancel, by_hand, _ = going_on(Deployed("shop", (HERE, HOME)), HERE, execution)
    assert "  watch it:  relight --profile prod watch --run failover-4-1 " in watch
    assert "relight --profile prod cancel failover-4-1 " in cancel
    assert "aws --profile prod stepfunctions describe-execution " in by_hand


def test_no_command_is_told_without_what_leads_it_there() -> None:
    """As source: a command with options behind it begins with what `surroundings` says."""
    bare = re.compile(r"""[ "'](relight|aws) [a-z0-9-]+ [^"']*[{](there|options|run|region|found|begun|done|id)\b""")
    sources = sorted((ROOT / "cli" / "relight_cli").glob("*.py"))
    lines = [f"{one.name}: {line.strip()}" for one in sources for line in one.read_text().splitlines()]
    assert [line for line in lines if bare.search(line)] == []


# The kept rehearsal.


def kept(pid: int | None = None, endpoint_url: str = URL) -> Kept:
    process = psutil.Process(pid)
    return Kept(endpoint_url, "shop", (HERE, HOME), "http://shop/", "127.0.0.1:53", process.pid, process.create_time())


@pytest.fixture
def sleeper() -> Iterator[int]:
    """A process that lives as long as the test."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process.pid
        process.kill()


def test_the_note_is_found_while_the_rehearsal_is_kept_and_goes_with_it() -> None:
    where = notes()
    assert where == Path(os.environ["HOME"]) / ".local/state/relight/kept"
    assert find(where) is None
    with noted(kept(), where) as path:
        assert path.parent == where
        assert find(where) == kept()
    assert find(where) is None
    assert list(where.iterdir()) == []


def test_the_newest_rehearsal_is_taken(tmp_path: Path, sleeper: int) -> None:
    with noted(kept(), tmp_path), noted(kept(sleeper), tmp_path):
        assert find(tmp_path) == kept(sleeper)


def test_a_note_of_a_process_that_is_gone_or_another_one_now_is_no_note(tmp_path: Path, sleeper: int) -> None:
    ours = kept(sleeper)
    (tmp_path / "again.json").write_text(json.dumps(asdict(replace(ours, started=ours.started - 60))))
    (tmp_path / "gone.json").write_text(json.dumps(asdict(replace(ours, pid=2**22 + 1))))
    assert find(tmp_path) is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "{}", '{"regions": []}', "deep", '{"regions": 3}', "\udcff", "unknown", "pid", "id"],
)
def test_what_cannot_be_read_is_no_note_and_hides_none(tmp_path: Path, text: str) -> None:
    whole = asdict(kept())
    text = {
        "deep": "[" * 100_000,
        "unknown": json.dumps(whole | {"colour": "red"}),
        "pid": json.dumps(whole | {"pid": "x"}),
        "id": json.dumps(whole | {"pid": 2**70}),
    }.get(text, text)
    (tmp_path / "0.json").write_bytes(text.encode(errors="surrogateescape"))
    (tmp_path / "folder.json").mkdir()
    assert find(tmp_path) is None
    with noted(kept(), tmp_path):
        assert find(tmp_path) == kept()


def test_a_folder_that_cannot_be_read_or_written_holds_no_note(tmp_path: Path) -> None:
    where = tmp_path / "kept"
    where.write_text("a file in its place")
    assert find(where) is None
    with pytest.raises(OSError, match=r"kept"), noted(kept(), where):
        pass


@pytest.mark.parametrize(("state", "below"), [("/s", "/s"), ("relative", "/h/.local/state"), ("", "/h/.local/state")])
def test_notes_lie_in_the_folder_of_states(state: str, below: str) -> None:
    assert notes({"XDG_STATE_HOME": state, "HOME": "/h"}) == Path(below) / "relight" / "kept"


def test_without_a_kept_rehearsal_it_is_said_how_to_have_one(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["history", "--lab"]) == Exit.BAD_INPUT
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"relight: no rehearsal is kept, {notes()}, start one with make rehearse ARGS=")
    assert said.err.count("\n") == 1


def test_in_the_lab_nothing_is_left_of_a_real_account(tmp_path: Path) -> None:
    environment = {
        **KEYS,
        "HOME": str(tmp_path),
        "AWS_PROFILE": "prod",
        "AWS_ENDPOINT_URL_S3": "https://s3.example.com",
        "AWS_CA_BUNDLE": "/ca",
        "NO_PROXY": "example.com",
        ENV: "prod",
        APP: "payroll",
        REGIONS: "us-east-1 us-west-2",
        "PATH": "/bin",
    }
    with noted(kept(), notes(environment)):
        chosen(environment, lab=True)
    assert {name: environment[name] for name in environment if name.startswith("AWS_")} == {
        "AWS_ACCESS_KEY_ID": "lab",
        "AWS_SECRET_ACCESS_KEY": "lab",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": URL,
    }
    assert (environment[APP], environment[REGIONS], ENV in environment) == ("shop", f"{HERE} {HOME}", False)
    assert environment["no_proxy"] == "example.com,127.0.0.1"
    assert environment["PATH"] == "/bin"


def test_a_command_asks_the_kept_rehearsal_past_a_proxy_and_the_person_s_own_settings(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with kept_api() as url:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        monkeypatch.setenv(ENV, "prod")
        with noted(kept(endpoint_url=url), notes()):
            assert run(["history", "--json", "--lab"]) == Exit.DONE
    said = capfd.readouterr()
    assert (document(said.out), said.err) == ([], "")


@contextmanager
def kept_api() -> Iterator[str]:
    """Where the APIs of two Regions answer, each with a bucket in which nothing is kept yet."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        url = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
        for region in (HERE, HOME):
            s3: Any = boto3.client("s3", region, endpoint_url=url, aws_access_key_id="lab", aws_secret_access_key="lab")
            bucket = f"relight-evidence-shop-123456789012-{region}"
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
        yield url
    finally:
        moto_api_backend.reset()
        server.stop()


# Which application.


def test_the_person_s_environment_counts_where_the_command_line_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    (Path.cwd() / "samconfig.toml").write_text((ROOT / "samconfig.toml").read_text())
    monkeypatch.setenv(APP, "shop")
    monkeypatch.setenv(REGIONS, f"{HERE},{HOME}")
    assert Whereabouts().of_both() == Whereabouts().of_a_run() == Deployed("shop", (HERE, HOME))
    assert Whereabouts(region=HOME).of_a_run() == Deployed("shop", (HOME,))
    assert Whereabouts(app="other", region=HOME, peer_region=HERE).of_both() == Deployed("other", (HOME, HERE))
    assert Whereabouts(env="staging").of_both().application == "shop-staging"
    monkeypatch.setenv(ENV, "staging")
    assert Whereabouts().of_both().application == "shop-staging"


@pytest.mark.parametrize(
    ("environment", "where", "sentence"),
    [
        ({}, Whereabouts(), "it is not said which application"),
        ({REGIONS: f"{HERE} {HOME}"}, Whereabouts(), "it is not said which application"),
        ({APP: "shop"}, Whereabouts(), "RELIGHT_APP is set, and not its two Regions, in the environment, set"),
        ({APP: "shop", REGIONS: HERE}, Whereabouts(), "not its two Regions"),
        ({APP: "shop", REGIONS: f"{HERE} {HERE}"}, Whereabouts(), "not its two Regions"),
        ({APP: "shop", REGIONS: f"{HERE} {HOME} us-east-1"}, Whereabouts(), "not its two Regions"),
        (
            {APP: "Shop!", REGIONS: f"{HERE} {HOME}"},
            Whereabouts(),
            "'Shop!' is no application's name, in the environment",
        ),
        ({APP: "shop", REGIONS: "here there"}, Whereabouts(), "'here' is no Region's name, in the environment"),
        (
            {APP: "shop", REGIONS: f"{HERE} {HOME}"},
            Whereabouts(region=HERE),
            "the environment says the Regions already",
        ),
        ({ENV: "nowhere"}, Whereabouts(), "samconfig.toml"),
        ({APP: "shop", REGIONS: f"{HERE} {HOME}"}, Whereabouts(app="shop"), "it is not said which application"),
    ],
)
def test_an_application_that_is_not_said_is_refused(
    environment: dict[str, str], where: Whereabouts, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Refused) as refused:
        where.of_both()
    assert sentence in refused.value.sentence
    assert refused.value.code is Exit.BAD_INPUT


def test_a_region_that_is_none_of_the_application_s_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(APP, "shop")
    monkeypatch.setenv(REGIONS, f"{HERE} {HOME}")
    with pytest.raises(Refused, match=f"us-east-1 is no Region of shop, .*choose one of: {HERE} {HOME}"):
        Whereabouts(region="us-east-1").of_a_run()


# Errors as JSON.


@pytest.mark.parametrize(
    ("words", "what", "do"),
    [
        (["history", "--json"], "it is not said which application this is", "give --env NAME"),
        (["history", "--json", "--flood"], "no such option: --flood", "see relight history --help"),
        (["--json", "nothing"], "no such option: --json", "see relight --help"),
        (["history", "--json", "--lab"], "no rehearsal is kept", "start one with make rehearse"),
        (["history", "--json", "--profile"], "option '--profile' requires an argument", "see relight history --help"),
        (["--profile", "rehearse", "history", "--json", "--flood"], "no such option: --flood", "see relight history"),
        (["history", "--json", "--newest", "x"], "invalid value for '--newest'", "see relight history --help"),
    ],
)
def test_with_json_an_error_is_one_document_and_nothing_else(
    words: list[str], what: str, do: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == Exit.BAD_INPUT
    said = capfd.readouterr()
    assert said.err == ""
    error = document(said.out)["error"]
    assert error["what"].lower().startswith(what)
    assert error["do"].startswith(do)
    assert (error["exit_code"], error["exit"]) == (2, "BAD_INPUT")
    assert error["what"] in error["sentence"]
    assert "\n" not in error["sentence"]


def test_a_rehearsal_s_json_is_the_name_of_a_file(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["rehearse", "--fault", "flood", "--json", "out.json"]) == Exit.BAD_INPUT
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.startswith("relight: unknown value 'flood'")


def test_who_reads_no_more_is_no_error() -> None:
    closed = f"{sys.executable} -m relight_cli.main explain --markdown | true"
    done = subprocess.run(["/bin/sh", "-c", closed], check=False, capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("", "")
