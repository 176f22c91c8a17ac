"""Tensors, and a JSON object about them, in one safetensors file, sealed by a SHA-256 of every byte. Never a pickle."""

import hashlib
import json
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from nextpixel.errors import BadInput, Damaged
from nextpixel.files import whole_file

KINDS = {"nextpixel": ("model", "recipe"), "training": ("training state", "record")}  # by the key of the metadata
_OPEN = "0" * 64  # stands for the digest while it is computed


def write(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], *, key: str, about: Mapping[str, Any]) -> None:
    """Write tensors, and under a key of `KINDS` a JSON object, whole or not at all.

    Raises:
        BadInput: the file cannot be written, or some number is not finite, which no reader would take.
    """
    plain = {name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}
    if bad := _not_finite(plain):
        raise BadInput(f"{path} is not written, because not all numbers of {bad} are finite.")
    blob = serialize(plain, {key: json.dumps({**about, "sha256": _OPEN})})
    digest, size = hashlib.sha256(blob).hexdigest(), 8 + int.from_bytes(blob[:8], "little")
    with whole_file(path) as beside, beside.open("wb") as file:  # not save_file, which lets nobody else read the file
        file.write(blob[:size].replace(_OPEN.encode(), digest.encode()))
        file.write(memoryview(blob)[size:])


class Sealed:
    """A file that `write` wrote, or a plain one without a digest; the tensors are read only when asked for.

    Attributes:
        about, text: the JSON object, as such and as it stands there.
        outline: data type (such as "F32") and shape of each tensor.

    Raises:
        BadInput: there is no such file, or it is damaged or of another kind.
    """

    def __init__(self, path: Path, *, key: str) -> None:
        self.path = path
        with _opened(path) as file:
            metadata = file.metadata() or {}
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            self.outline = {name: (each.get_dtype(), tuple(each.get_shape())) for name, each in slices.items()}
        what, record = KINDS[key]
        if key not in metadata:
            raise BadInput(f"{path} holds weights, but not a nextpixel {what}: its metadata has no {record}.")
        self.text = metadata[key]
        try:
            self.about: dict[str, Any] = json.loads(self.text)
            digest = self.about.pop("sha256", None)
        except (ValueError, RecursionError, AttributeError, TypeError) as error:
            raise Damaged(f"{path} holds a damaged {record}: {self.text[:80]!r}.") from error
        if digest is not None and digest != _digest(path, str(digest)):
            raise Damaged(f"{path} is damaged: its SHA-256 is not the one it was written with; take another copy.")

    def tensors(self) -> dict[str, Tensor]:
        """All of them, on the CPU.

        Raises:
            BadInput: the file cannot be read any more, or some numbers are not finite.
        """
        with _opened(self.path) as file:
            tensors = {name: file.get_tensor(name) for name in self.outline}
        if bad := _not_finite(tensors):
            raise BadInput(f"{self.path} is of no use, because not all numbers of {bad} are finite.")
        return tensors


@contextmanager
def _opened(path: Path) -> Generator[Any]:
    start = b""
    try:
        with path.open("rb") as file:  # which says why, where it may not
            start = file.read(8)
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        # A safetensors file begins with the length of its header, which can begin with a pickle's two bytes as well.
        if start[:4] == b"PK\x03\x04" or (start[:1] == b"\x80" and start[1:2] in b"\2\3\4\5" and any(start[2:])):
            raise BadInput(f"{path} is a pickle, which can run any code; nextpixel reads only safetensors.") from error
        reason = (getattr(error, "strerror", None) or str(error)).rstrip(".")
        raise Damaged(f"{path} is not a whole safetensors file: {reason}.") from error


def _digest(path: Path, digest: str) -> str:
    """What the digest of a file should be, where it says that it is `digest`."""
    with path.open("rb") as file:
        start = file.read(8)
        header = file.read(int.from_bytes(start, "little"))
        seen = hashlib.sha256(start + header.replace(digest.encode(), _OPEN.encode()))
        return hashlib.file_digest(file, lambda: seen).hexdigest()  # which goes on with the rest


def _not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of a tensor with numbers that are not finite, if there is one.

    Moments of an optimizer may be: the square of a wild first gradient is infinite, and its weight then stays as it is.
    """
    numbers = ((name, t) for name, t in tensors.items() if t.is_floating_point() and not name.startswith("optimizer."))
    return next((name for name, t in numbers if not bool(t.isfinite().all())), None)
