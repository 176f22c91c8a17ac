"""Every model that exists, tiny, in float64, with random non-zero weights: what the laws run over.

A new model gets its laws by a line in `CASES`.
"""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

import nextpixel as npx
from nextpixel.nn.context import Context


@dataclass(frozen=True)
class Case:
    """A kind of model; the grid of its images is the law's choice.

    Attributes:
        name: of the model.
        likelihood: its name.
        channels: of the images.
        context: what they are conditioned on.
        arguments: of the model; small, but deep enough to see all of a 5x7 image where it claims to.
        blind: whether the paper admits that some earlier sub-pixels are not seen.
    """

    name: str
    likelihood: str
    channels: int = 1
    context: Context | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    blind: bool = False

    def __str__(self) -> str:
        words = [self.name, self.likelihood, f"{self.channels}ch", *map(str, self.arguments.values())]
        return "-".join(words + ["label"] * (self.context is not None))

    def spec(self, height: int, width: int, levels: int | None = None) -> npx.ImageSpec:
        return npx.ImageSpec(
            self.channels, height, width, levels=levels or (2 if self.likelihood == "bernoulli" else 4)
        )

    def build(self, spec: npx.ImageSpec) -> npx.Autoregressive:
        """The model with every weight drawn anew: fresh zeros would hide what is not connected.

        Biases are about 1, so that few rectifiers are shut on all images.
        """
        model = npx.build(self.name, spec, self.likelihood, self.context, **self.arguments).double().eval()
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for weight in model.parameters():
                values = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
                weight.copy_(values / weight[0].numel() ** 0.5 if weight.ndim > 1 else 1 + values / 4)
        return model

    def labels(self, count: int) -> torch.Tensor | None:
        return None if self.context is None else torch.arange(count) % self.context.features


def images(spec: npx.ImageSpec, count: int, *, seed: int = 0) -> torch.Tensor:
    """Random levels, (count, C, H, W)."""
    return torch.randint(spec.levels, (count, *spec.shape), generator=torch.Generator().manual_seed(seed))


_GATED = {"filters": 8, "head": 12, "blocks": 4}
_CONTEXTS = (None, npx.ClassLabel(3))

CASES = [
    Case("gated_pixelcnn", likelihood, channels, context, _GATED | extra)
    for likelihood in ("bernoulli", "categorical")
    for context in _CONTEXTS
    for channels, extra in (
        (1, {}),
        (1, {"norm": "layer", "kernel": 5}),
        (3, {"colours": "dependent"}),
        (3, {"colours": "dependent", "norm": "layer", "filters": 10}),
        (3, {"colours": "independent"}),
    )
] + [
    Case("gated_pixelcnn", "categorical", 1, None, {"filters": 4, "head": 4, "blocks": 0}, blind=True),
    Case("gated_pixelcnn", "categorical", 4, None, _GATED),
]

every_model = pytest.mark.parametrize("case", CASES, ids=str)
every_grid = pytest.mark.parametrize(
    "grid", [(5, 7), (7, 1), (1, 6), (4, 3), (1, 1)], ids=lambda grid: "x".join(map(str, grid))
)
