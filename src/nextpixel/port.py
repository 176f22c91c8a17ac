"""Weights that other programs trained, brought into models of ours."""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from nextpixel.autoregressive import Autoregressive
from nextpixel.errors import BadInput
from nextpixel.models import build
from nextpixel.spec import ImageSpec

SCALES, LEVELS = 3, 256


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
        for layer, source in _layers(blocks).items():
            used |= {f"{source.name}.{part}" for part in ("weight_v", "weight_g", "bias")}
            ours |= {f"backbone.{layer}.{part}": value for part, value in source.read(tensors, channels).items()}
        model.load_state_dict(ours)
    except BadInput:
        raise
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        why = f"there is no {error.args[0]}" if isinstance(error, KeyError) else "a tensor has another shape"
        raise BadInput(f"{path} is not a whole PixelCNN++ of the common port: {why}.") from None
    if left := [name for name in tensors if name not in used and not name.startswith("fixture.")]:
        raise BadInput(f"{path} has weights that a PixelCNN++ of the common port has not: {left[0]}.")
    return model.eval()


IMPORTERS: dict[str, Callable[..., Autoregressive]] = {"pixelcnnpp": import_pixelcnnpp}
"""What can be imported, by the name of the model that it becomes."""


class _Source(NamedTuple):
    """A layer of the port: its name there, and how its kernels (O, D, h, w) become ours."""

    name: str
    change: Callable[[Tensor, int], Tensor] = lambda kernels, channels: kernels

    def read(self, tensors: Mapping[str, Tensor], channels: int) -> dict[str, Tensor]:
        """The direction, length and bias of the same layer here."""
        v, g, bias = (tensors[f"{self.name}.{part}"].float() for part in ("weight_v", "weight_g", "bias"))
        kernels = v * (g.flatten() / v.flatten(1).norm(dim=1)).view(-1, *[1] * (v.ndim - 1))
        kernels = kernels.view(*kernels.shape, *[1] * (4 - v.ndim))  # a linear layer is a 1x1 convolution
        kernels, bias = self.change(kernels, channels), self.change(bias, channels) if self.change is _mixture else bias
        return {"direction": kernels, "length": kernels.flatten(1).norm(dim=1), "bias": bias}


def _transposed(kernels: Tensor, channels: int) -> Tensor:
    """A transposed convolution has inputs first; its lengths are of inputs there, and of outputs here."""
    return kernels.transpose(0, 1).contiguous()


def _streams(kernels: Tensor, channels: int) -> Tensor:
    """The port has both streams and then the negatives of both; here each stream has its negatives beside it."""
    above, left, minus_above, minus_left = kernels.chunk(4, 1)
    return torch.cat((above, minus_above, left, minus_left), 1)


def _mixture(rows: Tensor, channels: int) -> Tensor:
    """The port has means, scales and coefficients channel by channel; here all means come first, and so on."""
    count = 3 if channels == 3 else 2  # kinds of numbers a channel
    mixtures = len(rows) // (1 + count * channels)
    own = rows[mixtures:].unflatten(0, (channels, count, mixtures))
    return torch.cat((rows[:mixtures], own.transpose(0, 1).flatten(0, 2)))


def _layers(blocks: int) -> dict[str, _Source]:
    """Where each layer of ours is found in the port; scales are counted from the finest here, on the way up too."""
    found = {
        "first_above": _Source("u_init.conv"),
        "first_left.above": _Source("ul_init.0.conv"),
        "first_left.left": _Source("ul_init.1.conv"),
        "parameters_of": _Source("nin_out.lin_a", _mixture),
    }
    for scale in range(SCALES):
        back = SCALES - 1 - scale  # the port counts the way up as it goes
        more = blocks + (scale < SCALES - 1)
        for ours, theirs, count in (("up", f"up_layers.{scale}", blocks), ("down", f"down_layers.{back}", more)):
            for block in range(count):
                for stream, name in (("above", "u_stream"), ("left", "ul_stream")):
                    here, there = f"{ours}.{scale}.{block}.{stream}", f"{theirs}.{name}.{block}"
                    found[f"{here}.enter"] = _Source(f"{there}.conv_input.conv")
                    found[f"{here}.leave"] = _Source(f"{there}.conv_out.conv")
                    if stream == "left" or ours == "down":
                        change = [_streams] if stream == "left" and ours == "down" else []
                        found[f"{here}.beside"] = _Source(f"{there}.nin_skip.lin_a", *change)
    for step in range(SCALES - 1):
        back = SCALES - 2 - step
        for stream, name in (("above", "u"), ("left", "ul")):
            found[f"halve_{stream}.{step}"] = _Source(f"downsize_{name}_stream.{step}.conv")
            found[f"double_{stream}.{step}"] = _Source(f"upsize_{name}_stream.{back}.deconv", _transposed)
    return found


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
