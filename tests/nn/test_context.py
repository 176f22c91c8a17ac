import json
from typing import Any

import numpy as np
import pytest
import torch

import nextpixel as npx
from nextpixel.errors import BadInput
from nextpixel.nn.context import ClassLabel, describe, restore

SPEC = npx.ImageSpec(1, 4, 6)


def test_a_label_becomes_a_one_hot_map() -> None:
    context = npx.ClassLabel(4)
    encoded = context.encoder(SPEC).double()(context.check([2, 0], 2, SPEC))
    assert encoded.shape == (2, 4, 1, 1)
    assert encoded.dtype == torch.float64
    assert encoded.flatten(1).tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_labels_and_codes_may_have_any_integer_dtype(dtype: Any) -> None:
    labels = np.array([1, 3], dtype=dtype)
    for given in (labels, torch.from_numpy(labels)):
        assert npx.ClassLabel(4).check(given, 2, SPEC).tolist() == [1, 3]
    assert npx.ClassLabel(4).check(labels[0], 2, SPEC).tolist() == [1, 1]
    codes = npx.Map(1, levels=4).check(torch.from_numpy(labels).view(2, 1, 1, 1), 2, SPEC)
    assert (codes.dtype, codes.flatten().tolist()) == (torch.int64, [1, 3])
    with pytest.raises(BadInput, match=r"codes of the maps must be in \[0, 3\); one is 3"):
        npx.Map(1, levels=3).check(torch.from_numpy(labels).view(2, 1, 1, 1), 2, SPEC)


def test_one_label_stands_for_the_batch() -> None:
    assert npx.ClassLabel(4).check(3, 2, SPEC).tolist() == [3, 3]


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (None, r"needs a class label in \[0, 4\)"),
        ([1, 4], r"must be in \[0, 4\); one is 4"),
        ([-1, 0], r"must be in \[0, 4\); one is -1"),
        ([1, 2, 3], r"shape \(2,\), one for each image, not \(3,\)"),
        ([[1], [2]], r"not \(2, 1\)"),
        ([0.5, 1.0], r"as a tensor of integers, not float32"),
        ([True, False], r"as a tensor of integers, not bool"),
        ("three", r"There is no class 'three'; the model knows classes 0 to 3"),
        (["1", "cat"], r"There is no class 'cat'"),
        ([2**70], r"not \[1180591620717411303424\]"),
        (np.array([0, 9], dtype=np.uint16), "one is 9"),
        (np.array([0, 2**63 + 1], dtype=np.uint64), "one is 9223372036854775809"),
    ],
)
def test_other_labels_are_refused(labels: object, sentence: str) -> None:
    with pytest.raises(npx.BadInput, match=sentence):
        npx.ClassLabel(4).check(labels, 2, SPEC)


def test_no_classes_are_refused() -> None:
    with pytest.raises(npx.BadInput, match="at least 1, not 0"):
        npx.ClassLabel(0)


