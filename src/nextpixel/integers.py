"""Exact twins: a trained network in integers, whose every sum is proven, so that all machines get the same bits.

Weights and activations are multiples of powers of two, activations within limits. A sum of products is then a multiple
of a power of two as well, and below 2^24 of them whatever the image: float32 holds it, and all on the way, exactly.
"""

import copy
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextpixel.autoregressive import Autoregressive
from nextpixel.errors import BadInput
from nextpixel.frequencies import Whole
from nextpixel.model import Model, a_model, are_finite
from nextpixel.models.gated_pixelcnn import GatedPixelCNN
from nextpixel.models.pixelcnnpp import PixelCNNpp
from nextpixel.models.pixelrnn import PixelCNN, ResidualPixelCNN
from nextpixel.models.pixelsnail import PixelSNAIL
from nextpixel.nn import ops
from nextpixel.nn.blocks import Block
from nextpixel.nn.causal import PixelsLeft, RowsAbove
from nextpixel.nn.context import ClassLabel
from nextpixel.nn.embedding import Scaled, next_power
from nextpixel.nn.gated import GatedBlock, OneStackBlock
from nextpixel.nn.layers import Residual
from nextpixel.nn.norm import ColourNorm, WeightNorm
from nextpixel.nn.shifted import Entrance, SpreadDown, SpreadDownRight
from nextpixel.nn.tables import Tables
from nextpixel.proof import BITS, PLACES, Proof, Range, kernels

FORMAT = 3  # of the arithmetic
# Of what the sums of a gated block take: less there is more for its weights, and was less lost on drawings.
TAKEN, TAKEN_BITS = ("above", "norm_above", "norm_left"), 11
HEAD, HEAD_BITS = ("", "head"), 16  # of a gated_pixelcnn, what the last layers take, which are computed in float64
_WINDOWS, _WIDEST = 1024, 2048  # windows of 64 images that a Gram matrix is of, and of how many numbers at most
_MARGIN = 1.25  # how much larger than those of the calibration an activation may be


def exact(model: Model, images: Tensor, context: object = None) -> Autoregressive:
    """Make the integer twin of a trained model: the same network, rounded, with the same bits on every machine.

    It is a model like any other (`log_prob`, `sample`, `save`, …), and its likelihood is what `compress` spends.

    Args:
        model: a `gated_pixelcnn`, `pixelcnn`, `residual_pixelcnn`, `pixelcnnpp` or `pixelsnail` without batch norm,
            given nothing or a class.
        images: some hundred that are like those to come, (B, C, H, W): theirs are the ranges of activations. Others
            are coded as well, at a higher cost if they leave these ranges.
        context: of the images.

    Raises:
        BadInput: the model has a part that cannot be exact, or the images are not what it is about.
    """
    model = a_model(model)
    why = refusal(model) or (None if are_finite(model) else "some of its weights are not finite numbers")
    if why or not isinstance(model, Autoregressive):
        raise BadInput(f"There is no exact twin of this model: {why}.")
    images = model.spec.check(images).cpu()
    if not len(images):
        raise BadInput("An exact twin needs some images to measure the ranges of activations; there are none.")
    if model.context is not None:
        context = model.context.check(context, len(images), model.spec).cpu()
    twin = copy.deepcopy(model).to("cpu", torch.float32).eval()
    measured, given = _measured(twin, images, context)
    grids = {name: _grid(most, bits) for name, (most, bits) in measured.items()}
    _install(twin)
    if isinstance(twin.backbone.entry, Scaled):  # which gives whole numbers, over another one
        for layer in _first(twin.backbone):
            kernels(layer)[:, : len(twin.backbone.image_colours)] *= _brightness(model)
    kept = Proof(grids, given).of(twin)
    twin.recipe = {**twin.recipe, "exact": {"format": FORMAT, "grids": {name: _whole(kept[name]) for name in kept}}}
    return twin


def install(model: Model, about: Any) -> None:
    """Give a fresh model the arithmetic that a file of an exact twin speaks of; `prove` it when it has its weights."""
    why = refusal(model)
    if why or not isinstance(model, Autoregressive):
        raise BadInput(f"it would be the exact twin of something that has none: {why}.")
    if not isinstance(about, dict) or about.keys() != {"format", "grids"} or about["format"] != FORMAT:
        raise BadInput(f"its exact arithmetic is {about!r:.80}; this nextpixel has format {FORMAT}.")
    _install(model)
    model.recipe = {**model.recipe, "exact": about}


