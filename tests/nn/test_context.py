import pytest
import torch

import nextpixel as npx


def test_a_label_becomes_a_one_hot_map() -> None:
    context = npx.ClassLabel(4)
    encoded = context.encode(context.check([2, 0], 2), torch.zeros(1, dtype=torch.float64))
    assert encoded.shape == (2, 4, 1, 1)
    assert encoded.dtype == torch.float64
    assert encoded.flatten(1).tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]


def test_one_label_stands_for_the_batch() -> None:
    assert npx.ClassLabel(4).check(3, 2).tolist() == [3, 3]


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (None, r"needs a class label in \[0, 4\)"),
        ([1, 4], r"must be in \[0, 4\); one is 4"),
        ([-1, 0], r"must be in \[0, 4\); one is -1"),
        ([1, 2, 3], r"shape \(2,\), one for each image, not \(3,\)"),
        ([[1], [2]], r"not \(2, 1\)"),
        ([0.5, 1.0], r"not float32 values"),
        ([True, False], r"not bool values"),
        ("three", r"not 'three'"),
    ],
)
def test_other_labels_are_refused(labels: object, sentence: str) -> None:
    with pytest.raises(npx.BadInput, match=sentence):
        npx.ClassLabel(4).check(labels, 2)


def test_no_classes_are_refused() -> None:
    with pytest.raises(npx.BadInput, match="at least 1, not 0"):
        npx.ClassLabel(0)
