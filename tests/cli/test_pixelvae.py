"""The commands with a model that has no exact likelihood."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import nextpixel as npx
from nextpixel import pictures
from nextpixel.cli import main
from nextpixel.data import open_data

RECIPE = """
model: {{name: pixelvae, latent: 2, encoder: 4, maps: 4, filters: 6, blocks: 1, head: 6, depth: 1, spread: 0.8}}
data: {{name: {data}}}
training: {{epochs: 12, batch: 16, learning_rate: 1e-2, warmup: 2, samples: 4, precision: fp32}}
"""


@pytest.fixture(scope="module")
def bounded(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bounded")
    (folder / "vae.yaml").write_text(RECIPE.format(data=data))
    assert main(["train", str(folder / "vae.yaml"), "--out", str(folder / "run")]) == 0
    return folder / "run"


def shown(name: str) -> Any:
    with Image.open(name) as image:
        return np.asarray(image)


def test_a_run_learns_its_bound_and_goes_on_where_it_stopped(
    bounded: Path, data: Path, call: Callable[..., Any]
) -> None:
    nats = np.genfromtxt(bounded / "metrics.csv", delimiter=",", names=True)["validation_nats"]
    assert nats[-1] < nats[0]
    model = npx.load(bounded)
    assert isinstance(model, npx.PixelVAE)
    assert int(model.batches) > 0
    assert len(list((bounded / "samples").iterdir())) == 12


def test_a_resumed_run_is_the_uninterrupted_one(bounded: Path, data: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "vae.yaml"
    recipe.write_text(RECIPE.format(data=data))
    settings = ["--training.schedule", "constant", "--model.warmup", "7"]
    assert main(["train", str(recipe), "--out", str(tmp_path / "all"), *settings, "--training.epochs", "4"]) == 0
    assert main(["train", str(recipe), "--out", str(tmp_path / "parts"), *settings, "--training.epochs", "2"]) == 0
    assert main(["train", str(tmp_path / "parts"), "--resume", "--training.epochs", "4"]) == 0
    whole, parts = (npx.load(tmp_path / name / "last.safetensors").state_dict() for name in ("all", "parts"))
    assert all(whole[name].equal(parts[name]) for name in whole)


def test_evaluate_tells_the_bounds_and_their_parts(bounded: Path, call: Callable[..., Any]) -> None:
    said = call("evaluate", bounded, "--samples", 5, "--json")
    assert said.status == 0, said.err
    told = json.loads(said.out)
    parts = [told[name] for name in ("elbo", "reconstruction", "kl", "importance")]
    for unit in ("nats", "bits_per_dim"):
        elbo, reconstruction, kl, _ = (part[unit] for part in parts)
        assert elbo == pytest.approx(reconstruction + kl, rel=1e-6)
    assert parts[0]["nats"] == pytest.approx(parts[0]["bits_per_dim"] * 20 * np.log(2))
    assert told["samples"] == 5
    model, data = npx.load(bounded), open_data(*_data(bounded))
    assert isinstance(model, npx.PixelVAE)
    x = torch.from_numpy(data.test.images)
    with torch.no_grad():
        assert parts[0]["nats"] == pytest.approx(-model.elbo(x).nats.mean().item(), rel=1e-6)
        assert parts[3]["nats"] == pytest.approx(-model.iw_bound(x, samples=5).mean().item(), rel=1e-6)
    said = call("evaluate", bounded, "--samples", 0)
    assert "importance" not in said.out
    assert "ELBO" in said.out
    assert "The KL is " in said.out


def test_its_decoder_is_checked_given_a_latent_vector(bounded: Path, data: Path, call: Callable[..., Any]) -> None:
    said = call("check", bounded, "--out", "sees.png")
    assert said.status == 0, said.out
    assert f"{bounded}, its decoder given a latent vector, 3 images of {data}, test, in" in said.out
    assert re.search("not applicable +probabilities of all images sum to 1\n", said.out)
    assert "there is no such network for fewer pixels: nothing says how it was built." in said.out
    assert "What pixel 2,2 sees and what not: sees.png" in said.out
    assert shown("sees.png").ndim == 3


def _data(run: Path) -> tuple[str]:
    import yaml

    return (yaml.safe_load((run / "config.yaml").read_text())["data"]["name"],)


def test_samples_and_completions_are_the_models(bounded: Path, call: Callable[..., Any]) -> None:
    assert call("sample", bounded, "-n", 5, "--out", "a.npz").status == 0
    model = npx.load(bounded)
    with np.load("a.npz") as arrays:
        assert np.array_equal(arrays["images"], model.sample(5).numpy())
    assert call("complete", bounded, "--known", "top-half", "-n", 2, "--completions", 2).status == 0
    assert call("plot", "curves", bounded).status == 0


def test_a_row_of_latents_shares_its_latent_vector(bounded: Path, call: Callable[..., Any]) -> None:
    said = call("plot", "latents", bounded, "--seed", 4)
    assert said.out == "12 latent vectors, a row of 6 images of each: latents.png\n", said.err
    model = npx.load(bounded)
    assert isinstance(model, npx.PixelVAE)
    z = torch.from_numpy(np.random.default_rng(4).standard_normal((12, 2))).repeat_interleave(6, 0)
    assert np.array_equal(shown("latents.png"), np.asarray(pictures.grid(model.decode(z, seed=4), 3, columns=6)))


def test_reconstructions_and_interpolations_stand_beside_their_images(bounded: Path, call: Callable[..., Any]) -> None:
    said = call("plot", "latents", bounded, "--of", "reconstructions", "--out", "a.png")
    assert said.out == "5 images, 6 reconstructions of each: a.png\n"
    said = call("plot", "latents", bounded, "--of", "interpolations")
    assert said.out == "2 pairs of images, 6 steps from one to the other: latents.png\n"
    model, x = npx.load(bounded), torch.from_numpy(open_data(*_data(bounded)).test.images[:4]).long()
    assert isinstance(model, npx.PixelVAE)
    way = model.interpolate(x[::2], x[1::2], 6)
    rows = torch.cat([x[::2].unsqueeze(1), way, x[1::2].unsqueeze(1)], 1).flatten(0, 1)
    assert np.array_equal(shown("latents.png"), np.asarray(pictures.grid(rows, 3, columns=8)))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["evaluate", "PLAIN", "--samples", "4"],
            "--samples 4 is for bounds, but the likelihood of this model is exact.",
        ),
        (["evaluate", "RUN", "--samples", "-1"], "'-1' is not a whole number of at least 0"),
        (["plot", "receptive-field", "RUN"], "needs an exact likelihood, but a pixelvae has only bounds"),
        (["plot", "latents", "PLAIN"], "which a gated_pixelcnn has not; it needs a pixelvae"),
        (["plot", "latents", "RUN", "--of", "images"], "invalid choice: 'images'"),
        (
            ["plot", "latents", "RUN", "--of", "reconstructions", "--data", "digits"],
            "those of digits are 1x8x8 with 17",
        ),
        (["sample", "RUN", "--label", "1"], "knows no classes"),
    ],
)
def test_what_does_not_fit_is_refused(
    arguments: list[str], sentence: str, refused: Callable[..., Any], bounded: Path, plain: Path
) -> None:
    words = [word.replace("RUN", str(bounded)).replace("PLAIN", str(plain)) for word in arguments]
    assert sentence in refused(*words)


def test_a_pixelvae_takes_no_labels(data: Path, tmp_path: Path, refused: Callable[..., Any]) -> None:
    recipe = tmp_path / "vae.yaml"
    recipe.write_text(RECIPE.format(data=data))
    assert "takes no context" in refused("train", recipe, "--model.context", "label")
