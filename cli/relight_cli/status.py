"""`relight status`, as the command line understands it."""

from relight_cli.chosen import DEFAULT, Config
from relight_cli.deployed import App, Env, Json, OneRegion, PeerRegion, Whereabouts


def status(
    env: Env = None,
    config: Config = DEFAULT,
    app: App = None,
    region: OneRegion = None,
    peer_region: PeerRegion = None,
    json: Json = False,
) -> int:
    """Say which Region is active, what runs, and how well the other one stands by. Nothing is changed.

    It answers within five seconds with a Region lost, and says what it could not see; 0 as long as one Region answers.
    """
    deployed = Whereabouts(env, config, app, region, peer_region).of_both()
    from relight_cli.overview import conduct  # noqa: PLC0415 - boto3 and rich are heavy

    return conduct(deployed, as_json=json)
