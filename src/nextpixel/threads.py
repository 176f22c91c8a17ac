"""How many threads torch computes with, chosen by measuring.

Beside another busy process, or for small matrices, a barrier of threads costs more than the second thread brings: up to
ten times the whole work. So repeated work is timed with one thread and with all, and again now and then.
"""

import math
import os
import time
from collections.abc import Generator
from contextlib import contextmanager

import torch


class Threads:
    """Chooses between one thread and all that torch has, for work that consists of many alike pieces.

    Nothing is chosen, and torch's number stays, where OMP_NUM_THREADS is set, torch has one thread, or the work is not
    the processor's. The number that torch had is given back in the end.

    Args:
        device: where the work is done.
        pieces: timed with each number; the fastest of them counts.
        again: seconds after which it is measured anew.
    """

    def __init__(self, device: torch.device, *, pieces: int = 4, again: float = 60.0) -> None:
        self._every = torch.get_num_threads()
        chosen = device.type != "cpu" or self._every == 1 or "OMP_NUM_THREADS" in os.environ
        self._candidates = [self._every] if chosen else [1, self._every]
        self._pieces, self._again = pieces, again
        self.count = self._every
        self._measure()

    def __enter__(self) -> "Threads":
        return self

    def __exit__(self, *error: object) -> None:
        self._use(self._every)

    @contextmanager
    def piece(self) -> Generator[None]:
        """Do a piece of the work in this context."""
        if len(self._candidates) == 1:
            yield
            return
        now = time.monotonic()
        if not self._left and now > self._until:
            self._measure()
        self._use(self._left[-1] if self._left else self.count)
        began = time.perf_counter()
        yield
        if self._left:
            tried = self._left.pop()
            self._best[tried] = min(self._best[tried], time.perf_counter() - began)
            if not self._left:
                self.count = min(self._candidates, key=self._best.__getitem__)
                self._until = now + self._again

    def _measure(self) -> None:
        self._best = dict.fromkeys(self._candidates, math.inf)
        self._left = [count for count in reversed(self._candidates) for _ in range(self._pieces)]
        self._until = math.inf

    @staticmethod
    def _use(count: int) -> None:
        if torch.get_num_threads() != count:
            torch.set_num_threads(count)
