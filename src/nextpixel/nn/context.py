"""What an image may be conditioned on, brought to one form: features on a grid of places."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextpixel.errors import BadInput, closest, plain, whole
from nextpixel.nn.embedding import Named
from nextpixel.nn.latent import SpreadOut
from nextpixel.spec import ImageSpec, kind, within


@dataclass(frozen=True)
class Context(ABC):
    """A kind of context: it checks what the user gives and turns it into a map of features."""

    @property
    @abstractmethod
    def features(self) -> int:
        """Features of the map (d)."""

    @abstractmethod
    def check(self, value: object, batch: int, spec: ImageSpec) -> Any:
        """What the user gave, as a tensor (or a tuple of them) with `batch` entries; else a BadInput says why not."""

    @abstractmethod
    def encoder(self, spec: ImageSpec) -> nn.Module:
        """A layer from checked values to a (B, d, 1 or H, 1 or W) map of features."""


@dataclass(frozen=True)
class ClassLabel(Context):
    """A class for each image: a bias of its own in every layer.

    Args:
        classes: number of classes; labels are 0 … classes − 1.
        names: of the classes, all different, in the order of their labels; None where numbers say enough.

    Example:
        >>> ClassLabel(10).check([3, 7], 2, ImageSpec())
        tensor([3, 7])
        >>> ClassLabel(2, names=("cat", "dog")).number("dog")
        1
    """

    classes: int
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _check_size(self, "classes", self.classes)
        names = self.names
        if names is not None and (
            not isinstance(names, tuple)
            or not all(isinstance(name, str) and name for name in names)
            or not len(set(names)) == len(names) == self.classes
        ):
            raise BadInput(f"ClassLabel: names must be {self.classes} different ones, one a class, not {self.names!r}.")

    @property
    def listed(self) -> str:
        """The classes, for a sentence."""
        return f"classes 0 to {self.classes - 1}" if self.names is None else f"classes {', '.join(self.names)}"

    def name(self, label: int) -> str:
        """What a class is called: by its name, or else by its number."""
        return str(label) if self.names is None else self.names[label]

    def number(self, name: str) -> int:
        """The label of a class, by its name, or as a number if not all names are numbers; BadInput if there is none."""
        if self.names is not None and name in self.names:
            return self.names.index(name)
        plain = name.isascii() and name.isdecimal() and len(name) <= 18
        if not plain or int(name) >= self.classes or all(map(str.isdecimal, self.names or ("a",))):
            close = closest(name, self.names or ())
            meant = f" Did you mean {close}?" if close else ""
            raise BadInput(f"There is no class {name!r}; the model knows {self.listed}.{meant}")
        return int(name)

    @property
    def features(self) -> int:
        return self.classes

    def check(self, value: object, batch: int, spec: ImageSpec) -> Tensor:
        """Labels as int64, shape (B,), of numbers or names; a single one stands for the whole batch."""
        wanted = f"a class label in [0, {self.classes}) for each image"
        names = [value] if isinstance(value, str) else value if isinstance(value, list | tuple) else []
        if names and all(isinstance(name, str) for name in names):
            numbers = [self.number(name) for name in names]
            value = numbers[0] if isinstance(value, str) else numbers
        try:
            given = value if value is None else torch.as_tensor(plain(value))
        except (TypeError, ValueError, RuntimeError) as error:
            raise BadInput(f"This model needs {wanted}, not {value!r}.") from error
        labels = _tensor(given, wanted, integers=True)
        if labels.ndim == 0:
            labels = labels.expand(batch)
        if labels.shape != (batch,):
            raise BadInput(f"Class labels must have shape ({batch},), one for each image, not {tuple(labels.shape)}.")
        return within(labels, self.classes, "Class labels must be").long()

    def encoder(self, spec: ImageSpec) -> nn.Module:
        return _Encoder(partial(F.one_hot, num_classes=self.classes))


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
        """Finite floating-point numbers, shape (B, size)."""
        vectors = _tensor(value, f"a vector of {self.size} numbers for each image")
        if vectors.shape != (batch, self.size):
            raise BadInput(f"The vectors must have shape ({batch}, {self.size}), not {tuple(vectors.shape)}.")
        return vectors

    def encoder(self, spec: ImageSpec) -> nn.Module:
        return _Encoder(nn.Identity())


@dataclass(frozen=True)
class Latent(Vector):
    """The same numbers, spread by learnt layers over the places of an image: a bias of its own at each place.

    Args:
        size: how many numbers (z).
        maps: features of the map that is made of them (d).
        equalised: whether those layers have equalised learning rates (`nn.latent.Conv`).

    Example:
        >>> Latent(5, maps=8).features
        8
    """

    maps: int = 64
    equalised: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_size(self, "maps", self.maps)
        if not isinstance(self.equalised, bool):
            raise BadInput(f"Latent: equalised must be True or False, not {self.equalised!r}.")

    @property
    def features(self) -> int:
        return self.maps

    def encoder(self, spec: ImageSpec) -> nn.Module:
        return SpreadOut(self.size, self.maps, spec.height, spec.width, equalised=self.equalised)


@dataclass(frozen=True)
class Map(Context):
    """Numbers about every place of an image, such as a layout or coarser codes: a bias of its own at each place.

    A map smaller than the image by whole factors is enlarged by repeating its places (van den Oord et al. 2016b, eq. 5,
    project theirs with a deconvolution; here each layer has a 1x1 projection).

    Args:
        size: features of the map (d), or channels of a grid of codes.
        levels: names that a code of the grid can have, each of which gets a learnt vector; None for numbers.

    Example:
        >>> Map(3).check(torch.zeros(2, 3, 7, 14), 2, ImageSpec(1, 28, 28)).shape
        torch.Size([2, 3, 7, 14])
        >>> Map(1, levels=512).check(torch.full((2, 1, 4, 4), 511), 2, ImageSpec(1, 8, 8, levels=256)).dtype
        torch.int64
    """

    size: int
    levels: int | None = None

    def __post_init__(self) -> None:
        _check_size(self, "size", self.size)
        if self.levels is not None:
            _check_size(self, "levels", self.levels, least=2)

    @property
    def features(self) -> int:
        return self.size if self.levels is None else Named(self.size, self.levels).features * self.size

    def check(self, value: object, batch: int, spec: ImageSpec) -> Tensor:
        """Finite numbers, or integers in [0, levels), of shape (B, d, h, w), where h divides H and w divides W."""
        if self.levels is None:
            maps = _tensor(value, f"a map of {self.size} features for each image")
        else:
            codes = _tensor(value, f"a map of codes in [0, {self.levels}) for each image", integers=True)
            maps = within(codes, self.levels, "The codes of the maps must be").long()
        if maps.ndim != 4 or maps.shape[:2] != (batch, self.size) or 0 in maps.shape:
            raise BadInput(f"The maps must have shape ({batch}, {self.size}, h, w), not {tuple(maps.shape)}.")
        height, width = maps.shape[2:]
        if spec.height % height or spec.width % width:
            size = f"{spec.height}x{spec.width}"
            raise BadInput(f"A map of {height}x{width} places cannot be enlarged by whole factors to images of {size}.")
        return maps

    def encoder(self, spec: ImageSpec) -> nn.Module:
        names = None if self.levels is None else Named(self.size, self.levels)
        return _Encoder(partial(_enlarged, spec=spec), names)


@dataclass(frozen=True)
class Both(Context):
    """Two contexts at once, given as a pair: their biases add up.

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

    def encoder(self, spec: ImageSpec) -> nn.Module:
        return _Pair(self.first.encoder(spec), self.second.encoder(spec))


