"""What the Python interface refuses: one sentence with the bad value in it, and nothing made of it by half."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nextpixel as npx
from nextpixel.processes import device

SPEC = npx.ImageSpec(1, 6, 6, levels=4)


class RowsAbove(npx.Network):
    """Of the rows above only."""

    def __init__(self, spec: npx.ImageSpec, likelihood: Any, context: int = 0, *, filters: int = 8) -> None:
        super().__init__(spec, likelihood, colours="independent")
        self.first = nn.Conv2d(spec.channels * self.entry.features, filters, (2, 3), padding=(2, 1))
        self.last = nn.Conv2d(filters, self.outputs, 1)
        self.drop = nn.Dropout(0.5)
        norm = nn.BatchNorm2d(filters, momentum=0.5)
        self.norm = norm

    def forward(self, levels: Tensor, context: Tensor | None) -> Tensor:
        return self.last(self.features(levels))

    def features(self, levels: Tensor) -> Tensor:
        return self.first(self.embed(levels))[:, :, : self.spec.height].relu()


class Listed(RowsAbove):
    """Holds its layers a second time, in all ways that torch does not know of."""

    def __init__(self, *arguments: Any, way: str) -> None:
        super().__init__(*arguments)
        run: Callable[[Tensor], Tensor] = self.drop.forward
        held: dict[str, Any] = {
            "list": [self.drop, self.norm],
            "tuple": (self.drop, (self.norm,)),
            "dict": {"a": self.drop, "b": [self.norm]},
            "method": [run, self.norm],
            "partial": [partial(self.drop), partial(self._through, self.norm)],
        }
        self.held = held[way]

    @staticmethod
    def _through(layer: nn.Module, x: Tensor) -> Tensor:
        return layer(x)

    def forward(self, levels: Tensor, context: Tensor | None) -> Tensor:
        x, todo = self.features(levels), [self.held]
        while todo:
            match todo.pop(0):
                case dict(parts):
                    todo += parts.values()
                case list(parts) | tuple(parts):
                    todo += parts
                case layer:
                    x = layer(x)
        return self.last(x)


@pytest.mark.parametrize("way", ["list", "tuple", "dict", "method", "partial"])
def test_evaluation_mode_reaches_layers_that_are_held_twice(way: str) -> None:
    """Dropout is off and batch norm learns nothing, while the model itself stays in training mode."""
    torch.manual_seed(0)
    model: Any = npx.build(Listed, SPEC, way=way)
    model.backbone.norm.running_mean.normal_()
    x, before = torch.randint(4, (3, *SPEC.shape)), model.backbone.norm.running_mean.clone()
    assert torch.equal(model.log_prob(x), model.log_prob(x))
    assert torch.equal(model.sample(2), model.sample(2))
    assert torch.equal(model.backbone.norm.running_mean, before)
    assert all(layer.training for layer in model.modules())
    nats = model.log_prob(x)
    assert torch.allclose(model.eval().log_prob(x), nats)


class Returning(RowsAbove):
    """Gives something that is not what `outputs` says."""

    made: Any = None

    def forward(self, levels: Tensor, context: Tensor | None) -> Tensor:
        return type(self).made(super().forward(levels, context))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda x: x.repeat(1, 2, 1, 1), "gave the shape (2, 8, 6, 6)"),
        (lambda x: x[:, :1], "gave the shape (2, 1, 6, 6)"),
        (lambda x: x[:1, :, :1, :1], "gave the shape (1, 4, 1, 1)"),
        (lambda x: x[..., :-1], "gave the shape (2, 4, 6, 5)"),
        (lambda x: None, "gave a NoneType"),
        (lambda x: (x, x), "gave a tuple"),
    ],
)
def test_a_network_that_gives_other_numbers_is_told_so(
    made: Callable[[Tensor], Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Returning, "made", staticmethod(made))
    model, x = npx.build(Returning, SPEC), torch.zeros(2, *SPEC.shape, dtype=torch.long)
    calls: list[Callable[[], object]] = [
        lambda: model.log_prob(x),
        lambda: npx.score(model, x),
        lambda: model.sample(2),
        lambda: model.complete(x, torch.zeros(2, *SPEC.shape).bool()),
        lambda: npx.check(model, images=x),
    ]
    for call in calls:
        with pytest.raises(npx.BadInput, match=r"Returning\.forward must give numbers of shape \(2, 4, 6, 6\)") as told:
            call()
        assert said in str(told.value)


class Clamping(RowsAbove):
    """Changes what it is given."""

    def forward(self, levels: Tensor, context: Tensor | None) -> Tensor:
        return super().forward(levels.clamp_(max=1), context)


def test_a_network_cannot_change_the_images_that_it_is_given() -> None:
    torch.manual_seed(0)
    model, x = npx.build(Clamping, SPEC), torch.full((2, *SPEC.shape), 3)
    nats = model.log_prob(x)
    assert bool((x == 3).all())
    model.complete(x, torch.ones(2, *SPEC.shape).bool())
    npx.check(model, images=x)
    assert bool((x == 3).all())
    assert torch.equal(model.predict(x).log_prob(x).sum((1, 2, 3)), nats)
    assert bool((model.sample(50) > 1).any())


class Even(npx.Network):
    """Has no weights."""

    def __init__(self, spec: npx.ImageSpec, likelihood: Any, context: int = 0) -> None:
        super().__init__(spec, likelihood)

    def forward(self, levels: Tensor, context: Tensor | None) -> Tensor:
        return torch.zeros(len(levels), self.outputs, *levels.shape[2:])


@pytest.mark.parametrize("orders", [1, 8])
def test_a_network_without_weights_is_a_model(orders: int, tmp_path: Path) -> None:
    model = npx.build(Even, SPEC, orders=orders)
    x = model.sample(3, seed=1)
    assert model.log_prob(x).tolist() == pytest.approx([-36 * np.log(4)] * 3)
    assert model.device == torch.device("cpu")
    assert torch.equal(model.complete(x, torch.ones_like(x).bool()), x)
    assert not [its.law for its in npx.check(model) if its.fails]
    with pytest.raises(npx.BadInput, match="no weight takes any"):
        npx.train(model, npx.open_data("digits"), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


class NoContext(npx.Network):
    """Has a constructor without the context."""

    def __init__(self, spec: npx.ImageSpec, likelihood: Any) -> None:
        super().__init__(spec, likelihood)

    def forward(self, levels: Tensor, context: Tensor | None) -> Tensor:
        raise NotImplementedError


class Needing(Even):
    """Has a setting without a default."""

    def __init__(self, spec: npx.ImageSpec, likelihood: Any, context: int = 0, *, filters: int) -> None:
        super().__init__(spec, likelihood)


class Unfinished(npx.Network):
    """Has no `forward`."""

    def __init__(self, spec: npx.ImageSpec, likelihood: Any, context: int = 0) -> None:
        super().__init__(spec, likelihood)


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        (NoContext, {}, r"NoContext must be made from \(spec, likelihood, context, \*, settings …\): too many"),
        (Needing, {}, r"Needing must be made from .*: missing a required.* 'filters'"),
        (Unfinished, {}, "Unfinished has no forward, which a model needs"),
        (Even, {"filters": 3}, "^Even has no setting 'filters'; it has none"),
    ],
)
def test_a_class_that_cannot_be_made_is_told_why(kind: Any, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(npx.BadInput, match=said):
        npx.build(kind, SPEC, **settings)


def test_a_class_that_no_file_can_find_is_not_saved(tmp_path: Path) -> None:
    class Local(Even):
        """Is in a function."""

    with pytest.raises(npx.BadInput, match=r"Local is in a function, where no file can find it"):
        npx.save(npx.build(Local, SPEC), tmp_path / "m.safetensors")
    assert not [*tmp_path.iterdir()]


@pytest.fixture(scope="module")
def model() -> npx.Autoregressive:
    torch.manual_seed(0)
    return npx.build("gated_pixelcnn", SPEC, filters=8, blocks=1)


X = torch.zeros(2, *SPEC.shape, dtype=torch.long)
DIGITS = npx.open_data("digits")
DEVICE = "There is no device"
Call = Callable[[npx.Autoregressive], object]
REFUSED: dict[str, tuple[Call, str]] = {
    "a seed below 0": (lambda m: npx.evaluate(m, DIGITS.test, seed=-1), "seed must be a whole number.*-1"),
    "no images": (lambda m: npx.evaluate(m, DIGITS.test, images=0), "images must be.*0"),
    "another device": (lambda m: npx.load("mnist", device="foo"), f"{DEVICE} 'foo'"),
    "typical of no number": (lambda m: npx.score(m, X, typical=float("nan")), "typical must be.*nan"),
    "laws by too much": (lambda m: npx.check(m, seed=2**70), "The seed must be"),
    "this folder by no name": (lambda m: npx.open_data(""), "A data set is a name.*''"),
    "a root for a file": (lambda m: npx.save(m, "/"), "'/' cannot be written"),
    "no file's name": (lambda m: npx.save(m, "\0"), r"'\\x00' cannot be written"),
    "a name on the Hub": (lambda m: npx.save(m, "hf:a/b"), "hf:a/b is a name on the Hub"),
    "a huge temperature": (lambda m: m.sample(2, temperature=10**400), "The temperature must be"),
    "more than memory holds": (lambda m: m.sample(10**12), r"1,000,000,000,000 images .* GiB.*lower their number"),
    "too many particles": (lambda m: m.complete(X, X.bool(), particles=10**30), "GiB of memory"),
    "to train elsewhere": (lambda m: npx.train(m, DIGITS, out="no", device="foo"), f"{DEVICE} 'foo'"),
    "to train on a card": (lambda m: npx.train(m, DIGITS, out="no", device="cuda:1"), "'cuda:1'; CUDA_VISIBLE_DEVICES"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_with_an_argument_is_one_sentence(
    name: str, model: npx.Autoregressive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    call, said = REFUSED[name]
    with pytest.raises(npx.BadInput) as told:
        call(model)
    assert re.search(said, str(told.value), re.DOTALL), told.value
    assert str(told.value).endswith(".")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_training_without_gradients_is_refused(
    off: Callable[[], Any], model: npx.Autoregressive, tmp_path: Path
) -> None:
    with off(), pytest.raises(npx.BadInput, match="gradients are off"):
        npx.train(model, DIGITS, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(value: float) -> None:
    model = npx.build("gated_pixelcnn", SPEC, filters=8, blocks=1)
    with torch.no_grad():
        next(model.parameters())[0] = value
    for call in (lambda: npx.exact(model, X), lambda: model.sample(1), lambda: model.complete(X, X.bool())):
        with pytest.raises(npx.BadInput, match=r"weights .*are not finite numbers"):
            call()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_an_exact_twin_is_one_under_another_default_type(
    dtype: torch.dtype, model: npx.Autoregressive, tmp_path: Path
) -> None:
    x = torch.randint(4, (3, *SPEC.shape))
    twin = npx.exact(model, x)
    npx.save(twin, tmp_path / "e.safetensors")
    nats, data = twin.log_prob(x), npx.compress(twin, x)
    try:
        torch.set_default_dtype(dtype)
        again = npx.load(tmp_path / "e.safetensors")
        assert torch.equal(again.log_prob(x), nats)
        assert torch.equal(npx.decompress(again, memoryview(data)), x)
        anew = npx.exact(model, x)
    finally:
        torch.set_default_dtype(torch.float32)
    for name, weight in twin.state_dict().items():
        assert torch.equal(weight, anew.state_dict()[name]), name
    assert anew.recipe == twin.recipe


def test_another_default_device_and_autocast_change_nothing(model: npx.Autoregressive, tmp_path: Path) -> None:
    """The device without memory stands for a GPU: what is made on it by mistake cannot be used."""
    npx.save(model, tmp_path / "m.safetensors")
    x = model.sample(3)
    scores = npx.score(model, x).complexity
    try:
        torch.set_default_device("meta")
        loaded = npx.load(tmp_path / "m.safetensors")
        assert torch.equal(npx.score(loaded, x).complexity, scores)
        assert not [its for its in npx.check(loaded) if its.fails]
        assert torch.equal(loaded.sample(3), x)
    finally:
        torch.set_default_device("cpu")
    with torch.autocast("cpu", torch.bfloat16):
        assert not [its for its in npx.check(model) if its.fails]


def test_a_class_may_be_given_by_its_name() -> None:
    model = npx.build("pixelcnn", SPEC, context=npx.ClassLabel(2, ("cat", "dog")), filters=4, layers=1)
    assert torch.equal(model.sample(2, "dog"), model.sample(2, 1))
    assert torch.equal(model.sample(2, ["dog", "cat"]), model.sample(2, torch.tensor([1, 0])))
    with pytest.raises(npx.BadInput, match=r"There is no class 'cow'; the model knows classes cat, dog"):
        model.sample(2, "cow")


def test_a_device_is_found_by_its_name() -> None:
    assert device("auto").type in ("cpu", "cuda", "mps")
    assert device(torch.device("cpu")) == device("cpu") == torch.device("cpu")
    with pytest.raises(npx.BadInput, match="There is no device"):
        device(SimpleNamespace())
