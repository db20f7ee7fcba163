"""`dbcheck` before real servers: a primary, its replica, and every way in which they cannot be asked."""

import shutil
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from relight import views
from relight.dbcheck import AUTHORITIES
from relight.errors import InputInvalid
from relight.lookout import newest
from relight.settings import Tls
from relight.signal import Seen

from lab.binaries import folder
from lab.datadir import write
from lab.lsn import parse_lsn
from lab.postgres import Postgres
from tests.lab.asking import OWNER, PASSWORD, ask, bootstrap, until

type Check = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    made = folder("relight-test-")
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def source(data: Path) -> Iterator[Postgres]:
    """The primary, made ready by its owner with bootstrap.sql."""
    server = Postgres.create(data / "primary", "127.0.1.20", 0, OWNER, PASSWORD, "shop")
    server.start()
    bootstrap(server)
    yield server
    server.destroy()


@pytest.fixture(scope="module")
def copy(source: Postgres, data: Path) -> Iterator[Postgres]:
    """Its replica."""
    server = Postgres.copy_of(source, data / "replica", "127.0.2.20", 0, slot="dr")
    server.start()
    until(server.streams)
    yield server
    server.destroy()


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Check:
    """`check(server, event, **settings)`: one check of the function, in its Region."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")

    return ask


def heartbeat(server: Postgres) -> tuple[float, str] | None:
    """When the row was written and by which Region."""
    rows = server.sql("SELECT extract(epoch FROM at)::float8, region FROM relight_heartbeat")
    return rows[0] if rows else None


def not_reached(answer: dict[str, Any], sentence: str) -> None:
    assert (answer["reached"], answer["writable"]) == (False, False)
    assert answer["sentence"].startswith(sentence)


def test_looking_at_a_primary_writes_nothing(source: Postgres, check: Check) -> None:
    source.sql("DELETE FROM relight_heartbeat")
    answer = check(source, {"check": "state"})
    assert answer == {
        "reached": True,
        "in_recovery": False,
        "writable": True,
        "writes_stopped": False,
        "stopped_at": None,
        "last_replayed_at": None,
        "heartbeat_at": None,
        "received_lsn": None,
        "replayed_lsn": None,
        "receiver": None,
        "sentence": "it takes writes",
    }
    assert heartbeat(source) is None


@pytest.mark.parametrize("event", [{"check": "write"}, {"check": "heartbeat"}, {"source": "aws.scheduler"}])
def test_a_write_and_the_schedule_leave_a_heartbeat(source: Postgres, check: Check, event: dict[str, Any]) -> None:
    began = time.time()
    assert check(source, event)["writable"]
    first = heartbeat(source)
    assert first is not None
    assert (began - 1 < first[0] < time.time() + 1, first[1]) == (True, "eu-central-1")
    check(source, event, aws_region="eu-west-1")
    second = heartbeat(source)
    assert second is not None
    assert (second[0] > first[0], second[1]) == (True, "eu-west-1")
    assert check(source, {"check": "state"})["heartbeat_at"] == pytest.approx(second[0], abs=1e-3)


def test_a_replica_says_what_it_has_and_takes_no_write(source: Postgres, copy: Postgres, check: Check) -> None:
    check(source, {"check": "write"})
    written = heartbeat(source)
    assert written is not None
    until(lambda: heartbeat(copy) == written)
    for event in ({"check": "state"}, {"check": "write"}, {}):
        answer = check(copy, event)
        assert (answer["reached"], answer["in_recovery"], answer["writable"]) == (True, True, False)
        assert answer["sentence"] == "it is a replica"
        assert answer["heartbeat_at"] == pytest.approx(written[0], abs=1e-3)
        assert answer["last_replayed_at"] >= answer["heartbeat_at"]
        assert newest(answer) == answer["last_replayed_at"]
        assert parse_lsn(answer["received_lsn"]) > 0
        assert parse_lsn(answer["replayed_lsn"]) > 0
    assert heartbeat(copy) == written


def test_a_replica_that_streams_is_seen_up_and_one_that_lost_its_source_down(
    source: Postgres, copy: Postgres, check: Check
) -> None:
    source.sql("SELECT pg_logical_emit_message(false, 'test', 'say something')")
    until(copy.streams)
    sample = views.stream(check(copy, {"check": "state"}), 45, time.time())
    assert (sample.seen, sample.sentence) == (Seen.UP, "the replica streams")
    try:
        copy.sql("ALTER SYSTEM SET primary_conninfo = ''")
        copy.sql("SELECT pg_reload_conf()")
        until(lambda: check(copy, {"check": "state"})["receiver"] is None)
        assert views.stream(check(copy, {"check": "state"}), 45, time.time()).seen is Seen.DOWN
    finally:
        copy.sql("ALTER SYSTEM RESET primary_conninfo")
        copy.sql("SELECT pg_reload_conf()")
    until(copy.streams)


def test_a_replica_takes_writes_once_it_is_promoted(source: Postgres, data: Path, check: Check) -> None:
    server = Postgres.copy_of(source, data / "promoted", "127.0.2.21", 0, slot="promoted")
    try:
        server.start()
        assert not check(server, {"check": "write"})["writable"]
        server.promote()
        answer = check(server, {"check": "write"})
        assert (answer["in_recovery"], answer["writable"]) == (False, True)
        found = heartbeat(server)
        assert found is not None
        assert found[1] == "eu-central-1"
        assert views.stream(answer, 45, time.time()).seen is Seen.UNKNOWN
    finally:
        server.destroy()
        source.drop_slot("promoted")


def test_a_primary_that_was_set_read_only_takes_no_write(source: Postgres, check: Check) -> None:
    before = heartbeat(source)
    source.sql("ALTER DATABASE shop SET default_transaction_read_only = on")
    try:
        answer = check(source, {"check": "write"})
        assert (answer["reached"], answer["in_recovery"], answer["writable"]) == (True, False, False)
        assert answer["sentence"] == "it is read-only"
        assert heartbeat(source) == before
    finally:
        source.sql("ALTER DATABASE shop RESET default_transaction_read_only")


def test_no_connection_outlives_its_check(source: Postgres, check: Check) -> None:
    check(source, {"check": "write"})
    until(lambda: not source.sql("SELECT 1 FROM pg_stat_activity WHERE usename = 'relight_check'"))


def test_a_check_that_does_not_exist_is_refused(check: Check) -> None:
    with pytest.raises(InputInvalid, match="\"check\" is 'promote'"):
        check(None, {"check": "promote"})


def test_a_database_that_cannot_be_reached_is_an_answer(source: Postgres, check: Check) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        closed = silent.getsockname()[1]
        began = time.monotonic()
        not_reached(check(None, {}, database_port=closed, database_timeout_seconds=0.2), "unreachable: ")
        assert time.monotonic() - began < 10, "bounded in time"
    not_reached(check(None, {}, database_port=closed), "unreachable: ")
    not_reached(check(source, {}, database_name="none"), "unreachable: ")
    not_reached(check(source, {}, database_user="nobody"), "unreachable: ")
    not_reached(check(None, {}, database_host="database.invalid"), "unreachable: ")
    not_reached(check(source, {}, database_tls=Tls.ENCRYPT), "unreachable: ")


# TLS


class Signed(NamedTuple):
    """What `certificate` makes: who it is (to sign others), its PEM, its private key's PEM."""

    who: tuple[x509.Name, EllipticCurvePrivateKey]
    certificate: str
    key: str


