import io
import re
import tarfile
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

import nextpixel as npx
from nextpixel.data import DataSet, open_data
from nextpixel.data.opening import from_anywhere
from nextpixel.data.packing import pack
from nextpixel.data.readers import encoded
from nextpixel.errors import BadInput
from nextpixel.training import Training, train

COUNTS = {"train": 30, "validation": 5, "test": 6}
NAMES = ["cat", "dog", "eel"]
LEVELS = {
    split: np.random.default_rng(seed).integers(0, 256, (count, 3, 4, 5), dtype=np.uint8)
    for seed, (split, count) in enumerate(COUNTS.items())
}
LABELS = {split: np.arange(count) % 3 for split, count in COUNTS.items()}


def png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.moveaxis(image, 0, 2)).save(stream, "PNG")
    return stream.getvalue()


def made(split: str = "train", **columns: Any) -> datasets.Dataset:
    """A data set of theirs with these columns, by default of images and named labels."""
    pictures = [{"bytes": png(image), "path": None} for image in LEVELS[split]]
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)}
    if columns:
        features = {name: feature for name, (feature, _) in columns.items()}
    values = {name: values for name, (_, values) in columns.items()} or {"image": pictures, "label": LABELS[split]}
    return datasets.Dataset.from_dict(values, features=datasets.Features(features))


def as_parquet(folder: Path) -> str:
    for split in COUNTS:
        made(split).to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return f"hf:{folder}"


def as_bytes(folder: Path) -> str:
    """Parquet files that do not say that their bytes are images."""
    for split in COUNTS:
        pictures, kind = [png(image) for image in LEVELS[split]], datasets.Value("binary")
        both = {"img": (kind, pictures), "y": (datasets.Value("string"), [NAMES[n] for n in LABELS[split]])}
        made(split, **both).to_parquet(folder / f"{split}.parquet")
    return f"hf:{folder}"


def as_saved(folder: Path) -> str:
    datasets.DatasetDict({split: made(split) for split in COUNTS}).save_to_disk(folder)
    return f"hf:{folder}"


