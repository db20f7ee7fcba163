"""What a person answered, whatever was sent to the task."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relight.answering import LONGEST, NO_NAME, NO_REASON, answer_of, sentence_of
from relight.errors import InputInvalid
from relight.question import Answer, Reply

from tests.unit.standby import NOW

ANN = {"by": "ann", "because": "it burns"}


def declined(**said: Any) -> Answer:
    return answer_of({"answer": "declined", "finding": "region_lost", **said}, NOW)


@pytest.mark.parametrize("given_as", [ANN, {"said": ANN}, {"said": json.dumps(ANN)}, {"said": {"answer": "no", **ANN}}])
def test_name_and_reason_come_in_each_of_their_shapes(given_as: dict[str, Any]) -> None:
    assert declined(**given_as) == Answer(Reply.DECLINED, "ann", "it burns", NOW, "region_lost")


def test_plain_text_is_the_reason() -> None:
    answer = declined(said="we mend it ourselves")
    assert (answer.by, answer.because) == (NO_NAME, "we mend it ourselves")
    assert sentence_of(answer) == "declined by somebody who gave no name: we mend it ourselves"


@pytest.mark.parametrize("nothing", [None, "", "  \n", 7, [], {"name": "ann"}, True])
def test_whoever_gave_no_name_or_no_reason_is_said_so(nothing: Any) -> None:
    for given_as in ({"by": nothing, "because": nothing}, {"said": {"by": nothing, "because": nothing}}):
        answer = declined(**given_as)
        assert (answer.by, answer.because) == (NO_NAME, NO_REASON)


@pytest.mark.parametrize("said", [None, 5, [], "", "{}", "  ", {}])
def test_an_empty_answer_is_an_answer(said: Any) -> None:
    answer = answer_of({"answer": "approved", "said": said}, NOW)
    assert answer == Answer(Reply.APPROVED, NO_NAME, NO_REASON, NOW, "unknown")


def test_brackets_without_end_are_text() -> None:
    assert declined(said="[" * 32_768).because.startswith("[[[")


def test_what_is_long_is_cut() -> None:
    answer = declined(by="a" * 501, because="b" * 100_000)
    assert (len(answer.by), len(answer.because)) == (LONGEST, LONGEST) == (500, 500)
    assert declined(by="a" * 500).by == "a" * 500


def test_nobody_answers_for_whoever_did_not() -> None:
    answer = answer_of({"answer": "unanswered", "said": None, "finding": "region_lost"}, NOW)
    assert answer == Answer(Reply.UNANSWERED, "nobody", "no answer in time", NOW, "region_lost")
    assert sentence_of(answer) == "nobody answered in time"


@pytest.mark.parametrize("reply", [None, "", "yes", "APPROVED", 1, ["approved"], {}])
def test_anything_else_is_no_answer(reply: Any) -> None:
    with pytest.raises(InputInvalid, match='needs an "answer": approved, declined, unanswered'):
        answer_of({"answer": reply}, NOW)


def test_an_input_without_an_answer_is_none() -> None:
    with pytest.raises(InputInvalid):
        answer_of({}, NOW)


@given(st.text(st.characters(), max_size=700), st.text(st.characters(), max_size=700))
def test_whatever_is_written_stays_one_line_that_can_be_kept(by: str, because: str) -> None:
    answer = declined(by=by, because=because)
    for text in (answer.by, answer.because, sentence_of(answer)):
        assert text
        assert text.isprintable()
        assert len(text.splitlines()) == 1
        text.encode()