def prove(model: Model) -> None:
    """Prove that no sum of an exact twin leaves what float32 holds, whatever the image; BadInput says which might."""
    grids = {}
    for name, its in twin(model).recipe["exact"]["grids"].items():
        both = [[part] if type(part) is int else part for part in its] if isinstance(its, list) else []
        powers, limits = both if len(both) == 2 and all(isinstance(part, list) and part for part in both) else ([], [0])
        right = all(type(number) is int for number in (*powers, *limits)) and len(powers) == len(limits)
        if not (right and -40 <= min(powers) <= max(powers) <= 20 and 1 <= min(limits) <= max(limits) <= 2**HEAD_BITS):
            raise BadInput(f"its grid {name!r:.80} is {its!r:.80}, which no activation has.")
        unit = torch.exp2(torch.tensor(powers).double())
        grids[name] = Range(unit, unit * torch.tensor(limits))
    kept = Proof(grids).of(twin(model))
    for name in grids.keys() - kept.keys():
        raise BadInput(f"its grid {name!r:.80} is of no layer.")


def twin(model: Model) -> Autoregressive:
    """The model, if it is an exact twin; else BadInput."""
    model = a_model(model)
    if not isinstance(model, Autoregressive) or model.tables is None:
        how = "nextpixel exact MODEL -o FILE, in Python npx.exact(model, images)"
        raise BadInput(f"This needs an exact model: {how}, makes the exact twin of a model.")
    if short := {str(weight.dtype) for weight in model.state_dict().values() if weight.dtype.itemsize == 2}:
        raise BadInput(f"An exact twin whose weights were brought to {', '.join(short)} is none; load its file again.")
    return model


def refusal(model: Model) -> str | None:
    """What of a model cannot be exact."""
    if not isinstance(model, Autoregressive):
        return f"a {model.recipe.get('name')} has no exact likelihood"
    if model.tables is not None:
        return "it is one"
    if not model.recipe:
        return "it has no recipe, as npx.build did not make it"
    network, name = model.backbone, model.recipe["name"]
    if not isinstance(network, GatedPixelCNN | PixelCNN | ResidualPixelCNN | PixelCNNpp | PixelSNAIL):
        exact = "gated_pixelcnn, pixelcnn, residual_pixelcnn, pixelcnnpp and pixelsnail"
        return f"the layers of a {name} are not exact; those of {exact} are"
    if not isinstance(model.context, ClassLabel | None):
        return f"it is given {model.context}, numbers of any size; classes are exact"
    if model.recipe["arguments"].get("norm") == "batch":
        return "batch norm is not exact; norm='layer' is"
    if model.recipe["arguments"].get("activation") == "relu":
        return "activation='relu' is not exact; gates are"
    return None


def _brightness(model: Model) -> float:
    """By what the levels that enter a twin are too small."""
    return next_power(model.spec.levels) / (model.spec.levels - 1)


def _first(network: Any) -> tuple[Any, ...]:
    """The layers that see the image."""
    if isinstance(network, PixelCNNpp):
        return network.first_above, network.first_left.above, network.first_left.left
    if isinstance(network, PixelSNAIL):
        return network.first.above, network.first.left
    first = network.blocks[0] if isinstance(network, GatedPixelCNN) else network.layers.layers[0]
    part: Any = first.masked if isinstance(first, OneStackBlock) else first
    return part.above, part.left


def _bits(name: str, network: Any) -> int:
    """Of the activations that come from a layer."""
    last, ends = name.rpartition(".")[2], _end(network)
    fine = last == "leave" or (network.get_submodule(name) is ends if ends is not None else name in HEAD)
    return HEAD_BITS if fine else TAKEN_BITS if last in TAKEN else BITS


def _end(network: Any) -> Block[Any] | None:
    """The block whose result only the last layer sees."""
    match network:
        case PixelCNNpp():
            return network.down[0][-1].left
        case PixelSNAIL():
            return network.layers[-1].mix
        case _:
            return None


def _grid(largest: Tensor, bits: int) -> Range:
    """The grid for numbers that were so large, (1,), or those of features, (D,)."""
    least = 2**-8 if len(largest) == 1 else max(2**-3, float(largest.max()) / 2**8)
    limit = largest.double().clamp(min=least) * _MARGIN
    unit = torch.exp2(limit.log2().ceil() - bits)
    return Range(unit, (limit / unit).ceil() * unit)


def _whole(its: Range) -> list[int] | list[list[int]]:
    """Powers of two that units are, and limits in units: one of each, or one for each feature."""
    both = [[round(number) for number in numbers.tolist()] for numbers in (its.unit.log2(), its.limit / its.unit)]
    return both if len(its.unit) > 1 else [number for (number,) in both]


