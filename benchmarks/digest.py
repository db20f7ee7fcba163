"""How long the digest of a table takes, and what memory: python benchmarks/digest.py [ROWS ...].

Makes its own PostgreSQL with a table like the shop's orders, and asks `dbcheck` for all of it as `compare` does, in a
process of its own; 0.1, 1 and 10 million rows unless told. Prints a table in Markdown and how much longer ten times as
many rows take; exit code 1 where 10 million rows take 20 s or 200 MiB or more.
"""

import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from relight.clients import client  # noqa: E402 - the tests' parts are found by the line above
from relight.dbcheck import Dbcheck  # noqa: E402
from relight.settings import DbcheckSettings, Tls  # noqa: E402
from relight.walk import FIRST_SIZE, SECONDS  # noqa: E402

from lab.binaries import folder  # noqa: E402
from lab.postgres import Postgres  # noqa: E402
from tests.lab.asking import OWNER, PASSWORD, bootstrap  # noqa: E402

ROWS = (100_000, 1_000_000, 10_000_000)
BUDGET_SECONDS, BUDGET_MIB = 20.0, 200.0
FILL = """
INSERT INTO orders
SELECT n, gen_random_uuid(), (n %% 100000) * 0.37, timestamptz '2026-01-01' + n * interval '1 second', 'order ' || n
FROM generate_series(%s::bigint, %s::bigint) AS n
"""


def measure(port: int, keyed: bool) -> dict[str, Any]:
    """All of the table, request after request, as the other process is told to."""
    settings = DbcheckSettings(
        aws_region="eu-central-1",
        database_host="127.0.0.1",
        database_port=port,
        database_name="shop",
        database_user="relight_check",
        database_tls=Tls.OFF,
        database_timeout_seconds=5.0,
    )
    dbcheck = Dbcheck(settings, client("rds", settings.aws_region))
    table = {"schema": "public", "name": "orders", "key": ["id"] if keyed else []}
    dbcheck.check({"check": "tables"})
    event: dict[str, Any] = {"check": "digest", "table": table, "seconds": SECONDS, "rows": FIRST_SIZE, "buckets": 1024}
    began, rows, requests, chunks, longest = time.perf_counter(), 0, 0, 0, 0.0
    more = True
    while more:
        asked = time.perf_counter()
        answer = json.loads(json.dumps(dbcheck.check(event)))
        longest = max(longest, time.perf_counter() - asked)
        requests, more = requests + 1, answer["more"]
        if keyed:
            rows += sum(chunk[1] for chunk in answer["chunks"])
            chunks += len(answer["chunks"])
            event |= {"after": answer["chunks"][-1][0], "rows": answer["rows"]}
        else:
            rows += sum(one[0] for one in answer["buckets"].values())
            event |= {"block": answer["block"]}
    return {
        "rows": rows,
        "seconds": time.perf_counter() - began,
        "requests": requests,
        "chunks": chunks,
        "longest": longest,
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def fill(server: Postgres, rows: int) -> None:
    """As many orders as that, in batches."""
    for first in range(server.sql("SELECT count(*) FROM orders", timeout=120)[0][0], rows, 500_000):
        server.sql(FILL, (first, min(rows, first + 500_000) - 1), timeout=600)
    server.sql("VACUUM ANALYZE orders", timeout=600)


def ask(server: Postgres, keyed: bool) -> dict[str, Any]:
    """One measurement in a process of its own, so that its memory is the function's."""
    kind = "keyed" if keyed else "whole"
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
    command = [sys.executable, __file__, "--measure", str(server.port), kind]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return dict(json.loads(done.stdout))


def line(kind: str, found: dict[str, Any]) -> str:
    """One line of the table."""
    per = found["seconds"] / found["rows"] * 1e6
    return (
        f"| {found['rows']:,} | {kind} | {found['seconds']:.2f} s | {per:.2f} µs | {found['requests']} "
        f"| {found['chunks'] or '-'} | {found['longest']:.2f} s | {found['mib']:.0f} MiB |"
    )


def main() -> int:
    """Measure, and say whether it fits."""
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(int(sys.argv[2]), sys.argv[3] == "keyed")))
        return 0
    sizes = [int(text) for text in sys.argv[1:]] or list(ROWS)
    made = folder("relight-bench-")
    server = Postgres.create(made / "server", "127.0.0.1", 0, OWNER, PASSWORD, "shop")
    found: list[dict[str, Any]] = []
    try:
        server.start()
        bootstrap(server)
        columns = "id bigint PRIMARY KEY, customer uuid, amount numeric(12, 2), at timestamptz, note text"
        server.sql(f"CREATE TABLE orders ({columns}); GRANT SELECT ON orders TO relight_check")  # type: ignore[arg-type]
        print("| rows | by | digest | a row | requests | chunks | longest request | peak memory of the function |")
        print("|---|---|---|---|---|---|---|---|")
        for rows in sizes:
            fill(server, rows)
            found.append(ask(server, keyed=True))
            print(line("key", found[-1]), flush=True)
            print(line("no key", ask(server, keyed=False)), flush=True)
    finally:
        server.destroy()
        shutil.rmtree(made, ignore_errors=True)
    ratios = [
        f"{two['rows'] / one['rows']:.0f} times the rows take {two['seconds'] / one['seconds']:.1f} times as long"
        for one, two in pairwise(found)
    ]
    print(f"\n{'; '.join(ratios)}. {os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}.")
    print(f"Load of the machine in the last minute: {os.getloadavg()[0]:.1f}.")
    return 1 if any(one["seconds"] >= BUDGET_SECONDS or one["mib"] >= BUDGET_MIB for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())
