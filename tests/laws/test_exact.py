"""Exact twins: the same bits whatever the batch, the threads, the layout, the kernels and the accumulators."""

import math
import warnings
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import nextpixel as npx
from nextpixel import proof
from nextpixel.frequencies import Frequencies, MixedFrequencies
from nextpixel.integers import exact, prove
from nextpixel.nn import ops
from nextpixel.nn.embedding import Scaled, next_power
from nextpixel.nn.norm import WeightNorm
from nextpixel.nn.tables import TableGrids, Tables, exactly
from zoo import CASES, Case, images, part

SIZE = (5, 7)
EXACT = [
    case
    for case in CASES
    if case.name in ("gated_pixelcnn", "pixelcnn", "residual_pixelcnn", "pixelcnnpp", "pixelsnail")
    and (case.context is None or isinstance(case.context, npx.ClassLabel))
    and case.arguments.get("norm") != "batch"
    and case.arguments.get("activation") != "relu"
]
every_exact = pytest.mark.parametrize("case", EXACT, ids=str)


@pytest.fixture(autouse=True)
def _exactly():
    with exactly(torch.device("cpu")):
        yield


def _model(case: Case) -> npx.Autoregressive:
    """The zoo's; but residual streams without a norm grow, and a level that is sure not to be has a part of 2^24."""
    model = case.build(case.spec(*SIZE))
    if isinstance(last := getattr(model.backbone, "parameters_of", None), WeightNorm) and last.length is not None:
        last.length.data.div_(8)
    return model


def _twin(case: Case) -> tuple[npx.Autoregressive, torch.Tensor, Any]:
    spec = case.spec(*SIZE)
    some = images(spec, 16)
    given = case.contexts(spec, 16)
    return exact(_model(case), some, given), some, given


def _parameters(twin: npx.Autoregressive, x: torch.Tensor, given: Any) -> torch.Tensor:
    with torch.no_grad():
        return twin.backbone(x, twin.given(given, None))


def _edges(twin: npx.Model, x: torch.Tensor, given: Any) -> torch.Tensor:
    assert isinstance(twin, npx.Autoregressive)
    meant = twin.predict(x, given)
    assert isinstance(meant, Frequencies)
    return meant.edges


@every_exact
def test_the_bits_do_not_depend_on_how_they_are_computed(case: Case) -> None:
    twin, x, given = _twin(case)
    whole = _parameters(twin, x, given)
    assert torch.equal(whole * 2**14, (whole * 2**14).round())
    for size in (1, 3):
        parts = [
            _parameters(twin, x[i : i + size], None if given is None else given[i : i + size])
            for i in range(0, 6, size)
        ]
        assert torch.equal(torch.cat(parts), whole[:6])
    edges = _edges(twin, x, given)
    assert torch.equal(_edges(twin, x[1:2], None if given is None else given[1:2]), edges[1:2])
    many = _parameters(twin, x.repeat(4, 1, 1, 1), None if given is None else given.repeat(4))
    assert torch.equal(many[:16], whole)
    with warnings.catch_warnings(action="ignore"), torch.backends.mkldnn.flags(enabled=False):
        assert torch.equal(_parameters(twin, x, given), whole)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    assert torch.equal(_parameters(twin, x, given), whole)
    torch.set_num_threads(threads)
    plain = twin.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    assert torch.equal(_parameters(plain, x, given), whole)
    assert torch.equal(_parameters(twin.double(), x, given), whole.double())
    assert torch.equal(_edges(twin, x, given), edges)


@every_exact
def test_how_many_images_go_at_once_changes_nothing(case: Case, monkeypatch) -> None:
    twin, x, given = _twin(case)
    assert isinstance(twin, npx.Autoregressive)
    nats, container = twin.log_prob(x, given), npx.compress(twin, x, given, verify=False)
    for module in ("autoregressive", "codec"):
        monkeypatch.setattr(f"nextpixel.{module}.NEAR", 3 * twin.spec.height * twin.spec.width)
    assert torch.equal(twin.log_prob(x, given), nats)
    assert npx.compress(twin, x, given, verify=False) == container


@every_exact
def test_steps_give_the_bits_of_one_pass(case: Case) -> None:
    twin, x, given = _twin(case)
    whole = _edges(twin, x, given)  # (B, C, H, W, L + 1)
    seen = torch.zeros_like(whole)

    def choose(site, distribution):
        seen[:, site.channels, site.row, site.column] = distribution.edges
        return x[:, site.channels, site.row, site.column]

    twin.unroll(choose, len(x), given)
    assert torch.equal(seen, whole)


