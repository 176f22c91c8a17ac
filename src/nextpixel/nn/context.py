"""What an image may be conditioned on, brought to one form: features on a grid of places."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nextpixel.errors import BadInput
from nextpixel.spec import ImageSpec


@dataclass(frozen=True)
class Context(ABC):
    """A kind of context: it checks what the user gives and turns it into a map of features."""

    @property
    @abstractmethod
    def features(self) -> int:
        """Features of the map (d)."""

    @abstractmethod
    def check(self, value: object, batch: int, spec: ImageSpec) -> Any:
        """What the user gave, as a tensor (or a tuple of them) with `batch` entries.

        Raises:
            BadInput: it is missing, of the wrong shape or type, or out of range.
        """

    @abstractmethod
    def encode(self, value: Any, spec: ImageSpec, like: Tensor) -> Tensor:
        """A checked value as a (B, d, 1 or H, 1 or W) map with the dtype and device of `like`."""


@dataclass(frozen=True)
class ClassLabel(Context):
    """A class for each image: a bias of its own in every layer.

    Args:
        classes: number of classes; labels are 0 … classes − 1.

    Example:
        >>> ClassLabel(10).check([3, 7], 2, ImageSpec())
        tensor([3, 7])
    """

    classes: int

    def __post_init__(self) -> None:
        _check_size(self, "classes", self.classes)

    @property
    def features(self) -> int:
        return self.classes

    def check(self, value: object, batch: int, spec: ImageSpec) -> Tensor:
        """Labels as int64, shape (B,); a single number stands for the whole batch."""
        if value is None:
            raise BadInput(f"This model needs a class label in [0, {self.classes}) for each image; none was given.")
        try:
            labels = torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise BadInput(f"Class labels must be integers in [0, {self.classes}), not {value!r}.") from error
        if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
            kind = str(labels.dtype).removeprefix("torch.")
            raise BadInput(f"Class labels must be integers in [0, {self.classes}), not {kind} values.")
        if labels.ndim == 0:
            labels = labels.expand(batch)
        if labels.shape != (batch,):
            raise BadInput(f"Class labels must have shape ({batch},), one for each image, not {tuple(labels.shape)}.")
        outside = labels[(labels < 0) | (labels >= self.classes)]
        if outside.numel():
            raise BadInput(f"Class labels must be in [0, {self.classes}); one is {int(outside[0])}.")
        return labels.long()

    def encode(self, value: Tensor, spec: ImageSpec, like: Tensor) -> Tensor:
        return F.one_hot(value.to(like.device), self.classes)[:, :, None, None].to(like.dtype)


@dataclass(frozen=True)
class Vector(Context):
    """Numbers about a whole image, such as an embedding: a bias V·h in every layer (van den Oord et al. 2016b, eq. 4).

    Args:
        size: how many numbers (d).

    Example:
        >>> Vector(5).check(torch.zeros(2, 5), 2, ImageSpec()).shape
        torch.Size([2, 5])
    """

    size: int

    def __post_init__(self) -> None:
        _check_size(self, "size", self.size)

    @property
    def features(self) -> int:
        return self.size

    def check(self, value: object, batch: int, spec: ImageSpec) -> Tensor:
        """Finite floating-point numbers, shape (B, d)."""
        vectors = _numbers(value, f"a vector of {self.size} numbers for each image")
        if vectors.shape != (batch, self.size):
            raise BadInput(f"The vectors must have shape ({batch}, {self.size}), not {tuple(vectors.shape)}.")
        return vectors

    def encode(self, value: Tensor, spec: ImageSpec, like: Tensor) -> Tensor:
        return value.to(like)[:, :, None, None]


@dataclass(frozen=True)
class Map(Context):
    """Numbers about every place of an image, such as a layout or coarser codes: a bias of its own at each place.

    A map smaller than the image by whole factors is enlarged by repeating its places (van den Oord et al. 2016b, eq. 5,
    project theirs with a deconvolution; here each layer has a 1x1 projection).

    Args:
        size: features of the map (d).

    Example:
        >>> Map(3).check(torch.zeros(2, 3, 7, 14), 2, ImageSpec(1, 28, 28)).shape
        torch.Size([2, 3, 7, 14])
    """

    size: int

    def __post_init__(self) -> None:
        _check_size(self, "size", self.size)

    @property
    def features(self) -> int:
        return self.size

    def check(self, value: object, batch: int, spec: ImageSpec) -> Tensor:
        """Finite floating-point numbers, shape (B, d, h, w), where h divides H and w divides W."""
        maps = _numbers(value, f"a map of {self.size} features for each image")
        if maps.ndim != 4 or maps.shape[:2] != (batch, self.size) or 0 in maps.shape:
            raise BadInput(f"The maps must have shape ({batch}, {self.size}, h, w), not {tuple(maps.shape)}.")
        height, width = maps.shape[2:]
        if spec.height % height or spec.width % width:
            raise BadInput(
                f"A map of {height}x{width} places cannot be enlarged by whole factors to images of "
                f"{spec.height}x{spec.width}."
            )
        return maps

    def encode(self, value: Tensor, spec: ImageSpec, like: Tensor) -> Tensor:
        height, width = value.shape[2:]
        across = value.to(like).repeat_interleave(spec.width // width, 3)
        return across.repeat_interleave(spec.height // height, 2)


@dataclass(frozen=True)
class Both(Context):
    """Two contexts at once, given as a pair: their biases add up.

    Args:
        first: a context.
        second: another.

    Example:
        >>> Both(ClassLabel(10), Vector(5)).features
        15
    """

    first: Context
    second: Context

    def __post_init__(self) -> None:
        for part in (self.first, self.second):
            if not isinstance(part, Context):
                raise BadInput(f"Both: each part must be a Context such as ClassLabel(10), not {part!r}.")

    @property
    def features(self) -> int:
        return self.first.features + self.second.features

    def check(self, value: object, batch: int, spec: ImageSpec) -> tuple[Any, Any]:
        """A pair of what the parts accept."""
        if not isinstance(value, tuple | list) or len(value) != 2:
            given = f"a {type(value).__name__}" if value is not None else "nothing"
            raise BadInput(f"This model needs a pair, one for {self.first} and one for {self.second}, not {given}.")
        return self.first.check(value[0], batch, spec), self.second.check(value[1], batch, spec)

    def encode(self, value: tuple[Any, Any], spec: ImageSpec, like: Tensor) -> Tensor:
        maps = [part.encode(its, spec, like) for part, its in zip((self.first, self.second), value, strict=True)]
        height, width = (max(part.shape[axis] for part in maps) for axis in (2, 3))
        return torch.cat([part.expand(-1, -1, height, width) for part in maps], 1)


CONTEXTS: dict[str, type[Context]] = {kind.__name__: kind for kind in (ClassLabel, Vector, Map, Both)}


def describe(context: Context | None) -> dict[str, Any] | None:
    """A context as JSON values, for a model's file."""
    if context is None:
        return None
    values = {field.name: getattr(context, field.name) for field in fields(context)}
    parts = {name: describe(value) if isinstance(value, Context) else value for name, value in values.items()}
    return {"kind": type(context).__name__, **parts}


def restore(described: dict[str, Any] | None) -> Context | None:
    """The context that `describe` described.

    Raises:
        KeyError, TypeError: it is not such a description.
    """
    if described is None:
        return None
    parts = {name: value for name, value in described.items() if name != "kind"}
    return CONTEXTS[described["kind"]](
        **{name: restore(value) if isinstance(value, dict) else value for name, value in parts.items()}
    )


def _check_size(context: Context, name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadInput(f"{type(context).__name__}: {name} must be a whole number of at least 1, not {value!r}.")


def _numbers(value: object, wanted: str) -> Tensor:
    if value is None:
        raise BadInput(f"This model needs {wanted}; none was given.")
    if not isinstance(value, Tensor) or not value.is_floating_point():
        kind = str(value.dtype).removeprefix("torch.") if isinstance(value, Tensor) else type(value).__name__
        raise BadInput(f"This model needs {wanted}, as a tensor of floating-point numbers, not {kind}.")
    if not bool(value.isfinite().all()):
        raise BadInput(f"This model needs {wanted}; some are not finite.")
    return value
