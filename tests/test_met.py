"""What testers met in Python: each was silent, a traceback, or a sentence that did not help."""

import copy
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import nextpixel as npx
from nextpixel.data import DataSet, Split, open_data
from nextpixel.integers import prove
from nextpixel.plots import receptive_field

SPEC = npx.ImageSpec(1, 4, 4, levels=4)


def small(context: Any = None, **more: Any) -> Any:
    torch.manual_seed(0)
    return npx.build("gated_pixelcnn", SPEC, context=context, filters=4, blocks=1, head=4, **more)


def data(labels: np.ndarray | None = None, *, count: int = 24) -> DataSet:
    images = np.random.default_rng(0).integers(4, size=(count, 1, 4, 4)).astype(np.uint8)
    classes = None if labels is None else 3
    return DataSet("own", SPEC, classes, *[Split(images, labels) for _ in range(3)])


class Constant(npx.Network):
    """Any number, everywhere."""

    def __init__(self, spec: Any, likelihood: Any, context: int = 0, *, number: int = 0) -> None:
        super().__init__(spec, likelihood)
        self.weight, self.number = nn.Parameter(torch.zeros(1, self.outputs, 1, 1)), number

    def forward(self, levels: torch.Tensor, context: Any) -> torch.Tensor:
        return self.weight.expand(len(levels), -1, *levels.shape[2:]) + (math.nan if self.number else 0)


def test_numbers_that_are_none_are_not_drawn_as_the_first_level() -> None:
    with pytest.raises(npx.BadInput, match="not all finite"):
        npx.build(Constant, SPEC, number=1).sample(2)
    with pytest.raises(npx.BadInput, match="from 1e-30 to 1e30"):
        small().sample(2, temperature=np.finfo(float).tiny)
    with pytest.raises(npx.BadInput, match="not finite, in float32"):
        small(npx.Vector(2)).sample(2, torch.full((2, 2), 1e39, dtype=torch.float64))


def test_what_no_file_could_make_again_is_not_trained(tmp_path: Path) -> None:
    class Local(Constant):
        pass

    vae = npx.build("pixelvae", SPEC, latent=2, filters=4, blocks=1)
    for model, why in ((npx.build(Local, SPEC), "is in a function"), (vae.decoder, "has no recipe")):
        with pytest.raises(npx.BadInput, match=why):
            npx.save(model, tmp_path / "a.safetensors")
    with pytest.raises(npx.BadInput, match="is in a function"):
        npx.train(npx.build(Local, SPEC), data(), out=tmp_path / "run")
    assert not [*tmp_path.iterdir()]
    with pytest.raises(npx.BadInput, match="it has no recipe"):
        npx.exact(vae.decoder, torch.zeros(2, 1, 4, 4).long(), torch.zeros(2, 2))


@pytest.mark.parametrize(
    "images", [np.full((3, 1, 4, 4), 0.5), np.full((3, 1, 4, 4), 2**32), np.full((3, 1, 4, 4), math.nan)]
)
def test_images_that_are_no_levels_are_not_cut_to_some(images: np.ndarray) -> None:
    with pytest.raises(npx.BadInput, match="Images must be whole levels, not"):
        npx.evaluate(small(), Split(images))


def test_labels_and_images_of_a_split_go_together(tmp_path: Path) -> None:
    images = data().train.images
    wrong: list[Any] = [np.zeros(23, int), np.zeros(25, int), np.array(["a"] * 24)]
    for labels in wrong:
        with pytest.raises(npx.BadInput, match="one for each of the 24 images"):
            Split(images, labels)
    settings = npx.Training(epochs=1, batch=8, samples=0, precision="fp32")
    own = data(np.arange(24, dtype=np.int32) % 3)
    assert npx.train(small(npx.ClassLabel(3)), own, out=tmp_path / "run", settings=settings).is_dir()


def test_a_home_folder_is_meant_by_its_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    npx.save(small(), "~/m.safetensors")
    assert npx.load("~/m.safetensors").spec == SPEC
    settings = npx.Training(epochs=1, batch=8, samples=0, precision="fp32", start="~/m.safetensors")
    npx.train(small(), data(), out="~/run", settings=settings)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.safetensors", "run"]


def test_a_twin_takes_contexts_as_other_models_do() -> None:
    model = small(npx.ClassLabel(3))
    images = model.sample(130, 0)
    twins = [npx.exact(model, images, labels) for labels in ([1] * 130, 1, np.ones(130, int), torch.ones(130).long())]
    assert all(twin.recipe == twins[0].recipe for twin in twins)
    for count in (64, 100, 200):
        with pytest.raises(npx.BadInput, match=r"must have shape \(130,\)"):
            npx.exact(model, images, [0] * count)


