"""What Hugging Face `datasets` opens: `hf:NAME_OR_PATH`, a name on the Hub or something on this machine.

Here that is a folder of parquet or arrow files, webdataset tars or images, what `save_to_disk` left, or one such file.
Pictures stay in its memory map, encoded, until they are asked for. A part `:NAME` at the end names a configuration.
"""

import glob
import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from nextpixel.data.dataset import Parts, Split
from nextpixel.data.readers.arrays import number_labels
from nextpixel.data.readers.encoded import Bytes, Source, decode
from nextpixel.data.readers.options import SPLIT_OF, Options
from nextpixel.errors import BadInput, Damaged, needs, told
from nextpixel.files import home

Record = Mapping[str, Any]
HELD_OUT = 2_000  # first images of a stream, of which each split without one of its own has so many
_PREFIX = "hf:"
_KINDS = {".parquet": "parquet", ".arrow": "arrow", ".tar": "webdataset"}
_LABELS = ("label", "labels", "cls", "class", "target", "y")
_MEASURES = ("float", "double", "decimal", "time", "date", "duration")  # fractions and moments, which are no classes


def is_hub(name: object) -> TypeGuard[str]:
    """Whether a name is for `datasets`."""
    return isinstance(name, str) and name.startswith(_PREFIX)


def place_of(name: str) -> Path | None:
    """The file or folder that a name says by its path; None of one on the Hub."""
    place = name.removeprefix(_PREFIX).partition(":")[0]
    path = home(place)
    return path if place.startswith(("/", ".", "~")) or path.exists() else None


def read_hub(name: str, options: Options) -> Parts:
    """Open the splits of a data set, find its columns, and decode its pictures as those of files."""
    options.refuse(name, "layout")
    found = _splits(name, options)
    packed = _packed(home(name.removeprefix(_PREFIX)))
    ordinal = options.ordinal and packed.get("ordinal", True)
    options = replace(options, levels=options.levels or packed.get("levels"), ordinal=ordinal)
    features = found["train"].features
    if features is None:
        raise BadInput(f"{name} does not say what its columns are before it is read; data.streaming is not for it.")
    column, beside = _columns(features, options, name)
    wanted = [column, beside] if beside else [column]
    from datasets import Image

    with told(name):
        for split, some in found.items():
            found[split] = some.select_columns(wanted).cast_column(column, Image(decode=False))
    names = getattr(features.get(beside), "names", None) or []
    if options.streaming:
        return _streamed(name, found, column, beside, names, options)
    labels, notes = dict[str, np.ndarray](), list[str]()
    for split, some in found.items() if beside else ():
        with told(name):
            own, why = _labels(some, beside, names, options, f"{name} ({split})")
        if own is None:
            notes.append(why or f"{split} images have no labels")
        else:
            labels[split] = own
    labels = labels if "train" in labels else {}
    counts = {split: len(some) for split, some in found.items()}
    first = options.like.get("first_label") if options.first_label is None else options.first_label
    numbered = number_labels(labels, counts, tuple(names) or None, first, name)
    sources = {split: _source(some[column], f"{name} ({split})") for split, some in found.items()}
    return decode(sources, options, numbered, notes)


def _labels(rows: Any, column: str, names: Sequence[str], options: Options, what: str) -> tuple[Any, str]:
    """The labels of a column, or None and why there are none; those that are asked for must be there."""
    found = np.asarray(rows.select_columns([column]).with_format("numpy")[:][column])
    lacks = [index for index, label in enumerate(found.tolist()) if label is None or label != label]
    if not lacks and not (names and found.min() < 0):  # -1, by convention, where labels are held back
        return found, ""
    if lacks and (options.columns or {}).get("label"):
        raise BadInput(f"Image {lacks[0]} of {what} has no {column}; data.columns={{label: ''}} leaves labels out.")
    return None, f"{column} left alone: image {lacks[0]} of {what} has none" if lacks else ""


def _source(rows: Any, what: str, *, streamed: bool = False) -> Source:
    """Encoded pictures as `datasets` has them, by their bytes or their path; streamed ones have no numbers to go by."""

    def name(index: int) -> str:
        path = rows[index]["path"] if streamed and rows[index] else None
        return f"image {path or index} of {'some of ' * (streamed and not path)}{what}"

    def opened(index: int) -> Bytes:
        record = rows[index]
        if not record or not (record["bytes"] or record["path"]):
            raise Damaged(f"{name(index)} is empty.")
        return BytesIO(record["bytes"]) if record["bytes"] else Path(record["path"]).open("rb")

    return Source(what, len(rows), name, opened)


