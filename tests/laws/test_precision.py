"""One distribution, in every precision: what is drawn is what is measured; and a copy of a model is the same model."""

import copy
import io
import pickle
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

import nextpixel as npx
from nextpixel.distributions import Finite
from nextpixel.unroll import Site
from zoo import Case, every_model, images

LEVELS = 256  # of which 8 bits would lose many, where they are summed
GRID = (2, 2)


class Precision(NamedTuple):
    """Of weights, and of what autocast makes of their products.

    Attributes:
        weights: their dtype.
        autocast: the dtype of products, if not theirs.
        tolerance: by how much the step's distribution of a sub-pixel may be off that of forward (see `_apart`). Of 8 or
            11 bits a network's last digits are worth that much; a float32 has 24.
    """

    weights: torch.dtype
    autocast: torch.dtype | None
    tolerance: float

    def context(self) -> AbstractContextManager[Any]:
        return nullcontext() if self.autocast is None else torch.autocast("cpu", self.autocast)

    def __str__(self) -> str:
        autocast = "" if self.autocast is None else f"-autocast-{self.autocast}"
        return f"{self.weights}{autocast}".replace("torch.", "")


PRECISIONS = [
    Precision(torch.float64, None, 1e-10),
    Precision(torch.float32, None, 1e-5),
    Precision(torch.bfloat16, None, 0.06),
    Precision(torch.float16, None, 0.01),
    Precision(torch.float32, torch.bfloat16, 0.06),
    Precision(torch.float32, torch.float16, 0.01),
]
every_precision = pytest.mark.parametrize("precision", PRECISIONS, ids=str)


def _apart(case: Case, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The share of the probability that moves from one pmf to the other; where levels are in order, times how far.

    A mixture may be so narrow that a last digit of its mean moves all of it, by little.
    """
    off = first - second
    return off.cumsum(-1).abs().mean(-1) if case.likelihood == "logistic_mixture" else off.abs().sum(-1) / 2


def _model(case: Case, weights: torch.dtype) -> npx.Autoregressive:
    levels = 2 if case.likelihood == "bernoulli" else LEVELS
    return case.build(case.spec(*GRID, levels=levels)).to(weights)


@every_precision
@every_model
def test_what_is_drawn_is_what_is_measured(case: Case, precision: Precision) -> None:
    model = _model(case, precision.weights)
    spec = model.spec
    x, contexts = images(spec, 2), case.contexts(spec, 2)
    known = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    grid = (torch.arange(1024) + 0.5) / 1024
    weight = torch.full((1024,), 1 / 1024, dtype=torch.promote_types(precision.weights, torch.float32))
    with torch.no_grad(), precision.context():
        measured = model.predict(x, contexts)
        nats = model.log_prob(x, contexts)
        assert nats.dtype == torch.promote_types(precision.weights, torch.float32)
        assert nats.isfinite().all()
        torch.testing.assert_close(nats, measured.log_prob(x).sum((1, 2, 3)))
        pmf = measured.pmf()
        furthest = []

        def choose(site: Site, distribution: Finite) -> torch.Tensor:
            here = (slice(None), site.channels, site.row, site.column)
            own = distribution.pmf()
            furthest.append(_apart(case, own, pmf[here]).max())
            drawn = distribution.icdf(grid[:, None, None].expand(-1, *own.shape[:-1]))
            often = torch.zeros_like(own).scatter_add_(-1, drawn.movedim(0, -1), weight.expand(*own.shape[:-1], -1))
            # Between two neighbours of the grid, a level may begin and end anywhere.
            assert (often - own).abs().max() <= 1 / len(grid) + 1e-5
            return x[here]

        model.unroll(choose, 2, contexts)
        drawn = model.complete(x, known, contexts, seed=1, temperature=0.9)
        assert drawn[known].equal(x[known])
        spec.check(drawn)
        sampled = model.sample(2, contexts, seed=1)
    if precision.autocast is not None:  # which an unroll does without
        assert model.sample(2, contexts, seed=1).equal(sampled)
    off = torch.stack(furthest).max()
    if precision.autocast is None and off >= precision.tolerance:
        # Processors round in orders of their own. Forward is as far from the float64 network of the same weights as a
        # rounded network must be, and so is the step, on another side.
        with torch.no_grad():
            exact = copy.deepcopy(model).double().predict(x, contexts).pmf()
        rounded = _apart(case, pmf.double(), exact).max()
        assert rounded < precision.tolerance
        assert off < 3 * rounded
    else:
        assert off < precision.tolerance


def _reopened(model: npx.Autoregressive, folder: Path) -> Any:
    npx.save(model, folder / "m.safetensors")
    return npx.load(folder / "m.safetensors")


def _torch_saved(model: npx.Autoregressive, folder: Path) -> Any:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIES: dict[str, Callable[[npx.Autoregressive, Path], Any]] = {
    "copy": lambda model, folder: copy.copy(model),
    "deepcopy": lambda model, folder: copy.deepcopy(model),
    "pickle": lambda model, folder: pickle.loads(pickle.dumps(model)),
    "torch.save": _torch_saved,
    "npx.save": _reopened,
    "npx.save of torch.compile": lambda model, folder: _reopened(torch.compile(model, backend="eager"), folder),
    "npx.save of DataParallel": lambda model, folder: _reopened(nn.DataParallel(model), folder),
}


@every_model
def test_a_copy_is_the_same_model(case: Case, tmp_path: Path) -> None:
    spec = case.spec(1, 2)
    x, contexts = images(spec, 2), case.contexts(spec, 2)
    model = case.build(spec).to(torch.bfloat16)
    with torch.no_grad():
        expected = model.log_prob(x, contexts)
        for way, made in COPIES.items():
            again = made(model, tmp_path)
            assert isinstance(again, npx.Autoregressive), way
            assert again.recipe == model.recipe, way
            assert again.log_prob(x, contexts).equal(expected), way


def test_nothing_but_a_model_is_saved(tmp_path: Path) -> None:
    for other in (nn.Linear(2, 2), nn.DataParallel(nn.Linear(2, 2))):
        with pytest.raises(npx.BadInput, match=rf"not {type(other).__name__}\("):
            npx.save(other, tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())


def _nats(model: Any, x: torch.Tensor, queue: Any) -> None:
    torch.set_num_threads(1)
    queue.put(model.log_prob(x, 1).tolist())


def test_a_model_can_be_sent_to_another_process() -> None:
    spec = npx.ImageSpec(1, 2, 2, levels=4)
    model = npx.build("gated_pixelcnn", spec, "categorical", npx.ClassLabel(3), filters=4, blocks=1, head=4)
    x = images(spec, 2)
    spawn = torch.multiprocessing.get_context("spawn")
    queue = spawn.SimpleQueue()
    process = spawn.Process(target=_nats, args=(model, x, queue))
    process.start()
    nats = queue.get()
    process.join()
    assert nats == pytest.approx(model.log_prob(x, 1).tolist())
