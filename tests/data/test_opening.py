from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextpixel.data import CATALOGUE, MapKind, open_data
from nextpixel.data.lazy import Lazy
from nextpixel.data.readers import encoded
from nextpixel.errors import BadInput

Save = Callable[..., Path]
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 5, 6), dtype=np.uint8)


def test_an_array_becomes_three_splits(save_arrays: Save) -> None:
    path = save_arrays(images=IMAGES, labels=np.arange(40) % 3)
    data = open_data(str(path))
    assert data.name == str(path)
    assert data.classes == 3
    assert [len(split) for split in (data.train, data.validation, data.test)] == [33, 4, 3]
    assert len(open_data(path, validation=10).train) == 27


def test_maps_stay_with_their_images_whatever_is_done_to_those(save_arrays: Save) -> None:
    path = save_arrays(images=IMAGES, maps=IMAGES.astype(np.int16))
    data = open_data(path, bits=3, limit=3, validation=10)
    assert data.maps == MapKind(1, 1 + int(IMAGES.max()))
    for split in (data.train, data.validation, data.test):
        assert split.maps is not None
        assert len(split.maps) == len(split) == 3
        assert (split.images == split.maps // 32).all()


def test_a_folder_becomes_three_splits(save_picture: Save, tmp_path: Path) -> None:
    for number in range(10):
        save_picture(f"{number}.png", color=number)
    data = open_data(tmp_path / "pictures", levels=256)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [8, 1, 1]
    levels = np.concatenate([split.images[:, 0, 0, 0] for split in (data.train, data.validation, data.test)])
    assert sorted(levels.tolist()) == list(range(10))


def test_a_named_set_may_have_other_sizes() -> None:
    data = open_data("digits", validation=300)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [1137, 300, 360]
    assert (data.test.images == open_data("digits").test.images).all()


def test_a_large_folder_stays_on_disk(save_picture: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        save_picture(f"{number % 2}/{number}.png", color=20 * number)
    options: dict[str, Any] = {"bits": 4, "limit": 5}
    small = open_data(tmp_path / "pictures", **options)
    monkeypatch.setattr(encoded, "MOST_IN_MEMORY", 0)
    large = open_data(tmp_path / "pictures", **options)
    assert large.spec == small.spec
    noise = np.random.default_rng(0)
    for lazy, whole in ((large.train, small.train), (large.validation, small.validation), (large.test, small.test)):
        assert isinstance(lazy.images, Lazy)
        assert isinstance(whole.images, np.ndarray)
        images, labels = lazy.batch(range(len(lazy)), noise)
        assert (images.numpy() == whole.images).all()
        assert labels is not None
        assert whole.labels is not None
        assert labels.tolist() == whole.labels.tolist()
    with pytest.raises(BadInput, match="bits must be a whole number from 1 to 7 for images of 256 levels, not 9"):
        open_data(tmp_path / "pictures", bits=9)


def test_bits_are_reduced_in_every_split(save_arrays: Save) -> None:
    path = save_arrays(images=IMAGES)
    whole, reduced = open_data(path), open_data(path, bits=3)
    assert reduced.spec.levels == 8
    for before, after in (
        (whole.train, reduced.train),
        (whole.validation, reduced.validation),
        (whole.test, reduced.test),
    ):
        assert (after.images == before.images // 32).all()
    assert open_data("digits", bits=4).spec.levels == 16
    assert open_data("digits", bits=4).train.images.max() == 15


def test_limit_keeps_the_first_of_every_split(save_arrays: Save) -> None:
    path = save_arrays(images=IMAGES, labels=np.arange(40))
    whole, few = open_data(path), open_data(path, limit=3)
    for all_of_it, some in ((whole.train, few.train), (whole.validation, few.validation), (whole.test, few.test)):
        assert (some.images == all_of_it.images[:3]).all()
        assert some.labels is not None
        assert all_of_it.labels is not None
        assert some.labels.tolist() == all_of_it.labels[:3].tolist()
    assert few.classes == 40
    assert len(open_data(path, limit=1000).train) == 33


def test_options_of_arrays_are_passed_on(save_arrays: Save) -> None:
    path = save_arrays(images=IMAGES[:, None].repeat(2, 1) // 16)
    spec = open_data(path, levels=16, ordinal=False, layout="NCHW").spec
    assert (spec.shape, spec.levels, spec.ordinal) == ((2, 5, 6), 16, False)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("mnist-binari", "no data set 'mnist-binari'; known are digits, mnist, .* Did you mean mnist-binary?"),
        ("fashion", "no data set 'fashion'; .* Did you mean fashion-mnist?"),
        ("zzz", r"no data set 'zzz'; known are digits, .*, or the path of your own data\.$"),
        ("./nowhere", "There is no file or folder ./nowhere"),
        ("nowhere.npz", "There is no file or folder nowhere.npz"),
        ("~/nowhere-at-all", "There is no file or folder ~/nowhere-at-all"),
        (Path("digits"), "There is no file or folder digits"),
    ],
)
def test_a_name_that_means_nothing(
    name: str | Path, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=sentence):
        open_data(name)


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "own.pickle").write_bytes(b"")
    with pytest.raises(
        BadInput, match=r"own\.pickle is neither a folder of images nor a file of arrays .* load it where you trust it"
    ):
        open_data(tmp_path / "own.pickle")


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name not in ("digits", "shapes", "shapes-coloured")])
def test_a_root_that_is_no_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"The data root .*nowhere is not a folder"):
        open_data(name, tmp_path / "nowhere")


@pytest.mark.parametrize("limit", [0, -1, True])
def test_a_limit_that_is_none(limit: int) -> None:
    with pytest.raises(BadInput, match=f"limit must be a whole number of at least 1, not {limit}"):
        open_data("digits", limit=limit)


@pytest.mark.parametrize("bits", [0, 5, 8])
def test_bits_out_of_range(bits: int) -> None:
    with pytest.raises(BadInput, match=f"bits must be a whole number from 1 to 4 for images of 17 levels, not {bits}"):
        open_data("digits", bits=bits)


def test_bits_of_names(save_arrays: Save) -> None:
    with pytest.raises(BadInput, match=r"bits=2 needs levels that are in order; those of .*own.npz are names"):
        open_data(save_arrays(images=IMAGES), ordinal=False, bits=2)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"levels": 16}, "levels=16 means nothing for digits, which has a name"),
        ({"ordinal": False}, "ordinal=False means nothing for digits, which has a name"),
        ({"layout": "NHWC"}, "layout=NHWC means nothing for digits, which has a name"),
    ],
)
def test_options_of_arrays_for_a_named_set(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        open_data("digits", **options)


def test_options_of_arrays_for_a_folder(save_picture: Save) -> None:
    with pytest.raises(BadInput, match=r"layout=NHWC means nothing for .*pictures, a folder of images"):
        open_data(save_picture("a.png").parent, layout="NHWC")
