"""Loops that show how they go: what they keep, when they draw, and what a reader sees."""

from __future__ import annotations

import io
import re
import sys
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.display import live as loops
from jitml.display import screens
from jitml.display.curves import chart
from jitml.errors import ArgumentError


class Recorder:
    """A screen that keeps what is drawn."""

    interval_s = 0.0

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.last: list[bool] = []

    def draw(self, content: Any, is_last: bool) -> None:
        self.lines.append(str(content))
        self.last.append(is_last)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    found = Recorder()
    monkeypatch.setattr(loops, "current_screen", lambda: found)
    monkeypatch.setattr(loops, "_LEAST_SHARE", 0)
    return found


def test_numbers_are_kept_with_their_steps(screen: Recorder) -> None:
    run = jitml.live(range(10, 14))
    for step in run:
        run(loss=jnp.float32(step) / 2)
        if step % 2:
            run(accuracy=np.float64(step), count=jnp.array([step]))
            assert run.history["accuracy"][-1] == step  # at once, drawn or not
    assert run.history["loss"].tolist() == [5, 5.5, 6, 6.5]
    assert run.steps["loss"].tolist() == [0, 1, 2, 3]
    assert run.history["accuracy"].tolist() == run.history["count"].tolist() == [11, 13]
    assert run.steps["accuracy"].tolist() == [1, 3]
    assert run.done == 4


def test_functions_are_called_after_each_step(screen: Recorder) -> None:
    losses = []
    run = jitml.live(iter("abc"), loss=lambda: losses[-1])
    for letter in run:
        losses.append(ord(letter))
    assert run.history["loss"].tolist() == [97, 98, 99]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_loop_keeps_what_it_has(screen: Recorder, error: Any) -> None:
    run = jitml.live(range(100))
    with pytest.raises(error):
        for step in run:
            run(loss=step)
            if step == 7:
                raise error
    assert run.history["loss"].tolist() == list(range(8))
    assert screen.lines[-1].startswith("step 7/100, stopped · loss 7")
    assert screen.last == [False] * (len(screen.last) - 1) + [True]


def test_a_line_tells_step_numbers_time_and_compilations(screen: Recorder) -> None:
    function = jitml.jit(lambda x: x * 0.5)
    x = jnp.ones(1000)
    run = jitml.live(range(3))
    for _ in run:
        x = function(x)
        run(size=x.max())
    pattern = r"step 2/3 · size 0.25 · [\d.]+ .s a step · 1 compilation · [\d.]+ \w+ · 0:00 left"
    assert re.fullmatch(pattern, screen.lines[2])
    assert re.match(r"step 3/3, done · size 0.125 · .* · 1 compilation · ", screen.lines[-1])


def test_a_number_that_was_donated_before_it_was_seen_is_nan() -> None:
    run = jitml.live(range(2))
    x = jnp.float32(1)
    run(x=x)
    x.delete()
    run(x=2.0)
    assert np.array_equal(run.history["x"], [np.nan, 2], equal_nan=True)


def test_a_second_loop_goes_on(screen: Recorder) -> None:
    run = jitml.live([1, 2])
    for _ in range(2):
        for x in run:
            run(x=x)
    assert run.history["x"].tolist() == [1, 2, 1, 2]
    assert run.steps["x"].tolist() == [0, 1, 2, 3]
    assert str(run).startswith("step 4/4, done")


def test_drawing_takes_a_bounded_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drawing takes as long as a step."""
    now = 0.0

    class Slow(Recorder):
        def draw(self, content: Any, is_last: bool) -> None:
            nonlocal now
            now += 1
            super().draw(content, is_last)

    screen = Slow()
    monkeypatch.setattr(loops, "current_screen", lambda: screen)
    monkeypatch.setattr(loops.time, "perf_counter", lambda: now)
    for _ in jitml.live(range(3000)):
        now += 1
    assert 4 < len(screen.lines) < 3000 / 600 + 4


def test_html_has_a_chart_for_each_kind_and_is_small(screen: Recorder) -> None:
    run = jitml.live(range(20_000))
    screen.interval_s = 0.02
    for step in run:
        run(train_loss=1 / (step + 1), test_loss=2 / (step + 1), accuracy=step)
    html = run._repr_html_()
    assert len(html) < 60_000
    for told in ("<b>loss</b>", "● train_loss", "<b>accuracy</b>", "log scale", str(run)):
        assert told in html


def test_charts_of_odd_curves() -> None:
    for values in ([], [np.nan], [3.0], [3.0, 3.0], [1e308, -1e308], [0.0, np.inf, 1.0]):
        drawn = chart("x", {"x": (range(len(values)), values)})
        assert "nan" not in drawn
        assert "inf" not in drawn


@pytest.mark.parametrize(
    ("tell", "message"),
    [
        (lambda run: run(loss=jnp.ones(3)), r"loss has shape \(3,\).*\n.*hint: tell its mean"),
        (lambda run: jitml.jit(lambda x: run(loss=x))(1.0), "not known while a function is traced"),
        (lambda run: run(loss="0.5"), "loss is a str, not a number"),
        (lambda run: jitml.live(range(3), loss=[1]), r"loss is a list.*\n.*loss=lambda: loss"),
    ],
)
def test_what_is_no_number_is_an_error_that_helps(tell: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=re.compile(message, re.DOTALL)):
        tell(jitml.live(range(3)))


# ---- screens ------------------------------------------------------------


def test_a_terminal_has_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", stream)
    for _ in jitml.live(range(3)):
        pass
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().endswith("\x1b[K\n")
    assert "\rstep 3/3, done" in stream.getvalue()


def test_a_log_has_few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    for _ in jitml.live(range(3)):
        pass
    assert stream.getvalue().startswith("step 3/3, done")
    assert stream.getvalue().count("\n") == 1
    screen = screens.LogLines(io.StringIO())
    for _ in range(20):
        screen.draw("x", is_last=False)
    assert screen.interval_s == 60


def test_a_notebook_has_one_output_that_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("IPython")
    import IPython.display

    shown: list[tuple[str, Any]] = []

    class Handle:
        def update(self, content: Any) -> None:
            shown.append(("update", content))

    def display(content: Any, display_id: bool) -> Handle:
        assert display_id
        shown.append(("display", content))
        return Handle()

    monkeypatch.setattr(IPython.display, "display", display)
    monkeypatch.setattr(screens, "running_shell", lambda: type("Shell", (), {"kernel": 1}))
    run = jitml.live(range(3))
    for _ in run:
        pass
    assert [kind for kind, _ in shown] == ["display", "update"]
    assert all(content is run for _, content in shown)