def _streamed(
    name: str, splits: dict[str, Any], column: str, beside: str, names: Sequence[str], options: Options
) -> Parts:
    """The splits of a set that is read as it comes: the first images of each, and a stream for the training images."""
    notes = [f"labels left alone: a stream needs the classes of {beside} named"] if beside and not names else []
    known = (splits["train"].info.splits or {}).get(str(splits["train"].split))
    images = known.num_examples if known else None
    cut = [own for own in ("validation", "test") if own not in splits]
    for own in ("validation", "test"):
        if own in cut:
            splits[own], splits["train"] = splits["train"].take(HELD_OUT), splits["train"].skip(HELD_OUT)
            images = images and images - HELD_OUT
    firsts = dict[str, list[Record]]()
    for own, some in splits.items():
        with told(name), closing(iter(some)) as rows:
            firsts[own] = list(islice(rows, HELD_OUT))
    if not all(firsts.values()):
        why = f", the first {HELD_OUT:,} each being for {' and '.join(cut)}" if cut else ""
        raise BadInput(f"{name} has too few images to be read as they come{why}; leave data.streaming out.")

    def made(firsts: Mapping[str, Sequence[Record]], options: Options, lost: list[str] | None = None) -> Parts:
        named = {own: (f"{name} ({own})", [row[column] for row in rows]) for own, rows in firsts.items()}
        sources = {own: _source(rows, what, streamed=True) for own, (what, rows) in named.items()}
        numbers = {own: np.array([row[beside] for row in rows]) for own, rows in firsts.items()} if names else {}
        return decode(sources, options, (numbers, len(names) or None, tuple(names) or None), notes, lost)

    skipping = replace(options, damaged="skip")  # where they are refused, training counts them
    parts = made(firsts, skipping)
    alike = replace(skipping, levels=parts.spec.levels, ordinal=parts.spec.ordinal)

    def window(rows: Sequence[Record]) -> Split:
        some = made({"train": rows}, alike, stream.lost)
        if some.spec != parts.spec:
            raise BadInput(f"{name} has images {some.spec} after images {parts.spec}.")
        return some.train

    stream = Stream(name, splits["train"], window, images, skips=options.damaged == "skip")
    rule = f"the first {HELD_OUT:,} each for {' and '.join(cut)}" if cut else parts.rule
    return replace(parts, train=replace(parts.train, stream=stream), rule=rule)


@dataclass
class Stream:
    """Training images that come one after the other, epoch after epoch, from a source that is never all here.

    They are taken a window at a time, the next one in the background; within a window, training has an order of its
    own. Of several processes, each has the images that `split_dataset_by_node` of Hugging Face `datasets` gives it.
    """

    what: str  # what sentences call it
    records: Any  # an `IterableDataset` of Hugging Face
    decode: Callable[[Sequence[Record]], Split]  # makes images, and what stands beside them, of records
    images: int | None  # in an epoch, or what is to count as one; None where nobody knows
    skips: bool  # whether there may be any number of damaged ones
    lost: list[str] = field(default_factory=list[str], init=False)  # the names of damaged ones, which are left out
    _threads: ThreadPoolExecutor | None = field(default=None, init=False)

    def start(self, count: int, *, rank: int, size: int, window: int = 0, where: str | None = None) -> None:
        """Begin with a window of so many images at the first one, or where `where` says that this window begins."""
        self._count, self._coming = count, window
        self._node: dict[str, Any] = {"rank": rank, "world_size": size}
        self._windows: dict[int, Future[tuple[Split, str]]] = {}
        self._threads = ThreadPoolExecutor(1)
        self._rows = self._opened(*json.loads(where)) if where else self._opened(0)

    def window(self, number: int) -> tuple[Split, str]:
        """The images of a window, and where it begins; windows go by their numbers, and earlier ones are gone."""
        assert self._threads is not None
        while self._coming <= number + 1:
            self._windows[self._coming] = self._threads.submit(self._load)
            self._coming += 1
        self._windows = {each: made for each, made in self._windows.items() if each >= number}
        return self._windows[number].result()

    def close(self) -> None:
        """Let go of the source, after the window that is on its way."""
        if self._threads is not None:
            self._threads.submit(self._rows.close)  # or its own threads would abort the process at its end
            self._threads.shutdown()

    def _opened(self, epoch: int, state: dict[str, Any] | None = None) -> Any:
        from datasets.distributed import split_dataset_by_node

        self._epoch, self._own = epoch, split_dataset_by_node(self.records, **self._node)
        self._own.set_epoch(epoch)
        if state is not None:
            self._own.load_state_dict(state)
        return iter(self._own)

    def _load(self) -> tuple[Split, str]:
        where, found = json.dumps([self._epoch, self._own.state_dict()]), list[Record]()
        while len(found) < self._count:
            more = list(islice(self._rows, self._count - len(found)))
            if not more:
                if not found and self._epoch > json.loads(where)[0]:
                    raise BadInput(f"{self.what} has no image for each of {self._node['world_size']} processes.")
                self._rows = self._opened(self._epoch + 1)
            found += more
        return self.decode(found), where


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
        found: Any = _opened(name, streaming=options.streaming)
    found = dict(found) if isinstance(found, Mapping) else {"train": found}
    there = ", ".join(found) or "nothing"
    usual = {SPLIT_OF[own]: own for own in reversed(found) if own in SPLIT_OF}
    asked = options.splits or ({"train": next(iter(found))} if len(found) == 1 else usual)
    for split in (asked.get("train", "train"), *asked.values()):
        if split not in found:
            raise BadInput(f"{name} has no split {split}, but {there}; data.splits={{train: NAME}} says which it is.")
        if not options.streaming and not len(found[split]):
            raise BadInput(f"{name} has no images in its split {split}.")
    return {split: found[own] for split, own in asked.items()}


