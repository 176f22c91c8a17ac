"""Completions by particles follow the model given all that is known, wherever that is."""

import itertools

import pytest
import torch

import nextpixel as npx
from nextpixel.distributions import Finite
from nextpixel.particles import Completion
from nextpixel.unroll import Site, draw, noise
from zoo import CASES, Case, every_model, images, part

SOME = pytest.mark.parametrize("case", CASES[1::9], ids=str)


def tiny(case: Case) -> npx.Autoregressive:
    height, width = {1: (2, 2), 3: (1, 2), 4: (1, 2)}[case.channels]
    return case.build(case.spec(height, width, 2 if case.likelihood == "bernoulli" or case.channels == 4 else 3))


def late(model: npx.Autoregressive) -> tuple[torch.Tensor, torch.Tensor]:
    """An image of which the last sub-pixel is known."""
    known = torch.zeros(1, *model.spec.shape, dtype=torch.bool)
    known[0, -1, -1, -1] = True
    x = images(model.spec, 1, seed=4)
    x[0, -1, -1, -1] = 1
    return x, known


def exact(
    model: npx.Autoregressive, context: object, x: torch.Tensor, known: torch.Tensor
) -> tuple[torch.Tensor, float]:
    """Every image's probability given what is known, and the probability of what is known."""
    every = torch.tensor([*itertools.product(range(model.spec.levels), repeat=model.spec.subpixels)])
    every = every.view(-1, *model.spec.shape)
    with torch.no_grad():
        likely = model.log_prob(every, part(context, [0] * len(every))).exp()
    likely = likely * (every == x).masked_fill(~known, True).flatten(1).all(1)
    return likely / likely.sum(), float(likely.sum())


def distance(model: npx.Autoregressive, context: object, particles: int, *, runs: int) -> tuple[float, Completion]:
    """The total variation between completions and the exact distribution."""
    x, known = late(model)
    expected, _ = exact(model, context, x, known)
    some = part(context, [0] * runs)
    found = model.completion(
        x.expand(runs, -1, -1, -1), known.expand(runs, -1, -1, -1), some, particles=particles, seed=1
    )
    assert (found.images == x).masked_fill(~known, True).all()
    weights = model.spec.levels ** torch.arange(model.spec.subpixels - 1, -1, -1)
    observed = torch.bincount((found.images.flatten(1) * weights).sum(1), minlength=len(expected)) / runs
    return float((observed - expected).abs().sum() / 2), found


@SOME
def test_completions_come_near_the_exact_distribution(case: Case) -> None:
    """With one particle they are far from it wherever what is known later matters; with many, as near as counts tell.

    The distance of 1,000 counts from their own distribution over K images is below √(K / 1,000), with room.
    """
    model = tiny(case)
    context = case.contexts(model.spec, 1)
    many, _ = distance(model, context, 16, runs=1000)
    one, _ = distance(model, context, 1, runs=1000)
    allowed = (model.spec.levels ** (model.spec.subpixels - 1) / 1000) ** 0.5 + 0.02
    assert many < allowed
    assert many < one + allowed


def test_the_distance_falls_with_particles() -> None:
    """Of an image whose first pixel is as its last one, mostly, which alone is known; to what counts allow, 0.02."""
    model = npx.build("zoo:Plain", npx.ImageSpec(1, 2, 3, levels=2), "bernoulli").double().eval()
    with torch.no_grad():
        weights = dict(model.backbone.named_parameters())
        weights["bias"].copy_(torch.tensor([-1.5, 0, 0, 0, 0, -3]))
        weights["weight"][-1, 0] = 3.0  # levels are seen from -1 to 1
    far = {count: distance(model, None, count, runs=4000)[0] for count in (1, 2, 4, 16, 64)}
    assert far[1] > 0.2
    assert far[2] < 0.9 * far[1]  # two are never drawn anew, so that it is the last choice that weighs them
    assert far[4] < 0.6 * far[1]
    assert far[16] < 0.6 * far[4]
    assert far[64] < 0.04


@SOME
@pytest.mark.parametrize("particles", [1, 4])
def test_the_evidence_is_unbiased(case: Case, particles: int) -> None:
    """Its exponential's mean over 1,000 runs is within 4.5 standard errors of what is right: that fails 1 in 10⁵."""
    model = tiny(case)
    context = case.contexts(model.spec, 1)
    x, known = late(model)
    _, expected = exact(model, context, x, known)
    _, found = distance(model, context, particles, runs=1000)
    ratio = found.evidence.exp() / expected
    assert abs(float(ratio.mean()) - 1) < 4.5 * float(ratio.std()) / 1000**0.5 + 1e-9


@SOME
def test_the_evidence_of_what_comes_first_is_exact(case: Case) -> None:
    """Rows that are passed over count too, and a whole image has its own likelihood."""
    model = case.build(case.spec(4, 3))
    x = images(model.spec, 3)
    context = case.contexts(model.spec, 3)
    known = torch.zeros(3, 1, 4, 3, dtype=torch.bool)
    known[:, :, :2] = True
    with torch.no_grad():
        nats = model.predict(x, context).log_prob(x)
    for particles in (1, 3):
        evidence = model.completion(x, known, context, particles=particles).evidence
        torch.testing.assert_close(evidence, nats[:, :, :2].flatten(1).sum(1), rtol=1e-9, atol=1e-9)
        whole = model.completion(x, torch.ones_like(known), context, particles=particles)
        torch.testing.assert_close(whole.evidence, nats.flatten(1).sum(1), rtol=1e-9, atol=1e-9)
        assert whole.images.equal(x)


