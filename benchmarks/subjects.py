"""What is measured: every model at the size of a recipe, and the sizes that ratios are held to."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

import nextpixel as npx
from nextpixel.data import CATALOGUE

ROOT = Path(__file__).parents[1]
PHOTOS = npx.ImageSpec(3, 32, 32, levels=256)
COLOURS = npx.ImageSpec(3, 28, 28, levels=4)
ALL = ("training", "streaming", "growth", "memory")
SMALLER = {"filters": 8, "head": 8, "blocks": 1, "layers": 1, "keys": 4, "values": 4, "kernel": 3, "first_kernel": 3}


@dataclass(frozen=True)
class Subject:
    """A network that is measured.

    Attributes:
        recipe: whose section `model` it is; None for the constructor's own sizes.
        model: its name, where no recipe says so.
        spec: the images, where the recipe's data are the user's own, or there is no recipe.
        changes: of the recipe's or the constructor's arguments.
        parts: what is measured of it.
        limits: that ratios of it are held to, by the key of the ratio.
    """

    recipe: str | None = None
    model: str = ""
    spec: npx.ImageSpec | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    parts: tuple[str, ...] = ALL
    limits: dict[str, str] = field(default_factory=dict)

    def describe(self) -> tuple[str, npx.ImageSpec, str, dict[str, Any], int]:
        """The model's name, its images, likelihood and arguments, and the images of a training batch."""
        if self.recipe is None:
            assert self.spec is not None
            arguments, batch = {"name": self.model, "likelihood": "bernoulli"}, 16
        else:
            said = yaml.safe_load((ROOT / "recipes" / f"{self.recipe}.yaml").read_text())
            arguments, batch = dict(said["model"]), said["training"]["batch"]
            if self.spec is None:
                object.__setattr__(self, "spec", CATALOGUE[said["data"]["name"]].spec)
        arguments |= self.changes
        assert self.spec is not None
        return arguments.pop("name"), self.spec, arguments.pop("likelihood"), arguments, batch


COLOURED = {"likelihood": "categorical", "colours": "dependent"}
SUBJECTS = {
    "pixelcnn": Subject("s0-pixelcnn-mnist", limits={"forwards": "≤ 2"}),
    "residual_pixelcnn": Subject("s0-residual-dependent-mnist", limits={"forwards": "≤ 4"}),
    "gated_pixelcnn": Subject("mnist-binary", limits={"forwards": "≤ 2"}),
    "gated_pixelcnn, 3 colours": Subject("photos32-gated-dependent", spec=PHOTOS, limits={"forwards": "≤ 4"}),
    "row_lstm": Subject("row-lstm-mnist", limits={"forwards": "≤ 3"}),
    "diagonal_bilstm": Subject("diagonal-bilstm-mnist", limits={"forwards": "≤ 3"}),
    "pixelcnnpp": Subject("photos32-pixelcnnpp", spec=PHOTOS, limits={"forwards": "≤ 2.5"}),
    "pixelsnail": Subject("mnist-binary-pixelsnail", limits={"forwards": "≤ 2.5"}),
    "pixelvae": Subject("mnist-binary-pixelvae", limits={"forwards": "≤ 2"}),
    "gated_pixelcnn, 10 blocks of 128": Subject(
        model="gated_pixelcnn",
        spec=npx.ImageSpec(1, 28, 28, levels=2),
        parts=("training", "streaming", "plainly"),
        limits={"naive 1": "≥ 60", "forwards": "≤ 2", "plainly bf16": "≥ 1.8"},
    ),
    "gated_pixelcnn, 10 blocks of 128, 3 colours": Subject(
        model="gated_pixelcnn", spec=COLOURS, changes=COLOURED, parts=("streaming",), limits={"forwards": "≤ 4"}
    ),
    **{
        f"{name}, 3 colours": Subject(
            recipe, spec=COLOURS, changes=COLOURED, parts=("streaming",), limits={"forwards": "≤ 4"}
        )
        for name, recipe in (
            ("pixelcnn", "s0-pixelcnn-mnist"),
            ("row_lstm", "row-lstm-mnist"),
            ("diagonal_bilstm", "diagonal-bilstm-mnist"),
        )
    },
    "pixelcnnpp, as published": Subject(
        "pixelcnnpp-cifar10",
        parts=("streaming",),
        limits={"naive 1": "≥ 100", "naive 16": "≥ 250", "forwards": "≤ 2.5"},
    ),
}


class Bench:
    """A subject's network, with random weights, and what is done with it."""

    def __init__(self, subject: Subject, *, quick: bool = False, size: int | None = None, **changes: int) -> None:
        name, spec, likelihood, arguments, batch = subject.describe()
        if subject.recipe is None:  # the constructor's own, said so that they can be varied
            arguments = {"filters": 128, "blocks": 10} | arguments
        if quick:
            small = {key: min(value, SMALLER.get(key, 2**20)) for key, value in _numbers(arguments).items()}
            arguments |= small
            batch, size = 2, size or 5
        spec = spec if size is None else replace(spec, height=size, width=size)
        torch.manual_seed(0)
        all_arguments: dict[str, Any] = arguments | changes
        self.model: npx.Autoregressive | npx.PixelVAE = npx.build(name, spec, likelihood, None, **all_arguments)
        self.spec, self.batch, self.quick = spec, batch, quick
        self.arguments = arguments
        # A latent variable model is its decoder, given z, where one forward of all pixels is meant.
        self.exact = self.model.decoder if isinstance(self.model, npx.PixelVAE) else self.model
        self.model.initialise(self.images(batch))

    def images(self, count: int) -> Tensor:
        return torch.randint(self.spec.levels, (count, *self.spec.shape))

    def given(self, count: int) -> Tensor | None:
        return torch.randn(count, self.model.latent) if isinstance(self.model, npx.PixelVAE) else None

    def forward(self, count: int) -> Callable[[], object]:
        """One pass of the whole network over known images."""
        x, given, network = self.images(count), self.given(count), self.exact.eval()

        def work() -> None:
            with torch.no_grad():
                network(x, given)

        return work

    def sampling(self, count: int) -> Callable[[], object]:
        given, network = self.given(count), self.exact.eval()
        return lambda: network.sample(count, given, seed=0)

    def step(self, count: int, *, bf16: bool = False) -> Callable[[], object]:
        """A step of training: forward, backward, Adam."""
        x, model = self.images(count), self.model.train()
        optimizer = torch.optim.Adam(model.parameters(), 1e-4)

        def work() -> None:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = -model(x).mean()
            loss.backward()
            optimizer.step()

        return work

    @property
    def weights(self) -> int:
        return sum(weight.numel() for weight in self.model.parameters())

    @property
    def drawn(self) -> int:
        """Weights of what draws pixels."""
        return sum(weight.numel() for weight in self.exact.parameters())

    @property
    def places(self) -> int:
        return self.spec.height * self.spec.width

    @property
    def passes(self) -> int:
        """Forwards that a naive sampler makes: one for each step."""
        return self.places * self.exact.backbone.substeps

    @property
    def depth(self) -> str:
        return "blocks" if "blocks" in self.arguments else "layers"


def _numbers(arguments: dict[str, Any]) -> dict[str, int]:
    return {key: value for key, value in arguments.items() if type(value) is int}
