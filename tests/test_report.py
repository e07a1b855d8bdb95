"""Summaries as text: rates never without their coverage, titles as they are written."""

from __future__ import annotations

import pytest

from localjudge.characters import unseen
from localjudge.report import percent, render_summary
from localjudge.stats import IndicatorSummary, Summary, TaskSummary
from localjudge.verdicts import Usage


def row(number: int = 1, title: str = "客服是否延续上文话题", **counts: int) -> IndicatorSummary:
    values = {"asked": 10, "scored": 8, "passed": 6, "not_applicable": 2} | counts
    lost = values["asked"] - values["scored"]
    return IndicatorSummary(
        rubric="push@1.0.0", id=f"2.{number}", indicator=title, unscored={"truncated": lost} if lost else {}, **values
    )


def summary(*rows: IndicatorSummary, usage: Usage | None = None) -> Summary:
    task = TaskSummary(
        task_type="push",
        rubric="push@1.0.0",
        records=10,
        total_score=sum(each.passed for each in rows),
        max_score=sum(each.asked for each in rows),
        scored=sum(each.scored for each in rows),
        not_applicable=sum(each.not_applicable for each in rows),
        indicators=rows,
    )
    return Summary(records=10, usage=usage or Usage(), tasks=(task,))


def line_of(text: str, start: str) -> str:
    (found,) = [line for line in text.splitlines() if line.strip().startswith(start)]
    return " ".join(found.split())


def test_each_indicator_shows_rate_coverage_and_what_was_not_scored() -> None:
    text = render_summary(summary(row()))
    assert line_of(text, "2.1") == "2.1 客服是否延续上文话题 75.0 % 8/10 2 2 2 truncated"


def test_an_indicator_without_a_score_shows_a_dash_and_no_rate() -> None:
    text = render_summary(summary(row(scored=0, passed=0, not_applicable=0)))
    assert line_of(text, "2.1") == "2.1 客服是否延续上文话题 - 0/10 0 0 10 truncated"


def test_the_total_stands_beside_its_coverage() -> None:
    text = render_summary(summary(row(1), row(2, scored=10, passed=10)))
    # 6 + 10 = 16 of 8 + 10 = 18 scored (88.9 %) of 20 asked (90 %), 2 + 2 not applicable
    assert line_of(text, "push@1.0.0: 16") == (
        "push@1.0.0: 16 of 18 scored indicators pass (88.9 %), 4 of them because they do not apply; "
        "coverage 18/20 (90.0 %)."
    )


def test_tokens_are_shown_per_record_with_what_was_computed() -> None:
    usage = Usage(requests=220, prompt_tokens=50_000, cached_tokens=40_000, output_tokens=4_000)
    text = render_summary(summary(row(), usage=usage))
    assert line_of(text, "tokens per record") == (
        "tokens per record: prompt 5000 (computed 1000), output 400; requests per record: 22.0"
    )


@pytest.mark.parametrize("title", ["[bold]粗体[/bold]", "[red]", ":smile: 表情", "[/]"])
def test_titles_are_text_and_no_markup(title: str) -> None:
    assert title in render_summary(summary(row(title=title)))


def test_a_long_title_is_shortened_before_any_number_is() -> None:
    text = render_summary(summary(row(title="很长的标题" * 30)), width=80)
    shown = line_of(text, "2.1")
    assert "…" in shown
    assert shown.endswith("75.0 % 8/10 2 2 2 truncated")
    assert all(len(line) <= 80 for line in text.splitlines() if line.strip().startswith("2."))


def test_many_reasons_for_no_score_wrap_and_cut_no_number() -> None:
    why = {"contradictory": 11, "engine_error": 12, "too_long": 13, "truncated": 14, "unparseable": 15}
    text = render_summary(summary(row(title="很长的标题" * 30).model_copy(update={"unscored": why})))
    assert "75.0 % 8/10 2 2" in line_of(text, "2.1")
    assert all(f"{count} {reason}" in " ".join(text.split()) for reason, count in why.items())


def test_the_title_gives_way_to_every_column_there_is() -> None:
    full = row(title="很长的标题" * 30, contradictions=3, numerically_undecided=2, asked=12_345, scored=12_340)
    text = render_summary(summary(full.model_copy(update={"unscored": {"too_long": 3, "engine_error": 2}})))
    heading = next(line for line in text.splitlines() if line.startswith("id"))
    assert heading.split()[-3:] == ["contradictions", "undecided", "unscored"]
    assert line_of(text, "2.1").endswith("12340/12345 2 12334 3 2 3 too_long, 2 engine_error")
    assert max(map(len, text.splitlines())) <= 120


def test_the_text_has_no_terminal_codes() -> None:
    assert "\x1b" not in render_summary(summary(row()))


def test_text_that_a_terminal_would_obey_is_spelled_out() -> None:
    text = render_summary(summary(row(title="\x1b]0;x\x07\u202e题")))
    assert "\\x1b]0;x\\x07\\u202e题" in text
    assert not unseen(text)


def test_flagged_records_are_counted() -> None:
    task = summary(row()).tasks[0].model_copy(update={"flagged": 3, "flags": {"fake_answer": 2, "padding": 2}})
    text = render_summary(Summary(records=10, usage=Usage(), tasks=(task,)), width=200)
    assert "3 records are flagged" in text and "fake_answer 2, padding 2" in text
    assert "flagged" not in render_summary(summary(row()))


def test_an_empty_summary_can_be_shown() -> None:
    assert "tokens per record" in render_summary(Summary(records=0, usage=Usage(), tasks=()))


@pytest.mark.parametrize(("rate", "shown"), [(None, "-"), (0.0, "0.0 %"), (1.0, "100.0 %"), (2 / 3, "66.7 %")])
def test_percent(rate: float | None, shown: str) -> None:
    assert percent(rate) == shown


def test_contradictions_are_counted_for_each_indicator_where_there_are_any() -> None:
    text = render_summary(summary(row(1, contradictions=3), row(2)))
    assert "contradictions" in text
    assert line_of(text, "2.1") == "2.1 客服是否延续上文话题 75.0 % 8/10 2 2 3 2 truncated"
    assert line_of(text, "2.2") == "2.2 客服是否延续上文话题 75.0 % 8/10 2 2 0 2 truncated"
    assert "contradictions" not in render_summary(summary(row(1)))
