"""The health of one target of a target group, in the words of DescribeTargetHealth."""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lab.pipe import Address


@dataclass(frozen=True)
class TargetCheck:
    """A target group's health check. Interval and timeout are seconds as they shall pass, already scaled."""

    path: str = "/"
    interval: float = 30.0
    timeout: float = 5.0
    healthy_threshold: int = 5
    unhealthy_threshold: int = 2
    matcher: str = "200"
    """Which status codes pass: `200`, `200,204`, `200-299`, or a mixture."""

    def __post_init__(self) -> None:
        """ValueError if the matcher is no list of codes and ranges."""
        self.accepts(0)

    def accepts(self, code: int) -> bool:
        """Is that status code a pass?"""
        for part in self.matcher.split(","):
            first, _, last = part.partition("-")
            if int(first) <= code <= int(last or first):
                return True
        return False


class TargetHealth(NamedTuple):
    """State, reason code and description; a healthy target has no reason."""

    state: str
    reason: str | None = None
    description: str | None = None


REGISTERING = TargetHealth("initial", "Elb.RegistrationInProgress", "Target registration is in progress")
CHECKING = TargetHealth("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
HEALTHY = TargetHealth("healthy")
FAILED = TargetHealth("unhealthy", "Target.FailedHealthChecks", "Health checks failed")
TIMED_OUT = TargetHealth("unhealthy", "Target.Timeout", "Request timed out")


def mismatch(code: int) -> TargetHealth:
    """What is said of a target that answers with a code that the matcher does not list."""
    return TargetHealth("unhealthy", "Target.ResponseCodeMismatch", f"Health checks failed with these codes: [{code}]")


class TargetRecord:
    """What a target has been found to be. It changes after so many equal results in a row as the thresholds say.

    A newly registered one is `initial`, and one pass makes it healthy, as AWS documents it.
    """

    def __init__(self) -> None:
        self.health = REGISTERING
        self._passed: bool | None = None
        self._in_a_row = 0

    def observe(self, result: TargetHealth, check: TargetCheck) -> None:
        """Take in the result of one check, HEALTHY or what is wrong."""
        passed = result.state == HEALTHY.state
        self._in_a_row = self._in_a_row + 1 if passed is self._passed else 1
        self._passed = passed
        if passed:
            if self.health.state == "initial" or self._in_a_row >= check.healthy_threshold:
                self.health = HEALTHY
        elif self.health.state == "unhealthy" or self._in_a_row >= check.unhealthy_threshold:
            self.health = result
        elif self.health is REGISTERING:
            self.health = CHECKING


async def examine(target: "Address", check: TargetCheck) -> TargetHealth:
    """One health check of that target over a connection of its own: HEALTHY or what is wrong."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(check.timeout):
            reader, writer = await asyncio.open_connection(*target)
            writer.write(
                f"GET {check.path} HTTP/1.1\r\nHost: {target[0]}:{target[1]}\r\n"
                "User-Agent: ELB-HealthChecker/2.0\r\nConnection: close\r\n\r\n".encode()
            )
            code = int((await reader.readline()).split()[1])
    except TimeoutError:
        return TIMED_OUT
    except (OSError, ValueError, IndexError):
        return FAILED
    finally:
        if writer is not None:
            writer.transport.abort()
    return HEALTHY if check.accepts(code) else mismatch(code)


async def apologise(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: HTTPStatus, patience: float = 5.0
) -> None:
    """Answer one request, as a load balancer that has no target for it, and end the connection in the orderly way."""
    body = f"{status.value} {status.phrase}\n".encode()
    try:
        async with asyncio.timeout(patience):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(
                f"HTTP/1.1 {status.value} {status.phrase}\r\nServer: awselb/2.0\r\nContent-Type: text/plain\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                + body
            )
            writer.write_eof()
            # A close with unread bytes of the request would be a reset, and could overtake the answer.
            while await reader.read(65536):
                pass
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass
    finally:
        writer.transport.abort()