@every_exact
def test_every_level_has_a_part_and_the_likelihood_is_near(case: Case) -> None:
    twin, x, given = _twin(case)
    edges = _edges(twin, x, given)
    assert bool((edges.diff(dim=-1) >= 1).all())
    assert bool((edges[..., 0] == 1).all() and (edges[..., -1] == 2**24 - 1).all())
    model = _model(case)
    with torch.no_grad():
        numbers = model.backbone(x, model.given(given, None))
    assert float((_parameters(twin, x, given) - numbers).pow(2).mean().sqrt()) < 0.02
    ours, theirs = twin.log_prob(x, given), model.log_prob(x, given)
    assert float((ours - theirs).abs().max()) < 0.05 * x[0].numel()


@pytest.mark.parametrize("case", [case for case in EXACT if case.likelihood == "logistic_mixture"], ids=str)
def test_edges_of_mixtures_are_those_of_whole_numbers(case: Case) -> None:
    twin, x, given = _twin(case)
    meant = twin.predict(x, given)
    assert isinstance(meant, MixedFrequencies)
    levels = meant.levels
    below = meant.below(torch.arange(levels + 1)).flatten(0, -3)[:20]
    for edges, weights, parts in zip(meant.edges.flatten(0, -2), meant.weights.flatten(0, -2), below, strict=False):
        whole = [int(weight) for weight in weights]
        shares = [sum(w * int(part) for w, part in zip(whole, each, strict=True)) >> 19 for each in parts.t()]
        total = sum(whole) << 24 >> 19
        assert shares[-1] == total
        assert edges.tolist() == [1 + i + part * (2**24 - levels - 2) // total for i, part in enumerate(shares)]


def _proven(twin: npx.Autoregressive, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """The sums that a proof goes through: layers with the ranges of what comes in, and what else is added."""
    sums: list[tuple[Any, Any]] = []
    plain = proof.Proof._sum

    def noted(self: Any, *parts: Any, also: Any = None, **settings: Any) -> None:
        plain(self, *parts, also=also, **settings)
        sums.append((parts, also))

    monkeypatch.setattr(proof.Proof, "_sum", noted)
    prove(twin)
    assert sums
    return sums


@every_exact
def test_what_comes_into_a_layer_is_what_its_proof_says(case: Case, monkeypatch) -> None:
    """For images of other ranges than those that the twin was made with, too."""
    twin, _, given = _twin(case)
    spec, seen = case.spec(*SIZE), set()

    def look(its: proof.Range, layer: Any, inputs: Any) -> None:
        x = inputs[0].double()
        unit, limit, least = (part.view(-1, *[1] * (x.ndim - 2)) for part in (its.unit, its.limit, its.depth))
        assert bool(((x / unit).round() * unit == x).all() and (x <= limit).all() and (x >= -least).all())
        seen.add(layer)

    layers = [(layer, its) for parts, _ in _proven(twin, monkeypatch) for layer, its, _ in parts]
    for layer, its in layers:
        layer.register_forward_pre_hook(partial(look, its))
    for x in (
        images(spec, 16, seed=1),
        torch.zeros(16, *spec.shape).long(),
        torch.full((16, *spec.shape), spec.levels - 1),
    ):
        _parameters(twin, x, given)
    assert seen == {layer for layer, _ in layers}


@every_exact
def test_no_sum_leaves_its_room_for_the_worst_activations(case: Case, monkeypatch) -> None:
    """The layers' own products where each activation is at its limit, with the sign of its weight: as of `fsum`."""
    twin, *_ = _twin(case)
    for (parts, also), sign in product(_proven(twin, monkeypatch), (1, -1)):  # as far above 0 as below
        found, products = 0.0 if also is None else also.limit[:1].float(), []
        for layer, its, rows in parts:
            weight = sign * proof.seen_by(layer)[rows]
            most, least = (numbers.to(weight).view(1, -1, 1, 1) for numbers in (its.limit, its.depth))
            worst = torch.where(weight > 0, most, -least)  # of each output: (O, D, h, w)
            bias = None if layer.bias is None else layer.bias[rows].abs()
            found = found + ops.convolve(worst, weight, bias).flatten(1).diagonal()
            products.append((weight.double() * worst.double()).flatten(1))
            products += [] if bias is None else [bias.double()[:, None]]
        products += [] if also is None else [also.limit[:1].double().expand(len(products[0]), 1)]
        exactly_summed = [math.fsum(row) for row in torch.cat(products, 1).tolist()]
        assert torch.as_tensor(found).double().tolist() == exactly_summed


def test_attention_sums_whole_numbers() -> None:
    """Of activations at all places of their grids, 2^12 units, and for as many places as an image of 32x32 has."""
    generator, count, size = torch.Generator().manual_seed(0), 1024, 16
    q, k, v = (torch.randint(-4096, 4097, (count, size), generator=generator) for _ in range(3))
    unit, tables = torch.full((size,), 2.0**-9), Tables()
    grids = TableGrids(unit, unit * 4096, tables)
    made = grids.attention(*((its[None, None] * 2.0**-9).float() for its in (q, k, v)), causal=True)[0, 0]
    scores = q @ k.t()  # whole, of 2^-18
    for place in (1, 2, 31, 32, 33, 700, 1023):
        seen = scores[place, : place + 1]
        depth = ((seen.max() - seen).double() * 2**-18).float() * size**-0.5
        weights = tables.exp_table[(depth * 1024).round().clamp(max=18 * 1024 - 1).long()].long()
        sums = weights @ v[: place + 1]
        assert torch.equal(made[place], sums.double() * 2.0**-9 / float(weights.sum()))


@pytest.mark.parametrize("levels", [2, 3, 17, 256, 4096])
def test_brightness_enters_a_twin_without_rounding(levels: int) -> None:
    its, entry = torch.arange(levels)[None, None], Scaled(levels).double()
    whole = Scaled(levels)
    whole.whole = True
    made = whole(its).double() * next_power(levels)
    assert torch.equal(made, (2 * its - (levels - 1)).double())
    assert torch.allclose(made / (levels - 1), entry(its), rtol=0, atol=1e-15)


def test_colours_move_as_finely_as_means_are_placed() -> None:
    x = torch.linspace(-9, 9, 10_001, dtype=torch.float64)
    assert float((Tables().tanh(x) - x.tanh()).abs().max()) < 2**-13


@every_exact
def test_a_twin_in_a_file_is_the_twin(case: Case, tmp_path) -> None:
    twin, x, given = _twin(case)
    npx.save(twin, tmp_path / "exact.safetensors")
    again = npx.load(tmp_path / "exact.safetensors")
    assert torch.equal(_edges(again, x, given), _edges(twin, x, given))
    assert torch.equal(again.sample(3, part(given, slice(3)), seed=1), twin.sample(3, part(given, slice(3)), seed=1))


@pytest.mark.parametrize(
    ("its", "reason"),
    [
        ([-8, 2**30], "no activation has"),
        ([[-8], [5, 6]], "no activation has"),
        ([[], []], "no activation has"),
        ([[-8.5], [7]], "no activation has"),
        (["-8", 7], "no activation has"),
        ([[[-8]], [[7]]], "no activation has"),
        ({"unit": -8}, "no activation has"),
        (None, "no activation has"),
        ([True, 7], "no activation has"),
        ([[-8, -8], [7, 7]], "of 2 features, not of 4"),
        ([-8, 7], "of 1 features, not of 4"),
    ],
)
def test_a_grid_that_no_twin_has_is_refused(its, reason, tmp_path) -> None:
    twin, *_ = _twin(next(case for case in EXACT if case.name == "pixelcnnpp"))
    grids = {**twin.recipe["exact"]["grids"], "down.0.0.left.enter": its}
    twin.recipe = {**twin.recipe, "exact": {**twin.recipe["exact"], "grids": grids}}
    npx.save(twin, tmp_path / "changed.safetensors")
    with pytest.raises(npx.BadInput, match=reason):
        npx.load(tmp_path / "changed.safetensors")


def test_weights_off_their_grid_are_refused(tmp_path) -> None:
    twin, *_ = _twin(EXACT[1])
    twin.backbone.get_parameter("blocks.1.left.weight").mul_(1.001)
    npx.save(twin, tmp_path / "changed.safetensors")
    with pytest.raises(npx.BadInput, match="not on the grid"):
        npx.load(tmp_path / "changed.safetensors")


@pytest.mark.parametrize(
    ("name", "settings", "reason"),
    [
        ("row_lstm", {"layers": 1, "filters": 4, "head": 4}, "row_lstm are not exact"),
        ("pixelcnn", {"layers": 1, "filters": 4, "head": 4, "norm": "batch"}, "batch norm"),
        ("gated_pixelcnn", {"filters": 4, "head": 4, "blocks": 1, "activation": "relu"}, "relu"),
    ],
)
def test_what_cannot_be_exact_is_refused(name, settings, reason) -> None:
    spec = npx.ImageSpec(1, 4, 4, levels=2)
    with pytest.raises(npx.BadInput, match=reason):
        exact(npx.build(name, spec, **settings), images(spec, 2))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("gated_pixelcnn", {"filters": 5, "head": 3, "blocks": 2, "dropout": 0.5}),
        ("pixelcnnpp", {"filters": 1, "blocks": 1, "dropout": 0.5}),
        ("pixelcnnpp", {"filters": 3, "blocks": 1, "scales": 1}),
        ("pixelsnail", {"filters": 1, "blocks": 1, "layers": 1, "keys": 1, "values": 1}),
    ],
)
def test_sizes_that_others_have_not(name: str, settings: dict[str, Any], tmp_path) -> None:
    spec = npx.ImageSpec(1, 4, 3, levels=3)
    x = images(spec, 20)
    npx.save(exact(npx.build(name, spec, **settings), x), tmp_path / "exact.safetensors")
    twin = npx.load(tmp_path / "exact.safetensors")
    assert torch.equal(npx.decompress(twin, npx.compress(twin, x)), x)


