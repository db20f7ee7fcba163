"""The lab plays AWS and nothing else: it knows the product's artefacts, never its code."""

import ast
from pathlib import Path

LAB = Path(__file__).resolve().parents[2] / "lab"


def imported(source: Path) -> set[str]:
    """The top-level packages that a module imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.partition(".")[0])
    return names


def test_no_module_of_the_lab_imports_the_orchestrator_or_the_command_line() -> None:
    modules = sorted(LAB.rglob("*.py"))
    assert len(modules) > 50
    assert {str(m): found for m in modules if (found := imported(m) & {"relight", "relight_cli", "functions"})} == {}
