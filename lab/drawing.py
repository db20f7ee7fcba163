"""The drawings of the docs, made from what they show: the state machines from their ASL, the sketches from their YAML.

    python -m lab.drawing [--check]

With --check nothing is written; exit code 1 where a drawing is not what would be drawn now. `make diagrams` draws.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from lab.asl_drawing import drawn
from lab.sketch import sketched

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "diagrams"
_MACHINES = ROOT / "statemachine"
_ASL = ".asl.yaml"


def drawings() -> Mapping[Path, str]:
    """Each drawing: its file, and what should be in it."""
    machines = {
        FOLDER / f"{path.name.removesuffix(_ASL)}.svg": drawn(path.name.removesuffix(_ASL), _read(path))
        for path in sorted(_MACHINES.glob(f"*{_ASL}"))
    }
    return machines | {path.with_suffix(".svg"): sketched(_read(path)) for path in sorted(FOLDER.glob("*.yaml"))}


def outdated() -> list[str]:
    """The names of those that are missing or old, and of those that nothing draws any more."""
    wanted = drawings()
    old = [path.name for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    return old + sorted(path.name for path in FOLDER.glob("*.svg") if path not in wanted)


def _read(path: Path) -> dict[str, object]:
    content: dict[str, object] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def main(arguments: Sequence[str]) -> int:
    """Draw all, or see whether all is drawn."""
    parser = argparse.ArgumentParser(prog="python -m lab.drawing", description="The drawings of the docs.")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 where a drawing is old")
    if parser.parse_args(arguments).check:
        old = outdated()
        for name in old:
            print(f"{name} is not what would be drawn now: run make diagrams", file=sys.stderr)
        return int(bool(old))
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, text in drawings().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
