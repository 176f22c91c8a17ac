from types import SimpleNamespace

import pytest

from nextpixel.training import display
from nextpixel.training.display import SECONDS_BETWEEN_LINES, Display


def test_a_log_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(display, "time", SimpleNamespace(monotonic=lambda: now))
    with Display(epochs=4) as shown:
        for second in range(101):
            now = 1000.0 + second
            if second == 50:
                shown.validated(1.75)
            shown.show(0.2 + second / 1000, epoch=second / 100, bits=2.0, rate=12.6)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 + 100 // SECONDS_BETWEEN_LINES
    assert lines[0] == "epoch 0.00/4: 2.0000 bits/dim, 13 images/s, time left unknown"
    assert lines[1] == "epoch 0.30/4: 2.0000 bits/dim, 13 images/s, 13 min left"  # 770 s, a thousandth a second
    assert lines[2] == "epoch 0.60/4: 2.0000 bits/dim, validation 1.7500, 13 images/s, 12 min left"


def test_the_time_left_is_told_in_seconds_at_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(display, "time", SimpleNamespace(monotonic=lambda: now))
    with Display(epochs=1) as shown:
        shown.show(0.5, epoch=0.5, bits=1.0, rate=1.0)
        now = 40.0
        shown.show(0.9, epoch=0.9, bits=1.0, rate=1.0)
    assert [line.rpartition(", ")[2] for line in capsys.readouterr().err.splitlines()] == [
        "time left unknown",
        "10 s left",
    ]


def test_a_run_of_so_many_minutes_takes_no_longer_and_says_so_from_the_first_step_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumed, too: what a run keeps for its last validation is not taken for progress that it has made since."""
    now = 0.0
    monkeypatch.setattr(display, "time", SimpleNamespace(monotonic=lambda: now))
    with Display(epochs=100) as shown:
        for now in (0.0, 30.0):
            shown.show(0.64 + now / 21000, epoch=16.5, bits=2.6, rate=12.0, limit=7500 - now)
    assert [line.rpartition(", ")[2] for line in capsys.readouterr().err.splitlines()] == [
        "at most 125 min left",
        "124 min left",
    ]
