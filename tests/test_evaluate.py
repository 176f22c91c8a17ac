import copy
import math

import pytest
import torch

import nextpixel as npx
from nextpixel.data import open_data
from nextpixel.evaluate import evaluate, summarise


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


def test_no_images_are_refused() -> None:
    data = open_data("digits", limit=10)
    model = npx.build("gated_pixelcnn", data.spec, filters=4, blocks=1, head=4)
    with pytest.raises(npx.BadInput, match="no images"):
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
