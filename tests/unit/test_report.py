"""The report: whole of a whole record, and telling what is missing of a damaged one. No JSON makes it fail."""

import json
import re
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st
from relight import failback_evidence, page, report, timeline_chart, trend
from relight.evidence import Kept, document
from relight.ledger import StepStory
from relight.part import Part
from relight.timeline_chart import Bar, Kind, Mark, Window

from tests.unit.notices import EMERGENCY, HOMEWARD, REPORTS, RUN, settings
from tests.unit.standby import NOW

LONG = 200
PARTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def run(steps: int = 5, sentence: str = "so it is") -> dict[str, Any]:
    """A record with so many steps."""
    stories = [
        StepStory(f"step {number}", NOW + 9 * number, NOW + 9 * number + 7.5, sentence, {"wanted": 3, "why": sentence})
        for number in range(steps)
    ]
    marks = {f"t{number}": NOW + 20 * number for number in range(9)}
    said = {"end": "SUCCEEDED", "finding": "region_lost", "sentence": sentence, "verdict": EMERGENCY}
    kept = document(RUN, settings(), said, Kept(marks, stories, None, None, []), NOW + 300)
    return dict(json.loads(json.dumps(kept)))


def failback() -> dict[str, Any]:
    """A record with everything that the way home adds."""
    said = {"end": "SUCCEEDED", "sentence": "home again", "to": "home", "reports": REPORTS}
    kept = failback_evidence.document(HOMEWARD, settings(), said, Kept({}, [], None, None, []), NOW)
    return dict(json.loads(json.dumps(kept)))


def text_of(markup: str) -> str:
    """What a person reads."""
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", markup, flags=re.DOTALL).split())


def test_a_whole_record_has_no_problem() -> None:
    assert report.problems(run()) == []
    assert report.problems(failback()) == []
    assert "not whole" not in report.render(run())


@pytest.mark.parametrize("name", [name for name, *_ in report.FIELDS])
def test_each_field_that_is_missing_is_named(name: str) -> None:
    whole = run()
    above, _, last = name.rpartition(".")
    holder = whole[above] if above else whole
    del holder[last]
    problems = report.problems(whole)
    assert any(said.startswith(f"{name} is missing: ") for said in problems)
    assert "This record is not whole" in report.render(whole)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("rto_seconds", "quick", "rto_seconds is a text, and should be a number: the RTO"),
        ("rto_seconds", True, "rto_seconds is true or false, and should be a number: the RTO"),
        ("rto_seconds", 5, "rto_seconds says 5 s, and from t0 to t8 it was 160 s"),
        ("rpo_seconds", float("inf"), "rpo_seconds is no number that means anything: the RPO"),
        ("status", None, "status is null: how the run ended"),
        ("steps", {}, "steps is an object, and should be a list: the steps"),
        ("phases", [], "phases is a list, and should be an object: when each phase really happened"),
        ("schema", "relight/run/2", "it is of the version relight/run/2; this report knows relight/run/3"),
        ("steps", [{"name": "promote"}], "step 1 (promote) has no start"),
        ("steps", [7], "step 1 has no name and no start"),
    ],
)
def test_what_is_not_as_it_should_be_is_told(name: str, value: Any, said: str) -> None:
    assert said in report.problems(run() | {name: value})
    assert said in text_of(report.render(run() | {name: value})).replace("&#39;", "'")


def test_a_run_that_ended_before_it_began_is_told() -> None:
    whole = run()
    whole["run"]["ended"] = 1
    assert "the run ended before it began" in report.problems(whole)


@pytest.mark.parametrize("damaged", [None, [], "x", 3, {}, {"steps": None}, {"run": 4, "phases": {"t0": -1}}])
def test_of_what_is_hardly_a_record_there_is_a_page_all_the_same(damaged: Any) -> None:
    assert report.problems(damaged)
    assert "This record is not whole" in report.render(damaged)


