"""Packing a data set into parquet files, as Hugging Face `datasets` has them: pictures as PNG, labels with their names.

A folder of such files can be opened as `hf:FOLDER`, be read by `datasets`, or be put on the Hub as it is. How many
levels there are, and whether they are in order, stands in the metadata of each file, under `nextpixel`.
"""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nextpixel.data.dataset import DataSet, Split
from nextpixel.errors import BadInput, needs
from nextpixel.files import whole_folder

_SHARD = 2**28  # bytes of levels
_AT_ONCE = 1024  # images, also of a row group


def pack(data: DataSet, out: Path) -> list[Path]:
    """Write all splits into a new or empty folder, whole or not at all: SPLIT-00000-of-00001.parquet and so on."""
    with needs("datasets", "datasets", "Packing data"):
        from datasets import ClassLabel, Features
        from datasets import Image as Picture
    channels, most = data.spec.channels, 2**8 if data.spec.channels == 3 else 2**16
    if channels not in (1, 3) or data.spec.levels > most:
        raise BadInput(f"{data.name} has images {data.spec}, which no PNG holds; keep them as npz.")
    if data.maps is not None:
        raise BadInput(f"{data.name} has maps beside its images, which are not packed; keep them as npz.")
    if data.train.draw is not None:
        raise BadInput(f"{data.name} draws its training images anew for every batch; pack what it is made of.")
    names = data.class_names or (None if data.classes is None else [str(label) for label in range(data.classes)])
    features = Features({"image": Picture()} | ({} if names is None else {"label": ClassLabel(names=list(names))}))
    about = json.dumps({"levels": data.spec.levels, "ordinal": data.spec.ordinal})
    schema = features.arrow_schema
    schema = schema.with_metadata({**schema.metadata, b"nextpixel": about})
    with whole_folder(out) as beside:
        for name, split in data.splits.items():
            _write(split, name, beside, schema)
    return sorted(out.iterdir())


def _write(split: Split, name: str, folder: Path, schema: Any) -> None:
    """Write the files of a split, each of as many images."""
    from pyarrow import RecordBatch
    from pyarrow.parquet import ParquetWriter

    every, most = np.arange(len(split)), max(1, _SHARD // split.images[:1].nbytes)
    files = np.split(every, range(most, len(split), most))
    for number, own in enumerate(files):
        with ParquetWriter(folder / f"{name}-{number:05}-of-{len(files):05}.parquet", schema) as file:
            for indices in np.split(own, range(_AT_ONCE, len(own), _AT_ONCE)):
                images, labels = split.batch(indices, np.random.default_rng(0))
                columns: dict[str, Any] = {"image": [{"bytes": _png(image), "path": None} for image in images.numpy()]}
                if "label" in schema.names:
                    columns["label"] = np.full(len(indices), -1) if labels is None else labels.numpy()
                file.write_batch(RecordBatch.from_pydict(columns, schema))


def _png(image: np.ndarray) -> bytes:
    """An image, (C, H, W), as a file: of 16 bits where its levels need them."""
    channels = np.moveaxis(image, 0, 2) if len(image) == 3 else image[0]
    stream = BytesIO()
    Image.fromarray(channels if image.dtype == np.uint8 else channels.astype(np.uint16)).save(stream, "PNG")
    return stream.getvalue()
