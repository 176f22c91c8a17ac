"""The laws on any model: those that are right pass, and each kind of broken network fails where it is broken."""

import math
from typing import Any

import pytest
import torch
from torch import nn

import nextpixel as npx
from nextpixel import twins
from nextpixel.autoregressive import Autoregressive
from nextpixel.checks import Finding
from zoo import CASES, Case

GRAD, SEEN, CHANGE = (
    "nothing later is seen, by gradient",
    "everything earlier is seen",
    "nothing later is seen, by change",
)
STEPS, BATCH = "steps agree with one pass", "an image does not depend on its batch"
SINGLE, LEVELS = "float32 is near float64", "probabilities of a sub-pixel's levels sum to 1"
ALL, SAMPLES = "probabilities of all images sum to 1", "samples have their probabilities"
LAWS = [GRAD, SEEN, CHANGE, STEPS, BATCH, SINGLE, LEVELS, ALL, SAMPLES]
SPEC, GREY = npx.ImageSpec(3, 4, 3, levels=3), npx.ImageSpec(1, 4, 5, levels=3)
EACH = [next(case for case in CASES if case.name == name) for name in {case.name: 0 for case in CASES}]


def _verdicts(findings: list[Finding]) -> dict[str, str]:
    return {finding.law.partition(", of ")[0]: finding.verdict for finding in findings}


def _broken(model: Autoregressive, **more: Any) -> set[str]:
    verdicts = _verdicts(npx.check(model, **more))
    assert list(verdicts) == LAWS
    return {law for law, verdict in verdicts.items() if verdict == "fails"}


def _random(kind: type[npx.Network], spec: npx.ImageSpec, *rest: Any, **arguments: Any) -> Autoregressive:
    model = npx.build(kind, spec, *rest, **arguments)
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        nn.init.normal_(weight, 0.0, 0.3, generator=generator)
    return model


@pytest.mark.parametrize("case", [*EACH, *CASES[3::11]], ids=str)
def test_models_that_are_right_pass(case: Case) -> None:
    spec = case.spec(4, 3)
    model = case.build(spec)
    training, weights = model.training, [weight.clone() for weight in model.parameters()]
    findings = npx.check(model, case.contexts(spec, 3))
    verdicts = _verdicts(findings)
    allowed = {"holds", "note"} if case.blind else {"holds"}
    assert list(verdicts) == LAWS
    assert verdicts.pop(SEEN) in allowed, findings[1].untested
    if case.name == "zoo:Plain":  # its weights are for one size
        assert [verdicts.pop(law) for law in (ALL, SAMPLES)] == ["not applicable"] * 2
    assert set(verdicts.values()) == {"holds"}
    assert model.training == training
    assert all(map(torch.equal, weights, model.parameters()))


class Above(npx.Network):
    """Each pixel from three of the row above, for images of any size."""

    def __init__(self, spec, likelihood, context=0) -> None:
        super().__init__(spec, likelihood)
        self.above = nn.Conv2d(self.entry.features * spec.channels, 8, (2, 3), padding=(2, 1))
        self.last = nn.Conv2d(8, self.outputs, 1)
        self.given = nn.Conv2d(context, 8, 1) if context else None

    def forward(self, levels, context):
        x = self.above(self.embed(levels))[:, :, : self.spec.height]
        return self.last((x if self.given is None else x + self.given(context)).relu())


class LeaksInOneOrder(Above):
    """As it should be in all reading orders but one, of which it is told by a class."""

    def forward(self, levels, context):
        each = torch.arange(float(self.outputs))[:, None, None].to(context)
        return super().forward(levels, context) + each * self.embed(levels).sum(1, keepdim=True) * context[:, 3:4]


def test_every_reading_order_is_checked() -> None:
    square = npx.ImageSpec(1, 4, 4, levels=3)
    assert not _broken(_random(Above, square, orders=8))
    found = _broken(_random(LeaksInOneOrder, square, orders=8))
    assert {GRAD, CHANGE, STEPS} <= found


class SeesItself(Above):
    """Its logits are the sub-pixel that it predicts, taken apart: no gradient shows it."""

    def forward(self, levels, context):
        own = nn.functional.one_hot(levels.long(), self.spec.levels).movedim(-1, 2).flatten(1, 2)
        return super().forward(levels, context) + own.to(self.last.weight.dtype)


class SeesFaintly(Above):
    """By so little that only a gradient shows it."""

    def forward(self, levels, context):
        own = levels.to(self.last.weight.dtype).repeat_interleave(self.spec.levels, 1)
        return super().forward(levels, context) + 1e-13 * own * self.get_parameter("last.bias").view(-1, 1, 1)


