"""How many threads torch computes with: all, or one where that is much quicker, unless OMP_NUM_THREADS says it.

Threads wait for each other in every layer: where other processes have the cores, that takes a hundred times as long.
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
    thread, for the number is that of a process. As sums depend on how threads divide them, one must be much quicker.

    Args:
        what, device: what is done in the laps, for the log, and where; only a processor has threads.
        laps, margin: of each part of a trial; how many times as quick one thread must be.
        chosen: by an earlier run, for a minute; None to begin with a trial.
    """

    def __init__(self, what: str, device: torch.device, *, laps: int, margin: float, chosen: int | None = None) -> None:
        self.all = torch.get_num_threads()
        ours = threading.current_thread() is threading.main_thread() and device.type == "cpu"
        self.fixed = self.all == 1 or not ours or bool({"OMP_NUM_THREADS", "RANK"} & {*os.environ})
        self.chosen = self.all if self.fixed or chosen is None else min(chosen, self.all)
        self._what, self._laps, self._margin = what, laps, margin
        self._due = float("-inf") if chosen is None else time.monotonic() + AGAIN
        self._began, self._taken = time.monotonic(), list[float]()  # seconds of the laps of a trial

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
            alone = len(self._taken) < 2 * self._laps if self.trying else self.chosen == 1
            torch.set_num_threads(1 if alone else self.all)
            self._began = time.monotonic()

    def lap(self) -> None:
        """End a lap, and begin the next."""
        if self.fixed or not (self._taken or self.trying):
            return
        self._taken.append(time.monotonic() - self._began)
        one, every = sum(self._taken[self._laps : 2 * self._laps]), sum(self._taken[2 * self._laps :])
        if len(self._taken) == 3 * self._laps or every > 2 * self._margin * one:
            self.chosen = 1 if every > self._margin * one else self.all
            told = (self._what, self.chosen, self.all, one, every)
            _log.info("%s: %d of %d threads; %.3g s with one, %.3g s with all", *told)
            self._due = time.monotonic() + max(AGAIN, (2 * one + every) / SHARE)
            self._taken.clear()
        self.start()
