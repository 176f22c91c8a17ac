"""What every model of images can do, and what all of them need to do it."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import chain
from types import MethodType
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from nextpixel.distributions import Finite
from nextpixel.errors import BadInput, shown
from nextpixel.nn.context import Context
from nextpixel.nn.norm import BatchNorm
from nextpixel.spec import ImageSpec
from nextpixel.typing import Number, PerImage, Whole
from nextpixel.unroll import Progress

Module = TypeVar("Module", bound=nn.Module)


class Model(nn.Module, ABC):
    """What every model of images can do, whether its likelihood is exact or, with latent variables, only bounded."""

    spec: ImageSpec  # the images
    context: Context | None  # what they are conditioned on
    recipe: dict[str, Any]  # the arguments of `build` that make this model again, as JSON values
    learnt: dict[str, Any] | None = None  # what training keeps of the data (`data.learnt_from`), as JSON values

    @abstractmethod
    def forward(self, x: Tensor, context: Any = None, drawn: Tensor | None = None) -> Tensor:
        """What training makes larger, without checks: levels (B, C, H, W) to nats (B,).

        `drawn` is what the method of that name gave for these images; while training, None draws anew.
        """

    def initialise(self, x: Tensor, context: Any = None) -> None:
        """Let the layers that have a start from data take it from these images, if they are fresh."""

    def drawn(self, count: int, noise: np.random.Generator) -> Tensor | None:
        """What a training step draws at random for its images, a row each."""
        return None

    def undivided(self) -> str | None:
        """What keeps a batch from being computed in parts; None where it is the same step."""
        return "Batch norm" if any(isinstance(layer, BatchNorm) for layer in self.modules()) else None

    @abstractmethod
    def log_prob(self, x: Tensor, context: object = None) -> PerImage:
        """Log-likelihood of images in nats, shape (B,), where it is exact."""

    @abstractmethod
    def predict(self, x: Tensor, context: object = None) -> Finite:
        """The distribution of every sub-pixel given the earlier ones, where there is one."""

    @abstractmethod
    def sample(
        self,
        count: Whole,
        context: object = None,
        *,
        seed: Whole = 0,
        temperature: Number = 1.0,
        first: Whole = 0,
        progress: Progress | None = None,
    ) -> Tensor:
        """Draw images, int64, shape (B, C, H, W)."""

    @abstractmethod
    def complete(
        self,
        x: Tensor,
        known: Tensor,
        context: object = None,
        *,
        seed: Whole = 0,
        temperature: Number = 1.0,
        first: Whole = 0,
    ) -> Tensor:
        """Draw the unknown sub-pixels of images, int64, shape (B, C, H, W)."""

    @property
    def device(self) -> torch.device:
        """Where the weights are; "cpu" where there are none."""
        return next((its.device for its in chain(self.parameters(), self.buffers())), torch.device("cpu"))

    def extra_repr(self) -> str:
        """What it is about; torch prints its layers below."""
        name, likelihood = self.recipe.get("name", type(self).__name__), self.recipe.get("likelihood")
        given = "" if self.context is None else f", given {self.context}"
        weights = sum(parameter.numel() for parameter in self.parameters())
        return f"{name} of images {self.spec}, likelihood {likelihood}{given}: {weights:,} weights"


def evaluating(model: Module) -> Module:
    """The model in evaluation mode: no dropout, and batch norm neither uses nor learns a batch's statistics.

    Of a model in training mode this is a second one, made of the same weights and buffers: the first is left alone, so
    that threads may measure it at the same time, and train it.
    """
    if not any(module.training for module in model.modules()):
        return model
    twins = {module: object.__new__(type(module)) for module in model.modules()}
    for module, twin in twins.items():
        parts = {name: part if part is None else twins[part] for name, part in module.__dict__["_modules"].items()}
        others = {name: _with(part, twins) for name, part in module.__dict__.items()}
        twin.__dict__.update({**others, "training": False, "_modules": parts, "_compiled_call_impl": None})
    return cast(Module, twins[model])


def _with(part: Any, twins: Mapping[nn.Module, nn.Module]) -> Any:
    """An attribute with the twins in the places of modules, in lists, methods and the like too; itself without any."""
    if isinstance(part, nn.Module):
        return twins.get(part, part)
    if isinstance(part, MethodType):
        return MethodType(part.__func__, _with(part.__self__, twins))
    if isinstance(part, partial):
        return partial(_with(part.func, twins), *_with(part.args, twins), **_with(part.keywords, twins))
    if type(part) not in (list, tuple, dict):
        return part
    values = [*part.values()] if isinstance(part, dict) else part
    made = [_with(each, twins) for each in values]
    if all(new is old for new, old in zip(made, values, strict=True)):
        return part
    return dict(zip(part, made, strict=True)) if isinstance(part, dict) else type(part)(made)


def a_model(value: object) -> Model:
    """What should be a model, if it is, wrapped (by torch.compile, …) or not."""
    inner: Any = value
    while inner is not None and not isinstance(inner, Model):
        inner = getattr(inner, "_orig_mod", getattr(inner, "module", None))
    if inner is None:
        raise BadInput(f"A model is what npx.build or npx.load gives, such as npx.load('mnist'), not {shown(value)}.")
    return inner


@contextmanager
def in_float64(model: Model) -> Generator[None]:
    """Say in a sentence what a network of the user's own makes of float64, where laws are tried."""
    try:
        yield
    except RuntimeError as error:
        if not (name := model.recipe.get("name", "")).count(":"):
            raise
        told = f"{error}".partition("\n")[0].rstrip(".")
        how = "let its forward keep to the dtype of its weights"
        raise BadInput(f"{name} does not compute in float64, in which this is tried ({told}); {how}.") from error


def are_finite(model: nn.Module) -> bool:
    """Whether all weights are numbers."""
    return all(bool(weight.isfinite().all()) for weight in model.parameters())
