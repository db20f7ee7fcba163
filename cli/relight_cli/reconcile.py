"""`relight reconcile`, as the command line understands it."""

from pathlib import Path
from typing import Annotated

import typer

from relight_cli.answer import Run, run_id
from relight_cli.chosen import DEFAULT, Config
from relight_cli.deployed import App, Env, Json, Whereabouts

Region = Annotated[str | None, typer.Option("--region", metavar="REGION", help="The Region in which the run was.")]
Csv = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write all rows there, as CSV.")]
Sql = Annotated[
    Path | None, typer.Option("--sql", metavar="FILE", help="Write statements there, for a person to review.")
]


def reconcile(
    run: Run,
    env: Env = None,
    config: Config = DEFAULT,
    app: App = None,
    region: Region = None,
    csv: Csv = None,
    sql: Sql = None,
    json: Json = False,
) -> int:
    """Show what only the old database has, or has otherwise: what the failover lost. Nothing is merged.

    Where samconfig.toml is not at hand, --app and --region are enough.
    """
    name, deployed = run_id(run), Whereabouts(env, config, app, region).of_a_run()
    from relight_cli.reconciling import Export, conduct  # noqa: PLC0415 - boto3 and rich are heavy

    return conduct(deployed, name, Export(csv, sql), as_json=json)
