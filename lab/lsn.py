"""Positions in PostgreSQL's write-ahead log (LSN), as integers that can be compared."""


def parse_lsn(text: str) -> int:
    """`0/3000060` as a number of bytes. ValueError for what is no LSN."""
    high, slash, low = text.partition("/")
    if not slash:
        raise ValueError(f"no LSN: {text!r}")
    return int(high, 16) << 32 | int(low, 16)
