"""What an image may be conditioned on, brought to one form: features on a grid of places."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from nextpixel.errors import BadInput


@dataclass(frozen=True)
class Context(ABC):
    """A kind of context: it checks what the user gives and turns it into a map of features."""

    @property
    @abstractmethod
    def features(self) -> int:
        """Features of the map (d)."""

    @abstractmethod
    def check(self, value: object, batch: int) -> Tensor:
        """What the user gave, as a tensor with `batch` entries.

        Raises:
            BadInput: it is missing, of the wrong shape or type, or out of range.
        """

    @abstractmethod
    def encode(self, value: Tensor, like: Tensor) -> Tensor:
        """A checked value as a (B, d, 1 or H, 1 or W) map with the dtype and device of `like`."""


@dataclass(frozen=True)
class ClassLabel(Context):
    """A class for each image: a bias of its own in every layer.

    Args:
        classes: number of classes; labels are 0 … classes − 1.

    Example:
        >>> ClassLabel(10).check([3, 7], batch=2)
        tensor([3, 7])
    """

    classes: int

    def __post_init__(self) -> None:
        if not isinstance(self.classes, int) or self.classes < 1:
            raise BadInput(f"ClassLabel: classes must be a whole number of at least 1, not {self.classes!r}.")

    @property
    def features(self) -> int:
        return self.classes

    def check(self, value: object, batch: int) -> Tensor:
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

    def encode(self, value: Tensor, like: Tensor) -> Tensor:
        return F.one_hot(value.to(like.device), self.classes)[:, :, None, None].to(like.dtype)


CONTEXTS: dict[str, type[Context]] = {"ClassLabel": ClassLabel}
