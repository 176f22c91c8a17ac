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


class Stacked(Lazy):
    """Several sources of images that are alike, at least one, one after the other."""

    def __init__(self, sources: Sequence[Images]) -> None:
        self._sources = list(sources)
        self._starts = np.cumsum([0, *(len(source) for source in sources)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, indices: np.ndarray) -> np.ndarray:
        like = np.asarray(self._sources[0][:0])
        return self._gathered(indices, np.empty((len(indices), *like.shape[1:]), like.dtype), operator.getitem)

    def contents(self, indices: np.ndarray) -> np.ndarray:
        return self._gathered(indices, np.empty(len(indices), np.uint64), contents)

    def _gathered(
        self, indices: np.ndarray, found: np.ndarray, ask: Callable[[Images, np.ndarray], np.ndarray]
    ) -> np.ndarray:
        which = np.searchsorted(self._starts, indices, side="right") - 1
        for number in np.unique(which):
            here = which == number
            found[here] = ask(self._sources[number], indices[here] - self._starts[number])
        return found


class Chosen(Lazy):
    """Some images of a source, in an order of their own; the indices have shape (N,)."""

    def __init__(self, source: Images, indices: np.ndarray) -> None:
        self.source, self.indices = source, indices

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, indices: np.ndarray) -> np.ndarray:
        return np.asarray(self.source[self.indices[indices]])

    def contents(self, indices: np.ndarray) -> np.ndarray:
        return contents(self.source, self.indices[indices])


class Changed(Lazy):
    """Images to which something is done, a batch at a time, whenever they are read."""

    def __init__(self, source: Images, function: Callable[[np.ndarray], np.ndarray]) -> None:
        self._source, self._function = source, function

    def __len__(self) -> int:
        return len(self._source)

    def read(self, indices: np.ndarray) -> np.ndarray:
        return self._function(np.asarray(self._source[indices]))

    def contents(self, indices: np.ndarray) -> np.ndarray:
        return contents(self._source, indices)  # they stand for what is made of them


def contents(images: Images, indices: np.ndarray | None = None) -> np.ndarray:
    """A number for each image that its content alone decides: eight bytes of a hash (BLAKE2b) of its shape and levels.

    Of image files that stay on disk, a hash of the file: it need not be decoded.

    Args:
        images: shape (N, C, H, W).
        indices: of those asked for; all when None.

    Returns:
        uint64, shape (N,) or that of the indices.
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
    if isinstance(images, Chosen):
        return Chosen(images.source, images.indices[indices])
    return Chosen(images, np.arange(len(images))[indices])


def change(images: Images, function: Callable[[np.ndarray], np.ndarray]) -> Images:
    """Do something to images: at once where they are in memory, else when they are read."""
    return function(images) if in_memory(images) else Changed(images, function)


def in_memory(images: Images) -> bool:
    """Whether images are an array that need not be read from anywhere."""
    return isinstance(images, np.ndarray) and not isinstance(images, np.memmap)
