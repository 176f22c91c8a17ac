"""Data sets, trained runs, and a way to call the command that tells all that it said."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from nextpixel.cli import main

RECIPE = """
model: {{name: gated_pixelcnn, likelihood: categorical, context: {context}, filters: 4, blocks: 1, head: 4}}
data: {{name: {data}}}
training: {{epochs: 2, batch: 16, learning_rate: 1e-2, warmup: 2, samples: 4, precision: fp32}}
"""


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    err: str


Call = Callable[..., Said]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run the command in an empty folder of the test's own."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Said(status, captured.out, captured.err)

    return run


@pytest.fixture
def refused(call: Call) -> Callable[..., str]:
    """Run the command, which must refuse with one sentence and write nothing; returns the sentence."""

    def run(*arguments: object) -> str:
        said = call(*arguments)
        assert (said.status, said.out) == (2, "")
        assert said.err.startswith("nextpixel: ")
        assert said.err.count("\n") == 1
        assert said.err.rstrip()[-1] in ".?", said.err
        assert not list(Path().iterdir()), "a refused command wrote something"
        return said.err

    return run


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 images of 4x5 pixels and 3 levels, in two classes."""
    noise = np.random.default_rng(0)
    labels = np.arange(48) % 2
    images = np.where(noise.random((48, 4, 5)) < 0.1, 1, 2 * labels[:, None, None]).astype(np.uint8)
    path = tmp_path_factory.mktemp("data") / "stripes.npz"
    np.savez(path, images=images, labels=labels, levels=3)
    return path


def _train(folder: Path, data: Path, context: str) -> Path:
    recipe = folder / f"{context}.yaml"
    recipe.write_text(RECIPE.format(context=context, data=data))
    assert main(["train", str(recipe), "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture(scope="session")
def labelled(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a class-conditional model."""
    return _train(tmp_path_factory.mktemp("labelled"), data, "label")


@pytest.fixture(scope="session")
def plain(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a model without context."""
    return _train(tmp_path_factory.mktemp("plain"), data, "none")


@pytest.fixture(scope="session")
def codes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 grids of 4x6 codes of 5, each given a 2x3 map of 7 codes; in two classes."""
    noise = np.random.default_rng(1)
    maps = noise.integers(7, size=(48, 2, 3))
    images = np.minimum(maps.repeat(2, 1).repeat(2, 2), 4)
    path = tmp_path_factory.mktemp("codes") / "codes.npz"
    extra = {"codebook": noise.random((5, 3)), "levels": 5, "map_levels": 7, "ordinal": False}
    np.savez(path, images=images, maps=maps, labels=np.arange(48) // 24, **extra)
    return path


@pytest.fixture(scope="session")
def mapped(codes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a model that is given maps."""
    return _train(tmp_path_factory.mktemp("mapped"), codes, "map")


@pytest.fixture(scope="session")
def both(codes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a model that is given classes and maps."""
    return _train(tmp_path_factory.mktemp("both"), codes, "label+map")
