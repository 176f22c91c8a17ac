"""Tensors, and a JSON object about them, in one safetensors file, sealed by a SHA-256 of every byte. Never a pickle."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import safetensors
import torch
from safetensors.torch import save as serialize
from torch import Tensor

from nextpixel.errors import BadInput
from nextpixel.files import whole_file

KINDS = {"nextpixel": ("model", "recipe"), "training": ("training state", "record")}  # by the key of the metadata
_OPEN = "0" * 64  # stands for the digest while it is computed


def write(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], *, key: str, about: Mapping[str, Any]) -> None:
    """Write a file, whole or not at all.

    Args:
        path: of the file.
        tensors: by name, all finite.
        key: of the metadata, where the JSON object goes; one of `KINDS`.
        about: the JSON object.

    Raises:
        BadInput: the file cannot be written, or some number is not finite, which no reader would take.
    """
    plain = {name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}
    if bad := _not_finite(plain):
        raise BadInput(f"{path} is not written, because not all numbers of {bad} are finite.")
    blob = serialize(plain, {key: json.dumps({**about, "sha256": _OPEN})})
    digest = hashlib.sha256(blob).hexdigest()
    size = 8 + int.from_bytes(blob[:8], "little")
    with whole_file(path) as beside, beside.open("wb") as file:  # not save_file, which lets nobody else read the file
        file.write(blob[:size].replace(_OPEN.encode(), digest.encode()))
        file.write(memoryview(blob)[size:])


class Sealed:
    """A file that `write` wrote, or a plain one without a digest; the tensors are read only when asked for.

    Args:
        path: of the file.
        key: as of `write`.

    Attributes:
        about, text: the JSON object, as such and as it stands there.
        outline: data type (such as "F32") and shape of each tensor.

    Raises:
        BadInput: there is no such file, or it is damaged or of another kind.
    """

    def __init__(self, path: Path, *, key: str) -> None:
        self.path = path
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
                self.outline = {name: (each.get_dtype(), tuple(each.get_shape())) for name, each in slices.items()}
        except (OSError, safetensors.SafetensorError) as error:
            _refuse(path, error)
        what, record = KINDS[key]
        if key not in metadata:
            raise BadInput(f"{path} holds weights, but not a nextpixel {what}: its metadata has no {record}.")
        self.text = metadata[key]
        try:
            about = json.loads(self.text)
            digest = about.pop("sha256", None)
        except (ValueError, RecursionError, AttributeError, TypeError) as error:
            raise BadInput(f"{path} holds a damaged {record}: {self.text[:80]!r}.") from error
        if digest is not None and digest != _digest(path, digest):
            raise BadInput(f"{path} is damaged: its SHA-256 is not the one it was written with; take another copy.")
        self.about: dict[str, Any] = about

    def tensors(self) -> dict[str, Tensor]:
        """All of them, on the CPU.

        Raises:
            BadInput: the file cannot be read any more, or some numbers are not finite.
        """
        try:
            with safetensors.safe_open(self.path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in self.outline}
        except (OSError, safetensors.SafetensorError) as error:
            _refuse(self.path, error)
        if bad := _not_finite(tensors):
            raise BadInput(f"{self.path} is of no use, because not all numbers of {bad} are finite.")
        return tensors


def _digest(path: Path, digest: object) -> str:
    """What the digest of a file should be, where `digest` is what it says."""
    with path.open("rb") as file:
        start = file.read(8)
        header = file.read(int.from_bytes(start, "little"))
        seen = hashlib.sha256(start + header.replace(str(digest).encode(), _OPEN.encode()))
        while part := file.read(1 << 20):
            seen.update(part)
    return seen.hexdigest()


def _not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of a tensor with numbers that are not finite, if there is one."""
    numbers = ((name, t) for name, t in tensors.items() if t.is_floating_point() or t.is_complex())
    return next((name for name, t in numbers if not bool(t.isfinite().all())), None)


def _refuse(path: Path, error: Exception) -> NoReturn:
    reason = (getattr(error, "strerror", None) or str(error)).rstrip(".")
    start = b""
    if path.is_file() and not isinstance(error, OSError):
        with path.open("rb") as file:
            start = file.read(8)
    # A safetensors file begins with the length of its header, which can begin with these two bytes as well.
    if start[:4] == b"PK\x03\x04" or (start[:1] == b"\x80" and start[1:2] in b"\2\3\4\5" and any(start[2:])):
        raise BadInput(
            f"{path} is a pickle, which can run any code when it is loaded; nextpixel reads only safetensors."
        ) from error
    raise BadInput(f"{path} is not a whole safetensors file: {reason}.") from error
