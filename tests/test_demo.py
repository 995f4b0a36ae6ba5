"""The demo, with few epochs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from jitml import demo


def test_few_epochs_on_a_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = demo.load_digits(np.random.default_rng(1))
    part = demo.Digits(*(array[: 320 if k < 2 else 100] for k, array in enumerate(whole)))
    accuracy = demo.run(part, 5, 1, tmp_path / "new")
    text = capsys.readouterr().out
    lines = text.splitlines()
    losses = [float(x) for x in re.findall(r"^training: epoch \d/5  loss ([\d.]+)$", text, re.M)]
    assert len(losses) == 5
    assert losses[-1] < 0.6 * losses[0]
    assert accuracy > 0.6
    assert lines[0] == "320 digits to learn from, 100 to test on"
    assert lines[-1] == f"test accuracy {accuracy:.3f}"
    assert re.search(r"^compiled \d+ programs: \d+ kernels in \d+ ms$", text, re.M)
    picture = (tmp_path / "new" / "digits.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(picture) > 10_000


def test_log_when_piped_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    for epoch in range(31):
        demo.show_progress(epoch, 30, [0.25] * epoch)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"training: epoch {e}/30  loss 0.2500" for e in (6, 12, 18, 24, 30)]


def test_bar_in_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    for epoch in range(4):
        demo.show_progress(epoch, 3, [0.25] * epoch)
    text = capsys.readouterr().out
    assert text.count("\n") == 1
    assert text.split("\r")[1].startswith("training " + "·" * 30 + " epoch 0/3  compiling")
    assert text.split("\r")[4].startswith("training " + "█" * 30 + " epoch 3/3  loss 0.2500")


def test_mistakes_are_shown() -> None:
    labels = np.zeros(40, np.int32)
    predictions = labels.copy()
    predictions[[0, 7]] = 1
    assert list(demo.examples(predictions, labels)[-2:]) == [0, 7]
    assert len(demo.examples(predictions, labels)) == 20
    assert len(demo.examples(predictions[:3], labels[:3])) == 3


def test_bad_options_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        demo.main(["--epochs", "0"])
    assert "--epochs must be at least 1" in capsys.readouterr().err


def test_missing_packages_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert demo.main([]) == 1
    assert "pip install scikit-learn matplotlib" in capsys.readouterr().out
