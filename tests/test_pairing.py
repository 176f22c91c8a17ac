"""What images are paired with, whatever the data call it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import nextpixel as npx
from nextpixel.data import DataSet, Split, learnt_from
from nextpixel.pairing import context_of, difference, fit, given

SPEC = npx.ImageSpec(1, 2, 3, levels=4)
NOISE = np.random.default_rng(0)


def data_set(names: str, labels: list[int], *, levels: int = 4) -> DataSet:
    images = np.random.default_rng(1).integers(0, levels, (len(labels), 1, 2, 3), dtype=np.uint8)
    split = Split(images, np.array(labels))
    spec = replace(SPEC, levels=levels)
    return DataSet("own", spec, len(names), split, split, split, class_names=tuple(names) or None)


def model_of(data: DataSet, kind: str = "label") -> npx.Model:
    model = npx.build("pixelcnn", data.spec, context=context_of(kind, data), filters=4, head=4, layers=1)
    model.learnt = learnt_from(data)
    return model


ABC = data_set("abc", [0, 1, 2, 2])


@pytest.mark.parametrize(
    ("names", "labels", "expected"),
    [("bc", [0, 1], [1, 2]), ("cba", [0, 1, 2], [2, 1, 0]), ("abc", [0, 1, 2], [0, 1, 2]), ("abcd", [2, 0], [2, 0])],
)
def test_classes_are_matched_by_name(names: str, labels: list[int], expected: list[int]) -> None:
    other = data_set(names, labels)
    split, _ = fit(model_of(ABC), other, other.test, what="other")
    assert given(model_of(ABC).context, split, range(len(labels))).tolist() == expected


def test_classes_that_one_side_lacks_are_told() -> None:
    other = data_set("bc", [0, 1])
    assert fit(model_of(ABC), other, other.test, what="other")[1] == ["other has no images of a, which the model knows"]
    assert not fit(model_of(ABC), ABC, ABC.test, what="own")[1]
    strange = data_set("bcdz", [0, 1, 2, 3])
    with pytest.raises(npx.BadInput, match="other has images of d, z, but the model knows the classes a, b, c"):
        fit(model_of(ABC), strange, strange.test, what="other")


def test_numbers_beside_names_are_told() -> None:
    numbers = replace(ABC, class_names=None)
    for model, data in ((model_of(ABC), numbers), (model_of(numbers), ABC)):
        split, notes = fit(model, data, data.test, what="own")
        assert notes == ["the classes of own and of the model are matched by number: only one of both has names"]
        assert (split.labels == data.test.labels).all()


def test_a_model_without_classes_does_not_mind_them() -> None:
    assert fit(model_of(ABC, "none"), data_set("xy", [0, 1]), ABC.test, what="own")[1] == []


def test_levels_become_those_of_the_model() -> None:
    deep = data_set("abc", [0, 1, 2], levels=256)
    split, notes = fit(model_of(ABC), deep, deep.test, what="deep")
    assert (split.images == deep.test.images // 64).all()
    assert notes == ["the 256 levels of deep are reduced to the 4 of the model"]


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (SPEC, replace(SPEC, levels=3)),
        (replace(SPEC, levels=3), SPEC),
        (SPEC, replace(SPEC, levels=256, ordinal=False)),
        (SPEC, replace(SPEC, width=4)),
    ],
    ids=["fewer", "no power of two", "names", "wider"],
)
def test_images_that_the_model_is_not_about(model: npx.ImageSpec, data: npx.ImageSpec) -> None:
    other = replace(ABC, spec=data)
    with pytest.raises(npx.BadInput, match=f"The model is about images {model}, but those of other are {data}"):
        fit(model_of(replace(ABC, spec=model), "none"), other, other.test, what="other")


def test_data_that_a_model_did_not_learn_from_are_told() -> None:
    model = model_of(ABC)
    assert difference(model.learnt, ABC, splits=ABC.splits) is None
    more = data_set("abc", [0, 1, 2, 2, 1])
    start = r"own is not what the model learnt from \(own\): of test images there are "
    for other, end in ((more, "5 instead of 4"), (data_set("abc", [0, 1, 2, 1]), "4, but other ones")):
        changed = replace(ABC, test=other.test)
        assert difference(model.learnt, changed, splits=["train"]) is None
        told = difference(model.learnt, changed, splits=["train", "test"])
        assert told == start.replace("\\", "") + end


@pytest.mark.parametrize("learnt", [None, {}, {"splits": 3}, {"data": "a", "splits": {"test": None}}, [1]])
def test_a_model_that_does_not_say_what_it_learnt_from(learnt: Any) -> None:
    model = model_of(ABC)
    model.learnt = learnt
    assert difference(model.learnt, ABC, splits=["test"]) is None


def test_what_a_model_learnt_from_is_in_its_file(tmp_path) -> None:
    model = model_of(ABC)
    npx.save(model, tmp_path / "m.safetensors")
    again = npx.load(tmp_path / "m.safetensors")
    assert again.learnt == model.learnt
    assert isinstance(again.context, npx.ClassLabel)
    assert again.context.names == ("a", "b", "c")
    assert difference(again.learnt, ABC, splits=ABC.splits) is None
    assert torch.equal(
        again.log_prob(ABC.test.batch([0], NOISE)[0], 0), model.eval().log_prob(ABC.test.batch([0], NOISE)[0], 0)
    )


def test_all_splits_as_one() -> None:
    data = replace(ABC, validation=ABC.train.take(np.array([1])), test=ABC.train.take(np.array([3, 0])))
    whole = data.split("all")
    images, labels = whole.batch(range(7), NOISE)
    assert labels is not None
    assert labels.tolist() == [0, 1, 2, 2, 1, 2, 0]
    assert (images.numpy() == data.train.images[[0, 1, 2, 3, 1, 3, 0]]).all()
    drawn = replace(data, train=replace(data.train, draw=lambda images, noise: images))
    with pytest.raises(npx.BadInput, match="own draws its training images anew for every batch; name one split"):
        drawn.split("all")
