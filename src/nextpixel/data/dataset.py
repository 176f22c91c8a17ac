"""What a data set is: three splits of integer images, with labels and maps where there are any."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from nextpixel.data.lazy import Images, choose
from nextpixel.spec import ImageSpec

Draw = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True, eq=False)
class Split:
    """Images and their labels; `batch` hands out some of them as tensors.

    Args:
        images: unsigned integers, shape (N, C, H, W). An array in memory, a memory map, or anything else with a length
            that can be indexed by an array of integers.
        labels: class labels from 0, int64, shape (N,), or None.
        draw: changes the images of every batch anew, with noise (dynamic binarisation), or None.
        maps: what a `Map` context is given: codes (integers) or numbers (floats), shape (N, d, h, w), or None.
    """

    images: Images
    labels: np.ndarray | None = None
    draw: Draw | None = None
    maps: Images | None = None

    def __len__(self) -> int:
        return len(self.images)

    def batch(
        self, indices: Sequence[int] | np.ndarray | Tensor, noise: np.random.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """Copy some images and their labels into tensors.

        Args:
            indices: which images, shape (B,).
            noise: where a split that draws takes its noise from; others leave it alone.

        Returns:
            Levels, shape (B, C, H, W), uint8 where they fit and else int32; labels, int64, shape (B,), or None.
        """
        chosen = np.asarray(indices, dtype=np.int64)
        images = np.asarray(self.images[chosen])
        if self.draw is not None:
            images = self.draw(images, noise)
        if images.dtype != np.uint8:  # torch computes little with wider unsigned integers
            images = images.astype(np.int32)
        labels = None if self.labels is None else torch.from_numpy(self.labels[chosen])
        return torch.from_numpy(np.ascontiguousarray(images)), labels

    def take(self, indices: np.ndarray | slice) -> "Split":
        """Keep only these images, in this order; those that are not in memory stay where they are."""
        labels = None if self.labels is None else self.labels[indices]
        maps = None if self.maps is None else choose(self.maps, indices)
        return replace(self, images=choose(self.images, indices), labels=labels, maps=maps)


@dataclass(frozen=True)
class MapKind:
    """What the maps of a data set are.

    Args:
        size: codes or numbers at each place (d).
        levels: values that a code can take, 0 … levels − 1; None where the maps are floating-point numbers.
    """

    size: int
    levels: int | None = None


@dataclass(frozen=True, eq=False)
class Parts:
    """What a reader found: the training images, and the other splits where the source has them.

    Args:
        class_names: of the classes, in the order of their labels; None where they have numbers only.
        notes: sentences without a full stop, about what was skipped, left alone or converted.
    """

    spec: ImageSpec
    classes: int | None
    train: Split
    validation: Split | None = None
    test: Split | None = None
    maps: MapKind | None = None
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class DataSet:
    """A named set of images that all have one spec, in three disjoint splits.

    Args:
        name: as it was asked for.
        spec: shape and levels of what `Split.batch` returns.
        classes: how many class labels there are, or None without labels.
        maps: what the maps beside the images are, or None without maps.
    """

    name: str
    spec: ImageSpec
    classes: int | None
    train: Split
    validation: Split
    test: Split
    maps: MapKind | None = None
