"""How many threads torch computes with: all, or one where that is much quicker.

Threads wait for each other in every layer. Where other processes have the cores, that makes small layers ten or a
hundred times slower than one thread alone; so both are measured, unless OMP_NUM_THREADS says how many there shall be.
"""

import logging
import os
import threading
import time

import torch

AGAIN, SHARE = 60.0, 0.02  # seconds between trials at the least, and what part of all time they may take

_log = logging.getLogger(__name__)


class Threads:
    """Sets the number of torch's threads for laps of equal work, until the end of a `with`.

    A trial is so many laps with one thread that do not count, as many that do, and as many with all threads, or fewer
    where these are slow; then the better number is kept, for a minute or more. Nothing is tried outside of the main
    thread, for the number is that of a process. As sums depend on how threads divide them, one thread must be `margin`
    times as quick: for what makes a difference, not for what the clock happens to say.

    Args:
        what: is done in the laps of a trial, for the log.
        device: where; only a processor has threads.
        laps, margin: as above.
        chosen: by an earlier run, for a minute; None to begin with a trial.
    """

    def __init__(self, what: str, device: torch.device, *, laps: int, margin: float, chosen: int | None = None) -> None:
        self.all = torch.get_num_threads()
        ours = threading.current_thread() is threading.main_thread() and device.type == "cpu"
        self.fixed = self.all == 1 or not ours or bool({"OMP_NUM_THREADS", "RANK"} & {*os.environ})
        self.chosen = self.all if self.fixed or chosen is None else min(chosen, self.all)
        self._what, self._laps, self._margin = what, laps, margin
        self._due = float("-inf") if chosen is None else time.monotonic() + AGAIN
        self._done, self._one, self._every = 0, 0.0, 0.0  # laps of a trial, and seconds of them
        self._began = time.monotonic()

    @property
    def trying(self) -> bool:
        """Whether the next lap is one of a trial."""
        return not self.fixed and time.monotonic() >= self._due

    def __enter__(self) -> "Threads":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self.fixed:
            torch.set_num_threads(self.all)

    def start(self) -> None:
        """Begin a lap."""
        if not self.fixed:
            alone = self._done < 2 * self._laps if self.trying else self.chosen == 1
            torch.set_num_threads(1 if alone else self.all)
            self._began = time.monotonic()

    def lap(self) -> None:
        """End a lap, and begin the next."""
        if self.fixed or not (self._done or self.trying):
            return
        seconds = time.monotonic() - self._began
        if self._done >= 2 * self._laps:
            self._every += seconds
        elif self._done >= self._laps:
            self._one += seconds
        self._done += 1
        if self._done == 3 * self._laps or self._every > 2 * self._margin * self._one:
            self._decide()
        self.start()

    def _decide(self) -> None:
        self.chosen = 1 if self._every > self._margin * self._one else self.all
        told = (self._what, self.chosen, self.all, self._one, self._every)
        _log.info("%s: %d of %d threads; %.3g s with one, %.3g s with all", *told)
        self._due = time.monotonic() + max(AGAIN, (2 * self._one + self._every) / SHARE)
        self._done, self._one, self._every = 0, 0.0, 0.0
