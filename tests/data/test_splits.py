import hashlib
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nextpixel.data import open_data
from nextpixel.data.dataset import DataSet, MapKind, Parts, Split
from nextpixel.data.opening import ORDER_SEED, cut, cut_by_content
from nextpixel.errors import BadInput
from nextpixel.spec import ImageSpec

SPLITS = ("train", "validation", "test")


def split(images: int, *, start: int = 0) -> Split:
    """Every image is its own number, and so is its label."""
    numbers = np.arange(start, start + images)
    return Split(numbers.astype(np.uint16)[:, None, None, None], numbers)


def parts(images: int, *, validation: Split | None = None, test: Split | None = None) -> Parts:
    return Parts(ImageSpec(1, 1, 1, levels=65_536), 10_000, split(images), validation, test)


def sizes(data: DataSet) -> tuple[int, int, int]:
    return len(data.train), len(data.validation), len(data.test)


def numbers(some: Split) -> list[int]:
    assert some.labels is not None
    assert (some.images[:, 0, 0, 0] == some.labels).all()
    return some.labels.tolist()


def test_splits_are_disjoint_and_complete() -> None:
    for data in (cut(parts(1000), "named", validation=123, test=77), cut_by_content(parts(1000), "own")):
        assert sorted(itertools.chain(*map(numbers, data.splits.values()))) == list(range(1000))
    assert sizes(cut(parts(1000), "named", validation=123, test=77)) == (800, 123, 77)


def test_the_first_of_a_sorted_source_are_a_sample() -> None:
    for data in (cut(parts(1000), "named", validation=100, test=100), cut_by_content(parts(1000), "own")):
        first = numbers(data.train)[:50]
        assert max(first) - min(first) > 800


def test_given_splits_stay_as_they_are() -> None:
    data = cut_by_content(parts(10, validation=split(2, start=100), test=split(3, start=200)), "own")
    assert numbers(data.train) == list(range(10))
    assert numbers(data.validation) == [100, 101]
    assert numbers(data.test) == [200, 201, 202]
    for only_test in (
        cut(parts(10, test=split(3, start=200)), "named", validation=4, test=9),
        cut_by_content(parts(10, test=split(3, start=200)), "own", validation=4),
    ):
        assert sizes(only_test) == (6, 4, 3)
        assert numbers(only_test.test) == [200, 201, 202]


def test_the_fixed_order_never_changes() -> None:
    """Published figures are of these very splits; a numpy that shuffles otherwise must not go unnoticed."""
    order = np.random.default_rng(ORDER_SEED).permutation(60_000).astype(np.int64)
    assert (
        hashlib.sha256(order.tobytes()).hexdigest()
        == "bdd823561d00db9c48ce0b9df4f5ff7b1e36f880de32162b597592e683c975f2"
    )


def test_the_rule_by_content_never_changes() -> None:
    """What a user's run held out must stay held out: the images' numbers, the tenths and the order are as stated."""
    data = cut_by_content(parts(300), "own")
    for number in range(300):
        content = b"(1, 1, 1)" + (bytes([number]) if number < 256 else number.to_bytes(4, "little"))
        share = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big") / 2**64
        expected = "test" if share < 0.1 else "validation" if share < 0.2 else "train"
        assert [name for name in SPLITS if number in numbers(data.splits[name])] == [expected]
    places = data.train.contents()
    assert (places[1:] >= places[:-1]).all()


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.int64, ">u4"])
def test_a_dtype_moves_nothing(dtype: str) -> None:
    whole = parts(300)
    other = replace(whole, train=replace(whole.train, images=whole.train.images.astype(dtype)))
    for name in SPLITS:
        assert numbers(cut_by_content(other, "own").splits[name]) == numbers(cut_by_content(whole, "own").splits[name])


def test_an_addition_or_removal_moves_no_other_image() -> None:
    before = cut_by_content(parts(500), "own")
    grown = parts(501)
    order = np.random.default_rng(0).permutation(501)
    for some in (grown, replace(grown, train=grown.train.take(order)), parts(450)):
        after = cut_by_content(some, "own")
        for name in SPLITS:
            both = set(numbers(after.splits[name])) & set(range(min(500, len(some.train))))
            assert both == set(numbers(before.splits[name])) & set(range(len(some.train)))


def test_copies_stay_together() -> None:
    twice = parts(200)
    twice = replace(twice, train=twice.train.take(np.arange(400) % 200))
    data = cut_by_content(twice, "own", validation=31)
    held = [set(numbers(data.splits[name])) for name in SPLITS]
    assert sum(map(len, held)) == len(set.union(*held)) == 200
    assert len(data.validation) == 32  # with the copy of the last one
    assert sum(sizes(data)) == 400


