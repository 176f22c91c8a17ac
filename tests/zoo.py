"""Every model that exists, tiny, in float64, with random non-zero weights: what the laws run over.

A new model gets its laws by a line in `CASES`.
"""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

import nextpixel as npx
from nextpixel.nn.context import Context
from nextpixel.nn.latent import Conv, Dense


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
        ordinal: False where levels are names.
    """

    name: str
    likelihood: str
    channels: int = 1
    context: Context | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    blind: bool = False
    ordinal: bool = True

    def __str__(self) -> str:
        words = [self.name, self.likelihood, f"{self.channels}ch", *map(str, self.arguments.values())]
        words += ["names"] * (not self.ordinal)
        return "-".join(words + [type(self.context).__name__] * (self.context is not None))

    def spec(self, height: int, width: int, levels: int | None = None) -> npx.ImageSpec:
        levels = levels or (2 if self.likelihood == "bernoulli" else 4)
        return npx.ImageSpec(self.channels, height, width, levels=levels, ordinal=self.ordinal)

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
            for layer in model.modules():
                if isinstance(layer, Conv | Dense):  # which scale them
                    layer.weight.div_(layer.scale)
            for name, buffer in model.named_buffers():  # of batch norm, which must use them as they are
                if name.endswith(("running_mean", "running_var")):
                    buffer.copy_(1 + torch.rand(buffer.shape, generator=generator, dtype=torch.float64))
        return model

    def contexts(self, spec: npx.ImageSpec, count: int) -> Any:
        """A context for each of `count` images, all different as far as that goes."""
        return None if self.context is None else context_of(self.context, spec, count)


def context_of(context: Context, spec: npx.ImageSpec, count: int) -> Any:
    generator = torch.Generator().manual_seed(3)
    match context:
        case npx.ClassLabel():
            return torch.arange(count) % context.classes
        case npx.Vector() | npx.Latent():
            return torch.randn(count, context.size, generator=generator, dtype=torch.float64)
        case npx.Map(size, levels) if levels is not None:
            return torch.randint(levels, (count, size, spec.height, 1), generator=generator)
        case npx.Map():
            return torch.randn(count, context.size, spec.height, 1, generator=generator, dtype=torch.float64)
        case npx.Both():
            return context_of(context.first, spec, count), context_of(context.second, spec, count)
        case _:
            raise NotImplementedError(f"the zoo knows no values for {context}")


def part(context: Any, which: slice | list[int]) -> Any:
    """The contexts of some of the images."""
    if isinstance(context, tuple):
        return tuple(part(its, which) for its in context)
    return None if context is None else context[which]


def images(spec: npx.ImageSpec, count: int, *, seed: int = 0) -> torch.Tensor:
    """Random levels, (count, C, H, W)."""
    return torch.randint(spec.levels, (count, *spec.shape), generator=torch.Generator().manual_seed(seed))


class Plain(npx.Network):
    """A network of a user's own: what each sub-pixel is follows linearly from all before it."""

    mask: torch.Tensor

    def __init__(self, spec, likelihood, context=0, *, colours="dependent") -> None:
        super().__init__(spec, likelihood, colours=colours)
        places = spec.height * spec.width
        seen, asked = (
            (torch.arange(places)[:, None] * self.substeps + torch.tensor(colours)).flatten()
            for colours in (self.image_colours, self.parameter_colours)
        )
        self.register_buffer("mask", (seen < asked[:, None]).float(), persistent=False)
        self.weight = torch.nn.Parameter(torch.zeros(len(asked), len(seen)))
        self.bias = torch.nn.Parameter(torch.zeros(len(asked)))
        self.context = torch.nn.Conv2d(context, self.outputs, 1, bias=False) if context else None

    def forward(self, levels, context):
        seen = self.embed(levels).movedim(1, -1).flatten(1)
        every = torch.nn.functional.linear(seen, self.weight * self.mask, self.bias)
        made = every.view(len(levels), *self.spec.shape[1:], self.outputs).movedim(-1, 1)
        return made if self.context is None or context is None else made + self.context(context)


_LABEL = npx.ClassLabel(3)
_ONE = {"filters": 6, "head": 6}
_BLIND = ("pixelcnn", "residual_pixelcnn", "row_lstm")  # the papers say so of these
_GATED = {"filters": 8, "head": 12, "blocks": 4}
_SMALL: dict[str, dict[str, Any]] = {
    "gated_pixelcnn": _GATED,
    "pixelcnn": _ONE | {"layers": 2, "kernel": 3},
    "residual_pixelcnn": _ONE | {"blocks": 2},
    "row_lstm": _ONE | {"layers": 2},
    "diagonal_bilstm": {"filters": 12, "head": 12, "layers": 1},  # fewer, and all rectifiers of a colour may be shut
    "pixelcnnpp": {"filters": 4, "blocks": 1, "dropout": 0.0, "colours": "independent"},
}
_SNAIL = {"filters": 6, "blocks": 1, "layers": 2, "keys": 4, "values": 6, "dropout": 0.0, "colours": "independent"}
_SMALL["pixelsnail"] = _SNAIL
_MIXED = _SMALL["pixelcnnpp"] | {"colours": "dependent", "mixtures": 2}


