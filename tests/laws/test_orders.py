"""Several reading orders: each is an exact model, and so is their mixture."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy import stats

import nextpixel as npx
from naive import drawn_naively, read, read_back
from nextpixel.nn.context import Latent
from nextpixel.orders import Orders
from nextpixel.training.start import start_from
from zoo import CASES, Case, images, part

ORDERED = CASES[::4]  # what differs is before and behind the network
assert {case.name for case in ORDERED} == {case.name for case in CASES}
every_ordered = pytest.mark.parametrize("case", ORDERED, ids=str)


def build(case: Case, height: int, width: int, orders: int, levels: int | None = None) -> npx.Autoregressive:
    """The model of a case, with orders and random weights."""
    ordered = Case(**{**vars(case), "arguments": {**case.arguments, "orders": orders}})
    return ordered.build(case.spec(height, width, levels))


def all_images(spec: npx.ImageSpec) -> torch.Tensor:
    return torch.tensor([*itertools.product(range(spec.levels), repeat=spec.subpixels)]).view(-1, *spec.shape)


def tiny(case: Case) -> npx.Autoregressive:
    """Of a square of four pixels, or of fewer where there are more channels."""
    height, width, orders = (2, 2, 8) if case.channels == 1 else (1, 2, 4)
    levels = 2 if case.likelihood == "bernoulli" else 3 if case.channels < 4 else 2
    return build(case, height, width, orders, levels)


def alike(model: npx.Autoregressive, case: Case, count: int) -> object:
    """One context for all of so many images."""
    return part(case.contexts(model.spec, 2), [1] * count)


@every_ordered
def test_each_order_and_the_mixture_sum_to_one(case: Case) -> None:
    model = tiny(case)
    x = all_images(model.spec)
    context = alike(model, case, len(x))
    with torch.no_grad():
        each = torch.stack([model.log_prob(x, context, order=order) for order in range(model.orders)])
        mixture = model.log_prob(x, context)
    assert (each.exp().sum(1) - 1).abs().max() < 1e-10
    torch.testing.assert_close(mixture.exp(), each.exp().mean(0), rtol=1e-10, atol=1e-12)
    assert (each - each[0]).abs().max() > 1e-3, "orders that are all the same are none"


@every_ordered
@pytest.mark.parametrize("size", [(5, 7, 4), (4, 4, 8), (1, 6, 4)], ids=str)
def test_an_order_sees_nothing_later_of_its_own(case: Case, size: tuple[int, int, int]) -> None:
    model = build(case, *size)
    spec = model.spec
    x, other = images(spec, 1), images(spec, 1, seed=1)
    context = case.contexts(spec, 1)
    when = torch.arange(spec.height * spec.width)
    for order in range(model.orders):
        height, width = (spec.width, spec.height) if order >= 4 else (spec.height, spec.width)
        reached = read_back(when.view(height, width), order)  # when each place is read
        with torch.no_grad():
            before = model.predict(x, context, order=order).log_pmf()
            for step in (0, len(when) // 2, len(when) - 1):
                after = model.predict(torch.where(reached >= step, other, x), context, order=order).log_pmf()
                seen = (before - after).abs().amax(-1)[0]  # (C, H, W)
                # The first channel of the place that is changed first is drawn before anything that was changed.
                assert seen[:, reached < step].sum() == 0
                assert seen[0][reached == step].sum() == 0


@every_ordered
def test_samples_are_those_of_one_pass_a_sub_pixel_in_each_order(case: Case) -> None:
    model = build(case, 3, 3, 8)
    context = alike(model, case, 2)
    for order in (0, 1, 2, 3, 4, 6, 7):
        fast = model.sample(2, context, seed=3, order=order)
        assert fast.equal(drawn_naively(model, fast, context, seed=3, order=order))


@every_ordered
def test_an_order_is_drawn_for_each_image_by_its_own_noise(case: Case) -> None:
    model = build(case, 3, 3, 8)
    context = alike(model, case, 24)
    together = model.sample(24, context, seed=4)
    orders = torch.stack([model.sample(24, context, seed=4, order=order) for order in range(8)])
    which = (orders == together).flatten(2).all(2)  # (orders, images)
    assert which.any(0).all()
    assert model.sample(3, part(context, slice(3)), seed=4, first=21).equal(together[21:])


def test_orders_are_drawn_by_their_odds() -> None:
    orders = Orders(npx.ImageSpec(1, 3, 3, levels=2), 8)
    odds = torch.tensor([0.1, 0.0, 0.3, 0.05, 0.15, 0.2, 0.0, 0.2], dtype=torch.float64)
    drawn = orders.drawn(odds.log().expand(4000, -1), seed=5, first=0)
    again = orders.drawn(odds.log().expand(7, -1), seed=5, first=93)
    assert drawn is not None
    assert again is not None
    assert fits(torch.bincount(drawn, minlength=8), odds * 4000)
    assert again.equal(drawn[93:100])


@every_ordered
def test_samples_follow_the_mixture(case: Case) -> None:
    # A right sampler fails with probability 1e-4 at each of the seeds one could fix; this one is fixed.
    model = tiny(case)
    x = all_images(model.spec)
    count = 3000
    with torch.no_grad():
        expected = model.log_prob(x, alike(model, case, len(x))).exp() * count
    samples = model.sample(count, alike(model, case, count), seed=6)
    observed = frequencies(samples, model.spec)
    assert fits(observed, expected)


def frequencies(samples: torch.Tensor, spec: npx.ImageSpec) -> torch.Tensor:
    """How often each image of `all_images` is there."""
    weights = spec.levels ** torch.arange(spec.subpixels - 1, -1, -1)
    return torch.bincount((samples.flatten(1) * weights).sum(1), minlength=spec.levels**spec.subpixels)


def fits(observed: torch.Tensor, expected: torch.Tensor) -> bool:
    """The chi-square test, with what is expected less than five times put together."""
    rare = expected < 5
    expected = torch.cat((expected[~rare], expected[rare].sum()[None]))
    observed = torch.cat((observed[~rare], observed[rare].sum()[None]))
    kept = expected > 0
    assert observed[~kept].sum() == 0
    return stats.chisquare(observed[kept].numpy(), expected[kept].numpy()).pvalue > 1e-4


@every_ordered
def test_an_image_does_not_depend_on_its_batch_nor_on_the_orders_of_others(case: Case) -> None:
    model = build(case, 4, 4, 8)
    x = images(model.spec, 5)
    context = alike(model, case, 5)
    order = torch.tensor([7, 0, 4, 2, 1])
    with torch.no_grad():
        together = model.log_prob(x, context, order=order)
        alone = [model.log_prob(x[[i]], part(context, [i]), order=int(order[i])) for i in range(5)]
        predicted = model.predict(x, context, order=order).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(together, predicted, rtol=1e-10, atol=1e-10)


@every_ordered
def test_training_reads_each_image_in_one_order_and_every_weight_learns(case: Case) -> None:
    model = build(case, 4, 4, 8)
    x = images(model.spec, 16)
    context = alike(model, case, 16)
    drawn = torch.arange(16) % 8
    expected = model.log_prob(x, context, order=drawn)
    torch.testing.assert_close(model(x, context, drawn), expected, rtol=1e-10, atol=1e-10)
    expected.sum().backward()
    assert all(weight.grad is not None for weight in model.parameters())
    assert any((weight.grad != 0).any() for weight in model.parameters() if weight.grad is not None)
    model.train()
    torch.manual_seed(0)
    first = model(x, context).detach()
    torch.manual_seed(1)
    if not any(isinstance(layer, torch.nn.modules.batchnorm._BatchNorm) for layer in model.modules()):
        assert not first.equal(model(x, context).detach())


PLACED = [case for case in CASES if isinstance(case.context, npx.Map) and case.channels == 1]


@pytest.mark.parametrize("case", PLACED, ids=str)
def test_a_map_is_turned_with_its_image(case: Case) -> None:
    """A model that is told the same of all orders has symmetric likelihoods, if its map is turned too."""
    model = build(case, 4, 4, 8)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 4 and "context" in name and weight.shape[1] >= 8:  # the last eight features are orders
                weight[:, -8:] = weight[:, -8:-7]
    x = images(model.spec, 2)
    rows = case.contexts(model.spec, 2)  # (2, size, 4, 1): the same in all columns
    assert isinstance(case.context, npx.Map)
    maps = (rows + rows.transpose(2, 3)) % (case.context.levels or 10**9)
    with torch.no_grad():
        plain = model.log_prob(x, maps, order=0)
        for order in range(8):
            turned = model.log_prob(read_back(x, order), read_back(maps, order), order=order)
            torch.testing.assert_close(turned, plain, rtol=1e-9, atol=1e-9)
            if order:
                wrong = model.log_prob(read_back(x, order), maps, order=order)
                assert maps.equal(read_back(maps, order)) or not torch.allclose(wrong, plain, rtol=1e-6)


@every_ordered
def test_files_keep_orders_and_one_order_changes_nothing(case: Case, tmp_path: Path) -> None:
    model = build(case, 3, 3, 8)
    npx.save(model, tmp_path / "m.safetensors")
    again = npx.load(tmp_path / "m.safetensors")
    x = images(model.spec, 2)
    context = alike(model, case, 2)
    assert again.log_prob(x, context).equal(model.log_prob(x, context))
    npx.save(build(case, 3, 3, 1), tmp_path / "one.safetensors")
    npx.save(case.build(case.spec(3, 3)), tmp_path / "none.safetensors")
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "none.safetensors").read_bytes()


def halves(grid: tuple[int, int]) -> dict[str, torch.Tensor]:
    known = {name: torch.zeros(grid, dtype=torch.bool) for name in ("top", "bottom", "left", "right")}
    known["top"][: grid[0] // 2] = True
    known["bottom"][grid[0] // 2 :] = True
    known["left"][:, : grid[1] // 2] = True
    known["right"][:, grid[1] // 2 :] = True
    return known


@pytest.mark.parametrize("half", ["top", "bottom", "left", "right"])
@every_ordered
def test_any_known_half_is_completed_exactly(case: Case, half: str) -> None:
    """The order is drawn from its posterior among those that read the half first, then the rest by that order."""
    if case.channels != 1:
        pytest.skip("the grid of a square would have too many images")
    model = tiny(case)
    count, x = 2000, all_images(model.spec)
    given, known = images(model.spec, 1, seed=2), halves((2, 2))[half].expand(1, 1, 2, 2)
    first = [order for order in range(8) if read(known, order)[0, 0].flatten()[:2].all()]
    assert len(first) == 2
    with torch.no_grad():
        every = [model.log_prob(x, alike(model, case, len(x)), order=order) for order in first]
    fitting = (x == given).masked_fill(~known, True).flatten(1).all(1)
    expected = torch.stack(every).exp().sum(0) * fitting
    made = model.complete(given.expand(count, -1, -1, -1), known.expand(count, -1, -1, -1), alike(model, case, count))
    assert (made == given).masked_fill(~known, True).all()
    assert fits(frequencies(made, model.spec), expected / expected.sum() * count)


class NeverTwice(npx.Network):
    """After a level of 2 there is no other one."""

    def __init__(self, spec, likelihood, context=0) -> None:
        super().__init__(spec, likelihood)
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, levels, context):
        before = torch.nn.functional.pad(levels.flatten(2), (1, -1)).unflatten(2, levels.shape[2:])
        logits = self.weight + torch.zeros(len(levels), 3, *levels.shape[2:], dtype=self.weight.dtype)
        logits[:, 2:] = logits[:, 2:].masked_fill(before == 2, -torch.inf)
        return logits


def test_what_is_impossible_is_still_read_in_an_order_in_which_it_comes_first() -> None:
    model = npx.build(NeverTwice, npx.ImageSpec(1, 4, 2, levels=3), orders=4)
    x, known = torch.full((40, 1, 4, 2), 2), torch.zeros(40, 1, 4, 2, dtype=torch.bool)
    known[:, :, 2:] = True
    order = model._order(x, known, None, seed=0, first=0)
    assert order is not None
    assert set(order.tolist()) == {2, 3}
    assert (model.completion(x, known, particles=3).evidence == -torch.inf).all()


def test_an_order_in_which_an_image_is_impossible_has_no_part_in_its_bits() -> None:
    model = npx.build(NeverTwice, npx.ImageSpec(1, 4, 2, levels=3), orders=4)
    x = torch.tensor([[0, 2], [2, 0], [1, 1], [0, 1]])[None, None]  # as it is, a 2 follows a 2
    with torch.no_grad():
        assert model.log_prob(x, order=0).isinf().all()
        assert model.log_prob(x).isfinite().all()
    found = npx.score(model, x)
    assert found.bits.isfinite().all()
    assert found.bits_per_dim.isfinite().all()


def test_a_file_costs_no_memory_for_orders_that_nobody_asks_for() -> None:
    model = npx.build("gated_pixelcnn", npx.ImageSpec(1, 2048, 2048, levels=2), filters=2, blocks=1, head=2, orders=8)
    assert sum(buffer.numel() for buffer in model.buffers()) < 10


def test_what_orders_cannot_be_is_a_sentence() -> None:
    square, wide = npx.ImageSpec(1, 4, 4, levels=2), npx.ImageSpec(1, 4, 6, levels=2)
    small: dict[str, Any] = {"filters": 4, "blocks": 1}
    with pytest.raises(npx.BadInput, match=r"orders must be 1, 4 or 8, not 3\."):
        npx.build("gated_pixelcnn", square, orders=3, **small)
    with pytest.raises(npx.BadInput, match=r"8 orders .* square, not 4x6; take 4\."):
        npx.build("gated_pixelcnn", wide, orders=8, **small)
    wrong: Any
    for wrong in (True, 0, 2, 16):
        with pytest.raises(npx.BadInput, match=r"orders must be"):
            npx.build("gated_pixelcnn", square, orders=wrong, **small)
    with pytest.raises(npx.BadInput, match=r"pixelvae has no exact likelihood .* not in 4\."):
        npx.build("pixelvae", square, "bernoulli", orders=4)
    model = npx.build("gated_pixelcnn", wide, orders=4, **small)
    x = images(wide, 3)
    with pytest.raises(npx.BadInput, match=r"reads in 4 orders; say in which"):
        model.predict(x)
    for wrong in (4, -1):
        with pytest.raises(npx.BadInput, match=rf"Orders must be .*{wrong}"):
            model.log_prob(x, order=wrong)
    for wrong in (True, torch.tensor(1.5), torch.zeros(2, dtype=torch.long), torch.zeros(3)):
        with pytest.raises(npx.BadInput, match=r"An order is a whole number below 4"):
            model.predict(x, order=wrong)
    one = npx.build("gated_pixelcnn", wide, **small)
    assert one.log_prob(x, order=0).equal(one.log_prob(x))
    with pytest.raises(npx.BadInput, match=r"Orders must be"):
        one.sample(2, order=1)


def as_read(context: Any, order: int) -> Any:
    """What is given beside the images, as an order reads it: maps are turned, the rest is of the whole image."""
    if isinstance(context, tuple):
        return tuple(as_read(one, order) for one in context)
    return read(context, order) if isinstance(context, torch.Tensor) and context.ndim == 4 else context


@every_ordered
def test_orders_that_are_opened_read_as_the_one_that_was_learnt(case: Case, tmp_path: Path) -> None:
    """In each order an image is as likely as it is, turned so, under the model of one order that it starts from."""
    spec, opened = case.spec(4, 4), build(case, 4, 4, 8)
    trained = case.build(spec)
    npx.save(trained, tmp_path / "one.safetensors")
    start_from(str(tmp_path / "one.safetensors"), opened)
    x, context = images(spec, 2), case.contexts(spec, 2)
    with torch.no_grad():
        for order in range(1 if isinstance(case.context, Latent) else 8):  # whose map is of places, which stay theirs
            expected = trained.log_prob(read(x, order), as_read(context, order))
            torch.testing.assert_close(opened.log_prob(x, context, order=order), expected, rtol=0, atol=1e-9)