class SeesGreen(Above):
    """Red sees the green of its own pixel."""

    def forward(self, levels, context):
        made = super().forward(levels, context)
        green = levels[:, 1:2].to(made.dtype) * torch.arange(3).view(-1, 1, 1)
        return torch.cat([made[:, :3] + green, made[:, 3:]], 1)


class SeesOthers(Above):
    """Each image is moved by the first sub-pixel of the one behind it in the batch."""

    def forward(self, levels, context):
        others = torch.zeros_like(levels[:, :1, :1, :1]).to(self.last.weight.dtype)
        others[:-1] = levels[1:, :1, :1, :1].to(self.last.weight.dtype)
        tilt = torch.arange(self.outputs).view(-1, 1, 1)
        return super().forward(levels, context) + others * tilt


class CountsOthers(Above):
    """It knows how many images there are."""

    def forward(self, levels, context):
        made = super().forward(levels, context)
        return made + torch.arange(self.outputs).view(-1, 1, 1) * (len(levels) > 2)


class BatchStatistics(Above):
    """Batch norm that goes on using the batch's statistics."""

    def forward(self, levels, context):
        made = super().forward(levels, context)
        return made - made.mean((0, 2, 3), keepdim=True)


class OtherSteps(Above):
    """Its steps are not its forward."""

    def step(self, column, substep, state):
        return 1.5 * super().step(column, substep, state)


class Rounded(Above):
    """It has numbers whose last digits float32 has no room for."""

    def forward(self, levels, context):
        return super().forward(levels, context) + 3e5 - 3e5


