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