def certificate(name: str, signer: tuple[x509.Name, EllipticCurvePrivateKey] | None, address: str) -> Signed:
    """A certificate and its key; of an authority of its own where nobody signs it.

    It does not say which key its issuer has, as RFC 5280 wants it to: one that is trusted and named needs no more.
    """
    key = generate_private_key(SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, signing = signer or (subject, key)
    now = datetime.now(UTC)
    public = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = dict.fromkeys(
        ["content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"], False
    )
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        .add_extension(public, critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, key_cert_sign=signer is None, crl_sign=False, decipher_only=False, **usage
            ),
            critical=True,
        )
        .sign(signing, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return Signed((subject, key), built.public_bytes(Encoding.PEM).decode(), private)


@pytest.fixture(scope="module")
def authority() -> Signed:
    return certificate("an authority", None, "127.0.1.21")


@pytest.fixture(scope="module")
def encrypted(data: Path, authority: Signed) -> Iterator[Postgres]:
    """A database that proves who it is, as one of RDS does: its certificate names it, an authority has signed it."""
    mine = certificate("database", authority.who, "127.0.1.21")
    write(data / "server.crt", mine.certificate)
    write(data / "server.key", mine.key)
    files = {"ssl_cert_file": str(data / "server.crt"), "ssl_key_file": str(data / "server.key")}
    server = Postgres.create(
        data / "encrypted", ["127.0.1.21", "127.0.1.22"], 0, OWNER, PASSWORD, "shop", settings={"ssl": "on", **files}
    )
    server.start()
    bootstrap(server)
    yield server
    server.destroy()


def test_a_database_that_proves_who_it_is_is_asked(
    encrypted: Postgres, authority: Signed, check: Check, tmp_path: Path
) -> None:
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(authority.certificate)
    said = check(encrypted, {"check": "write"}, trusted, database_tls=Tls.VERIFY)
    assert (said["reached"], said["writable"]) == (True, True), said
    # The same server by an address that its certificate does not name.
    elsewhere = check(encrypted, {}, trusted, database_tls=Tls.VERIFY, database_host="127.0.1.22")
    not_reached(elsewhere, "unreachable: ")


def test_a_database_that_nobody_vouches_for_is_not_asked(encrypted: Postgres, check: Check) -> None:
    not_reached(check(encrypted, {}, database_tls=Tls.VERIFY), "unreachable: ")
    assert check(encrypted, {}, database_tls=Tls.ENCRYPT)["reached"]


def test_the_authorities_of_rds_are_packed_for_the_regions_that_we_know() -> None:
    known = x509.load_pem_x509_certificates(AUTHORITIES.read_bytes())
    names = {str(each.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value) for each in known}
    assert all(name.startswith("Amazon RDS ") and name.endswith(" G1") for name in names)
    for region in ("eu-west-1", "eu-central-1", "us-east-1"):
        assert {f"Amazon RDS {region} Root CA {kind} G1" for kind in ("RSA2048", "RSA4096", "ECC384")} <= names
    assert min(each.not_valid_after_utc for each in known) > datetime(2060, 1, 1, tzinfo=UTC)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pg8000 drops its buffer unsent
@pytest.mark.parametrize("how", ["closed", "reset", "silent"])
def test_a_connection_that_breaks_off_is_an_answer(source: Postgres, check: Check, how: str) -> None:
    """After the database has let us in: the relay passes what it says until it is ready, and then nothing more."""
    with relay_until_ready((source.host, source.port), how) as port:
        not_reached(check(None, {}, database_port=port, database_timeout_seconds=0.5), "broke off: ")


def test_a_database_without_relights_table_is_an_answer(source: Postgres, check: Check) -> None:
    source.sql("ALTER TABLE relight_heartbeat RENAME TO away")
    try:
        answer = check(source, {"check": "state"})
        not_reached(answer, "broke off: ")
        assert "relight_heartbeat" in answer["sentence"]
    finally:
        source.sql("ALTER TABLE away RENAME TO relight_heartbeat")


@contextmanager
def relay_until_ready(target: tuple[str, int], how: str) -> Iterator[int]:
    """A way to the database that ends, or swallows everything, as soon as it has said that it is ready (`Z`)."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def relay() -> None:
            near, _ = server.accept()
            with near, socket.create_connection(target, 5) as far:
                far.sendall(near.recv(65536))
                said = b""
                while b"Z\x00\x00\x00\x05" not in said:
                    part = far.recv(65536)
                    near.sendall(part)
                    said += part
                near.recv(65536)  # the first question
                if how == "silent":
                    ended.wait(20)
                if how == "reset":
                    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        thread = threading.Thread(target=relay)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            ended.set()
            thread.join(20)
