"""Positions in PostgreSQL's write-ahead log, as PostgreSQL writes them: `0/1A2B`."""


def position(lsn: str) -> int:
    """As a number of bytes that can be compared. ValueError for what is no position."""
    high, _, low = lsn.partition("/")
    return int(high, 16) << 32 | int(low, 16)