@torch.no_grad()
def _measured(
    model: Autoregressive, images: Tensor, context: object
) -> tuple[dict[str, tuple[Tensor, int]], dict[str, Tensor]]:
    """How large the numbers get that are to be on grids, (1,) or (D,), and bits: by the layer that they come from.

    Also what layers are given, but those that see the image itself: see `Proof`.
    """
    most: dict[str, Tensor] = {}
    given: dict[str, Tensor] = {}
    generator = torch.Generator().manual_seed(0)

    def take(name: str, layer: Any, its: tuple[Tensor, ...]) -> None:
        kernel = kernels(layer)
        if kernel[0].numel() > _WIDEST:
            return
        windows = F.unfold(layer.padded(its[0][::4]), kernel.shape[2:], stride=getattr(layer, "stride", 1)).mT.flatten(
            0, 1
        )
        some = windows[torch.randperm(len(windows), generator=generator)[:_WINDOWS]]
        some = torch.cat((some, torch.ones(len(some), 1)), 1)
        given[name] = given.get(name, torch.zeros(())) + some.T @ some

    def note(name: str, x: Tensor, *, wide: bool) -> None:
        size = x.abs().amax((0, 2, 3)) if wide else x.abs().max()[None]
        most[name] = torch.maximum(most[name], size) if name in most else size

    with ExitStack() as hooks:

        def watch(
            layer: nn.Module, name: str, part: Callable[[Any], Tensor] = lambda made: made, *, wide: bool
        ) -> None:
            hook = layer.register_forward_hook(lambda layer, given, made: note(name, part(made), wide=wide))
            hooks.enter_context(hook)

        entered = {*_first(model.backbone)}  # where levels come in on another scale than a twin's
        for name, layer in model.backbone.named_modules():
            if isinstance(layer, RowsAbove | PixelsLeft | WeightNorm) and not (
                layer in entered or isinstance(layer, SpreadDown | SpreadDownRight)  # which have no windows
            ):
                hooks.enter_context(layer.register_forward_pre_hook(partial(take, name)))
            if isinstance(layer, Block):  # where it drops, there is the ELU of both signs of what `enter` gives
                watch(layer, name, lambda made: made.plain, wide=True)
                watch(layer.dropout, f"{name}.enter", lambda made: torch.maximum(*made.abs().chunk(2, 1)), wide=True)
            elif isinstance(layer, Entrance | WeightNorm) and not name.endswith(".enter"):
                watch(layer, name, wide=True)
            elif isinstance(layer, RowsAbove | PixelsLeft | Residual | ColourNorm):
                watch(layer, name, wide=False)
        if isinstance(network := model.backbone, GatedPixelCNN):
            hook = network.head.register_forward_pre_hook(lambda layer, given: note("", given[0], wide=False))
            hooks.enter_context(hook)
        for some in torch.arange(len(images)).split(64):
            beside = context[some] if isinstance(context, Tensor) and context.ndim else context
            model.log_prob(images[some], beside)
    for name in [name for name in most if name.endswith(".leave")]:  # to which what the context adds comes
        most[name] = most[name] + most.get(name.replace("leave", "context"), 0)
    return {name: (its, _bits(name, model.backbone)) for name, its in most.items()}, given


def _install(model: Autoregressive) -> None:
    """Put the arithmetic in the place of floating point."""
    network, spec, model.tables = model.backbone, model.spec, Tables()
    model.requires_grad_(False)
    model.likelihood = Whole(model.likelihood, model.tables, spec.levels)
    if isinstance(network.entry, Scaled):
        network.entry.whole = True
        if isinstance(network, PixelSNAIL):
            network.brightness = _brightness(model)
    for block in network.modules():
        if isinstance(block, GatedBlock):
            vars(block)["activate"] = model.tables.gate  # not as a part of its own, which a file would have again
        elif isinstance(block, WeightNorm):
            block.direction.copy_(block.weight())
            block.length = None
    if isinstance(network, GatedPixelCNN):
        for layer in (network.head, network.parameters_of, network.head_context or nn.Identity()):
            layer.double()
    elif isinstance(network, PixelCNNpp | PixelSNAIL):
        network.parameters_of.double()
    if isinstance(network, GatedPixelCNN | PixelSNAIL) and network.coordinates is not None:
        ends = [ops.spaced(torch.arange(size), size, PLACES) for size in (spec.height, spec.width)]
        network.coordinates = torch.stack(torch.meshgrid(*ends, indexing="ij"))[None].to(network.coordinates)
