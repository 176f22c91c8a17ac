"""Weights of the common PyTorch port of PixelCNN++ give its outputs here."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import nextpixel as npx
from naive import drawn_naively
from nextpixel.checks import stepwise_log_prob
from nextpixel.port import import_pixelcnnpp

GOLDEN = Path(__file__).parent / "golden"

both = pytest.mark.parametrize("name", ["grey", "rgb"])


def _imported(name: str) -> tuple[npx.Autoregressive, dict[str, torch.Tensor]]:
    path = GOLDEN / f"pixelcnnpp_{name}.safetensors"
    tensors = load_file(path)
    height, width = tensors["fixture.levels"].shape[2:]
    return import_pixelcnnpp(path, height=height, width=width), tensors


def _ours(theirs: torch.Tensor, channels: int) -> torch.Tensor:
    """The port's parameters of a mixture, (B, P, H, W), in our order; written apart from what the importer does."""
    mixtures = 10
    weights, rest = theirs[:, :mixtures], theirs[:, mixtures:]
    per = rest.shape[1] // channels
    kinds = [
        [
            rest[:, channel * per + kind * mixtures : channel * per + (kind + 1) * mixtures]
            for channel in range(channels)
        ]
        for kind in range(per // mixtures)
    ]
    return torch.cat([weights, *(part for kind in kinds for part in kind)], 1)


@both
def test_outputs_are_those_of_the_port(name: str) -> None:
    model, tensors = _imported(name)
    x = tensors["fixture.levels"]
    with torch.no_grad():
        output = model.backbone(x, None)
        nats = -model.log_prob(x)
    expected = _ours(tensors["fixture.output"], x.shape[1])
    assert (output - expected).abs().max() < 1e-5
    assert ((nats - tensors["fixture.nll_nats"]) / nats).abs().max() < 1e-6


@both
def test_imported_weights_stream(name: str) -> None:
    model, tensors = _imported(name)
    model, x = model.double(), tensors["fixture.levels"]
    with torch.no_grad():
        parallel = model.predict(x).log_prob(x)
    assert (parallel - stepwise_log_prob(model, x)).abs().max() < 1e-10


def test_imported_weights_draw_what_the_naive_path_draws() -> None:
    model = import_pixelcnnpp(GOLDEN / "pixelcnnpp_rgb.safetensors", height=3, width=5).double()
    fast = model.sample(2, seed=1)
    assert fast.equal(drawn_naively(model, fast, seed=1))