def as_tars(folder: Path) -> str:
    for split in COUNTS:
        with tarfile.open(folder / f"{split}-000.tar", "w") as tar:
            for number, (image, label) in enumerate(zip(LEVELS[split], LABELS[split], strict=True)):
                for suffix, content in (("png", png(image)), ("cls", str(label).encode())):
                    member = tarfile.TarInfo(f"{number:04}.{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return f"hf:{folder}"


def as_folder_of_images(folder: Path) -> str:
    for split in COUNTS:
        for number, (image, label) in enumerate(zip(LEVELS[split], LABELS[split], strict=True)):
            path = folder / split / NAMES[label] / f"{number:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(image))
    return f"hf:{folder}"


LAYOUTS = (as_parquet, as_bytes, as_saved, as_tars, as_folder_of_images)


def assert_same(data: DataSet, names: tuple[str, ...] | None = tuple(NAMES)) -> None:
    """The images of the module, in any order, each with its label."""
    assert data.spec == npx.ImageSpec(3, 4, 5, levels=256)
    assert (data.class_names, data.classes) == (names, 3)
    for split, images in LEVELS.items():
        found = data.splits[split]
        assert found.labels is not None
        both = sorted(zip((image.tobytes() for image in found.images[:]), found.labels.tolist(), strict=True))
        assert both == sorted(zip((image.tobytes() for image in images), LABELS[split].tolist(), strict=True))


@pytest.mark.parametrize("most", [0, 2**30], ids=["on disk", "in memory"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_the_same_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: Any, most: int
) -> None:
    monkeypatch.setattr(encoded, "MOST_IN_MEMORY", most)
    data = open_data(layout(tmp_path))
    assert isinstance(data.train.images, np.ndarray) == bool(most)
    assert_same(data, None if layout is as_tars else tuple(NAMES))
    assert data.rule == "as the source has them"


def test_a_single_file_is_cut_by_content(tmp_path: Path) -> None:
    as_parquet(tmp_path)
    data = open_data(f"hf:{tmp_path}/train-00000-of-00001.parquet")
    assert len(data.train) + len(data.validation) + len(data.test) == COUNTS["train"]
    again = open_data(f"hf:{tmp_path}/train-00000-of-00001.parquet", size=3, fit="stretch", channels=1)
    assert again.spec.shape == (1, 3, 3)


def test_labels_that_begin_with_1(tmp_path: Path) -> None:
    column = datasets.Value("binary"), [png(image) for image in LEVELS["train"]]
    made(pixels=column, label=(datasets.Value("int32"), LABELS["train"] + 1)).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(BadInput, match=r"go from 1 to 3, .*data\.first_label=1 says"):
        open_data(f"hf:{tmp_path}")
    data = open_data(f"hf:{tmp_path}", first_label=1)
    assert (data.spec.shape, data.class_names) == ((3, 4, 5), ("1", "2", "3"))


def test_columns_and_splits_that_are_named(tmp_path: Path) -> None:
    pictures = [png(image) for image in LEVELS["train"]]
    kind = datasets.Value("binary")
    columns: dict[str, Any] = {
        "front": (kind, pictures),
        "back": (kind, pictures[::-1]),
        "coarse": (datasets.ClassLabel(names=["a", "b"]), LABELS["train"] % 2),
        "fine": (datasets.ClassLabel(names=NAMES), LABELS["train"]),
    }
    made(**columns).to_parquet(tmp_path / "first-0.parquet")
    open_data(f"hf:{tmp_path}/first-0.parquet", columns={"image": "front", "label": "fine"})
    for asked, sentence in (
        ({}, r"several columns of images: its columns are front \(binary\), .*data\.columns={image: NAME} says which"),
        ({"image": "middle"}, "no column of images middle"),
        ({"image": "back"}, r"several columns of labels: its columns are front .*; data\.columns={label: NAME} says"),
        ({"image": "back", "label": "colour"}, r"no column of labels colour: its columns are front \(binary\), "),
        ({"images": "back"}, "A column must be image or label, not 'images'"),
    ):
        with pytest.raises(BadInput, match=sentence):
            open_data(f"hf:{tmp_path}/first-0.parquet", columns=asked)
    as_saved(tmp_path / "saved")
    data = open_data(f"hf:{tmp_path}/saved", splits={"train": "test"})
    assert sum(map(len, data.splits.values())) == COUNTS["test"]
    with pytest.raises(BadInput, match=r"no split tests, but train, validation, test"):
        open_data(f"hf:{tmp_path}/saved", splits={"train": "tests"})


def test_a_split_without_labels(tmp_path: Path) -> None:
    """By convention their labels are -1."""
    made().to_parquet(tmp_path / "train.parquet")
    made("test").map(lambda row: {"label": -1}).to_parquet(tmp_path / "test.parquet")
    data = open_data(f"hf:{tmp_path}")
    assert data.train.labels is not None
    assert data.test.labels is None
    assert "test images have no labels" in data.notes


def test_a_damaged_picture(tmp_path: Path) -> None:
    pictures: list[Any] = [{"bytes": png(image), "path": None} for image in LEVELS["train"]]
    pictures[7]["bytes"] = pictures[7]["bytes"][:60]
    pictures[9] = None
    made(image=(datasets.Image(), pictures)).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(BadInput, match=r"image 7 of hf:.* \(train\) cannot be read .*data\.damaged=skip leaves"):
        open_data(f"hf:{tmp_path}")
    data = open_data(f"hf:{tmp_path}", damaged="skip")
    assert sum(map(len, data.splits.values())) == COUNTS["train"] - 2
    assert "damaged files left out: 2 (image 7 of" in data.notes[-1]


@pytest.mark.parametrize(
    ("kind", "labels", "note"),
    [
        ("float64", [0.5] * COUNTS["train"], None),
        ("int64", [0, None] * (COUNTS["train"] // 2), r"label left alone: image 1 of hf:.* \(train\) has none"),
        ("string", [None, "a"] * (COUNTS["train"] // 2), r"label left alone: image 0 of hf:.* \(train\) has none"),
    ],
)
def test_columns_that_are_no_classes_bar_no_set(kind: str, labels: list[Any], note: str | None, tmp_path: Path) -> None:
    pictures = [{"bytes": png(image), "path": None} for image in LEVELS["train"]]
    columns = {"image": (datasets.Image(), pictures), "label": (datasets.Value(kind), labels)}
    made(**columns).to_parquet(tmp_path / "train.parquet")
    data = open_data(f"hf:{tmp_path}")
    assert data.train.labels is None
    assert data.classes is None
    assert bool(note) == any(re.search(note or "$^", line) for line in data.notes)
    assert open_data(f"hf:{tmp_path}", columns={"label": ""}).notes == data.notes[:0]
    if note:
        with pytest.raises(BadInput, match=r"Image \d of .* has no label; data\.columns=\{label: ''\} leaves labels"):
            open_data(f"hf:{tmp_path}", columns={"label": "label"})


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("hf:nobody/nothing", "hf:nobody/nothing cannot be reached: there is no network, or no such data set"),
        ("hf:./nowhere", r"There is no file or folder \./nowhere"),
        ("hf:{folder}/a.csv", r"is no file of \.parquet, \.arrow, \.tar"),
        ("hf:{folder}/damaged.parquet", "cannot be opened"),
        ("hf:{folder}/empty", "cannot be opened"),
        ("hf:{folder}/numbers.parquet", r"has no images: its columns are a \(int64\)"),
    ],
)
def test_what_cannot_be_opened(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "a.csv").write_text("a,b\n")
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    (tmp_path / "empty").mkdir()
    made(a=(datasets.Value("int64"), [1, 2])).to_parquet(tmp_path / "numbers.parquet")
    with pytest.raises(BadInput, match=sentence) as caught:
        open_data(name.format(folder=tmp_path))
    assert "\n" not in str(caught.value)


def test_columns_are_for_datasets(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=LEVELS["train"])
    with pytest.raises(BadInput, match=r"columns=.* means nothing for .*a\.npz"):
        open_data(tmp_path / "a.npz", columns={"image": "a"})


def test_a_run_finds_its_data_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own").mkdir()
    monkeypatch.chdir(tmp_path)
    assert from_anywhere("hf:own") == f"hf:{tmp_path}/own"
    assert from_anywhere("own") == f"{tmp_path}/own"
    assert from_anywhere("hf:somebody/else") == "hf:somebody/else"
    assert from_anywhere("digits") == "digits"


@pytest.mark.parametrize("name", ["digits", "shapes", "shapes-coloured"])
def test_packed_and_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("nextpixel.data.packing._SHARD", 20_000)
    data = open_data(name, limit=1_100)
    files = pack(data, tmp_path / "packed")
    assert len(files) > len(COUNTS), "the training images are in more files than one"
    again = open_data(f"hf:{tmp_path}/packed")
    assert (again.spec, again.classes) == (data.spec, data.classes)
    for split, own in data.splits.items():
        assert (again.splits[split].images == own.images).all()
        assert (again.splits[split].labels == own.labels).all()
    theirs = datasets.load_dataset(str(tmp_path / "packed"), split="test")
    assert theirs.features["label"].names == [str(label) for label in range(data.classes or 0)]
    assert (np.asarray(theirs[3]["image"]) == np.moveaxis(data.test.images[3], 0, 2).squeeze()).all()


@pytest.mark.parametrize("levels", [2, 300, 2**16])
def test_levels_survive_packing(tmp_path: Path, levels: int) -> None:
    images = np.random.default_rng(0).integers(0, levels, (40, 6, 5), dtype=np.uint16)
    np.savez(tmp_path / "a.npz", images=images, levels=levels, ordinal=False)
    data = open_data(tmp_path / "a.npz")
    pack(data, tmp_path / "packed")
    again = open_data(f"hf:{tmp_path}/packed")
    assert again.spec == data.spec == npx.ImageSpec(1, 6, 5, levels=levels, ordinal=False)
    assert all((again.splits[split].images == own.images).all() for split, own in data.splits.items())


def test_what_is_not_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "two.npz", images=np.arange(80).reshape(5, 2, 4, 2), levels=80)
    np.savez(tmp_path / "maps.npz", images=LEVELS["train"], maps=np.arange(30).reshape(30, 1, 1, 1))
    for name, sentence in (("two.npz", "which no PNG holds"), ("maps.npz", "has maps beside its images")):
        with pytest.raises(BadInput, match=sentence):
            pack(open_data(tmp_path / name, layout="NCHW"), tmp_path / "packed")
    data = open_data("digits", limit=5)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").touch()
    with pytest.raises(BadInput, match="used is there and not an empty folder"):
        pack(data, tmp_path / "used")
    monkeypatch.setattr("nextpixel.data.packing._png", lambda image: (_ for _ in ()).throw(OSError(28, "No space")))
    with pytest.raises(BadInput, match="packed cannot be written: No space"):
        pack(data, tmp_path / "packed")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["maps.npz", "two.npz", "used"], "nothing half-written"


def test_training_from_disk_is_training_from_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, losses = as_parquet(tmp_path / "data"), []
    for most in (0, 2**30):
        monkeypatch.setattr(encoded, "MOST_IN_MEMORY", most)
        data = open_data(name)
        torch.manual_seed(0)
        model = npx.build("gated_pixelcnn", data.spec, filters=8, blocks=1)
        settings = Training(epochs=2, batch=10, samples=0, precision="fp32")
        run = train(model, data, out=tmp_path / str(most), settings=settings)
        losses.append([line.split(",")[3:6] for line in (run / "metrics.csv").read_text().splitlines()])
    assert losses[0] == losses[1]
