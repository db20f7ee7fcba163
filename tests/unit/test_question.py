"""How pressing a question is."""

import pytest
from relight.question import Urgency, urgency_of


@pytest.mark.parametrize(
    ("asked", "urgency"),
    [(1, Urgency.FIRST), (2, Urgency.REPEATED), (3, Urgency.ESCALATED), (4, Urgency.ESCALATED), (9, Urgency.ESCALATED)],
)
def test_a_question_becomes_more_pressing_each_time(asked: int, urgency: Urgency) -> None:
    assert urgency_of(asked, another=True) is urgency


@pytest.mark.parametrize("asked", [1, 2, 3, 9])
def test_one_that_will_not_be_asked_again_is_the_last(asked: int) -> None:
    assert urgency_of(asked, another=False) is Urgency.LAST
