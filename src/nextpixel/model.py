"""What every model of images can do, and what all of them need to do it."""

from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nextpixel.distributions import Finite
from nextpixel.errors import BadInput
from nextpixel.nn.context import Context
from nextpixel.spec import ImageSpec
from nextpixel.typing import PerImage


class Model(nn.Module, ABC):
    """What every model of images can do, whether its likelihood is exact or, with latent variables, only bounded.

    Attributes:
        spec: the images.
        context: what the images are conditioned on, or None.
        recipe: the arguments of `build` that make this model again, as JSON values.
        learnt: what training keeps of the data that it learnt from (`data.learnt_from`), as JSON values; None before.
    """

    spec: ImageSpec
    context: Context | None
    recipe: dict[str, Any]
    learnt: dict[str, Any] | None = None

    @abstractmethod
    def forward(self, x: Tensor, context: Any = None) -> Tensor:
        """What training makes larger, without checks: levels (B, C, H, W) to nats (B,)."""

    @abstractmethod
    def initialise(self, x: Tensor, context: Any = None) -> None:
        """Let the layers that have a start from data take it from these images; once, when fresh."""

    @abstractmethod
    def log_prob(self, x: Tensor, context: object = None) -> PerImage:
        """Log-likelihood of images in nats, shape (B,), where it is exact."""

    @abstractmethod
    def predict(self, x: Tensor, context: object = None) -> Finite:
        """The distribution of every sub-pixel given the earlier ones, where there is one."""

    @abstractmethod
    def sample(
        self, count: int, context: object = None, *, seed: int = 0, temperature: float = 1.0, first: int = 0
    ) -> Tensor:
        """Draw images, int64, shape (B, C, H, W)."""

    @abstractmethod
    def complete(
        self,
        x: Tensor,
        known: Tensor,
        context: object = None,
        *,
        seed: int = 0,
        temperature: float = 1.0,
        first: int = 0,
    ) -> Tensor:
        """Draw the unknown sub-pixels of images, int64, shape (B, C, H, W)."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device


def check_count(count: object) -> None:
    """Refuse a number of samples that is not a whole one of at least 1."""
    if not isinstance(count, int) or count < 1:
        raise BadInput(f"The number of samples must be at least 1, not {count!r}.")


@contextmanager
def evaluating(model: nn.Module) -> Generator[None]:
    """Evaluation mode for a while: no dropout, and batch norm neither uses nor learns a batch's statistics."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
