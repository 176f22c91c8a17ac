from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import nextpixel as npx
from nextpixel import pictures, plots
from nextpixel.cli import main
from nextpixel.cli.drawing import KINDS
from nextpixel.data import open_data


def picture(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_help_with_examples(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["plot", kind, "--help"])
    assert exit_.value.code == 0
    assert f"  nextpixel plot {kind} runs/" in capsys.readouterr().out.partition("examples:")[2]


def test_a_receptive_field_is_drawn_and_told(call: Callable[..., Any], plain: Path) -> None:
    said = call("plot", "receptive-field", plain)
    assert said.status == 0, said.err
    # One block of 3x3 behind a first one of 7x7 sees four rows above, more than there are.
    assert said.out == "Pixel 2,2 sees 12 of 12 earlier sub-pixels\nThe receptive field: receptive-field.png\n"
    model = npx.load(plain)
    expected = plots.draw_receptive_field(model, plots.receptive_field(model, 2, 2), 2, 2)
    assert np.array_equal(picture("receptive-field.png"), np.asarray(expected))
    assert call("plot", "receptive-field", plain, "--pixel", "0,1", "--channel", 0, "--out", "a.png").out == (
        "Pixel 0,1 sees 1 of 1 earlier sub-pixels\nThe receptive field: a.png\n"
    )


def test_a_receptive_field_of_colours_and_classes(call: Callable[..., Any], tmp_path: Path) -> None:
    model = npx.build("gated_pixelcnn", npx.ImageSpec(3, 4, 5), context=npx.ClassLabel(2), filters=6, blocks=2)
    npx.save(model, tmp_path / "model.safetensors")
    said = call("plot", "receptive-field", tmp_path / "model.safetensors", "--pixel", "3,1", "--channel", 2)
    assert said.out.splitlines()[0] == "Pixel 3,1, blue, sees 50 of 50 earlier sub-pixels", said.err
    said = call("plot", "receptive-field", tmp_path / "model.safetensors", "--pixel", "3,1")
    assert [line.split(",")[2] for line in said.out.splitlines()[:3]] == [" red", " green", " blue"]


def test_curves_of_runs(call: Callable[..., Any], plain: Path, labelled: Path) -> None:
    said = call("plot", "curves", plain, labelled, "--over", "step")
    assert (said.status, said.out) == (0, f"The curves of {plain}, {labelled}: curves.png\n"), said.err
    curves = [plots.read_curves(run, "step") for run in (plain, labelled)]
    assert np.array_equal(picture("curves.png"), np.asarray(plots.draw_curves(curves, "step")))


@pytest.fixture
def more(tmp_path: Path) -> Path:
    """Enough images for a figure, like those that the models learnt from."""
    generator = np.random.default_rng(0)
    labels = np.arange(14) % 2
    path = tmp_path / "more.npz"
    images = generator.integers(3, size=(14, 4, 5), dtype=np.uint8)
    np.savez(path, levels=3, **{f"{split}_images": images for split in ("train", "validation", "test")},
             **{f"{split}_labels": labels for split in ("train", "validation", "test")})  # fmt: skip
    return path


@pytest.mark.parametrize("kind", ["plain", "labelled"])
def test_the_figure_is_half_new_and_half_completed(
    kind: str, call: Callable[..., Any], request: pytest.FixtureRequest, more: Path
) -> None:
    run = request.getfixturevalue(kind)
    said = call("plot", "figure", run, "--data", more, "--seed", 3, "--temperature", 0.9)
    assert (said.status, said.out) == (
        0,
        "72 images from scratch, 6 completions of each of 12 top halves: figure.png\n",
    ), said.err
    model, test = npx.load(run), open_data(more).test
    given = torch.from_numpy(test.images[:12]).long().repeat(6, 1, 1, 1)
    labels = None if kind == "plain" else (torch.arange(12) % 2).repeat(6)
    known = torch.zeros(given.shape, dtype=torch.bool)
    known[:, :, :2] = True
    drawn = model.sample(72, labels, seed=3, temperature=0.9)
    completed = model.complete(given, known, labels, seed=3, temperature=0.9, first=72)
    assert torch.equal(completed[:12, :, :2], given[:12, :, :2])
    expected = pictures.grid(torch.cat([drawn, completed]), 3, columns=12)
    assert np.array_equal(picture("figure.png"), np.asarray(expected))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["receptive-field", "RUN", "--pixel", "14"], "'14' is not a pixel r,c such as 14,7"),
        (["receptive-field", "RUN", "--pixel", "1,x"], "'1,x' is not a pixel r,c such as 14,7"),
        (["receptive-field", "RUN", "--pixel=-1,2"], "'-1,2' is not a pixel r,c such as 14,7"),
        (
            ["receptive-field", "RUN", "--pixel", "4,0"],
            "The pixel 4,0 is outside of the image: it has 4 rows of 5, from 0.",
        ),
        (["receptive-field", "RUN", "--channel", "1"], "The images have channels from 0 to 0, not 1."),
        (["receptive-field", "RUN", "--channel", "-1"], "'-1' is not a whole number of at least 0"),
        (["receptive-field", "RUN", "--out", "a.gif"], "must end in .png or .jpg or .jpeg or .webp, not a.gif"),
        (["receptive-field", "RUN", "--device", "tpu"], "no device 'tpu'"),
        (["receptive-field", "nowhere"], "no model at nowhere"),
        (["receptive-field"], "required: MODEL"),
        (["curves", "nowhere"], "The run nowhere has no metrics: there is no nowhere/metrics.csv."),
        (["curves", "RUN/samples"], "has no metrics: there is no"),
        (["curves", "RUN", "--over", "weeks"], "invalid choice: 'weeks'"),
        (["curves", "RUN", "--out", "nowhere/a.png"], "no folder nowhere to write a.png in"),
        (["curves"], "required: RUN"),
        (["figure", "RUN"], "The figure needs 12 images; the test split of"),
        (["figure", "RUN", "--data", "digits"], "those of digits are 1x8x8 with 17"),
        (["figure", "RUN", "--out", "."], "must end in .png"),
        (["curve", "RUN"], "There is no plot 'curve'; did you mean curves?"),
        (["xyz"], "There is no plot 'xyz'; the choice is receptive-field, curves, figure, latents."),
        ([], "required: KIND; see nextpixel plot --help"),
        (["--out", "a.png"], "nextpixel plot --help"),
    ],
)
def test_plots_that_cannot_be_drawn(
    arguments: list[str], sentence: str, refused: Callable[..., Any], plain: Path
) -> None:
    assert sentence in refused("plot", *(word.replace("RUN", str(plain)) for word in arguments))


