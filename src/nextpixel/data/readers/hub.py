"""What Hugging Face `datasets` opens: `hf:NAME_OR_PATH`, a name on the Hub or something on this machine.

On this machine that is a folder of parquet or arrow files, webdataset tars or images, what `save_to_disk` left, or one
such file. Pictures stay in its memory map, encoded, until they are asked for; its copies are in its own cache. A part
`:NAME` at the end is one of the configurations that a data set may have.

Source: https://huggingface.co/docs/datasets/loading
"""

import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from nextpixel.data.dataset import Parts
from nextpixel.data.readers.arrays import arrange, number_labels
from nextpixel.data.readers.damage import Damaged, told
from nextpixel.data.readers.encoded import Bytes, Source, decode
from nextpixel.data.readers.options import SPLIT_OF, Options
from nextpixel.errors import BadInput, needs
from nextpixel.files import home

_PREFIX = "hf:"
_KINDS = {".parquet": "parquet", ".arrow": "arrow", ".tar": "webdataset"}
_LABELS = ("label", "labels", "cls", "class", "target", "y")


def is_hub(name: str | Path) -> TypeGuard[str]:
    """Whether a name is for `datasets`."""
    return isinstance(name, str) and name.startswith(_PREFIX)


def read_hub(name: str, options: Options) -> Parts:
    """Open the splits of a data set, find its columns, and decode its pictures as those of files.

    Args:
        name: with its prefix.
        options: `columns` names those of the images and of the labels; `splits` names splits.

    Raises:
        BadInput: no network, no such data set, or columns that could mean several things.
    """
    found = _splits(name, options)
    packed = _packed(home(name.removeprefix(_PREFIX)))
    options = replace(options, levels=options.levels or packed.get("levels"))
    options = replace(options, ordinal=options.ordinal and packed.get("ordinal", True))
    features = found["train"].features
    column = _image_column(features, options, name)
    labels, names, notes = _labels(found, options, name)
    if _is_encoded(features[column]):
        options.refuse(name, "layout")
        counts = {split: len(some) for split, some in found.items()}
        numbers, classes, names = number_labels(labels, counts, names, options.first_label, name)
        records = {split: Records(some, column, name, split) for split, some in found.items()}
        return decode(records, options, numbers, classes, names, notes)
    with told(name):
        arrays = {f"{split}_images": _array(some, column) for split, some in found.items()}
    arrays |= {f"{split}_labels": some for split, some in labels.items()}
    return arrange(arrays | ({"class_names": np.array(names)} if names else {}), Path(name), options)


class Records(Source):
    """The encoded pictures of a column."""

    def __init__(self, dataset: Any, column: str, what: str, split: str) -> None:
        from datasets import Image

        self.what, self._split = what, split
        with told(what):
            pictures = dataset.select_columns(column).cast_column(column, Image(decode=False))
        self._records = pictures.with_format("arrow")

    def __len__(self) -> int:
        return len(self._records)

    def name(self, index: int) -> str:
        return f"image {index} of {self.what} ({self._split})"

    def open(self, index: int) -> Bytes:
        record = self._records[index].column(0)[0].as_py()
        if not record or not (record["bytes"] or record["path"]):
            raise Damaged(f"{self.name(index)} is empty.")
        return BytesIO(record["bytes"]) if record["bytes"] else Path(record["path"]).open("rb")


def _packed(path: Path) -> dict[str, Any]:
    """What `nextpixel data pack` wrote of its images."""
    file = path if path.suffix == ".parquet" else next(path.glob("*.parquet"), None)
    if file is None or not file.is_file():
        return {}
    from pyarrow.parquet import read_schema

    with told(file):
        return json.loads((read_schema(file).metadata or {}).get(b"nextpixel", "{}"))


def _splits(name: str, options: Options) -> dict[str, Any]:
    """The data sets of Hugging Face for our splits."""
    with needs("datasets", "datasets", name), told(name, "cannot be opened"):
        found: Any = _opened(name)
    found = dict(found) if isinstance(found, Mapping) else {"train": found}
    there = ", ".join(found) or "nothing"
    asked = options.splits or _usual(found)
    if "train" not in asked:
        raise BadInput(f"{name} has no split train, but {there}; data.splits={{train: NAME}} says which it is.")
    for split in asked.values():
        if split not in found:
            raise BadInput(f"{name} has no split {split}, which data.splits names, but {there}.")
        if not len(found[split]):
            raise BadInput(f"{name} has no images in its split {split}.")
    return {split: found[own] for split, own in asked.items()}


