"""How a training run talks with whoever started it: a bar in a terminal, a line now and then in a log, signals."""

import math
import signal
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

SECONDS_BETWEEN_LINES = 30
# Of the sixteen colours that every terminal has; shades that rich makes of others may be those of the background.
BAR_STYLES: dict[str, Any] = {"style": "bright_black", "complete_style": "cyan", "finished_style": "green"}


class Display:
    """Shows how far a run of so many epochs is, on the standard error stream."""

    def __init__(self, *, epochs: int) -> None:
        self._epochs = epochs
        self._console = Console(stderr=True)
        self._validation = ""
        self._last_line = float("-inf")
        self._began: tuple[float, float] | None = None  # when the first step was shown, and how far the run was then
        columns = BarColumn(bar_width=14, **BAR_STYLES), TextColumn("{task.description}", markup=False)
        self._bar = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task = self._bar.add_task("starting", total=1.0)

    def __enter__(self) -> "Display":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._bar.stop()

    def validated(self, bits: float) -> None:
        """Show the newest validation, in bits per dimension, from now on."""
        self._validation = f", validation {bits:.4f}"

    def doing(self, what: str) -> None:
        """Show that something else than steps is done."""
        self._bar.update(self._task, description=what)

    def show(self, progress: float, *, epoch: float, bits: float, rate: float, limit: float = math.inf) -> None:
        """Show a step: epochs done, the training loss, images a second, and seconds left, no more than the limit."""
        began, before = self._began = self._began or (time.monotonic(), progress)
        left, done, seconds = "time left unknown", progress - before, max(0.0, limit)
        if done > 0:
            seconds = min(seconds, (time.monotonic() - began) * (1 - progress) / done)
        if math.isfinite(seconds):
            left = f"{seconds / 60:.0f} min left" if seconds >= 90 else f"{seconds:.0f} s left"
            left = left if done > 0 else f"at most {left}"
        text = f"{bits:.4f} bits/dim{self._validation}, {rate:.0f} images/s, {left}"
        if self._console.is_terminal:
            self._bar.update(self._task, completed=progress, description=f"epoch {epoch:.2f}, {text}")
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            last = "" if math.isfinite(limit) else f"/{self._epochs}"  # minutes will end it, some time before
            self.say(f"epoch {epoch:.2f}{last}: {text}")

    def say(self, text: str) -> None:
        """Print a line of its own."""
        with suppress(OSError):  # nobody may be there any more: a closed terminal must not end a run
            if self._console.is_terminal:
                self._console.print(text, markup=False, highlight=False)
            else:
                print(text, file=sys.stderr, flush=True)


SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


@contextmanager
def interruption() -> Generator[threading.Event]:
    """Give an event that the first Ctrl-C, SIGTERM or SIGHUP sets; a second one has its usual effect.

    What whoever started the process had it ignore, as `nohup` does with SIGHUP, stays ignored.
    """
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only there can signals be handled
        yield event
        return
    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    usual = {number: signal.getsignal(number) for number in numbers}
    usual = {number: handler for number, handler in usual.items() if handler not in (signal.SIG_IGN, None)}

    def ask(number: int, frame: object) -> None:
        event.set()
        signal.signal(number, usual[signal.Signals(number)])

    for number in usual:
        signal.signal(number, ask)
    try:
        yield event
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
