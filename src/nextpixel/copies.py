"""The state of an unroll with other images in the places of its own."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nextpixel.errors import BadInput


class Copies:
    """Finds in a state, whatever a network makes, what belongs to images, and moves it from image to image.

    Tensors are looked for in dataclasses, tuples, lists, dictionaries, partial functions and plain objects, those with
    slots too; not in closures. They are views of buffers, of which each is moved once and in place, so that all views
    stay what they are; one view of each must have the images as its first axis.

    Args:
        state: of `batch` images, at least two, from `init_state`.
        twin: the same of another number above one: what is as large in both are constants.
        batch: images (B).
    """

    def __init__(self, state: Any, twin: Any, batch: int) -> None:
        self.state, self.batch = state, batch
        pairs = [*zip(_tensors(state), _tensors(twin), strict=True)]
        self._constants = {_buffer(tensor) for tensor, other in pairs if tensor.shape == other.shape}
        movable = {_buffer(tensor) for tensor, _ in pairs if tensor.shape[:1] == (batch,)}
        if not movable or {_buffer(tensor) for tensor, _ in pairs} - self._constants - movable:
            raise BadInput(
                "Particles move a network's state from image to image, but this one's has tensors, or nothing else, "
                "whose first axis is not that of the images; take particles=1."
            )

    def take(self, indices: Tensor) -> None:
        """Put image `indices[i]` into place i, (B,)."""
        moved: dict[int, int] = {}  # buffers, and the numbers between two of their images
        for tensor in _tensors(self.state):
            buffer = _buffer(tensor)
            if buffer in self._constants or tensor.shape[:1] != (self.batch,) or not tensor.stride(0):
                continue  # the last have one for all images
            apart = moved.setdefault(buffer, 0)
            assert apart in (0, tensor.stride(0)), "all views of a buffer have its images equally far apart"
            if not apart:
                moved[buffer] = tensor.stride(0)
                count = tensor.untyped_storage().nbytes() // tensor.element_size()
                images = tensor.as_strided((count,), (1,), 0).view(-1, self.batch, tensor.stride(0))
                images.copy_(images[:, indices])


def _buffer(tensor: Tensor) -> int:
    """What tells buffers apart; 0 of one without numbers."""
    return tensor.untyped_storage().data_ptr()


def _tensors(part: Any) -> Iterator[Tensor]:
    if isinstance(part, Tensor):
        yield part
    elif isinstance(part, partial):
        yield from _tensors((part.args, part.keywords))
    elif isinstance(part, list | tuple):
        for each in part:
            yield from _tensors(each)
    elif isinstance(part, dict):
        yield from _tensors([*part.values()])
    elif is_dataclass(part):
        yield from _tensors([getattr(part, its.name) for its in fields(part)])
    elif hasattr(type(part), "__slots__") and not isinstance(part, str | bytes | torch.dtype | torch.device):
        yield from _tensors([getattr(part, name) for name in _slots(part) if hasattr(part, name)])
        yield from _tensors([*vars(part).values()] if hasattr(part, "__dict__") else [])
    elif hasattr(part, "__dict__") and not callable(part) and not isinstance(part, type | nn.Module):
        yield from _tensors(vars(part))


def _slots(part: object) -> list[str]:
    found = [vars(kind).get("__slots__", ()) for kind in type(part).__mro__]
    return [name for names in found for name in ((names,) if isinstance(names, str) else names)]
