"""How much longer something that copies a whole database may take. Pure; seconds and GiB.

RDS tells no time. Where it tells a share, the time so far says the rest. Where it does not, the size does, at a rate
that is an assumption and is said to be one.
"""

from __future__ import annotations

from relight.moment import lasting

# Assumed, not measured: snapshot, copy to another Region and load together; the first data go over the network once.
GIB_PER_MINUTE = 1.0
# What an empty one takes: two instances set up, and a restart or two.
AT_LEAST_SECONDS = 1200.0


def remaining(elapsed: float, gib: float, percent: float | None) -> float | None:
    """Seconds that are left; None where that many have passed already, so that nothing can be said."""
    if percent is not None and 0 < percent < 100:
        return elapsed * (100 - percent) / percent
    left = AT_LEAST_SECONDS + gib / GIB_PER_MINUTE * 60 - elapsed
    return left if left > 0 else None


def told(elapsed: float, gib: float, percent: float | None) -> str:
    """The same in words, with what it rests on."""
    so_far = f"{lasting(elapsed)} so far"
    left = remaining(elapsed, gib, percent)
    if percent is not None and 0 < percent < 100 and left is not None:
        return f"{so_far}, {percent:g} % done, so about {lasting(left)} more"
    if left is None:
        return f"{so_far}, longer than {gib:g} GiB were assumed to take ({GIB_PER_MINUTE:g} GiB a minute)"
    return f"{so_far}, about {lasting(left)} more ({gib:g} GiB, assumed at {GIB_PER_MINUTE:g} GiB a minute)"