@pytest.mark.parametrize(
    ("kind", "spec", "broken"),
    [
        (SeesItself, SPEC, {CHANGE, STEPS, ALL, SAMPLES}),
        (SeesFaintly, SPEC, {GRAD}),
        (SeesGreen, SPEC, {GRAD, CHANGE, STEPS, SAMPLES}),
        (SeesOthers, GREY, {CHANGE, STEPS, BATCH, ALL, SAMPLES}),
        (CountsOthers, GREY, {BATCH}),
        (BatchStatistics, SPEC, {GRAD, CHANGE, STEPS, BATCH}),
        (OtherSteps, SPEC, {STEPS, SAMPLES}),
        (Rounded, SPEC, {SINGLE}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_network_fails_the_law_that_it_breaks(
    kind: type[npx.Network], spec: npx.ImageSpec, broken: set[str]
) -> None:
    assert _broken(_random(kind, spec)) == broken


def test_a_leak_is_found_that_a_last_layer_of_zeros_hides() -> None:
    model = npx.build(SeesItself, SPEC)
    for weight in model.parameters():
        nn.init.zeros_(weight)
    assert CHANGE in _broken(model)
    assert not any(weight.any() for weight in model.parameters())


def test_what_is_not_a_number_does_not_hold() -> None:
    model = _random(Above, SPEC)
    nn.init.constant_(model.get_parameter("backbone.last.bias"), math.nan)
    verdicts = _verdicts(npx.check(model))
    assert "holds" not in verdicts.values()
    assert {law for law, verdict in verdicts.items() if verdict == "fails"} == set(LAWS)


def test_a_blind_spot_is_a_note_and_its_pairs_are_counted() -> None:
    model = _random(Above, npx.ImageSpec(1, 4, 1, levels=3))
    seen = npx.check(model)[1]
    # The last pixel sees two of the three above.
    assert (seen.law, seen.figure, seen.verdict) == ("everything earlier is seen, of 6 pairs of sub-pixels", 1, "note")
    assert "blind spot" in seen.failure
    assert not seen.holds
    assert not seen.fails


class WantsIntegers(Above):
    """Levels are indices, of which there is no gradient."""

    def __init__(self, spec, likelihood, context=0) -> None:
        super().__init__(spec, likelihood, context)
        self.names = nn.Embedding(spec.levels, self.above.in_channels // spec.channels)

    def embed(self, levels, substep=0):
        return self.names(levels).movedim(-1, 2).flatten(1, 2)


class OneSize(Above):
    def __init__(self, spec, likelihood, context=0) -> None:
        super().__init__(spec, likelihood, context)
        if spec.height != 4:
            raise ValueError("four rows, or nothing")


class Constant(Above):
    def forward(self, levels, context):
        return 0 * super().forward(levels.detach().round(), context) + self.get_parameter("last.bias").view(1, -1, 1, 1)


@pytest.mark.parametrize(
    ("kind", "untested", "why"),
    [
        (WantsIntegers, {GRAD, SEEN}, "levels can have no gradient: Expected tensor for argument #1 'indices'"),
        (OneSize, {ALL, SAMPLES}, "there is no such network for fewer pixels: four rows, or nothing"),
        (Constant, {GRAD, SEEN}, "no level has a gradient"),
    ],
)
def test_what_cannot_be_tested_is_said_not_to_be(kind: type[npx.Network], untested: set[str], why: str) -> None:
    findings = npx.check(_random(kind, SPEC))
    verdicts = _verdicts(findings)
    assert {law for law, verdict in verdicts.items() if verdict == "not applicable"} == untested
    for finding in findings:
        if finding.untested:
            assert finding.untested.startswith(why)
            assert math.isnan(finding.figure)
            assert not finding.holds
            assert not finding.fails
    assert {verdicts[law] for law in verdicts.keys() - untested - {SEEN}} == {"holds"}


def test_colours_of_many_levels_are_tried_one_given_the_others() -> None:
    model = _random(Above, npx.ImageSpec(3, 2, 2, levels=20))
    verdicts = {finding.law: (finding.verdict, finding.untested) for finding in npx.check(model)[-2:]}
    where = ", of 3x1x1 with 20 levels"
    assert verdicts == {ALL + where: ("not applicable", "there are too many"), SAMPLES + where: ("holds", "")}
    assert SAMPLES in _broken(_random(OtherSteps, npx.ImageSpec(3, 2, 2, levels=20)))


def test_weights_of_a_mixture_fit_fewer_levels() -> None:
    model = npx.build("gated_pixelcnn", npx.ImageSpec(1, 4, 4, 256), "logistic_mixture", filters=4, blocks=1)
    assert [str(finding.law).partition(", of ")[2] for finding in npx.check(model)[-2:]] == ["1x2x3 with 3 levels"] * 2


@pytest.mark.parametrize(
    "context",
    [npx.ClassLabel(3), npx.Vector(2), npx.Map(2), npx.Map(1, levels=4), npx.Both(npx.ClassLabel(2), npx.Vector(2))],
    ids=str,
)
def test_contexts_that_are_not_given_are_drawn(context: Any) -> None:
    assert _broken(_random(Above, SPEC, "categorical", context)) == set()


def test_images_and_contexts_of_ones_own() -> None:
    model = _random(Above, SPEC, "categorical", npx.ClassLabel(3))
    x = torch.zeros(2, *SPEC.shape, dtype=torch.uint8)
    assert _broken(model, context=[2, 1], images=x) == set()
    with pytest.raises(npx.BadInput, match="at least two images, as one may depend on another, not 1"):
        npx.check(model, [2], images=x[:1])
    with pytest.raises(npx.BadInput, match=r"one for each image, not \(3,\)"):
        npx.check(model, [2, 1, 0], images=x)
    with pytest.raises(npx.BadInput, match="not conditioned on anything"):
        npx.check(_random(Above, SPEC), [0, 1, 2])


def test_a_model_without_an_exact_likelihood_is_refused() -> None:
    model: Any = npx.build("pixelvae", npx.ImageSpec(1, 8, 8), "bernoulli", latent=2, filters=4, blocks=1)
    with pytest.raises(npx.BadInput, match=r"which a PixelVAE has not; try check\(model.decoder, z\)"):
        npx.check(model)
    assert not any(finding.fails for finding in npx.check(model.decoder))


def test_the_same_seed_finds_the_same_and_draws_from_no_other_source() -> None:
    model = _random(Above, SPEC)
    before = torch.random.get_rng_state()
    first, again, other = (npx.check(model, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first[-1].figure != other[-1].figure
    assert before.equal(torch.random.get_rng_state())


def test_the_chance_of_draws_is_that_of_a_chi_square() -> None:
    from scipy import stats

    probabilities, count = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), 1000
    drawn = torch.tensor([0] * 520 + [1] * 290 + [2] * 190)
    expected = stats.chisquare([520, 290, 190], (probabilities * count).numpy()).pvalue
    assert twins.chi_square(probabilities, drawn) == pytest.approx(expected)
    assert twins.chi_square(torch.tensor([0.999, 0.001]), torch.zeros(1000, dtype=torch.long)) is None
    assert math.isnan(twins.chi_square(torch.tensor([math.nan, 0.5]), torch.zeros(9, dtype=torch.long)) or 0.0)
