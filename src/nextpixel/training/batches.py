"""The training batches in their order."""

import math
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
from torch import Tensor

from nextpixel import processes
from nextpixel.data import Split
from nextpixel.data.lazy import in_memory
from nextpixel.errors import BadInput, Damaged
from nextpixel.nn.context import Context
from nextpixel.pairing import given

_WINDOW = 4096  # images of a stream that are here at once, and as many on their way, of all processes together
_MOST_AHEAD = 8  # batches, and threads that read them: no more than processors


class Batches:
    """The batches of all epochs; any one by its number, so that a run can go on where it stopped.

    Each epoch is a permutation of its own. An incomplete last batch is left out, unless it is the only one. Images that
    are not in memory are read, decoded and changed ahead, in threads.

    Args:
        size: images in a batch (B).
        seed: of the permutations and of the noise that the split's transform draws.
        context: what a model is to be given with the images; None for nothing.
        unreadable: how many images may be damaged; the next one that can be read stands in for each.
    """

    def __init__(
        self, split: Split, *, size: int, seed: int, context: Context | None = None, unreadable: int = 0
    ) -> None:
        self.split, self.seed, self.context = split, seed, context
        self.size, self.per_epoch = min(size, len(split)), max(1, len(split) // size)
        self.waited = 0.0  # seconds, by whoever asked for a batch
        self.allowed: float = unreadable  # without limit in some streams
        self._damaged, self._heard = set[str](), set[str]()  # what is said of images: one's own, those of all processes
        self._news = list[str]()
        self._order = lru_cache(2)(lambda epoch: np.random.default_rng([seed, epoch]).permutation(len(split)))
        self._ahead = 0 if in_memory(split.images) else min(_MOST_AHEAD, os.cpu_count() or 1)
        self._threads = ThreadPoolExecutor(self._ahead) if self._ahead else None
        self._asked: dict[tuple[int, Any, Any], Future[tuple[Tensor, Any]]] = {}

    def __getitem__(self, step: int) -> tuple[Tensor, Any]:
        """Images (B, C, H, W) of a step of the run, and what is given with them."""
        return self.part(step, slice(None))

    def part(self, step: int, own: slice) -> tuple[Tensor, Any]:
        """Some images of a step; those of the next steps are asked for."""
        began = time.monotonic()
        if self._threads is None:
            made = self._made(step, own)
        else:
            keys = [(later, own.start, own.stop) for later in range(step, step + 1 + self._ahead)]
            asked = {key: self._threads.submit(self._made, key[0], own) for key in keys if key not in self._asked}
            self._asked = {key: future for key, future in self._asked.items() if key[0] >= step} | asked
            made = self._asked[keys[0]].result()
        self.waited += time.monotonic() - began
        return made

    def indices(self, step: int) -> np.ndarray:
        """Which images of the split a step learns from."""
        epoch, number = divmod(step, self.per_epoch)
        return self._order(epoch)[number * self.size : (number + 1) * self.size]

    def start(self, where: Mapping[str, Any] | None) -> None:
        """Begin the run, or go on where `where` said that it was."""

    def where(self, step: int) -> dict[str, Any] | None:
        """Where the images of a step are, as JSON values, if that is to be kept: when a stream has gone on."""
        return None

    def news(self) -> list[str]:
        """Sentences about images that turned out to be damaged since this was asked last."""
        told, self._news = self._news, []
        return told

    def heard(self, news: Iterable[str]) -> Iterator[str]:
        """The sentences of all processes that are new, as two may meet one image; a BadInput after one too many."""
        for line in news:
            if line not in self._heard:
                self._heard.add(line)
                yield line
                self._limit(self._heard, line)

    def close(self) -> None:
        """Let go of the threads."""
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    def _made(self, step: int, own: slice) -> tuple[Tensor, Any]:
        indices = self.indices(step)
        whole = self.split.draw is not None  # the noise is drawn for the batch as a whole
        chosen = indices if whole else indices[own]
        noise = np.random.default_rng([self.seed, *divmod(step, self.per_epoch)])
        try:
            images, _ = self.split.batch(chosen, noise)
        except Damaged:
            chosen = np.array([self._readable(int(index)) for index in chosen])
            images, _ = self.split.batch(chosen, noise)
        if whole:
            images, chosen = images[own], chosen[own]
        return images, given(self.context, self.split, chosen)

    def _readable(self, index: int) -> int:
        """The image itself, or the next one that can be read."""
        for other in (np.arange(index, index + len(self.split)) % len(self.split)).tolist():
            try:
                self.split.images[[other]]
                return other
            except Damaged as error:
                self._note(f"{str(error).rstrip('.')}: another stands in for it.")
        raise BadInput("No training image can be read any more.")

    def _note(self, line: str) -> None:
        """Remember what to say of a damaged image."""
        if line not in self._damaged:
            self._damaged.add(line)
            self._news.append(line)
        self._limit(self._damaged, line)

    def _limit(self, found: Collection[str], last: str) -> None:
        if len(found) > self.allowed:
            raise BadInput(f"{last.rpartition(':')[0]}; training.unreadable allows for {self.allowed} such.")


class Streamed(Batches):
    """The same of a stream, in an order of its own; each process takes its part of a step from its own images."""

    def __init__(self, split: Split, *, size: int, seed: int, context: Context | None, unreadable: int) -> None:
        super().__init__(split, size=size, seed=seed, context=context, unreadable=unreadable)
        self.stream, self.size = split.stream, size
        self.allowed = math.inf if self.stream.skips else unreadable
        if self.stream.images is None:
            raise BadInput(f"{self.stream.what} does not say how many images it has; data.limit says it, for an epoch.")
        self.per_epoch = max(1, self.stream.images // size)
        self._steps = max(1, _WINDOW // size)  # of a window
        rank, count = processes.rank(), processes.size()
        self._base, end = size * rank // count, size * (rank + 1) // count
        self._each = end - self._base
        self._kept = -1

    def start(self, where: Mapping[str, Any] | None) -> None:
        own = {"rank": processes.rank(), "size": processes.size()}
        if where is not None:
            if (count := len(where["states"])) != own["size"]:
                raise BadInput(f"A run that reads a stream goes on with as many processes as it began with, {count}.")
            own |= {"window": where["window"], "where": where["states"][own["rank"]]}
        self.stream.start(self._each * self._steps, **own)

    def __getitem__(self, step: int) -> tuple[Tensor, Any]:
        """Of the first images, which all processes have."""
        indices = np.arange(self.size) % len(self.split)
        return self.split.batch(indices, np.random.default_rng(0))[0], given(self.context, self.split, indices)

    def part(self, step: int, own: slice) -> tuple[Tensor, Any]:
        """Some images of a step, in the order of the windows."""
        began = time.monotonic()
        window, number = divmod(step, self._steps)
        split, _ = self.stream.window(window)
        while self.stream.lost:  # in the windows so far
            self._note(f"{self.stream.lost.pop(0)} cannot be read: it is left out.")
        order = np.random.default_rng([self.seed, window]).permutation(len(split))
        indices = order[(number * self._each + np.arange(self.size)[own] - self._base) % len(split)]
        images, _ = split.batch(indices, np.random.default_rng([self.seed, step]))
        self.waited += time.monotonic() - began
        return images, given(self.context, split, indices)

    def indices(self, step: int) -> np.ndarray:
        """Places in the stream, about."""
        return np.arange(step * self.size, (step + 1) * self.size)

    def where(self, step: int) -> dict[str, Any] | None:
        window = step // self._steps
        if window == self._kept:
            return None
        self._kept = window
        return {"window": window, "states": processes.told(self.stream.window(window)[1])}

    def close(self) -> None:
        self.stream.close()
