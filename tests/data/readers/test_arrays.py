import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nextpixel.data.dataset import MapKind
from nextpixel.data.readers import Options, read_path
from nextpixel.data.readers.arrays import read_maps
from nextpixel.data.readers.levels import MOST_LEVELS
from nextpixel.errors import BadInput
from nextpixel.spec import ImageSpec

GREY = np.arange(100, 160, dtype=np.uint8).reshape(5, 4, 3)
COLOUR = np.arange(5 * 6 * 7 * 3, dtype=np.uint16).reshape(5, 6, 7, 3).astype(np.uint8)
Save = Callable[..., Path]


def test_an_npy_file_is_one_array_of_images(tmp_path: Path) -> None:
    np.save(tmp_path / "own.npy", GREY)
    parts = read_path(tmp_path / "own.npy")
    assert parts.spec.shape == (1, 4, 3)
    assert parts.spec.levels == 256
    assert parts.classes is None
    assert parts.validation is None
    assert parts.test is None
    assert (parts.train.images[:, 0] == GREY).all()


def test_every_split_and_its_labels(save_arrays: Save) -> None:
    path = save_arrays(
        train_images=COLOUR,
        train_labels=np.arange(5),
        validation_images=COLOUR[:2],
        validation_labels=np.array([[6], [0]]),
        test_images=COLOUR[:1],
        test_labels=np.array([1], np.uint8),
    )
    parts = read_path(path)
    assert parts.spec.shape == (3, 6, 7)
    assert parts.classes == 7
    assert parts.validation is not None
    assert parts.validation.labels is not None
    assert parts.validation.labels.tolist() == [6, 0]
    assert parts.test is not None
    assert parts.test.labels is not None
    assert parts.test.labels.dtype == np.int64
    assert parts.test.images.shape == (1, 3, 6, 7)


def test_splits_named_alone(save_arrays: Save) -> None:
    path = save_arrays(
        train=COLOUR,
        train_labels=np.arange(5),
        test=COLOUR[:2],
        test_labels=np.arange(2),
        validation=COLOUR[1:2],
        validation_labels=np.array([4]),
    )
    parts = read_path(path)
    assert (parts.spec.shape, parts.classes, len(parts.train)) == ((3, 6, 7), 5, 5)
    assert parts.test is not None
    assert parts.test.labels is not None
    assert parts.test.labels.tolist() == [0, 1]
    assert parts.validation is not None
    assert (parts.validation.images == COLOUR[1:2].transpose(0, 3, 1, 2)).all()
    with pytest.raises(BadInput, match=r"train in .*own\.npz must be integer levels, not float64 values"):
        read_path(save_arrays(train=COLOUR / 255, test=COLOUR))


@pytest.mark.parametrize("names", [("images", "labels"), ("images",), ("faces",)])
def test_names_without_splits(save_arrays: Save, names: tuple[str, ...]) -> None:
    parts = read_path(save_arrays(**dict(zip(names, (GREY, np.arange(5)), strict=False))))
    assert (parts.train.images[:, 0] == GREY).all()
    assert parts.classes == (5 if "labels" in names else None)


@pytest.mark.parametrize("layout", [None, "NHWC"])
def test_channels_last(save_arrays: Save, layout: str | None) -> None:
    images = read_path(save_arrays(images=COLOUR), Options(layout=layout)).train.images
    assert (images == COLOUR.transpose(0, 3, 1, 2)).all()


@pytest.mark.parametrize("layout", [None, "NCHW"])
def test_channels_first(save_arrays: Save, layout: str | None) -> None:
    first = COLOUR.transpose(0, 3, 1, 2)
    assert (read_path(save_arrays(images=first), Options(layout=layout)).train.images == first).all()


@pytest.mark.parametrize("shape", [(5, 3, 6, 4), (5, 8, 7, 6)])
def test_a_layout_that_is_not_clear(save_arrays: Save, shape: tuple[int, ...]) -> None:
    path = save_arrays(images=np.resize(GREY, shape))
    with pytest.raises(
        BadInput, match=rf"images in .*own.npz has shape \({shape[0]}, .* any axis .* data.layout=NHWC or"
    ):
        read_path(path)
    assert read_path(path, Options(layout="NCHW")).spec.shape == shape[1:]
    assert read_path(path, Options(layout="NHWC")).spec.shape == (shape[3], shape[1], shape[2])


def test_an_unknown_layout(save_arrays: Save) -> None:
    with pytest.raises(BadInput, match="layout must be NHWC, NCHW or HWCN, not 'HWC'"):
        read_path(save_arrays(images=GREY), Options(layout="HWC"))


