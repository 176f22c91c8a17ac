"""What the commands share: their parser, their options, and how they find models, images and places to write."""

import argparse
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

import nextpixel as npx
from nextpixel.cli.recipes import check_data, read
from nextpixel.data import DataSet, open_data
from nextpixel.errors import BadInput
from nextpixel.nn.context import Context

Work = TypeVar("Work")
Part = TypeVar("Part", bound=Context)
BATCH = 64  # images at once, where it makes no difference to the result


class Parser(argparse.ArgumentParser):
    """A command's options; what is wrong with them is one sentence.

    Args:
        verb: the command.
        about: what it does.
        examples: lines to copy.
    """

    def __init__(self, verb: str, about: str, *, examples: Iterable[str]) -> None:
        super().__init__(
            prog=f"nextpixel {verb}",
            description=about,
            epilog="\n".join(["examples:", *(f"  {example}" for example in examples)]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message[:1].upper()}{message[1:]}; see {self.prog} --help.")

    def add_model(self) -> None:
        self.add_argument("model", type=Path, metavar="MODEL", help="a .safetensors file, or a run folder")
        self.add_device()

    def add_device(self) -> None:
        self.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: auto)")

    def add_data(self) -> None:
        self.add_argument("--data", metavar="NAME", help="a data set's name or path; by default what MODEL learnt from")
        self.add_argument("--data-root", metavar="DIR", help="where data sets are, in torchvision's layout")
        self.add_argument("--split", choices=("train", "validation", "test"), default="test", help="(default: test)")

    def add_drawing(self) -> None:
        self.add_argument("--temperature", type=positive, default=1.0, help="below 1: likelier, duller (default: 1)")
        self.add_argument("--seed", type=whole(0), default=0, help="of the noise (default: 0)")


def whole(least: int) -> Callable[[str], int]:
    """Make a reader of whole numbers from `least` on."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        return value

    return read


def positive(text: str) -> float:
    """Read a number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def device(name: str) -> torch.device:
    """The device of that name, which must be there; `auto` is the fastest that is.

    Raises:
        BadInput: no such device.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    usable = [kind for kind, is_there in there.items() if is_there]
    if name == "auto":
        return torch.device(usable[0])
    if name not in usable:
        raise BadInput(f"There is no device {name!r} here; there is {' and '.join(usable)}.")
    return torch.device(name)


def data_of(model: Path, options: argparse.Namespace) -> DataSet:
    """The data set of --data, or by default the one that config.yaml beside the model names.

    Raises:
        BadInput: neither names one, or it cannot be opened.
    """
    recipe = _config(model).get("data", {})
    if options.data is not None and options.data != recipe.get("name"):
        recipe = {"name": options.data}
    if "name" not in recipe:
        raise BadInput(f"Nothing says which data set {model} learnt from; name one with --data.")
    if options.data_root is not None:
        recipe = {**recipe, "root": options.data_root}
    return open_data(**recipe)


def check_spec(model: npx.Model, spec: npx.ImageSpec, *, what: str) -> None:
    """Refuse images that the model is not about.

    Raises:
        BadInput: shape or levels differ.
    """
    if (spec.shape, spec.levels) != (model.spec.shape, model.spec.levels):
        raise BadInput(f"The model is about images {model.spec}, but those of {what} are {spec}.")


def exact(model: npx.Model, what: str) -> npx.Autoregressive:
    """The model, if its likelihood is exact; `what` needs that.

    Raises:
        BadInput: it has only bounds.
    """
    if not isinstance(model, npx.Autoregressive):
        raise BadInput(f"{what} needs an exact likelihood, but a {model.recipe['name']} has only bounds.")
    return model


def classes_of(model: npx.Model, label: str | None) -> npx.ClassLabel | None:
    """The classes that a model knows, or None; `label` is what --label says.

    Raises:
        BadInput: a label that is not one of the classes.
    """
    context = part_of(model.context, npx.ClassLabel)
    if context is None:
        if label is not None:
            raise BadInput(f"This model knows no classes, so --label {label} means nothing to it.")
        return None
    if label not in (None, "all") and (not label.isdecimal() or int(label) >= context.classes):
        raise BadInput(f"The label must be from 0 to {context.classes - 1}, not {label}.")
    return context


def part_of(context: Context | None, kind: type[Part]) -> Part | None:
    """The first part of a context that is of a kind: itself, or one of `Both`."""
    if isinstance(context, npx.Both):
        return part_of(context.first, kind) or part_of(context.second, kind)
    return context if isinstance(context, kind) else None


def place(text: str, *suffixes: str) -> Path:
    """The file to be written; refused before the work, not after it.

    Raises:
        BadInput: a suffix that is not among `suffixes`, no such folder, or one that cannot be written.
    """
    path = Path(text)
    if path.suffix.lower() not in suffixes:
        raise BadInput(f"The output must end in {' or '.join(suffixes)}, not {text}.")
    if path.is_dir():
        raise BadInput(f"The output {text} is a folder.")
    if not path.parent.is_dir():
        raise BadInput(f"There is no folder {path.parent} to write {path.name} in.")
    if not os.access(path.parent, os.W_OK):
        raise BadInput(f"The folder {path.parent} cannot be written.")
    return path


def write_arrays(path: Path, **arrays: Tensor | np.ndarray | int | None) -> None:
    """Write an npz file, at once or not at all; None is left out, and whole numbers are in the smallest dtype."""
    kept = {name: np.asarray(array) for name, array in arrays.items() if array is not None}
    small: dict[str, Any] = {
        name: array if array.dtype.kind == "f" else array.astype(np.min_scalar_type(array.max()))
        for name, array in kept.items()
    }
    beside = path.with_name(f".{path.name}.part")
    with beside.open("wb") as file:
        np.savez_compressed(file, **small)
    beside.replace(path)


def with_bar(work: Sequence[Work], doing: str) -> Iterable[Work]:
    """Go through the parts of some work, with a bar if someone watches."""
    return track(work, doing, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


def pieces(count: int) -> list[slice]:
    """Cut `count` images into batches."""
    return [slice(start, min(count, start + BATCH)) for start in range(0, count, BATCH)]


def _config(model: Path) -> dict[str, Any]:
    path = (model if model.is_dir() else model.parent) / "config.yaml"
    if not path.is_file():
        return {}
    recipe = read(path)
    if recipe["data"]:
        check_data(recipe["data"], path)
    return recipe