def _case(name: str, likelihood: str, channels: int, context: Context | None, **arguments: Any) -> Case:
    one_stack = arguments.get("stacks") == 1
    return Case(name, likelihood, channels, context, _SMALL[name] | arguments, blind=name in _BLIND or one_stack)


CASES = (
    [
        _case("gated_pixelcnn", likelihood, channels, context, **extra)
        for likelihood in ("bernoulli", "categorical")
        for context in (None, _LABEL)
        for channels, extra in (
            (1, {}),
            (1, {"norm": "layer", "kernel": 5, "coordinates": True}),
            (3, {"colours": "dependent"}),
            (3, {"colours": "dependent", "norm": "layer", "filters": 10, "coordinates": True}),
            (3, {"colours": "independent"}),
        )
    ]
    + [
        Case("gated_pixelcnn", "categorical", 1, None, {"filters": 4, "head": 4, "blocks": 0}, blind=True),
        _case("gated_pixelcnn", "categorical", 4, None),
    ]
    + [  # the paper's gated network without one of its parts
        _case("gated_pixelcnn", "categorical", channels, context, blocks=3, **extra)
        for channels, context in ((1, None), (3, _LABEL))
        for extra in ({"residual": False}, {"activation": "relu"}, {"stacks": 1}, {"stacks": 1, "norm": "positional"})
    ]
    + [  # the family of 2016a: each model, likelihood and kind of colours
        _case(name, likelihood, channels, context, colours=colours)
        for name in ("pixelcnn", "residual_pixelcnn", "row_lstm", "diagonal_bilstm")
        for likelihood, channels, colours, context in (
            ("bernoulli", 1, "dependent", _LABEL),
            ("categorical", 1, "dependent", None),
            ("categorical", 3, "dependent", None),
            ("categorical", 3, "independent", None),
        )
    ]
    + [
        _case(name, "categorical", 3, None, norm=norm)
        for name in ("pixelcnn", "residual_pixelcnn")
        for norm in ("layer", "batch")
    ]
    + [
        _case(name, likelihood, channels, context)
        for name in ("pixelcnnpp", "pixelsnail")
        for likelihood, channels, context in (("categorical", 1, _LABEL), ("bernoulli", 3, None))
    ]
    + [
        Case("pixelcnnpp", "logistic_mixture", 1, None, _MIXED),
        Case("pixelcnnpp", "logistic_mixture", 3, _LABEL, _MIXED),
        Case("pixelcnnpp", "logistic_mixture", 3, None, _MIXED | {"blocks": 2, "scales": 2}),
        Case("pixelsnail", "logistic_mixture", 1, None, _SNAIL | {"colours": "dependent", "heads": 2}),
        Case("pixelsnail", "logistic_mixture", 3, _LABEL, _SNAIL | {"colours": "dependent", "mixtures": 2}),
        _case("gated_pixelcnn", "logistic_mixture", 1, _LABEL, mixtures=3),
        _case("gated_pixelcnn", "logistic_mixture", 4, None, mixtures=2),
        _case("diagonal_bilstm", "logistic_mixture", 3, None, mixtures=2),
    ]
    + [  # every model with every other kind of context
        _case(name, "categorical", channels, context)
        for name in _SMALL
        for channels, context in (
            (1, npx.Vector(2)),
            (1, npx.Map(2)),
            (3, npx.Both(_LABEL, npx.Map(2))),
        )
    ]
    + [  # levels that are names, given a coarser grid of names; and decoders of a latent vector
        Case(name, "categorical", channels, context, _SMALL[name], blind=name in _BLIND, ordinal=False)
        for name in _SMALL
        for channels, context in ((1, npx.Map(1, levels=4)), (3, None))
    ]
    + [_case(name, "categorical", 1, npx.Latent(2, maps=3)) for name in _SMALL]
    + [_case("gated_pixelcnn", "logistic_mixture", 3, npx.Latent(2, maps=3, equalised=True), mixtures=2)]
    + [  # a network of a user's own
        Case("zoo:Plain", "bernoulli", 1, _LABEL),
        Case("zoo:Plain", "categorical", 3, npx.Map(2)),
        Case("zoo:Plain", "categorical", 3, None, {"colours": "independent"}),
        Case("zoo:Plain", "logistic_mixture", 3, None, {"mixtures": 2}),
    ]
)

every_model = pytest.mark.parametrize("case", CASES, ids=str)
every_grid = pytest.mark.parametrize(
    "grid", [(5, 7), (7, 1), (1, 6), (4, 3), (1, 1)], ids=lambda grid: "x".join(map(str, grid))
)
