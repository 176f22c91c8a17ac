"""Images that are read when they are indexed, for data sets larger than the memory.

Choosing, joining and changing such images only notes what to do; the file is read when a batch is asked for.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

# An array in memory, a memory map, `Lazy`, or whatever else has a length and is indexed by an array of integers. `Any`
# stands for the latter, so that who opens a small set may treat its images as the array that they are.
Images: TypeAlias = np.ndarray | Any


class Lazy(ABC):
    """Images that stay where they are, indexed along their first axis as an array is."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, indices: np.ndarray) -> np.ndarray:
        """Read images into memory: those of `indices`, from 0, shape (B,), as an array of shape (B, C, H, W)."""

    def __getitem__(self, indices: Any) -> np.ndarray:
        chosen = np.arange(len(self))[indices]  # whatever numpy takes: a slice, a mask, numbers from the end
        images = self.read(np.atleast_1d(chosen))
        return images if chosen.ndim else images[0]


class Stacked(Lazy):
    """Several sources, one after the other.

    Args:
        sources: their images must be alike; at least one.
    """

    def __init__(self, sources: Sequence[Images]) -> None:
        self._sources = list(sources)
        self._starts = np.cumsum([0, *(len(source) for source in sources)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, indices: np.ndarray) -> np.ndarray:
        like = np.asarray(self._sources[0][:0])
        images = np.empty((len(indices), *like.shape[1:]), like.dtype)
        which = np.searchsorted(self._starts, indices, side="right") - 1
        for number in np.unique(which):
            here = which == number
            images[here] = self._sources[number][indices[here] - self._starts[number]]
        return images


class Chosen(Lazy):
    """Some images of a source, in an order of their own.

    Args:
        source: where they are.
        indices: which, shape (N,).
    """

    def __init__(self, source: Images, indices: np.ndarray) -> None:
        self.source, self.indices = source, indices

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, indices: np.ndarray) -> np.ndarray:
        return np.asarray(self.source[self.indices[indices]])


class Changed(Lazy):
    """Images to which something is done whenever they are read.

    Args:
        source: where they are.
        function: what is done, to a batch of them.
    """

    def __init__(self, source: Images, function: Callable[[np.ndarray], np.ndarray]) -> None:
        self._source, self._function = source, function

    def __len__(self) -> int:
        return len(self._source)

    def read(self, indices: np.ndarray) -> np.ndarray:
        return self._function(np.asarray(self._source[indices]))


def choose(images: Images, indices: np.ndarray | slice) -> Images:
    """Take some images: at once where they are in memory, else when they are read."""
    if _in_memory(images):
        return images[indices]
    if isinstance(images, Chosen):
        return Chosen(images.source, images.indices[indices])
    return Chosen(images, np.arange(len(images))[indices])


def change(images: Images, function: Callable[[np.ndarray], np.ndarray]) -> Images:
    """Do something to images: at once where they are in memory, else when they are read."""
    return function(images) if _in_memory(images) else Changed(images, function)


def _in_memory(images: Images) -> bool:
    return isinstance(images, np.ndarray) and not isinstance(images, np.memmap)
