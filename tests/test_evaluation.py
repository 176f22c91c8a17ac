import copy
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import nextpixel as npx
from nextpixel.data import Split, open_data
from nextpixel.evaluation import evaluate, summarise
from nextpixel.nn.context import Context
from nextpixel.pairing import given


def test_the_mean_and_its_standard_error() -> None:
    result = summarise(torch.tensor([1.0, 2.0, 6.0]), npx.ImageSpec(1, 2, 2))
    assert result.images == 3
    assert result.nats == pytest.approx(3)
    assert result.nats_error == pytest.approx(math.sqrt(7 / 3))
    assert result.bits_per_dim == pytest.approx(3 / (4 * math.log(2)))
    assert result.bits_per_dim_error == pytest.approx(math.sqrt(7 / 3) / (4 * math.log(2)))


def test_one_image_has_no_error() -> None:
    assert math.isnan(summarise(torch.tensor([1.0]), npx.ImageSpec(1, 2, 2)).nats_error)


def test_a_split_is_measured_image_by_image_whatever_the_batch() -> None:
    data = open_data("digits", limit=10)
    model = npx.build("gated_pixelcnn", data.spec, context=npx.ClassLabel(10), filters=4, blocks=1, head=4).eval()
    whole = evaluate(model, data.test, batch=10)
    assert whole.images == 10
    assert evaluate(model, data.test, batch=3).nats == pytest.approx(whole.nats, rel=1e-6)
    images, labels = torch.from_numpy(data.test.images), torch.from_numpy(data.test.labels)
    assert whole.nats == pytest.approx(-float(model.log_prob(images, labels).mean().detach()), rel=1e-6)
    assert evaluate(model, data.test, images=4).images == 4


def test_several_reading_orders_are_measured_as_their_mixture_and_each() -> None:
    data = open_data("digits", limit=5)
    settings: dict[str, Any] = {"filters": 4, "blocks": 1, "head": 4, "orders": 4}
    model = npx.build("gated_pixelcnn", data.spec, context=npx.ClassLabel(10), **settings).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel()))
    images, labels = torch.from_numpy(data.test.images), torch.from_numpy(data.test.labels)
    with torch.no_grad():
        each = torch.stack([model.log_prob(images, labels, order=order) for order in range(4)]).double()
    found = evaluate(model, data.test)
    assert torch.allclose(found.each, math.log(4) - each.logsumexp(0))
    assert torch.allclose(torch.stack([its.each for its in found.orders]), -each)


@pytest.mark.parametrize("orders", [1, 4])
def test_a_model_of_classes_is_measured_without_them_as_their_mixture(orders: int) -> None:
    data = open_data("digits", limit=5)
    settings: dict[str, Any] = {"filters": 4, "blocks": 1, "head": 4, "orders": orders}
    model = npx.build("gated_pixelcnn", data.spec, context=npx.ClassLabel(10), **settings).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel()))
    images = torch.from_numpy(data.test.images)
    with torch.no_grad():
        each = torch.stack([model.log_prob(images, label) for label in range(10)])
    found = evaluate(model, data.test, classes=False)
    assert torch.allclose(found.each, (math.log(10) - each.logsumexp(0)).double())
    assert len(found.orders) == (orders if orders > 1 else 0)
    with pytest.raises(npx.BadInput, match="Only a model of classes"):
        evaluate(npx.build("gated_pixelcnn", data.spec, filters=4, blocks=1, head=4), data.test, classes=False)


def test_no_images_are_refused() -> None:
    data = open_data("digits", limit=10)
    model = npx.build("gated_pixelcnn", data.spec, filters=4, blocks=1, head=4)
    with pytest.raises(npx.BadInput, match="no images"):
        evaluate(model, data.test.take(slice(0)))
    with pytest.raises(npx.BadInput, match="images must be a whole number of at least 1, not 0"):
        evaluate(model, data.test, images=0)


def test_a_model_is_measured_in_evaluation_mode_and_left_in_its_own() -> None:
    data = open_data("digits", limit=10)
    model = npx.build("gated_pixelcnn", data.spec, filters=4, blocks=1, head=4, dropout=0.5)
    frozen = next(module for module in model.modules() if isinstance(module, torch.nn.Dropout)).eval()
    expected = evaluate(copy.deepcopy(model).eval(), data.test).nats
    assert evaluate(model, data.test).nats == expected
    assert model.training
    assert not frozen.training


def test_statistics_of_batches_are_neither_used_nor_learnt() -> None:
    data = open_data("digits", limit=10)
    model = npx.build("residual_pixelcnn", data.spec, filters=4, blocks=1, head=4, norm="batch").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    nats = evaluate(model, data.test, batch=10).nats
    assert evaluate(model, data.test, batch=3).nats == pytest.approx(nats, rel=1e-6)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


GRIDS = np.arange(8, dtype=np.uint8).reshape(4, 2, 1, 1)
CODES = Split(np.zeros((4, 1, 2, 2), np.uint8), np.array([1, 0, 2, 1]), maps=GRIDS)


def test_a_model_is_given_the_labels_or_the_maps_of_its_images_or_both() -> None:
    assert given(None, CODES, [0]) is None
    assert given(npx.ClassLabel(3), CODES, [2, 0]).tolist() == [2, 1]
    codes = given(npx.Map(2, levels=8), CODES, torch.tensor([3, 0]))
    assert codes.dtype == torch.int64
    assert codes.tolist() == [[[[6]], [[7]]], [[[0]], [[1]]]]
    labels, codes = given(npx.Both(npx.ClassLabel(3), npx.Map(2, levels=8)), CODES, range(3))
    assert labels.tolist() == [1, 0, 2]
    assert codes.shape == (3, 2, 1, 1)
    assert given(npx.Map(2), replace(CODES, maps=GRIDS / 2), [1]).dtype == torch.float32


@pytest.mark.parametrize(
    ("context", "split", "sentence"),
    [
        (
            npx.ClassLabel(3),
            replace(CODES, labels=None),
            r"needs a class label in \[0, 3\) for each image; these images",
        ),
        (
            npx.Map(2, levels=8),
            replace(CODES, maps=None),
            "needs Map.size=2, levels=8. for each image; these images have",
        ),
        (npx.Both(npx.ClassLabel(3), npx.Map(2)), replace(CODES, maps=None), "needs Map"),
        (npx.Vector(5), CODES, r"needs Vector.size=5. for each image; these images have none\."),
    ],
)
def test_what_a_split_does_not_have_is_refused(context: Context, split: Split, sentence: str) -> None:
    with pytest.raises(npx.BadInput, match=sentence):
        given(context, split, [0])


def test_a_split_is_measured_with_the_map_of_each_image() -> None:
    spec = npx.ImageSpec(1, 2, 2, levels=3, ordinal=False)
    split = Split(np.zeros((4, 1, 2, 2), np.uint8), maps=np.array([0, 1, 2, 1]).reshape(4, 1, 1, 1))
    model = npx.build("gated_pixelcnn", spec, context=npx.Map(1, levels=3), filters=4, blocks=1, head=4).eval()
    whole = evaluate(model, split)
    assert evaluate(model, split, batch=3).nats == pytest.approx(whole.nats, rel=1e-6)
    nats = -model.log_prob(torch.from_numpy(split.images), torch.from_numpy(split.maps)).detach()
    assert whole.nats == pytest.approx(float(nats.mean()), rel=1e-6)
    assert nats[0] != nats[1] == nats[3]
