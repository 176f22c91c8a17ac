"""Models in files: safetensors with the recipe of the model as JSON in the metadata. No pickle is ever loaded."""

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nextpixel import processes, sealed, shipped
from nextpixel.errors import BadInput, closest
from nextpixel.files import here, home
from nextpixel.integers import install, prove, twin
from nextpixel.model import Model, a_model
from nextpixel.models import build, loaded, outline
from nextpixel.nn.context import restore
from nextpixel.spec import ImageSpec

FORMAT = 1
KEY = "nextpixel"  # of the metadata
RECIPE = {"format", "name", "spec", "likelihood", "context", "arguments"}
PICKLES = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")  # what other libraries would read from such a file
FLOATS = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}


def save(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write the weights and the recipe of a model, wrapped (by torch.compile, …) or not, to a `.safetensors` file.

    It is written whole or not at all.

    Raises:
        BadInput: the file cannot be written there or is named like a pickle, some weights are not finite, or that is
            no model of images.
    """
    inner = a_model(model)
    recorded(inner)
    if "exact" in inner.recipe:
        twin(inner)
    about = {"format": FORMAT, **inner.recipe, **({} if inner.learnt is None else {"learnt": inner.learnt})}
    if (file := here(_path(path))).suffix in PICKLES:
        raise BadInput(f"{file} would say that it is a pickle; models are saved as {file.stem}.safetensors.")
    sealed.write(file, inner.state_dict(), key=KEY, about=about)


def recorded(model: Model) -> None:
    """Refuse a model that no file can make again."""
    if not model.recipe:
        raise BadInput("This model has no recipe by which a file could make it again; npx.build makes one that has.")
    if "<locals>" in (name := model.recipe["name"]):
        raise BadInput(f"{name} is in a function, where no file can find it; move it out, to a module.")


def load(path: str | os.PathLike[str], *, device: torch.device | str = "cpu") -> Model:
    """Read a model that `save` wrote; it comes in evaluation mode.

    A file may come from anywhere: nothing is made that is not as large as what the file holds.

    Args:
        path: a `.safetensors` file, or a run folder, whose `model.safetensors` is taken; or the name of a model that
            comes with the package (`nextpixel models`), or `hf:USER/NAME` for one on the Hugging Face Hub.
        device: where to put the weights: torch's name for it, such as "cuda:1", or "auto".

    Raises:
        BadInput: there is no such file, or it is not a whole nextpixel model.
    """
    asked = _path(path)
    path = shipped.located(asked)
    if path.is_dir():
        path = path / shipped.FILE
    if not path.is_file():
        close, names = closest(asked.name, shipped.names()), ", ".join(shipped.names())
        meant = f" Did you mean {close}?" if close else ""
        raise BadInput(f"There is no model at {asked}; those that come with nextpixel are {names}.{meant}")
    file = sealed.Sealed(path, key=KEY)
    try:
        model = _rebuild(file)
    except BadInput as error:
        raise BadInput(f"{path} cannot be read: {error}") from error
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        raise BadInput(f"{path} holds a damaged recipe: {file.text[:80]!r}.") from error
    where = processes.device(device)
    model.load_state_dict(file.tensors())
    if file.about.get("exact") is not None:
        prove(model)
    return model.to(where).eval()


def _rebuild(file: sealed.Sealed) -> Model:
    """The model of a file, with its data type and fresh weights."""
    recipe = dict(file.about)
    learnt, whole = recipe.pop("learnt", None), recipe.pop("exact", None)
    if type(recipe["format"]) is not int or recipe["format"] != FORMAT:
        raise BadInput(f"it has format {recipe['format']!r:.80}; this nextpixel reads format {FORMAT}.")
    if recipe.keys() == {"format"}:
        raise BadInput("it has the weights of a model that nextpixel.build did not make, and so no recipe to make it.")
    for key in recipe.keys() ^ RECIPE:
        raise BadInput(f"its recipe {'has no' if key in RECIPE else 'has an unknown'} entry {key!r:.80}.")
    if learnt is not None and not _is_learnt(learnt):
        raise BadInput(f"what it says of the data that it learnt from is damaged: {learnt!r:.80}.")
    module, own, _ = recipe["name"].partition(":")
    if own and loaded(module) is None:  # a file must not choose what is imported
        raise BadInput(f"its network is {recipe['name']}, your own; import {module} first (--import {module}).")
    spec, context = ImageSpec(**recipe["spec"]), restore(recipe["context"])
    if missing := {"channels", "height", "width", "levels"} - recipe["spec"].keys():
        raise BadInput(f"its recipe does not say the images' {' and '.join(sorted(missing))}.")

    def make() -> Model:
        model = build(recipe["name"], spec, recipe["likelihood"], context, **recipe["arguments"])
        if whole is not None:
            install(model.to(torch.float32), whole)  # whatever the default is
        return model

    held = sum(torch.Size(shape).numel() for _, shape in file.outline.values())
    room = 32 * (held + spec.height * spec.width) + 2**16  # what is made with weights, such as masks, is no larger
    expected = outline(make, numbers=room, calls=100 * len(file.outline) + 1000)
    wanted = {name: ("float" if its.is_floating_point() else "I64", tuple(its.shape)) for name, its in expected.items()}
    there = {name: ("float" if kind in FLOATS else kind, shape) for name, (kind, shape) in file.outline.items()}
    if wanted != there:
        wrong = min(name for name, _ in wanted.items() ^ there.items())
        raise BadInput(f"its weights do not fit its own recipe, {wrong!r:.80} for one.")
    floats = {FLOATS[kind] for kind, _ in file.outline.values() if kind in FLOATS}
    with torch.device("cpu"):  # whatever the default is
        model = make()
    model.learnt = learnt
    return model.to(floats.pop()) if len(floats) == 1 else model


def _is_learnt(value: Any) -> bool:
    """Whether that is what `data.learnt_from` makes, as far as it is used."""
    if not isinstance(value, dict) or not isinstance(name := value.get("data"), str) or not name.strip():
        return False
    names, splits = value.get("class_names"), value.get("splits")
    return (
        isinstance(value.get("options", {}), dict)
        and (names is None or (isinstance(names, list) and all(isinstance(each, str) for each in names)))
        and isinstance(splits, dict)
        and all(isinstance(its, dict) and {"images", "digest"} <= its.keys() for its in splits.values())
    )


def _path(path: object) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise BadInput(f"A model's file must be a path, not {path!r}.")
    return home(path)