def test_a_twin_in_other_bits_is_none(tmp_path: Path) -> None:
    twin = npx.exact(small(), (images := small().sample(8)))
    calls: tuple[Callable[[Any], Any], ...] = (
        lambda other: npx.compress(other, images, verify=False),
        lambda other: npx.save(other, tmp_path / "a.safetensors"),
        prove,
    )
    for dtype in (torch.bfloat16, torch.float16):
        for call in calls:
            with pytest.raises(npx.BadInput, match="is none; load its file again"):
                call(copy.deepcopy(twin).to(dtype))


def test_a_run_goes_on_with_its_batch_and_seed(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"samples": 0, "precision": "fp32", "batch": 8}
    npx.train(small(), data(), out=tmp_path / "run", settings=npx.Training(epochs=1, **settings))
    for other in ({"batch": 7}, {"seed": 5}):
        ((name, value),) = other.items()
        with pytest.raises(npx.BadInput, match=rf"has training\.{name} [08], not {value}; resume it as it began"):
            npx.train(
                small(), data(), out=tmp_path / "run", settings=npx.Training(epochs=2, **settings | other), resume=True
            )
    npx.train(small(), data(), out=tmp_path / "run", settings=npx.Training(epochs=2, **settings), resume=True)


UNCHECKED = """
import numpy, torch, nextpixel as npx
from pathlib import Path
model = npx.build("gated_pixelcnn", npx.ImageSpec(1, 4, 4, levels=4), filters=4, blocks=1)
x, wrapped = model.sample(3), torch.nn.DataParallel(model)
assert torch.equal(npx.bits_per_dim(wrapped, x), npx.bits_per_dim(model, x))
assert npx.score(model, x, against=wrapped).ratio.abs().max() == 0
twin = npx.exact(model, x)
assert npx.compress(torch.nn.DataParallel(twin), x) == npx.compress(twin, x)
mean = npx.bits_per_dim(model, x).mean()
assert torch.equal(*(npx.score(model, x, typical=its).typicality for its in (mean, float(mean))))
assert npx.Training(start=Path("a")).start == "a"
numpy.savez("b.npz", images=model.sample(20).numpy())
assert npx.open_data("b.npz", levels=numpy.int64(5), layout="NCHW").spec.levels == 5
"""


def test_wrapped_models_are_models_and_numbers_are_numbers(tmp_path: Path) -> None:
    """In a process without the tests' check of annotations."""
    subprocess.run([sys.executable, "-W", "error", "-c", UNCHECKED], cwd=tmp_path, check=True)


def test_a_single_pixel_has_a_twin() -> None:
    model = npx.build("pixelsnail", npx.ImageSpec(1, 1, 1, levels=300), filters=8)
    assert npx.exact(model, x := model.sample(4)).log_prob(x).isfinite().all()


def test_typical_is_a_mean() -> None:
    model = small()
    x = model.sample(3)
    for wrong in (math.inf, -1.0):
        with pytest.raises(npx.BadInput, match="typical must be"):
            npx.score(model, x, typical=wrong)


def test_a_setting_that_is_no_number_in_float32() -> None:
    with pytest.raises(npx.BadInput, match="epsilon must be at least 1e-30"):
        npx.Training(epsilon=1e-300)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_names_that_no_disk_has(name: str) -> None:
    calls: tuple[Callable[[], Any], ...] = (
        lambda: npx.load(name),
        lambda: npx.save(small(), name),
        lambda: open_data(name),
        lambda: npx.train(small(), data(), out=name),
    )
    for call in calls:
        with pytest.raises(npx.BadInput, match=r"cannot be written or read"):
            call()
    with pytest.raises(npx.BadInput, match="is not UTF-8"):
        npx.save(small(), "\ud800.safetensors")


class Named(Constant):
    """A setting that nobody can give."""

    def __init__(self, spec: Any, likelihood: Any, context: int = 0, *, name: str = "a") -> None:
        super().__init__(spec, likelihood)


def test_settings_of_ones_own_networks_are_settings() -> None:
    with pytest.raises(npx.BadInput, match="has a setting called name, which build needs itself"):
        npx.build(Named, SPEC)
    with pytest.raises(npx.BadInput, match="number must be a number, not '1'"):
        npx.build(Constant, SPEC, number="1")


class Single(Constant):
    """It makes float32 of what it is given."""

    def __init__(self, spec: Any, likelihood: Any, context: int = 0) -> None:
        super().__init__(spec, likelihood)
        self.layer = nn.Conv2d(spec.channels, self.outputs, 1)

    def forward(self, levels: torch.Tensor, context: Any) -> torch.Tensor:
        return self.layer(levels.float()) * 0


def test_a_network_that_does_not_compute_in_float64_is_told_so() -> None:
    model = npx.build(Single, SPEC)
    assert model.sample(2).shape[0] == 2
    for tried in (npx.check, lambda model: receptive_field(model, 1, 1)):
        with pytest.raises(npx.BadInput, match=r"Single does not compute in float64, .* keep to the dtype of"):
            tried(model)