@pytest.mark.parametrize("images", [3, 4, 9])
@pytest.mark.parametrize("validation", [None, 1])
def test_at_least_one_image_a_split(images: int, validation: int | None) -> None:
    for start in range(0, 600, 30):
        some = replace(parts(0), train=split(images, start=start))
        assert min(sizes(cut_by_content(some, "own", validation=validation))) >= 1


@pytest.mark.parametrize(("images", "copies"), [(1, 1), (2, 1), (2, 30), (0, 1)])
def test_too_few_different_images(images: int, copies: int) -> None:
    some = parts(images)
    some = replace(some, train=some.train.take(np.arange(images * copies) // copies))
    with pytest.raises(BadInput, match=f"own has {images} different training images, too few to set a tenth aside"):
        cut_by_content(some, "own")


def test_splits_that_leave_nothing() -> None:
    with pytest.raises(BadInput, match="own has 10 different training images, too few to set 9 aside for validation"):
        cut_by_content(parts(10), "own", validation=9)
    with pytest.raises(BadInput, match="named has 10 training images, too few to set 9 aside for validation and 1 for"):
        cut(parts(10), "named", validation=9, test=1)


@pytest.mark.parametrize("validation", [0, -1, True])
def test_a_validation_size_that_is_none(validation: int) -> None:
    for made in (
        lambda: cut_by_content(parts(10), "own", validation=validation),
        lambda: cut(parts(10), "named", validation=validation, test=1),
    ):
        with pytest.raises(BadInput, match=f"validation must be a whole number of at least 1, not {validation}"):
            made()


def test_a_size_for_a_split_that_exists() -> None:
    with pytest.raises(BadInput, match="own has 2 validation images of its own; validation=3 cuts none"):
        cut_by_content(parts(10, validation=split(2, start=20)), "own", validation=3)


def test_maps_stay_with_their_images() -> None:
    found = parts(200)
    found = replace(found, train=replace(found.train, maps=found.train.images + 1000), maps=MapKind(1, 1200))
    data = cut_by_content(found, "own")
    assert data.maps == found.maps
    for some in data.splits.values():
        assert some.maps is not None
        assert (some.maps == some.images + 1000).all()
    own = cut_by_content(replace(found, validation=found.train, test=found.train), "own")
    assert own.maps == found.maps


def test_images_in_more_than_one_split_are_told() -> None:
    data = cut_by_content(parts(10, validation=split(4, start=8), test=split(10)), "own")
    assert data.notes == (
        "2 of 4 validation images are train images too",
        "10 of 10 test images are train images too",
        "2 of 10 test images are validation images too",
    )
    assert not cut_by_content(parts(50), "own").notes


def _pictures(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        image = np.random.default_rng(number).integers(0, 256, (4, 4), dtype=np.uint8)
        Image.fromarray(image).save(folder / f"{number:03d}.png")


def _held_out(folder: Path) -> dict[str, set[bytes]]:
    splits = open_data(folder).splits
    return {name: {image.tobytes() for image in split.images[:]} for name, split in splits.items()}


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_folder_is_split_by_content(tmp_path: Path, on_disk: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if on_disk:
        monkeypatch.setattr("nextpixel.data.readers.encoded.MOST_IN_MEMORY", 0)
    _pictures(tmp_path / "a", 60)
    before = _held_out(tmp_path / "a")
    for number, path in enumerate(sorted((tmp_path / "a").iterdir())):
        path.rename(path.with_name(f"{7 * number % 60:03d}-renamed.png"))
    Image.fromarray(np.full((4, 4), 7, np.uint8)).save(tmp_path / "a" / "000-new.png")
    (tmp_path / "a" / "copy.png").write_bytes(next((tmp_path / "a").glob("*-renamed.png")).read_bytes())
    after = _held_out(tmp_path / "a")
    new = np.full((4, 4), 7, np.uint8).tobytes()
    assert {name: images - {new} for name, images in after.items()} == before


def test_one_image_in_two_kinds_of_file_is_in_one_split(tmp_path: Path) -> None:
    _pictures(tmp_path / "a", 40)
    for path in list((tmp_path / "a").iterdir()):
        Image.open(path).save(path.with_suffix(".bmp"))
    held = list(_held_out(tmp_path / "a").values())
    assert sum(map(len, held)) == 40
    assert len(open_data(tmp_path / "a").train) == 2 * len(held[0])
