"""Models in files: safetensors with the recipe of the model as JSON in the metadata. No pickle is ever loaded."""

import json
import os
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save as serialize
from torch import nn

from nextpixel.errors import BadInput
from nextpixel.model import Model
from nextpixel.models import build
from nextpixel.nn.context import restore
from nextpixel.spec import ImageSpec

FORMAT = 1


def save(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write the weights and the recipe of a model, wrapped (by torch.compile, …) or not, to a `.safetensors` file.

    It is written whole or not at all.

    Raises:
        BadInput: the file cannot be written there, or that is no model of images.
    """
    path = _path(path)
    inner: Any = model
    while not isinstance(inner, Model):
        inner = getattr(inner, "_orig_mod", getattr(inner, "module", None))
        if inner is None:
            raise BadInput(f"Only a model of nextpixel can be saved, not a {type(model).__name__}.")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in inner.state_dict().items()}
    metadata = {"nextpixel": json.dumps({"format": FORMAT, **inner.recipe})}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.part")
        try:
            beside.write_bytes(serialize(tensors, metadata))  # not save_file, which lets nobody else read the file
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except (OSError, safetensors.SafetensorError) as error:
        raise BadInput(f"The model cannot be written to {path}: {_reason(error)}.") from error


def load(path: str | os.PathLike[str], *, device: torch.device | str = "cpu") -> Model:
    """Read a model that `save` wrote; it comes in evaluation mode.

    Args:
        path: a `.safetensors` file, or a run folder, whose `model.safetensors` is taken.
        device: where to put the weights.

    Raises:
        BadInput: there is no such file, or it is not a whole nextpixel model.
    """
    path = _path(path)
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.is_file():
        raise BadInput(f"There is no model at {path}.")
    try:
        with safetensors.safe_open(path, framework="pt", device=str(device)) as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, safetensors.SafetensorError) as error:
        raise BadInput(_not_safetensors(path, error)) from error
    if "nextpixel" not in metadata:
        raise BadInput(f"{path} holds weights, but not a nextpixel model: its metadata names no recipe.")
    model = _rebuild(path, metadata["nextpixel"]).to(device)
    dtypes = {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()}
    if len(dtypes) == 1:
        model.to(dtypes.pop())
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise BadInput(f"The weights in {path} do not fit its own recipe {metadata['nextpixel']}.") from error
    return model.eval()


def _rebuild(path: Path, text: str) -> Model:
    try:
        recipe: dict[str, Any] = json.loads(text)
        if recipe["format"] != FORMAT:
            raise BadInput(f"{path} has format {recipe['format']}; this nextpixel reads format {FORMAT}.")
        context = restore(recipe["context"])
        spec = ImageSpec(**recipe["spec"])
        return build(recipe["name"], spec, recipe["likelihood"], context, **recipe["arguments"])
    except BadInput as error:
        raise BadInput(f"{path} cannot be read: {error}") from error
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path} holds a damaged recipe: {text[:80]!r}.") from error


def _path(path: object) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise BadInput(f"A model's file must be a path, not {path!r}.")
    return Path(path)


def _not_safetensors(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith((b"PK\x03\x04", b"\x80")):
        return f"{path} is a pickle, which can run any code when it is loaded; nextpixel reads only safetensors."
    return f"{path} is not a whole safetensors file: {_reason(error)}."


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).rstrip(".")