@rules(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_json_makes_it_fail(data: st.DataObject) -> None:
    whole = deepcopy(data.draw(st.sampled_from([RUNNING, HOME]), label="record"))
    for _ in range(data.draw(st.integers(1, 4))):
        holder: Any = whole
        while True:
            key = data.draw(st.sampled_from(sorted(holder)) if isinstance(holder, dict) else st.just(0), label="field")
            deeper = holder[key]
            if not deeper or not isinstance(deeper, dict | list) or data.draw(st.booleans(), label="here"):
                break
            holder = deeper
        holder[key] = data.draw(PARTS, label="value")
    report.problems(whole)
    assert report.render(whole).rstrip().endswith("</html>")
    assert trend.render([whole]).rstrip().endswith("</html>")


RUNNING, HOME = run(), failback()


def test_what_others_wrote_is_text_and_nothing_else() -> None:
    hostile = '<script>alert("x")</script><img src=x onerror=y>'
    whole = run(sentence=hostile)
    whole["steps"][0]["name"] = hostile
    whole["application"] = hostile
    whole["views"][0]["view"] = hostile
    markup = report.render(whole)
    assert "<script" not in markup
    assert "<img" not in markup
    assert "&lt;script&gt;" in markup
    assert "<script" not in trend.render([whole])


def test_it_asks_nobody() -> None:
    for markup in (report.render(run()), report.render(failback()), trend.render([run()])):
        assert re.findall(r"""(?:src|href|url|@import)\s*[=(]\s*["']?(?!data:,)[^"'\s>)]+""", markup) == []
        assert "default-src 'none'" in markup


@pytest.mark.parametrize("sentence", ["so it is", "<&'\"" * 1000, "ä" * 4000])
@pytest.mark.parametrize("steps", [LONG, 2000])
def test_it_stays_small_however_long_the_run_was(steps: int, sentence: str) -> None:
    assert len(report.render(run(steps, sentence)).encode()) < report.LARGEST


def test_of_a_run_of_200_steps_each_is_told() -> None:
    told = text_of(report.render(run(LONG)))
    assert all(f"step {number} " in told for number in range(LONG))


def test_what_a_long_run_leaves_out_is_said() -> None:
    assert "And 1700 more steps, in run.json." in text_of(report.render(run(2000)))


def test_what_many_hardened_things_leave_out_is_said() -> None:
    whole = run() | {"harden": {f"setting {number}": "what it is now: " + "x" * 300 for number in range(2000)}}
    markup = report.render(whole)
    assert len(markup.encode()) < report.LARGEST
    told = text_of(markup)
    assert told.count("Hardened:") == report.MOST_LISTED
    assert f"And {2000 - report.MOST_LISTED} more of what was hardened, in run.json." in told


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("capacity", {"before": {f"group {n}": {"desired": n} for n in range(2000)}, "after": {}}, "1950 more groups"),
        ("views", [{"view": f"view {number}", "seen": "UP"} for number in range(2000)], "1950 more views"),
        (
            "drill",
            {"kind": "restore", "left_over": [f"shop-{number}" for number in range(2000)]},
            "1950 more of what is left",
        ),
        ("reconciliation", {"tables": {f"table {number}": 2 for number in range(2000)}}, "1950 more tables"),
    ],
)
def test_what_any_long_list_leaves_out_is_said(name: str, value: Any, said: str) -> None:
    markup = report.render(failback() | {name: value})
    assert len(markup.encode()) < report.LARGEST
    assert f"And {said}, in run.json." in text_of(markup)


def test_a_failback_tells_what_differs_and_what_was_lost() -> None:
    told = text_of(report.render(failback()))
    assert "17 rows exist only in" in told
    assert "shop_order 15" in told
    assert "Differences of the databases 0" in told


@pytest.mark.parametrize(
    ("left", "said"), [([], "Nothing is left of it."), (["shop-drill-4"], "shop-drill-4"), (None, "is not known")]
)
def test_a_drill_tells_what_is_left_of_it(left: list[str] | None, said: str) -> None:
    drill = {"kind": "restore", "database": "shop-drill-4x", "source": "a backup", "restore_seconds": 100.5}
    whole = run() | {"kind": "drill", "drill": {**drill, "promote_seconds": None, "left_over": left}}
    told = text_of(report.render(whole))
    assert said in told
    assert "The restore took 100.5 s" in told


@pytest.mark.parametrize(
    ("objective", "said"), [(200.0, ": kept"), (100.0, ": missed"), (None, ": no objective is set")]
)
def test_figures_are_held_against_their_objectives(objective: float | None, said: str) -> None:
    whole = run()
    whole["objectives"]["rto_seconds"] = objective
    figure = text_of(report.render(whole)).partition("RPO, seconds")[0]
    assert figure.rstrip().endswith(said)


def test_a_value_carries_where_it_stands_and_what_it_is() -> None:
    whole = Part({"a/b": {"c": 12.5}, "t": "x  y", "n": [None]})
    assert page.show(Part(12.5, "/a~1b/c"), "seconds") == '<data data-path="/a~1b/c" value="12.5">12.5 s</data>'
    assert page.show(whole["t"]) == '<span data-path="/t">x y</span>'
    assert page.show(whole["u"]) == '<span class="unseen" data-path="/u">not seen</span>'
    assert page.show(whole["t"], "seconds") == '<span class="unseen" data-path="/t">not readable</span>'
    assert [part.path for part in whole["n"].items()] == ["/n/0"]
    assert [part.path for name, part in whole.named() if name == "a/b"] == ["/a~1b"]


# The chart.


def chart(bars: list[Bar], marks: list[Mark], window: Window) -> str:
    return timeline_chart.chart(bars, marks, window, "x", "title", "description")


