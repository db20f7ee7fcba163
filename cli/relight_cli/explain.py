"""`relight explain`, as the command line understands it."""

from typing import Annotated

import typer

from relight_cli.deployed import Json


def _findings() -> list[str]:
    from relight.decision import Finding  # noqa: PLC0415 - as below

    return [finding.value for finding in Finding]


def explain(
    finding: Annotated[
        str | None,
        typer.Option(
            "--finding",
            metavar="NAME",
            help="One finding in full, with what comes before it.",
            autocompletion=_findings,
        ),
    ] = None,
    json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="As docs/verdict.md.")] = False,
) -> int:
    """Print the table by which a run is decided: first match wins. Needs neither AWS nor samconfig.toml."""
    from relight_cli.explaining import conduct  # noqa: PLC0415 - the core is heavy

    return conduct(finding, as_json=json, as_markdown=markdown)