@pytest.mark.parametrize("use", ["log_prob", "predict", "sample"])
def test_a_twin_computes_exactly_whatever_it_is_asked(use: str, monkeypatch) -> None:
    twin, x, _ = _twin(EXACT[1])
    seen = []
    monkeypatch.setattr("nextpixel.autoregressive.exactly", lambda device: seen.append(device) or exactly(device))
    twin.sample(1) if use == "sample" else getattr(twin, use)(x)
    assert seen
    edges = _edges(twin, x, None)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(_edges(twin, x, None), edges)


def test_kernels_that_approximate_are_found_out(monkeypatch) -> None:
    """NNPACK, where oneDNN is not, transforms windows of 3x3 (Winograd): it rounds, so it is off in exact mode."""
    monkeypatch.setattr(
        "nextpixel.nn.ops.convolve", lambda x, weight: F.conv2d(x, weight) * (1 + 2e-7 * (x.dtype == torch.float32))
    )
    with pytest.raises(npx.BadInput, match="does not compute exactly"), exactly(torch.device("cpu")):
        raise AssertionError("it is found out before")


def test_what_rounding_changes_is_made_good_by_inputs_that_are_alike() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(500, 4, generator=generator).double() @ torch.randn(4, 90, generator=generator).double()
    x += 0.3 * torch.randn(x.shape, generator=generator)
    weight, step = torch.randn(7, 90, generator=generator).double(), torch.full((7, 90), 0.5, dtype=torch.float64)
    weight[:, 5] = 0  # hidden by a mask
    made = proof.compensated(weight, step, x.T @ x / len(x))
    assert torch.equal(made, (made / step).round() * step)
    assert not made[:, 5].any()
    off, before = ((x @ (its - weight).T).square().mean() for its in (made, (weight / step).round() * step))
    assert off < before / 5
    alone = proof.compensated(weight, step, torch.eye(90, dtype=torch.float64))  # nothing is alike
    assert torch.equal(alone, (weight / step).round() * step)


@pytest.mark.data
@pytest.mark.parametrize(("name", "data"), [("emoji", "emoji32.npz"), ("photos", "photos32.npz")])
def test_the_twin_of_a_shipped_model_costs_little_more(name: str, data: str) -> None:
    """Emoji: 0.8 % while brightness was rounded where it entered; photographs: 0.2 % while weights were, one by one."""
    model, noise = npx.load(name), np.random.default_rng(0)
    its = npx.open_data(data)
    (seen, labels), (x, others) = (split.batch(np.arange(64), noise) for split in (its.validation, its.test))
    given = [None if model.context is None else torch.as_tensor(part)[:64] for part in (labels, others)]
    made = exact(model, seen, given[0])
    with torch.no_grad():
        nats = [float(-each.log_prob(x, given[1]).mean()) for each in (model, made)]
    assert nats[1] < 1.0015 * nats[0]
