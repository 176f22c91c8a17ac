import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

import nextpixel as npx
from nextpixel.evaluation import formats, lossless
from zoo import Case, every_model, images

SPEC = npx.ImageSpec(1, 4, 5, levels=3)


def build(spec: npx.ImageSpec = SPEC, context: Any = None, **arguments: Any) -> npx.Autoregressive:
    return npx.build("gated_pixelcnn", spec, context=context, filters=4, blocks=1, head=4, **arguments).double()


@every_model
def test_the_bits_of_an_image_are_those_of_its_sub_pixels(case: Case) -> None:
    spec = case.spec(4, 3)
    model, x, context = case.build(spec), images(spec, 3), case.contexts(spec, 3)
    found = npx.score(model, x, context)
    torch.testing.assert_close(found.bits_per_dim, npx.bits_per_dim(model, x, context), rtol=1e-12, atol=0)
    torch.testing.assert_close(found.bits.flatten(1).mean(1), found.bits_per_dim, rtol=1e-12, atol=0)
    with torch.no_grad():
        nats = model.predict(x, context).log_prob(x)
    torch.testing.assert_close(found.bits, -nats / math.log(2), rtol=1e-12, atol=0)


def test_of_several_orders_each_counts_as_far_as_it_is_probable() -> None:
    model = build(npx.ImageSpec(1, 4, 4, levels=3), orders=8)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_()
    x = images(model.spec, 3)
    found = npx.score(model, x)
    torch.testing.assert_close(found.bits_per_dim, npx.bits_per_dim(model, x), rtol=1e-12, atol=0)
    expected, likely = torch.zeros(3, 1, 4, 4, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    with torch.no_grad():
        for order in range(8):
            nats = model.predict(x, order=order).log_prob(x)
            share = nats.flatten(1).sum(1).exp()
            expected += share[:, None, None, None] * -nats / math.log(2)
            likely += share
    torch.testing.assert_close(found.bits, expected / likely[:, None, None, None], rtol=1e-9, atol=0)
    rest = found.bits_per_dim * 16 - found.bits.flatten(1).sum(1)  # what it costs that the order is not known
    assert (rest > 0).all()
    assert (rest < 3).all()


def test_scores_are_what_the_papers_say() -> None:
    model, other, x = build(), build(), images(SPEC, 4)
    bits, others = (npx.bits_per_dim(its, x) for its in (model, other))
    typical = float(bits.median()) + 1e-3  # some are above it
    found = npx.score(model, x, typical=typical, against=other)
    torch.testing.assert_close(found.ratio, bits - others)
    torch.testing.assert_close(found.typicality, (bits - typical).abs())
    assert npx.score(model, x).ratio is None
    assert npx.score(model, x).typicality is None
    for one, complexity, cost in zip(x.to(torch.uint8), found.complexity, bits, strict=True):
        sizes = []
        for settings in ({"format": "PNG", "optimize": True}, {"format": "WebP", "lossless": True}):
            Image.fromarray(one[0].numpy()).save(stream := io.BytesIO(), **settings)
            sizes.append(len(stream.getvalue()))
        assert complexity.item() == pytest.approx(cost.item() - 8 * min(sizes) / 20)


@pytest.mark.parametrize(
    ("spec", "forms"),
    [
        (npx.ImageSpec(1, 9, 30, levels=256), ("PNG", "WebP")),
        (npx.ImageSpec(3, 9, 30, levels=5), ("PNG", "WebP")),
        (npx.ImageSpec(1, 9, 30, levels=2), ("PNG", "WebP")),
        (npx.ImageSpec(1, 9, 30, levels=2, ordinal=False), ("PNG", "WebP")),
        (npx.ImageSpec(1, 9, 30, levels=7, ordinal=False), ("zlib",)),
        (npx.ImageSpec(2, 9, 30, levels=256), ("zlib",)),
        (npx.ImageSpec(1, 9, 30, levels=1000), ("zlib",)),
        (npx.ImageSpec(1, 1, 2**14, levels=9), ("PNG",)),  # wider than a WebP can be
    ],
    ids=repr,
)
def test_every_kind_of_image_has_a_lossless_file(spec: npx.ImageSpec, forms: tuple[str, ...]) -> None:
    assert formats(spec) == forms
    noise = images(spec, 1).numpy()
    for form in forms:  # random levels cannot be made smaller, those that are all alike can
        assert 8 * lossless(noise, spec, form) > 0.99 * spec.subpixels * math.log2(spec.levels)
        assert lossless(np.zeros_like(noise), spec, form) < lossless(noise, spec, form)


def test_two_levels_have_one_bit_each() -> None:
    spec = npx.ImageSpec(1, 64, 64, levels=2)
    noise = images(spec, 1).numpy()
    Image.fromarray(noise[0, 0].astype(np.uint8)).save(eight := io.BytesIO(), "PNG", optimize=True)
    assert lossless(noise, spec, "PNG") - 64 * 64 / 8 < 150  # a filter's byte for each row, and the head
    assert len(eight.getvalue()) - 64 * 64 / 8 > 200


@pytest.mark.parametrize("levels", [3, 1000])
def test_the_area_under_the_curve_is_that_of_all_pairs(levels: int) -> None:
    noise = np.random.default_rng(0)
    inside, outside = noise.integers(levels, size=40), noise.integers(levels, size=70) + levels // 5
    area, _ = npx.auroc(torch.from_numpy(inside), torch.from_numpy(outside))
    truth = np.repeat([0, 1], [40, 70])
    assert area == pytest.approx(roc_auc_score(truth, np.concatenate([inside, outside])), abs=1e-12)
    pairs = np.sign(outside[:, None] - inside)
    assert area == pytest.approx((1 + pairs.mean()) / 2, abs=1e-12)


def test_the_error_of_the_area_is_how_far_it_strays() -> None:
    """Of normal scores: the error that is said, on average, is the deviation of the areas of 2,000 trials, by 5 %.

    The deviation of 2,000 trials has an error of 1.6 %, so that this fails for a right error once in 500 seeds.
    """
    noise = np.random.default_rng(1)
    trials = [
        npx.auroc(*(torch.from_numpy(noise.normal(m, s, n)) for m, s, n in ((0, 1, 60), (1, 3, 30))))
        for _ in range(2000)
    ]
    areas, errors = np.array(trials).T
    assert errors.mean() == pytest.approx(areas.std(), rel=0.05)


def test_sets_that_are_apart_and_sets_of_one() -> None:
    assert npx.auroc(torch.tensor([1.0, 2.0]), torch.tensor([3.0, math.inf])) == (1.0, 0.0)
    area, error = npx.auroc(torch.tensor([1.0]), torch.tensor([0.0, 1.0]))
    assert area == 0.25
    assert math.isnan(error)
    with pytest.raises(npx.BadInput, match="these are \\(0,\\) and \\(2,\\)"):
        npx.auroc(torch.tensor([]), torch.tensor([1.0, 2.0]))
    with pytest.raises(npx.BadInput, match="none that is NaN"):
        npx.auroc(torch.tensor([1.0]), torch.tensor([math.nan, 2.0]))


def test_a_second_model_without_context_goes_without() -> None:
    model, other, x = build(context=npx.ClassLabel(3)), build(), images(SPEC, 3)
    labels = torch.arange(3)
    expected = npx.bits_per_dim(model, x, labels) - npx.bits_per_dim(other, x)
    torch.testing.assert_close(npx.score(model, x, labels, against=other).ratio, expected)
    torch.testing.assert_close(npx.score(model, x, labels, against=model).ratio, torch.zeros(3, dtype=torch.float64))


def test_what_cannot_be_scored() -> None:
    x = images(SPEC, 2)
    with pytest.raises(
        npx.BadInput, match="about images 1x5x4 with 3 levels, given None, but the first is about images 1x4x5 with 3"
    ):
        npx.score(build(), x, against=build(npx.ImageSpec(1, 5, 4, levels=3)))
    with pytest.raises(npx.BadInput, match=r"given ClassLabel\(classes=2.*, but the first is about .*, given None"):
        npx.score(build(), x, against=build(context=npx.ClassLabel(2)))
    with pytest.raises(npx.BadInput, match=r"must have shape \(B, 1, 4, 5\)"):
        npx.score(build(), x[:, :, 1:])
    with pytest.raises(npx.BadInput, match="exact likelihood, but a pixelvae has only bounds"):
        npx.score(npx.build("pixelvae", npx.ImageSpec(1, 8, 8)), torch.zeros(1, 1, 8, 8, dtype=torch.long))