CONTEXTS: dict[str, type[Context]] = {kind.__name__: kind for kind in (ClassLabel, Vector, Latent, Map, Both)}


def describe(context: Context | None) -> dict[str, Any] | None:
    """A context as JSON values, for a model's file."""
    if context is None:
        return None
    values = {field.name: getattr(context, field.name) for field in fields(context)}
    parts = {name: describe(value) if isinstance(value, Context) else value for name, value in values.items()}
    return {"kind": type(context).__name__, **parts}


def restore(described: dict[str, Any] | None, *, deepest: int = 16) -> Context | None:
    """The context that `describe` described, nested no deeper than that; else BadInput, KeyError or TypeError."""
    if described is None:
        return None
    if deepest == 0:
        raise BadInput("its contexts are nested too deep.")
    parts = {name: value for name, value in described.items() if name != "kind"}
    for name, value in parts.items():
        nested = restore(value, deepest=deepest - 1) if isinstance(value, dict) else value
        parts[name] = tuple(nested) if isinstance(nested, list) else nested
    return CONTEXTS[described["kind"]](**parts)


class _Encoder(nn.Module):
    """From values in any dtype and on any device, or vectors of these names, to vectors or maps."""

    _unit: Tensor

    def __init__(self, encode: Callable[[Tensor], Tensor], names: Named | None = None) -> None:
        super().__init__()
        self.encode, self.names = encode, names  # no lambda, so that it can be pickled
        self.register_buffer("_unit", torch.ones(()), persistent=False)  # has the dtype and device of the weights

    def forward(self, value: Tensor) -> Tensor:
        maps = self.encode(value if self.names is None else self.names(value.to(self._unit.device))).to(self._unit)
        return maps if maps.ndim == 4 else maps[:, :, None, None]


class _Pair(nn.Module):
    """The encoders of two contexts."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, value: tuple[Any, Any]) -> Tensor:
        maps = [self.first(value[0]), self.second(value[1])]
        height, width = (max(part.shape[axis] for part in maps) for axis in (2, 3))
        return torch.cat([part.expand(-1, -1, height, width) for part in maps], 1)


def _enlarged(maps: Tensor, spec: ImageSpec) -> Tensor:
    """Each place of (B, d, h, w) repeated until there are as many as the image has."""
    height, width = maps.shape[2:]
    return maps.repeat_interleave(spec.width // width, 3).repeat_interleave(spec.height // height, 2)


def _check_size(context: Context, name: str, value: object, *, least: int = 1) -> None:
    object.__setattr__(context, name, whole(value, f"{type(context).__name__}: {name}", least=least))


def _tensor(value: object, wanted: str, *, integers: bool = False) -> Tensor:
    """The value, if it is a tensor of integers, or of finite numbers."""
    if value is None:
        raise BadInput(f"This model needs {wanted}; none was given.")
    numbers = "integers" if integers else "floating-point numbers"
    other = isinstance(value, Tensor) and (value.is_complex() or value.dtype == torch.bool)
    if not isinstance(value, Tensor) or other or value.is_floating_point() == integers:
        raise BadInput(f"This model needs {wanted}, as a tensor of {numbers}, not {kind(value)}.")
    if not integers and not bool(value.float().isfinite().all()):
        raise BadInput(f"This model needs {wanted}; some are not finite, in float32.")
    return value