@pytest.mark.parametrize(
    ("kind", "highest", "levels"),
    [
        ("bool", 1, 2),
        ("uint8", 1, 2),
        ("uint8", 64, 256),
        ("uint8", 255, 256),
        ("int8", 5, 6),
        ("int64", 1, 2),
        ("int64", 127, 128),
        ("int64", 128, 256),
        ("int64", 254, 256),
        ("uint16", 1023, 1024),
        ("int32", 99_999, 100_000),
        (">i4", 511, 512),
    ],
)
def test_levels_follow_from_the_type(save_arrays: Save, kind: str, highest: int, levels: int) -> None:
    images = np.zeros((3, 4, 4), kind)
    images[2, 1, 1] = highest
    parts = read_path(save_arrays(train_images=images[:2], test_images=images[2:]))
    assert parts.spec.levels == levels
    assert parts.train.images.dtype == np.min_scalar_type(levels - 1)
    assert parts.test is not None
    assert parts.test.images.max() == highest


def test_levels_may_be_stated(save_arrays: Save) -> None:
    path = save_arrays(images=GREY, levels=np.array(200))
    assert read_path(path).spec.levels == 200
    assert read_path(path, Options(levels=160)).spec.levels == 160


def test_levels_may_be_names(save_arrays: Save) -> None:
    spec = read_path(save_arrays(images=np.arange(320, 512).reshape(3, 8, 8)), Options(ordinal=False)).spec
    assert spec.levels == 512
    assert not spec.ordinal


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        (
            {"images": GREY / 255},
            r"images in .*own.npz must be integer levels, not float64 values; store \(x \* 255\).round\(\).astype",
        ),
        (
            {"train_images": np.full((2, 4, 4), np.nan, np.float32)},
            "train_images in .*own.npz must be integer levels, not float32 values; store",
        ),
        ({"images": GREY.astype(complex)}, "must be integer levels, not complex128 values; store"),
        ({"images": np.array([[["a"]]])}, "must be integer levels, not <U1 values"),
        (
            {"images": GREY.reshape(5, 12)},
            r"has rows of 12 values, which .* data.layout=NCHW says that all red comes first, data.layout=NHWC",
        ),
        ({"images": GREY.reshape(6, 10)}, "has rows of 10 values, which are no square of grey; .* else reshape them"),
        ({"images": GREY.reshape(60, 1)}, "has rows of 1 values, which are no square of grey"),
        ({"images": GREY.reshape(60)}, r"must have shape \(N, H, W\), .*, not \(60,\)"),
        ({"images": GREY[:0]}, r"must have shape .*, not \(0, 4, 3\)"),
        ({"images": GREY[None, None]}, r"not \(1, 1, 5, 4, 3\)"),
        ({"images": GREY.astype(int) - 101}, r"own.npz must hold levels in \[0, 59\); one is -1"),
        ({"images": GREY, "levels": 16}, r"own.npz must hold levels in \[0, 16\); one is 159"),
        ({"images": GREY, "levels": 1}, "must have from 2 to 1048576 levels, not 1"),
        (
            {"images": GREY, "levels": 0.5},
            r"levels in .*own.npz must be one whole number, not float64 values of shape \(\)",
        ),
        (
            {"images": np.arange(32).reshape(2, 4, 4) + MOST_LEVELS - 31},
            "must have from 2 to 1048576 levels, not 1048577",
        ),
        (
            {"train_images": GREY, "test_images": GREY[:, :2]},
            r"has test images of shape \(1, 2, 3\) and training images of shape \(1, 4, 3\)",
        ),
        ({"test_images": GREY, "other": GREY}, "has no train_images, images or single array, but test_images, other"),
        ({}, "has no train_images, images or single array, but nothing"),
        (
            {"images": GREY, "labels": np.arange(4)},
            r"train labels of .* shape \(5,\), one for each image, not \(4,\)",
        ),
        (
            {"images": GREY, "labels": np.arange(5) - 2},
            "must number classes from data.first_label=0, but go from -2 to 2",
        ),
        ({"images": GREY, "labels": np.arange(5) / 2}, "train labels of .* must be integers, not float64 values"),
        (
            {"train_images": GREY, "train_labels": np.arange(5), "test_images": GREY},
            "has labels for other splits, but no test_labels",
        ),
        (
            {"images": np.array([{}, []], object)},
            "images in .*own.npz must be integer levels, not object values",
        ),
    ],
)
def test_a_bad_file_is_named(save_arrays: Save, arrays: dict[str, object], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        read_path(save_arrays(**arrays))


def test_anything_else_in_the_archive_is_left_alone(save_arrays: Save) -> None:
    path = save_arrays(train_images=GREY, extra=np.zeros(3))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("README.txt", "hello")
    parts = read_path(path)
    assert len(parts.train) == 5
    assert parts.notes == ("arrays left alone: extra",)


def content(suffix: str) -> bytes:
    file = io.BytesIO()
    if suffix == "npy":
        np.save(file, GREY)
    else:
        np.savez_compressed(file, images=GREY)
    return file.getvalue()


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize("kept", [0, 3, 70, -1])
def test_a_file_that_is_cut_off(tmp_path: Path, suffix: str, kept: int) -> None:
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(content(suffix)[:kept])
    with pytest.raises(BadInput, match=rf"cut.{suffix} (is damaged or cannot be read|holds no plain numpy arrays)"):
        read_path(path)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_a_damaged_byte_is_one_sentence_or_nothing(tmp_path: Path, suffix: str) -> None:
    whole = content(suffix)
    path = tmp_path / f"damaged.{suffix}"
    sentences: list[str] = []
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            read_path(path)
        except BadInput as error:
            sentences.append(str(error))
    assert sentences
    assert all(f"damaged.{suffix}" in sentence for sentence in sentences)


CODES = np.arange(5 * 8 * 8).reshape(5, 8, 8)
TOP = np.arange(5 * 4 * 4).reshape(5, 4, 4)


def test_maps_of_codes_stand_beside_their_images(save_arrays: Save) -> None:
    path = save_arrays(train_images=CODES, train_maps=TOP, test_images=CODES[3:], test_maps=TOP[3:])
    parts = read_path(path)
    assert parts.maps == MapKind(1, levels=80)
    assert parts.train.maps is not None
    assert parts.train.maps.dtype == np.uint8
    assert (parts.train.maps[:, 0] == TOP).all()
    assert parts.test is not None
    assert parts.test.maps is not None
    assert parts.test.maps[:, 0].tolist() == TOP[3:].tolist()


def test_the_greatest_code_of_all_splits_counts_unless_the_file_says_how_many(save_arrays: Save) -> None:
    splits = {"train": CODES[:3], "train_maps": TOP[:3].astype(np.uint8), "test": CODES[3:], "test_maps": TOP[3:]}
    assert read_path(save_arrays(**splits)).maps == MapKind(1, levels=80)
    assert read_path(save_arrays(**splits, map_levels=512)).maps == MapKind(1, levels=512)
    assert read_path(save_arrays(images=CODES, maps=np.zeros((5, 2, 2), bool))).maps == MapKind(1, levels=2)


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
def test_maps_of_numbers(save_arrays: Save, kind: type) -> None:
    parts = read_path(save_arrays(images=CODES, maps=(TOP / 8).astype(kind)))
    assert parts.maps == MapKind(1)
    assert parts.train.maps is not None
    assert parts.train.maps.dtype == np.float32
    assert (parts.train.maps[:, 0] == TOP / 8).all()


def test_maps_have_their_axes_as_images_have(save_arrays: Save) -> None:
    images, first = np.resize(GREY, (5, 3, 8, 8)), np.zeros((5, 2, 8, 8))
    for maps in (first, np.moveaxis(first, 1, 3)):
        assert read_path(save_arrays(images=images, maps=maps)).maps == MapKind(2)
    unclear = np.zeros((5, 1, 4, 2))  # where only the images tell
    assert read_path(save_arrays(images=images, maps=unclear)).maps == MapKind(1)
    assert read_path(save_arrays(images=np.moveaxis(images, 1, 3), maps=unclear)).maps == MapKind(2)
    with pytest.raises(BadInput, match=r"maps of images in .* has shape \(5, 1, 4, 2\), of which any axis could"):
        read_path(save_arrays(images=CODES, maps=unclear))
    assert read_path(save_arrays(images=CODES, maps=unclear), Options(layout="NHWC")).maps == MapKind(2)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"images": CODES, "maps": TOP[:4]}, "maps of images in .*own.npz must be 5, one for each image, not 4.$"),
        (
            {"train_images": CODES, "train_maps": TOP, "test_images": CODES},
            "own.npz has maps for other splits, but no test_maps.$",
        ),
        (
            {"train_images": CODES, "test_maps": TOP, "test_images": CODES},
            "own.npz has maps for other splits, but no train_maps.$",
        ),
        (
            {"images": CODES, "maps": np.full((5, 4, 4), np.nan)},
            "maps of images in .* must be finite numbers; one is nan",
        ),
        ({"images": CODES, "maps": np.full((5, 4, 4), 1e300)}, r"must be finite numbers; one is 1e\+300.$"),
        (
            {"images": CODES, "maps": TOP, "map_levels": 79},
            r"own.npz must hold codes of maps in \[0, 79\); one is 79.$",
        ),
        ({"images": CODES, "maps": TOP - 1}, r"own.npz must hold codes of maps in \[0, 79\); one is -1.$"),
        ({"images": CODES, "maps": TOP, "map_levels": 1}, "own.npz must have from 2 to 1048576 codes of maps, not 1.$"),
        (
            {"images": CODES, "maps": TOP / 8, "map_levels": 80},
            "own.npz has codes in some maps, or map_levels, but numbers in its train maps.$",
        ),
        ({"images": CODES, "maps": TOP, "map_levels": 0.5}, "map_levels in .* must be one whole number, not float64"),
        (
            {"train_images": CODES, "train_maps": TOP, "test_images": CODES, "test_maps": TOP[:, :2]},
            r"own.npz has test maps of shape \(1, 2, 4\) and training maps of shape \(1, 4, 4\).$",
        ),
        (
            {"train_images": CODES, "train_maps": TOP, "test_images": CODES, "test_maps": TOP / 8},
            "own.npz has codes in some maps, or map_levels, but numbers in its test maps.$",
        ),
        (
            {"images": CODES, "maps": TOP.astype(complex)},
            "must be integer codes or floating-point numbers, not complex",
        ),
        ({"images": CODES, "maps": np.zeros(5)}, r"maps of images in .* must have shape \(N, H, W\), .*, not \(5,\).$"),
    ],
)
def test_bad_maps_are_named(save_arrays: Save, arrays: dict[str, object], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        read_path(save_arrays(**arrays))


def test_a_file_may_say_that_its_levels_are_names(save_arrays: Save) -> None:
    names, order = save_arrays(images=CODES, ordinal=False), True
    assert not read_path(names).spec.ordinal
    assert not read_path(names, Options(ordinal=order)).spec.ordinal
    assert not read_path(save_arrays(codes=CODES, ordinal=[False], levels=512)).spec.ordinal
    stated = save_arrays(images=CODES, ordinal=True)
    assert read_path(stated).spec.ordinal
    assert not read_path(stated, Options(ordinal=False)).spec.ordinal
    with pytest.raises(BadInput, match=r"ordinal in .*own.npz must be true or false, not int64 values of shape \(\).$"):
        read_path(save_arrays(images=CODES, ordinal=np.int64(3)))


@pytest.mark.parametrize("names", [("images", "maps"), ("maps",), ("codes",), ("codes", "levels", "ordinal")])
def test_maps_without_images(save_arrays: Save, names: tuple[str, ...]) -> None:
    arrays = {"levels": np.array(80), "ordinal": np.array(False), "maps": CODES} | {names[0]: TOP}
    maps, labels = read_maps(save_arrays(**{name: arrays[name] for name in names}), 1)
    assert (maps[:, 0] == TOP).all()
    assert labels is None


def test_maps_without_images_may_have_labels_and_any_axes(save_arrays: Save) -> None:
    numbers = np.arange(5 * 6 * 4 * 4).reshape(5, 6, 4, 4) / 8
    for stored in (numbers, np.moveaxis(numbers, 1, 3)):
        maps, labels = read_maps(save_arrays(images=stored, labels=np.arange(5)), 6)
        assert (maps == numbers).all()
        assert labels is not None
        assert labels.tolist() == [0, 1, 2, 3, 4]


def test_what_is_no_maps_is_refused(save_arrays: Save) -> None:
    with pytest.raises(BadInput, match=r"own\.npz has no images, maps or single array, but train_images, test_images"):
        read_maps(save_arrays(train_images=TOP, test_images=TOP), 1)
    with pytest.raises(BadInput, match=r"maps in .*own.npz must be finite numbers; one is inf"):
        read_maps(save_arrays(maps=np.full((2, 4, 4), np.inf)), 1)


def test_maps_beside_images_of_the_models_own_shape(save_arrays: Callable[..., Path]) -> None:
    images, maps = np.zeros((5, 8, 8), np.uint8), np.ones((5, 2, 4), np.uint8)
    path = save_arrays(images=images, maps=maps)
    assert read_maps(path, 1, ImageSpec(1, 8, 8))[0].shape == (5, 1, 2, 4)
    assert read_maps(path, 1, ImageSpec(1, 16, 16))[0].shape == (5, 1, 8, 8)  # drawn by a coarser model
    assert read_maps(path, 1)[0].shape == (5, 1, 8, 8)