@every_model
def test_a_state_goes_on_as_other_images(case: Case) -> None:
    """Images change places after every sub-step; each is still predicted from what stands before it."""
    model = case.build(case.spec(4, 3))
    count, spec = 5, model.spec
    context = part(case.contexts(spec, 2), [1] * count)
    chosen, nats = draw(noise(spec, count, seed=2)), torch.zeros(count, *spec.shape, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)

    def choose(site: Site, distribution: Finite) -> torch.Tensor:
        levels = chosen(site, distribution)
        nats[:, site.channels, site.row, site.column] = distribution.log_prob(levels)
        return levels

    def ancestors() -> torch.Tensor:
        taken = torch.randint(count, (count,), generator=generator)
        nats.copy_(nats[taken])
        return taken

    made = model.unroll(choose, count, context, ancestors=ancestors)
    with torch.no_grad():
        expected = model.predict(made, context).log_prob(made)
    torch.testing.assert_close(nats, expected, rtol=1e-9, atol=1e-9)


@SOME
def test_one_particle_is_what_there_was_and_no_batch_matters(case: Case) -> None:
    model = case.build(case.spec(3, 3))
    x, context = images(model.spec, 3), part(case.contexts(model.spec, 2), [1] * 3)
    known = torch.rand(3, 1, 3, 3, generator=torch.Generator().manual_seed(1)) < 0.4
    assert model.complete(x, known, context, particles=1).equal(model.complete(x, known, context))
    together = model.completion(x, known, context, particles=6, seed=8)
    for image in range(3):
        alone = model.completion(x[[image]], known[[image]], part(context, [image]), particles=6, seed=8, first=image)
        assert alone.images.equal(together.images[[image]])
        torch.testing.assert_close(alone.evidence, together.evidence[[image]], rtol=1e-9, atol=1e-9)


class Copying(npx.Backbone):
    """Each pixel is as the first one, mostly; of how it remembers that there are several kinds."""

    def __init__(self, spec, likelihood, context=0, *, kind: str = "first") -> None:
        super().__init__(spec, likelihood, colours="independent")
        self.kind, self.gain = kind, torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, levels, context):
        return self.gain * torch.ones_like(levels, dtype=self.gain.dtype) * (2 * levels[:, :, :1, :1] - 1)

    def init_state(self, batch, context):
        room = torch.zeros(batch)
        kept = Slots(room) if self.kind == "slots" else room if self.kind == "first" else room[None]
        return {"room": kept, "place": [0]}

    def begin_row(self, row, above, state): ...

    def step(self, column, substep, state):
        room = state["room"].room if self.kind == "slots" else state["room"].flatten()
        return (self.gain * (2 * room - 1) * (state["place"][0] > 0)).to(self.gain)[:, None]

    def observe(self, column, substep, levels, state):
        room = state["room"].room if self.kind == "slots" else state["room"].view(-1)
        if state["place"][0] == 0:
            room.copy_(levels[:, 0])
        state["place"][0] += 1


class Slots:
    """Something that has no `__dict__`."""

    __slots__ = ("room",)

    def __init__(self, room: torch.Tensor) -> None:
        self.room = room


@pytest.mark.parametrize("kind", ["first", "slots"])
def test_a_state_of_ones_own_is_moved(kind: str) -> None:
    model = npx.build(Copying, npx.ImageSpec(1, 1, 3, levels=2), "bernoulli", kind=kind)
    x, known = torch.ones(400, 1, 1, 3, dtype=torch.long), torch.zeros(400, 1, 1, 3, dtype=torch.bool)
    known[..., 1:] = True
    made = model.complete(x, known, particles=64)[:, 0, 0, 0].float().mean()
    assert made > 0.95  # (1 + e^-4)^-1 = 0.982 for each of two; unmoved, or not weighed, it is nearer a half


def test_a_state_that_cannot_be_moved_is_a_sentence() -> None:
    model = npx.build(Copying, npx.ImageSpec(1, 1, 3, levels=2), "bernoulli", kind="later axis")
    x, known = torch.ones(4, 1, 1, 3, dtype=torch.long), torch.zeros(4, 1, 1, 3, dtype=torch.bool)
    with pytest.raises(npx.BadInput, match=r"first axis is not that of the images; take particles=1"):
        model.complete(x, known, particles=8)
    assert model.complete(x, known).shape == x.shape


def test_no_images_are_completed_to_none() -> None:
    case = CASES[0]
    model = case.build(case.spec(2, 2))
    x, known = images(model.spec, 0), torch.zeros(0, 1, 2, 2, dtype=torch.bool)
    assert model.complete(x, known).shape == (0, 1, 2, 2)
    assert model.completion(x, known, particles=1).evidence.shape == (0,)


def test_particles_that_are_none_are_a_sentence() -> None:
    case = CASES[0]
    model = case.build(case.spec(2, 2))
    x, known = images(model.spec, 1), torch.zeros(1, 1, 2, 2, dtype=torch.bool)
    for wrong in (0, -1, True):
        with pytest.raises(npx.BadInput, match=r"particles must be a whole number of at least 1"):
            model.complete(x, known, particles=wrong)