@pytest.mark.parametrize(
    ("context", "value", "sentence"),
    [
        (npx.Vector(3), None, r"needs a vector of 3 numbers for each image; none was given"),
        (npx.Vector(3), torch.zeros(2, 4), r"shape \(2, 3\), not \(2, 4\)"),
        (npx.Vector(3), torch.zeros(2, 3, dtype=torch.long), r"floating-point numbers, not int64"),
        (npx.Vector(3), [[0.0] * 3] * 2, r"floating-point numbers, not list"),
        (npx.Vector(3), torch.tensor([[0, 0, 0], [0, float("nan"), 0]]), r"some are not finite"),
        (npx.Map(2), torch.zeros(2, 2), r"shape \(2, 2, h, w\), not \(2, 2\)"),
        (npx.Map(2), torch.zeros(2, 3, 4, 6), r"shape \(2, 2, h, w\), not \(2, 3, 4, 6\)"),
        (
            npx.Map(2),
            torch.zeros(2, 2, 3, 6),
            r"map of 3x6 places cannot be enlarged by whole factors to images of 4x6",
        ),
        (npx.Map(2), torch.zeros(2, 2, 8, 6), r"map of 8x6 places cannot"),
        (npx.Map(2), torch.zeros(2, 2, 0, 6), r"not \(2, 2, 0, 6\)"),
        (npx.Map(1, levels=9), None, r"map of codes in \[0, 9\) for each image; none was given"),
        (npx.Map(1, levels=9), torch.zeros(2, 1, 4, 6), "as a tensor of integers, not float32"),
        (npx.Map(1, levels=9), torch.full((2, 1, 2, 2), 9), r"in \[0, 9\); one is 9"),
        (npx.Map(1, levels=9), -torch.ones(2, 1, 2, 2, dtype=torch.long), r"in \[0, 9\); one is -1"),
        (npx.Map(1, levels=9), torch.zeros(2, 1, 3, 6, dtype=torch.uint8), "3x6 places cannot be enlarged"),
        (npx.Latent(2), torch.zeros(2, 3), r"not \(2, 3\)"),
        (npx.Latent(2), torch.full((2, 2), torch.nan), "some are not finite"),
        (
            npx.Both(npx.ClassLabel(3), npx.Vector(1)),
            None,
            r"pair, one for ClassLabel.* and one for Vector.*, not nothing",
        ),
        (npx.Both(npx.ClassLabel(3), npx.Vector(1)), torch.tensor([1, 2]), r"not a Tensor"),
        (npx.Both(npx.ClassLabel(3), npx.Vector(1)), ([1, 3], torch.zeros(2, 1)), r"one is 3"),
    ],
)
def test_other_contexts_are_refused(context: npx.Vector, value: object, sentence: str) -> None:
    with pytest.raises(npx.BadInput, match=sentence):
        context.check(value, 2, SPEC)


def test_a_map_is_enlarged_by_repeating_its_places() -> None:
    context = npx.Map(1)
    value = torch.tensor([[[[1.0, 2.0]]]])
    encoded = context.encoder(SPEC)(context.check(value, 1, SPEC))
    assert encoded.tolist() == [[[[1, 1, 1, 2, 2, 2]] * 4]]


def test_both_contexts_stand_side_by_side() -> None:
    context = npx.Both(npx.ClassLabel(2), npx.Map(1))
    encoded = context.encoder(SPEC)(context.check(([1], torch.ones(1, 1, 4, 6)), 1, SPEC))
    assert encoded.shape == (1, 3, 4, 6)
    assert encoded[0, :, 3, 5].tolist() == [0, 1, 1]


@pytest.mark.parametrize("context", [npx.Vector, npx.Map, npx.ClassLabel, npx.Latent])
def test_a_context_without_features_is_refused(context: type[npx.Vector]) -> None:
    with pytest.raises(npx.BadInput, match="at least 1, not 0"):
        context(0)


def test_a_grid_of_codes_becomes_a_vector_a_code_at_the_places_that_it_stands_for() -> None:
    context = npx.Map(2, levels=3)
    encoder = context.encoder(SPEC)
    encoded = encoder(context.check(torch.tensor([[[[0, 2]], [[1, 1]]]]), 1, SPEC))
    (vectors,) = encoder.parameters()  # of the first channel's names, then of the second's
    assert encoded.shape == (1, context.features, 4, 6)
    assert encoded[0, :, 3, 2].equal(torch.cat((vectors[0], vectors[3 + 1])))
    assert encoded[0, :, 0, 3].equal(torch.cat((vectors[2], vectors[3 + 1])))


def test_classes_have_names() -> None:
    context = ClassLabel(3, names=("car", "bus", "2"))
    assert [context.number(name) for name in ("car", "bus", "2", "0", "1")] == [0, 1, 2, 0, 1]
    again = restore(json.loads(json.dumps(describe(context))))
    assert again == context
    assert hash(again) == hash(context)
    assert restore({"kind": "ClassLabel", "classes": 3}) == ClassLabel(3)  # a file from before there were names


@pytest.mark.parametrize("names", [("a", "b"), ("a", "a", "b"), ("a", "b", "")])
def test_names_that_are_not_one_for_each_class(names: object) -> None:
    with pytest.raises(BadInput, match="names must be 3 different ones"):
        ClassLabel(3, names=names)


@pytest.mark.parametrize("name", ["plane", "3", "-1", "²", "", "9" * 5000])
def test_a_class_that_is_not_there(name: str) -> None:
    with pytest.raises(BadInput, match="There is no class"):
        ClassLabel(3, names=("car", "bus", "tram")).number(name)
