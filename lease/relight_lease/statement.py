"""What the text of a statement tells.

Nothing here decides whether a write is let through: the server does, which runs everything in read-only transactions
but for what is begun otherwise under the lease. The text only saves round trips where it is a read for sure, and tells
apart the few statements that would take this arrangement back.
"""

import re

# Possessive: comments can be many, and are read in one way only.
_NOTHING = r"(?:\s|\(|--[^\n]*+(?:\n|\Z)|/\*(?:[^*]|\*(?!/))*+\*/)*+"
_READS = re.compile(
    rf"{_NOTHING}(?:select|values|table|show|explain|fetch|move|close|declare|listen|unlisten|set|reset|discard|"
    r"vacuum|analyze|analyse|reindex|checkpoint|deallocate|commit|end|rollback|abort|savepoint|release)\b",
    re.IGNORECASE | re.DOTALL,
)
_SEVERAL = re.compile(r";\s*[^\s;]")
# Beside what writes: a question about whether writes are taken, which is to be answered as a write would be.
_NOT_ONLY = re.compile(
    r"\bfor\s+(?:no\s+key\s+)?update\b|\bfor\s+(?:key\s+)?share\b|\bnextval\b|\bsetval\b|transaction_read_only",
    re.IGNORECASE,
)
_BEGINS = re.compile(rf"{_NOTHING}(?:begin|start\s+transaction)\b", re.IGNORECASE | re.DOTALL)
_ENDS = re.compile(rf"{_NOTHING}(?:commit|end)\b", re.IGNORECASE | re.DOTALL)
_HARMLESS = re.compile(rf"{_NOTHING}(?:rollback|abort|release)\b", re.IGNORECASE | re.DOTALL)

_LITERAL = re.compile(r"'(?:[^']|'')*'|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/", re.DOTALL)
# Looked for first, because a pattern takes thirty times as long, and statements can be long.
_NOT_ONLY_WORDS = ("update", "share", "nextval", "setval", "transaction_read_only")
_SUSPECT_WORDS = ("write", "transaction", "characteristics", "chain", "prepare", "reset", "discard")
_SUSPECT_ON_OLDER_SERVERS = ("commit", "end")
_SETS = r"\b(?:set|reset)\b[^;]*\b"
_TAKEN_BACK = tuple(
    (re.compile(pattern, re.IGNORECASE), what)
    for pattern, what in (
        (r"\b(?:set|begin|start)\b[^;]*\bread\s+write\b", "a read-write transaction of its own"),
        (rf"{_SETS}(?:default_)?transaction_read_only\b", "a change of transaction_read_only"),
        (rf"{_SETS}transaction_timeout\b", "a change of transaction_timeout"),
        (r"\bsession\s+characteristics\b", "a change of the session's characteristics"),
        (r"\b(?:reset|discard)\s+all\b", "a reset of the session"),
        (r"\b(?:commit|end|rollback|abort)\b[^;]*\band\s+chain\b", "a chained transaction"),
        (r"\bprepare\s+transaction\b|\bcommit\s+prepared\b", "a two-phase commit"),
    )
)
_BY_FUNCTION = re.compile(
    r"\bset_config\s*\(\s*'(?:(?:default_)?transaction_read_only|(?:idle_in_)?transaction_(?:session_)?timeout)'",
    re.IGNORECASE,
)
_ON_OLDER_SERVERS = tuple(
    (re.compile(pattern, re.IGNORECASE), what)
    for pattern, what in (
        (rf"{_SETS}idle_in_transaction_session_timeout\b", "a change of idle_in_transaction_session_timeout"),
        (r"(?:^|;)\s*(?:commit|end)\b", "a COMMIT by its text, on a server older than 17,"),
    )
)


def reads(text: str) -> bool:
    """Whether it is one statement that reads, unless a function that it calls writes."""
    if not _READS.match(text) or several(text):
        return False
    return not (_holds(text, _NOT_ONLY_WORDS) and _NOT_ONLY.search(text))


def several(text: str) -> bool:
    """Whether it may be more than one statement."""
    return ";" in text and bool(_SEVERAL.search(text))


def begins(text: str) -> bool:
    """Whether it begins a transaction, and so goes on in the next statement."""
    return bool(_BEGINS.match(text))


def ends(text: str) -> bool:
    """Whether it commits before anything else."""
    return bool(_ENDS.match(text))


def harmless(text: str) -> bool:
    """Whether it is a rollback, or the release of a savepoint, and nothing else. Django keeps a failure of these to
    itself, and rolls back in silence what its caller believes to be committed."""
    return bool(_HARMLESS.match(text)) and not several(text)


def taken_back(text: str, *, ends_transactions: bool) -> str | None:
    """In words, what it would take back of what the lease rests on in its session; None for all but a few statements.

    `ends_transactions` says whether the server ends a transaction by its age.
    """
    if not _holds(text, _SUSPECT_WORDS if ends_transactions else (*_SUSPECT_WORDS, *_SUSPECT_ON_OLDER_SERVERS)):
        return None
    if _BY_FUNCTION.search(text):
        return "a change of the session's settings"
    bare = _LITERAL.sub(" ", text)
    patterns = _TAKEN_BACK if ends_transactions else (*_TAKEN_BACK, *_ON_OLDER_SERVERS)
    return next((what for pattern, what in patterns if pattern.search(bare)), None)


def _holds(text: str, words: tuple[str, ...]) -> bool:
    lower = text.lower()
    return any(word in lower for word in words)