def test_a_figure_needs_labels_for_a_model_of_classes(
    refused: Callable[..., Any], labelled: Path, more: Path, tmp_path: Path
) -> None:
    arrays = np.load(more)
    np.savez(tmp_path / "unlabelled.npz", levels=3, **{name: arrays[name] for name in arrays if "images" in name})
    assert "needs a class label" in refused("plot", "figure", labelled, "--data", tmp_path / "unlabelled.npz")


def test_a_figure_gives_each_column_the_map_of_its_image(
    call: Callable[..., Any], both: Path, codes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts, complete = [], npx.Autoregressive.complete

    def watched(self: npx.Autoregressive, x: Any, known: Any, context: Any = None, **options: Any) -> torch.Tensor:
        contexts.append(context)
        return complete(self, x, known, context, **options)

    monkeypatch.setattr(npx.Autoregressive, "complete", watched)
    assert call("plot", "figure", both, "--split", "train").status == 0
    train = open_data(codes).train
    assert train.labels is not None
    assert train.maps is not None
    columns = [number % 12 for number in range(144)]
    assert torch.cat([labels for labels, _ in contexts]).tolist() == train.labels[columns].tolist()
    assert torch.cat([maps for _, maps in contexts]).tolist() == train.maps[columns].tolist()
    with Image.open("figure.png") as picture:
        assert (162, 69, 171) in picture.convert("RGB").get_flattened_data()  # the colour of the name 1
