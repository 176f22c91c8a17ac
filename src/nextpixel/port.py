"""Weights that other programs trained, brought into models of ours."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from nextpixel.autoregressive import Autoregressive
from nextpixel.errors import BadInput
from nextpixel.models import build
from nextpixel.spec import ImageSpec

SCALES, LEVELS = 3, 256
# What is called otherwise in the port: streams, the layers of a block, the first ones and the last, a layer's tensors.
STREAMS = {"above": "u", "left": "ul"}
PARTS = {"enter": "conv_input.conv", "leave": "conv_out.conv", "beside": "nin_skip.lin_a"}
ENDS = {
    "first_above": "u_init.conv",
    "first_left.above": "ul_init.0.conv",
    "first_left.left": "ul_init.1.conv",
    "parameters_of": "nin_out.lin_a",
}
WEIGHTS = ("weight_v", "weight_g", "bias")


def import_pixelcnnpp(path: str | os.PathLike[str], *, height: int = 32, width: int = 32) -> Autoregressive:
    """Make a model from the state dict of the common PyTorch port of PixelCNN++.

    Args:
        path: a `.pth` file with the state dict alone, read with `weights_only=True`, or the same as safetensors.
        height, width: of the images; the weights fit any.

    Returns:
        A `pixelcnnpp` with the `logistic_mixture` likelihood, in evaluation mode.

    Raises:
        BadInput: no such file, anything but a dictionary of tensors, or one of other names or shapes.
    """
    tensors, ours, used = _read(Path(path)), dict[str, Tensor](), set[str]()
    try:
        filters, inputs = tensors["u_init.conv.weight_v"].shape[:2]
        channels, outputs = inputs - 1, len(tensors["nin_out.lin_a.weight_v"])
        mixtures, rest = divmod(outputs, 3 if channels == 1 else 10)
        if rest or channels not in (1, 3):
            raise ValueError(f"{outputs} outputs for {channels} channels")
        blocks = sum(bool(re.fullmatch(r"up_layers\.0\.u_stream\..*conv_input\.conv\.bias", name)) for name in tensors)
        spec = ImageSpec(channels, height, width, LEVELS)
        model = build("pixelcnnpp", spec, "logistic_mixture", filters=filters, blocks=blocks, mixtures=mixtures)
        for layer in (name.removesuffix(".direction") for name in model.backbone.state_dict() if "direction" in name):
            used |= {f"{_theirs(layer)}.{part}" for part in WEIGHTS}
            ours |= {f"{layer}.{part}": value for part, value in _brought(layer, tensors, channels).items()}
        model.backbone.load_state_dict(ours)
    except BadInput:
        raise
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        why = f"there is no {error.args[0]}" if isinstance(error, KeyError) else "a tensor has another shape"
        raise BadInput(f"{path} is not a whole PixelCNN++ of the common port: {why}.") from None
    if left := [name for name in tensors if name not in used and not name.startswith("fixture.")]:
        raise BadInput(f"{path} has weights that a PixelCNN++ of the common port has not: {left[0]}.")
    return model.eval()


def _theirs(layer: str) -> str:
    """What a layer of ours is called in the port, which counts the way up as it goes, and we from the finest scale."""
    match layer.split("."):
        case ["up", scale, block, stream, part]:
            return f"up_layers.{scale}.{STREAMS[stream]}_stream.{block}.{PARTS[part]}"
        case ["down", scale, block, stream, part]:
            return f"down_layers.{SCALES - 1 - int(scale)}.{STREAMS[stream]}_stream.{block}.{PARTS[part]}"
        case ["halve_above" | "halve_left" as halve, step]:
            return f"downsize_{STREAMS[halve.removeprefix('halve_')]}_stream.{step}.conv"
        case ["double_above" | "double_left" as double, step]:
            return f"upsize_{STREAMS[double.removeprefix('double_')]}_stream.{SCALES - 2 - int(step)}.deconv"
    return ENDS[layer]


def _brought(layer: str, tensors: Mapping[str, Tensor], channels: int) -> dict[str, Tensor]:
    """The direction, length and bias of a layer of ours."""
    v, g, bias = (tensors[f"{_theirs(layer)}.{part}"].float() for part in WEIGHTS)
    kernels = v * (g.flatten() / v.flatten(1).norm(dim=1)).view(-1, *[1] * (v.ndim - 1))
    kernels = kernels.view(*kernels.shape, *[1] * (4 - v.ndim))  # a linear layer is a 1x1 convolution
    if layer == "parameters_of":
        kernels, bias = _mixture(kernels, channels), _mixture(bias, channels)
    elif layer.startswith("down") and layer.endswith("left.beside"):
        kernels = _streams(kernels)
    elif layer.startswith("double"):  # transposed: inputs come first; its lengths are of inputs there, of outputs here
        kernels = kernels.transpose(0, 1).contiguous()
    return {"direction": kernels, "length": kernels.flatten(1).norm(dim=1), "bias": bias}


def _streams(kernels: Tensor) -> Tensor:
    """The port has both streams and then the negatives of both; here each stream has its negatives beside it."""
    above, left, minus_above, minus_left = kernels.chunk(4, 1)
    return torch.cat((above, minus_above, left, minus_left), 1)


def _mixture(rows: Tensor, channels: int) -> Tensor:
    """The port has means, scales and coefficients channel by channel; here all means come first, and so on."""
    count = 3 if channels == 3 else 2  # kinds of numbers a channel
    mixtures = len(rows) // (1 + count * channels)
    own = rows[mixtures:].unflatten(0, (channels, count, mixtures))
    return torch.cat((rows[:mixtures], own.transpose(0, 1).flatten(0, 2)))


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise BadInput(f"There is no file {path}.")
    try:
        state: dict[str, Tensor]
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251 (runs nothing but these)
        return {name.removeprefix("module."): tensor.float() for name, tensor in state.items()}  # of data parallel too
    except Exception as error:  # torch's own reason is a way to run what may be in it
        what = "holds something else, which could run any code, or is damaged: save model.state_dict() alone"
        raise BadInput(f"{path} is not a state dict of tensors alone, but {what}.") from error
