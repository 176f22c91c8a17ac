"""Weights that other programs trained, brought into models of ours."""

import os
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
    path = Path(path)
    tensors = {name.removeprefix("module."): tensor for name, tensor in _read(path).items()}  # of a data-parallel model
    try:
        filters, inputs = tensors["u_init.conv.weight_v"].shape[:2]
        outputs = len(tensors["nin_out.lin_a.weight_v"])
    except (KeyError, TypeError, ValueError) as error:
        why = f"it has no {error.args[0]}" if isinstance(error, KeyError) else "u_init.conv.weight_v is no kernel"
        raise BadInput(f"{path} is not a PixelCNN++ of the common port: {why}.") from None
    channels = inputs - 1
    each = {1: 3, 3: 10}.get(channels)
    if each is None or outputs % each:
        raise BadInput(
            f"{path} is for images of {channels} channels and {outputs} outputs; the port has 1 or 3 channels."
        )
    blocks = sum(name.startswith("up_layers.0.u_stream.") and name.endswith("conv_input.conv.bias") for name in tensors)
    spec, mixtures = ImageSpec(channels, height, width, LEVELS), outputs // each
    model = build("pixelcnnpp", spec, "logistic_mixture", filters=filters, blocks=blocks, mixtures=mixtures)
    ours: dict[str, Tensor] = {}
    used: set[str] = set()
    try:
        for layer, source in _layers(blocks).items():
            used |= {f"{source.name}.{part}" for part in ("weight_v", "weight_g", "bias")}
            ours |= {f"backbone.{layer}.{part}": value for part, value in source.read(tensors, channels).items()}
        model.load_state_dict(ours)
    except (KeyError, RuntimeError) as error:
        reason = f"there is no {error.args[0]}" if isinstance(error, KeyError) else "a tensor has another shape"
        raise BadInput(f"{path} is not a whole PixelCNN++ of {blocks} blocks of {filters} filters: {reason}.") from None
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
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251 (runs nothing but these)
    except Exception as error:
        reason = str(error).splitlines()[0].rstrip(".:") if str(error) else "it is cut"
        if type(error).__name__ == "UnpicklingError":  # torch's reason is a way to run it all the same
            reason = "it holds something else, which could run any code, or is damaged"
        raise BadInput(f"{path} is not a state dict of tensors alone: {reason}.") from error
    held = f"a {type(state).__name__}"
    if isinstance(state, Mapping):
        if all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()):
            return dict(state)
        held = f"a dictionary of {', '.join(map(str, [*state][:3]))} …"
    raise BadInput(f"{path} holds {held}, not the state dict of a model: save model.state_dict() alone.")