def _opened(name: str) -> Any:
    """The data set, or its splits by their names."""
    import datasets
    from datasets.exceptions import DatasetsError

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it tells of each try
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    place, _, configuration = name.removeprefix(_PREFIX).partition(":")
    path = home(place)
    if place.startswith(("/", ".", "~")) and not path.exists():
        raise BadInput(f"There is no file or folder {place}, which {name} names.")
    try:
        if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
            return datasets.load_from_disk(str(path))
        if path.is_file():
            if path.suffix not in _KINDS:
                raise BadInput(f"{name} is no file of {', '.join(_KINDS)}; give its folder, or the file without hf:.")
            return datasets.load_dataset(_KINDS[path.suffix], data_files=str(path))
        return datasets.load_dataset(str(path) if path.is_dir() else place, configuration or None)
    except ConnectionError as error:
        why = "there is no network, or no such data set; hf:./FOLDER is a folder here"
        raise BadInput(f"{name} cannot be reached: {why}.") from error
    except DatasetsError as error:
        raise ValueError(error.__cause__ or error) from error


def _usual(found: dict[str, Any]) -> dict[str, str]:
    """Which split of theirs is which of ours, by usual names; one alone is for training."""
    usual = {SPLIT_OF[name]: name for name in reversed(found) if name in SPLIT_OF}
    return {"train": next(iter(found))} if len(found) == 1 else usual


def _image_column(features: Mapping[str, Any], options: Options, name: str) -> str:
    there = ", ".join(f"{column} ({_kind(feature)})" for column, feature in features.items())
    asked = (options.columns or {}).get("image")
    images = [column for column, feature in features.items() if _is_encoded(feature) or _is_array(feature)]
    if asked is None and len(images) == 1:
        return images[0]
    if asked not in images:
        what = f"no column of images {asked}" if asked else "several columns of images" if images else "no images"
        raise BadInput(f"{name} has {what}: its columns are {there}; data.columns={{image: NAME}} says which.")
    return asked


def _labels(
    found: Mapping[str, Any], options: Options, name: str
) -> tuple[dict[str, np.ndarray], tuple[str, ...] | None, list[str]]:
    """What stands for the classes, of the splits that have it; their names, and notes."""
    from datasets import ClassLabel, Value

    features = found["train"].features
    asked = (options.columns or {}).get("label")
    named = [column for column, feature in features.items() if isinstance(feature, ClassLabel)]
    usual = [column for column in _LABELS if isinstance(features.get(column), ClassLabel | Value)]
    if asked is None and len(named) > 1 and not usual:
        raise BadInput(f"{name} has labels {' and '.join(named)}; data.columns={{label: NAME}} says which.")
    column = asked or (usual or named or [None])[0]
    if column is None:
        return {}, None, []
    if not isinstance(features.get(column), ClassLabel | Value):
        raise BadInput(f"{name} has no column of labels {column}: its columns are {', '.join(features)}.")
    with told(name):
        labels = {split: np.asarray(_array(some, column)) for split, some in found.items()}
    if not isinstance(features[column], ClassLabel):
        return labels, None, []
    without = [split for split, some in labels.items() if some.min() < 0]  # -1, by convention
    notes = [f"{split} images have no labels" for split in without]
    there = {} if "train" in without else {split: labels[split] for split in labels if split not in without}
    return there, tuple(features[column].names), notes


def _array(dataset: Any, column: str) -> np.ndarray:
    return dataset.select_columns(column).with_format("numpy")[:][column]


def _is_encoded(feature: Any) -> bool:
    from datasets import Image, Value

    return (
        isinstance(feature, Image) or feature == Value("binary") or (isinstance(feature, dict) and "bytes" in feature)
    )


def _is_array(feature: Any) -> bool:
    depth = 0
    while hasattr(feature, "feature"):
        feature, depth = feature.feature, depth + 1
    return depth > 1 or hasattr(feature, "shape")


def _kind(feature: Any) -> str:
    return getattr(feature, "dtype", None) or type(feature).__name__
