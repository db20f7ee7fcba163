"""Two Regions with the same sources say the same version, and with others another one."""

from pathlib import Path

import pytest
from relight import __version__
from relight.version import digest, version

pytestmark = pytest.mark.readiness


def package(at: Path, **files: str) -> Path:
    at.mkdir(parents=True)
    for name, text in files.items():
        (at / name.replace("_", ".")).write_text(text)
    return at


def test_the_same_sources_have_the_same_digest_wherever_they_lie(tmp_path: Path) -> None:
    one = package(tmp_path / "one", a_py="x = 1", b_yaml="y: 2")
    other = package(tmp_path / "other", b_yaml="y: 2", a_py="x = 1")
    (other / "__pycache__").mkdir()
    (other / "__pycache__" / "a.pyc").write_bytes(b"compiled")
    assert digest(one) == digest(other)


def test_any_difference_is_seen(tmp_path: Path) -> None:
    found = [
        digest(package(tmp_path / "1", a_py="x = 1")),
        digest(package(tmp_path / "2", a_py="x = 2")),
        digest(package(tmp_path / "3", b_py="x = 1")),
        digest(package(tmp_path / "4", a_py="x = 1", c_yaml="")),
        digest(package(tmp_path / "5", a_py="x = 1", report_jinja="<p>")),
        digest(package(tmp_path / "6", a_py="x = 1", report_jinja="<p class=a>")),
        digest(package(tmp_path / "7", a_py="x = 1", report_css="p {}")),
    ]
    assert len(set(found)) == len(found)


def test_the_version_names_the_release_of_the_package() -> None:
    assert version().startswith(f"{__version__}+")