def bars_of(markup: str) -> list[tuple[float, float]]:
    """Where each bar begins, and how wide it is."""
    found = re.findall(r'<rect class="bar [^"]*" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', markup)
    return [(float(x), float(width)) for x, width in found]


def test_a_bar_is_as_long_as_it_took() -> None:
    markup = chart([Bar("a", Kind.STEP, 0, 50), Bar("b", Kind.PHASE, 50, 75)], [], Window(0, 100, 0))
    left, wide = timeline_chart.LEFT, timeline_chart.RIGHT - timeline_chart.LEFT
    assert bars_of(markup) == [(left, wide / 2), (left + wide / 2, wide / 4)]


def test_a_bar_whose_end_nobody_saw_goes_on_to_the_edge_and_says_so() -> None:
    markup = chart([Bar("a", Kind.STEP, 50, None)], [], Window(0, 100, 0))
    ((x, width),) = bars_of(markup)
    assert x + width == timeline_chart.RIGHT
    assert "no end seen" in markup


@pytest.mark.parametrize(("ended", "painted"), [(None, "faint"), (100.0, "on")])
def test_what_is_written_on_a_bar_is_written_for_its_paint(ended: float | None, painted: str) -> None:
    """A bar that fills the chart leaves no other place; one without an end is hardly painted."""
    markup = chart([Bar("a", Kind.STEP, 0, ended)], [], Window(0, 100, 0))
    assert re.findall(r'<text class="took ?([^"]*)"', markup) == [painted]


def test_what_is_outside_of_the_window_is_left_out() -> None:
    bars = [Bar("before", Kind.STEP, 0, 5), Bar("in", Kind.STEP, 12, 15), Bar("after", Kind.STEP, 30, 40)]
    markup = chart(bars, [Mark("t0", 0), Mark("t1", 13)], Window(10, 20, 0))
    assert len(bars_of(markup)) == 1
    assert "t0" not in markup
    assert ">t1<" in markup


@given(
    begins=st.floats(0, 2e9),
    seconds=st.floats(0, 1e8),
    origin=st.floats(0, 2e9),
)
def test_an_axis_has_few_ticks_and_all_of_them_inside(begins: float, seconds: float, origin: float) -> None:
    window = Window(begins, begins + seconds, origin)
    found = timeline_chart.ticks(window)
    assert len(found) <= timeline_chart.MOST_TICKS + 2
    assert all(window.begins <= at <= window.ends for at in found)


def test_names_of_marks_that_happened_at_once_do_not_lie_on_each_other() -> None:
    markup = chart([], [Mark(f"t{n}", 50) for n in range(4)], Window(0, 100, 0))
    assert len(set(re.findall(r'class="mark-name" x="[\d.]+" y="(\d+)"', markup))) == 4


def test_a_run_whose_phases_are_a_small_part_of_it_gets_a_second_chart() -> None:
    whole = run()
    assert report.render(whole).count("<svg") == 1
    whole["steps"].append({"name": "harden", "started": NOW + 200, "ended": NOW + 4000, "sentence": "", "facts": {}})
    assert report.render(whole).count("<svg") == 2


# The trend.


def test_the_trend_has_each_run_and_a_point_for_what_was_measured() -> None:
    second = run() | {"rto_seconds": 700.0}
    second["run"] = {**second["run"], "id": "second", "started": NOW + 86400}
    second["objectives"] = {"rto_seconds": 300.0, "rpo_seconds": None}
    markup = trend.render([second, run(), {"x": 1}, None])
    told = text_of(markup)
    assert "2 runs; 2 documents are no record of a run, and left out." in told
    assert "2 measured: median 430.0 s, worst 700.0 s, newest 700.0 s; 1 of them above the objective of 300 s." in told
    assert told.index("second") < told.rindex(RUN.id), "newest first"


def test_a_trend_of_nothing_says_so() -> None:
    told = text_of(trend.render([]))
    assert "Nothing was measured." in told
    assert "There is no run." in told


def test_a_promotion_is_as_long_as_a_drill_measured_it_or_else_as_its_step() -> None:
    steps = [{"name": "promote", "started": NOW, "ended": NOW + 90}]
    assert trend.promote_seconds(Part({"steps": steps, "phases": {"t4": NOW + 84.5}})).number == 84.5
    assert trend.promote_seconds(Part({"steps": steps, "drill": {"promote_seconds": 12}})).number == 12
    assert trend.promote_seconds(Part({"steps": steps, "phases": {"t4": None}})).number is None


@given(st.floats(0, 1e12))
def test_an_axis_holds_what_it_shows(seconds: float) -> None:
    assert seconds <= trend.ceiling(seconds) <= max(1.0, seconds) * 2.51