def _opened(name: str, *, streaming: bool) -> Any:
    """The data set, or its splits by their names."""
    import datasets
    from datasets.exceptions import DatasetsError

    for library, level in (("huggingface_hub", logging.ERROR), ("datasets", logging.CRITICAL)):  # they tell of each try
        logging.getLogger(library).setLevel(level)
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    place, _, configuration = name.removeprefix(_PREFIX).partition(":")
    path = place_of(name) or Path(place)
    if place_of(name) and not path.exists():
        raise BadInput(f"There is no file or folder {place}, which {name} names.")
    try:
        if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
            return datasets.load_from_disk(str(path))
        if path.is_file():
            if path.suffix not in _KINDS:
                raise BadInput(f"{name} is no file of {', '.join(_KINDS)}; give its folder, or the file without hf:.")
            return datasets.load_dataset(_KINDS[path.suffix], data_files=str(path), streaming=streaming)
        place = glob.escape(str(path)) if path.is_dir() else place
        return datasets.load_dataset(place, configuration or None, streaming=streaming)
    except ConnectionError as error:
        why = "there is no network, or no such data set; hf:./FOLDER is a folder here"
        raise BadInput(f"{name} cannot be reached: {why}.") from error
    except DatasetsError as error:
        raise ValueError(error.__cause__ or error) from error


def _columns(features: Mapping[str, Any], options: Options, name: str) -> tuple[str, str]:
    """The column of images, and that of what stands for the class of each, or "" if there is none."""
    from datasets import ClassLabel, Image, Value

    def chosen(role: str, fits: Sequence[str], usual: Sequence[str]) -> str:
        asked, like = (options.columns or {}).get(role), (options.like.get("columns") or {}).get(role)
        asked = like if asked is None and like in fits else asked
        if asked is not None and (asked in fits or (asked == "" and role == "label")):
            return asked
        if asked is None and len(usual) < 2 and (usual or role == "label"):
            return next(iter(usual), "")
        kinds = {column: getattr(its, "dtype", None) or type(its).__name__ for column, its in features.items()}
        there = ", ".join(f"{column} ({kind})" for column, kind in kinds.items())
        what = f"no column of {role}s {asked}" if asked else f"{'several columns of' if usual else 'no'} {role}s"
        raise BadInput(f"{name} has {what}: its columns are {there}; data.columns={{{role}: NAME}} says which.")

    def is_encoded(its: Any) -> bool:
        return isinstance(its, Image) or its == Value("binary") or (isinstance(its, dict) and "bytes" in its)

    images = [column for column, its in features.items() if is_encoded(its)]
    labels = [column for column, its in features.items() if isinstance(its, ClassLabel | Value)]
    named = [column for column in labels if isinstance(features[column], ClassLabel)]
    usual = [each for each in _LABELS if each in labels and not features[each].dtype.startswith(_MEASURES)][:1]
    return chosen("image", images, images), chosen("label", labels, usual or named)
