"""Images that are read when they are indexed, for data sets larger than the memory.

Choosing, joining and changing such images only notes what to do; the file is read when a batch is asked for.
"""

import hashlib
import operator
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

    @abstractmethod
    def contents(self, indices: np.ndarray) -> np.ndarray:
        """Numbers that the contents of these images alone decide, uint64, shape (B,); see the function below."""

    def __getitem__(self, indices: Any) -> np.ndarray:
        chosen = np.arange(len(self))[indices]  # whatever numpy takes: a slice, a mask, numbers from the end
        images = self.read(np.atleast_1d(chosen))
        return images if chosen.ndim else images[0]


class View(Lazy):
    """Images of some sources, those of `indices` (N,), counted through all sources; all of them when None.

    `function` is done to a batch whenever it is read; it changes nothing about `contents`.
    """

    def __init__(
        self,
        sources: Sequence[Images],
        indices: np.ndarray | None = None,
        function: Callable[[np.ndarray], np.ndarray] = lambda images: images,
    ) -> None:
        self.sources, self.function = list(sources), function
        self._starts = np.cumsum([0, *map(len, sources)])
        self.indices = np.arange(self._starts[-1]) if indices is None else indices

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, indices: np.ndarray) -> np.ndarray:
        like = np.asarray(self.sources[0][:0])
        images = np.empty((len(indices), *like.shape[1:]), like.dtype)
        return self.function(self._gathered(indices, images, operator.getitem))

    def contents(self, indices: np.ndarray) -> np.ndarray:
        return self._gathered(indices, np.empty(len(indices), np.uint64), contents)

    def _gathered(
        self, indices: np.ndarray, found: np.ndarray, ask: Callable[[Images, np.ndarray], np.ndarray]
    ) -> np.ndarray:
        chosen = self.indices[indices]
        which = np.searchsorted(self._starts, chosen, side="right") - 1
        for number in np.unique(which):
            here = which == number
            found[here] = ask(self.sources[number], chosen[here] - self._starts[number])
        return found


def contents(images: Images, indices: np.ndarray | None = None) -> np.ndarray:
    """A number for each image that its content alone decides, uint64: eight bytes of a hash of its shape and levels.

    Of image files that stay on disk, a hash of the file: it need not be decoded. All images when `indices` is None.
    """
    chosen = np.arange(len(images)) if indices is None else indices
    if isinstance(images, Lazy):
        return images.contents(chosen)
    numbers = np.empty(len(chosen), np.uint64)
    for place, index in enumerate(chosen):
        image = np.asarray(images[index])
        # Whatever dtype the levels came in.
        plain = image.astype(np.uint8 if image.dtype == np.uint8 or image.max() < 256 else "<u4")
        numbers[place] = number_of(str(image.shape).encode(), plain.tobytes())
    return numbers


def number_of(*parts: bytes) -> int:
    """Eight bytes of a hash, as a number."""
    return int.from_bytes(hashlib.blake2b(b"".join(parts), digest_size=8).digest(), "big")


def choose(images: Images, indices: np.ndarray | slice) -> Images:
    """Take some images: at once where they are in memory, else when they are read."""
    if in_memory(images):
        return images[indices]
    view = _view(images)
    return View(view.sources, view.indices[indices], view.function)


def change(images: Images, function: Callable[[np.ndarray], np.ndarray]) -> Images:
    """Do something to images: at once where they are in memory, else when they are read."""
    if in_memory(images):
        return function(images)
    view = _view(images)
    return View(view.sources, view.indices, lambda some: function(view.function(some)))


def _view(images: Images) -> View:
    return images if isinstance(images, View) else View([images])


def in_memory(images: Images) -> bool:
    """Whether images are an array that need not be read from anywhere."""
    return isinstance(images, np.ndarray) and not isinstance(images, np.memmap)
