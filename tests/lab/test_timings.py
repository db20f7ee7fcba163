"""Profiles of durations."""

import pytest

from lab.timings import AWS, LAB, Timings, promotion_of


@pytest.mark.parametrize("profile", [LAB, AWS])
@pytest.mark.parametrize("seconds", [1.0, 5.0, 300.0])
def test_a_profile_may_say_how_long_a_promotion_takes_and_no_more(profile: Timings, seconds: float) -> None:
    changed = promotion_of(profile, seconds)
    assert changed.promotion == pytest.approx(seconds)
    assert changed.rds_pending < changed.rds_modifying
    assert (changed.name, changed.minute, changed.parameters) == (profile.name, profile.minute, profile.parameters)


def test_no_promotion_is_shorter_than_the_restart_of_a_server() -> None:
    with pytest.raises(ValueError, match=r"0\.9 s to be restarted"):
        promotion_of(LAB, 0.5)
