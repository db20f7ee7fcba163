"""`relight explain`, as the command line understands it."""

from typing import Annotated

import typer

from relight_cli.deployed import Json


def explain(
    finding: Annotated[
        str | None, typer.Option("--finding", metavar="NAME", help="One finding in full, with what comes before it.")
    ] = None,
    json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="As docs/verdict.md.")] = False,
) -> int:
    """Print the table by which a run is decided: first match wins. Needs neither AWS nor samconfig.toml."""
    from relight_cli.explaining import conduct  # noqa: PLC0415 - the core is heavy

    return conduct(finding, as_json=json, as_markdown=markdown)
