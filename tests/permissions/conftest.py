"""The calls of all scenarios, recorded once for the tests that judge them."""

from collections.abc import Iterator

import pytest
from pytest_socket import socket_allow_hosts

from tests.permissions.estate import Estate, brought, estate
from tests.permissions.scenarios import play_all, play_without_a_network_acl


@pytest.fixture(scope="package", autouse=True)
def nowhere_but_here() -> Iterator[None]:
    """No credentials that AWS would take, and no connection to anywhere but this machine."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        socket_allow_hosts(["127.0.0.1", "127.0.0.2"], allow_unix_socket=True)
        yield


@pytest.fixture(scope="package")
def played(nowhere_but_here: None) -> Iterator[Estate]:
    """The estate in which every scenario has been played."""
    with estate() as made:
        play_all(made)
    yield made


@pytest.fixture(scope="package")
def unfenceable(nowhere_but_here: None) -> Iterator[Estate]:
    """The estate of a workload that exists already, whose network ACLs are not ours."""
    with estate(workload=brought, PeerNetworkAclId="") as made:
        play_without_a_network_acl(made)
    yield made
