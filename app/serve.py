"""Start the shop: `python -m app.serve`. It becomes gunicorn, so that this process's boto3 is gone from memory."""

import json
import os
import sys

from app import environment
from app.secret import SecretUnavailableError, add_database_login


def main() -> None:
    """Exec gunicorn; exits 1 with one line of JSON on stderr when the environment or the secret is not usable."""
    try:
        add_database_login()
        here = environment.read()
    except (SecretUnavailableError, environment.EnvironmentIncompleteError) as error:
        _say("CRITICAL", str(error))
        sys.exit(1)
    if here.drill:
        _say("WARNING", f"this is a drill: orders go into {here.database_host}, and are deleted with it")
    command = [sys.executable, "-m", "gunicorn", "--config", "python:app.gunicorn_conf", "app.wsgi"]
    os.execv(sys.executable, command)  # noqa: S606 - no shell is meant


def _say(level: str, message: str) -> None:
    sys.stderr.write(json.dumps({"level": level, "logger": "app.serve", "message": message}) + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
