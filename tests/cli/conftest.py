"""What the tests of the command line share."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """`-m deploy` picks the deployment into the lab, `-m "not deploy"` leaves its minutes out."""
    config.addinivalue_line("markers", "deploy: deploys into the lab with the real SAM CLI (minutes, PostgreSQL)")
