"""Files are read like the data that a model learnt from, wherever the model is."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

import nextpixel as npx

NOISE = np.random.default_rng(0)
SMALL = ("--training.epochs", 1, "--training.batch", 8, "--training.samples", 1, "--training.warmup", 0)
PIXELCNN = {"name": "pixelcnn", "filters": 4, "layers": 1}


@pytest.fixture
def train(call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Train a small model on arrays, read with some options: the run."""
    monkeypatch.chdir(tmp_path)

    def trained(arrays: dict[str, Any], model: dict[str, Any], **options: Any) -> Path:
        np.savez("own.npz", **arrays)
        Path("own.yaml").write_text(json.dumps({"model": PIXELCNN | model, "data": {"name": "own.npz"} | options}))
        said = call("train", "own.yaml", "--out", "run", *SMALL)
        assert said.status == 0, said.err
        return Path("run")

    return trained


def _bits(call: Callable[..., Any], *words: object) -> float:
    said = call("evaluate", *words, "--split", "all", "--json")
    assert said.status == 0, said.err
    return json.loads(said.out)["bits_per_dim"]


def _scored(call: Callable[..., Any], *words: object) -> float:
    said = call("score", *words, "--out", "scores.csv")
    assert said.status == 0, said.err
    rows = Path("scores.csv").read_text().splitlines()
    return float(np.mean([float(row.split(",")[rows[0].split(",").index("bits_per_dim")]) for row in rows[1:]]))


def _images(levels: int, count: int = 40) -> np.ndarray:
    """Mostly dark, so that other levels would have other likelihoods."""
    return (NOISE.integers(levels, size=(count, 4, 5)) * (NOISE.random((count, 4, 5)) < 0.3)).astype(np.uint8)


@pytest.mark.parametrize(("options", "levels"), [({"levels": 16}, 16), ({"levels": 256, "bits": 4}, 256)])
def test_levels_of_arrays(
    train: Callable[..., Path], call: Callable[..., Any], options: dict[str, int], levels: int
) -> None:
    images = _images(levels)
    images[0] = 0, 0, 0, 1, levels - 1
    run = train({"images": images}, {}, **options)
    want = _bits(call, run)
    assert _scored(call, run, "own.npz") == pytest.approx(want, rel=1e-4)
    dark = images % 10  # of 16 levels or of 256, as the run's were
    np.savez("dark.npz", images=dark)
    np.savez("said.npz", images=dark, levels=levels)
    assert _bits(call, run, "--data", "dark.npz") == _bits(call, run, "--data", "said.npz")
    assert _scored(call, run, "dark.npz") == _scored(call, run, "said.npz")
    shutil.copy(run / "model.safetensors", "moved.safetensors")
    shutil.rmtree(run)
    assert _bits(call, "moved.safetensors") == pytest.approx(want, rel=1e-6)
    assert _scored(call, "moved.safetensors", "dark.npz") == _scored(call, "moved.safetensors", "said.npz")
    Path("own.npz").rename("elsewhere.npz")
    assert _bits(call, "moved.safetensors", "--data", "elsewhere.npz") == pytest.approx(want, rel=1e-6)


def test_layout_and_first_label(train: Callable[..., Path], call: Callable[..., Any]) -> None:
    images = NOISE.integers(3, size=(40, 3, 4, 3)).astype(np.uint8)
    labels = NOISE.integers(1, 4, size=40)
    labels[:3] = 1, 2, 3
    run = train({"images": images, "labels": labels}, {"context": "label"}, layout="NHWC", first_label=1, levels=3)
    want = _bits(call, run)
    assert _scored(call, run, "own.npz") == pytest.approx(want, rel=1e-4)
    np.savez("some.npz", images=images[labels > 1], labels=labels[labels > 1])
    _bits(call, run, "--data", "some.npz")
    np.savez("other.npz", images=images, labels=labels - 1)
    said = call("score", run, "other.npz", "--out", "scores.csv")
    assert said.status == 2
    assert "number classes from data.first_label=1, but go from 0 to 2" in said.err
    np.savez("other.npz", images=images, labels=labels - 1, first_label=0)  # which the file says itself
    assert "has images of" not in call("evaluate", run, "--data", "other.npz").err
    shutil.copy(run / "model.safetensors", "moved.safetensors")
    shutil.rmtree(run)
    assert _scored(call, "moved.safetensors", "own.npz") == pytest.approx(want, rel=1e-4)
    assert _bits(call, "moved.safetensors") == pytest.approx(want, rel=1e-6)


def test_what_is_said_of_one_set_is_not_said_of_another(train: Callable[..., Path], call: Callable[..., Any]) -> None:
    run = train({"images": _images(16)}, {}, levels=16, validation=9)
    np.savez("few.npz", train=_images(16, 6), validation=_images(16, 3), test=_images(16, 3), levels=16)
    _bits(call, run, "--data", "few.npz")
    np.savez("more.npz", images=_images(16) // 2, levels=16)
    _bits(call, run, "--data", "more.npz")


def test_pictures_of_8_bits_among_those_of_12(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pictures").mkdir()
    for number in range(12):
        wide = NOISE.integers(4096, size=(4, 5)).astype(np.uint16)
        Image.fromarray(wide if number else (wide >> 4).astype(np.uint8)).save(f"pictures/{number}.png")
    with pytest.raises(
        npx.BadInput, match=r"0\.png has 8 bits, but others 16 and 4096 levels; store all of them alike"
    ):
        npx.open_data("pictures", levels=4096)
    Path("pictures/0.png").unlink()
    assert npx.open_data("pictures", levels=4096).spec.levels == 4096


def test_classes_whose_names_are_numbers(call: Callable[..., Any], tmp_path: Path) -> None:
    names = npx.ClassLabel(3, names=("1", "2", "3"))
    model = npx.build("pixelcnn", npx.ImageSpec(1, 4, 5, levels=2), context=names, filters=4, layers=1)
    assert names.check(["3", "1"], 2, model.spec).tolist() == [2, 0]
    npx.save(model, tmp_path / "a.safetensors")
    for label in ("0-2", "0", "4", "1,0"):
        said = call("sample", tmp_path / "a.safetensors", "--label", label, "--out", tmp_path / "a.npz")
        assert said.status == 2
        assert "the model knows classes 1, 2, 3" in said.err
    assert call("sample", tmp_path / "a.safetensors", "--label", "2-3", "--out", tmp_path / "a.npz").status == 0
    assert npx.ClassLabel(2, names=("cat", "dog")).number("1") == 1


@pytest.mark.parametrize(
    "learnt", [{}, [], 3, {"data": ""}, {"data": "x", "splits": []}, {"data": "x", "splits": {}, "class_names": "ab"}]
)
def test_what_a_file_says_of_its_data_is_looked_at(tmp_path: Path, learnt: Any) -> None:
    model = npx.build("pixelcnn", npx.ImageSpec(1, 4, 5, levels=2), filters=4, layers=1)
    model.learnt = learnt
    npx.save(model, tmp_path / "a.safetensors")
    with pytest.raises(npx.BadInput, match="of the data that it learnt from is damaged"):
        npx.load(tmp_path / "a.safetensors")


def test_a_file_may_say_options_that_are_none(call: Callable[..., Any], tmp_path: Path) -> None:
    model = npx.build("pixelcnn", npx.ImageSpec(1, 4, 5, levels=2), filters=4, layers=1)
    for options, why in (({"size": "x"}, "size must be"), ({"what": 1}, "no setting"), ({"size": [1]}, "must be")):
        model.learnt = {"data": "own.npz", "splits": {}, "options": options}
        npx.save(model, tmp_path / "a.safetensors")
        said = call("evaluate", tmp_path / "a.safetensors")
        assert said.status == 2
        assert "a.safetensors cannot be used" in said.err
        assert why in said.err


def test_names_that_are_no_text(tmp_path: Path) -> None:
    images, labels = NOISE.integers(256, size=(4, 2, 2)).astype(np.uint8), np.array([b"\xff", b"a", b"a", b"a"])
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    np.savez(tmp_path / "b.npz", images=images, labels=np.arange(4), class_names=np.array([b"\xff", b"a", b"b", b"c"]))
    np.savez(tmp_path / "c.npz", images=images, labels=np.array([w.encode() for w in ("é", "a", "a", "a")]))
    for name in "ab":
        with pytest.raises(npx.BadInput, match=r"no text in UTF-8, such as b'\\xff'"):
            npx.open_data(tmp_path / f"{name}.npz")
    assert npx.open_data(tmp_path / "c.npz").class_names == ("a", "é")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--minutes", "1_0"), "minutes must be a number, not '1_0'"),
        (("--minutes", "0x1"), "minutes must be a number, not '0x1'"),
        (("--minutes", "٣"), "minutes must be a number, not '٣'"),
        (("--training", '{epochs: "7"}'), "--training is no setting but a section"),
        (("--training={epochs: 7}",), "--training is no setting but a section"),
        (("--model", "nope.yaml"), "--model is no setting but a section"),
        (
            ("--training.betas+", "0.5"),
            "--training.betas+ would add to a setting; give all of it: --training.betas VALUE",
        ),
        (("--data.columns", "3"), "data.columns must be names with values"),
    ],
)
def test_settings_that_are_none(call: Callable[..., Any], words: tuple[str, ...], why: str) -> None:
    said = call("train", "digits", *words, "--dry-run")
    assert said.status == 2
    assert why in said.err


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("model: {name: pixelcnn, likelihood: [a]}", r"model.likelihood must be a text, not \['a'\]"),
        ("model: {name: [a]}", r"model.name must be a text, not \['a'\]"),
        ("model: {name: pixelcnn, 1: 2}", "has a setting 1, which is no name"),
        ("model: !!python/name:os.system {}", "is not YAML, see line 1: could not determine a constructor"),
        ("é".encode("utf-16"), "is not YAML: it is not in UTF-8"),
    ],
)
def test_recipes_that_are_none(call: Callable[..., Any], tmp_path: Path, text: str | bytes, why: str) -> None:
    (tmp_path / "a.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    said = call("train", tmp_path / "a.yaml", "--out", tmp_path / "run")
    assert said.status == 2
    assert re.search(why, said.err), said.err


def test_ways_out_that_are_some(train: Callable[..., Path], call: Callable[..., Any]) -> None:
    said = call("train", "own.npz")
    assert said.status == 2
    run = train({"images": _images(16)}, {}, levels=16)
    assert "say how long: nextpixel train own.npz --minutes 20" in call("train", "own.npz").err
    (run / "model.safetensors").unlink()
    said = call("train", run, "--resume", "--training.epochs", 2)
    assert said.status == 0, said.err
    assert "model.safetensors is not there any more; the next validation writes it anew" in said.err
    assert (run / "model.safetensors").is_file()
    Path("own.npz").rename("elsewhere.npz")
    assert "say where your own data is with --data.name PATH" in call("train", run, "--resume").err
    assert "is finished" in call("train", run, "--resume", "--data.name", "elsewhere.npz").err
    (run / "config.yaml").unlink()
    assert "lacks its config.yaml, which says what to train: put it back" in call("train", run, "--resume").err


@pytest.fixture
def pair(call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A set of Hugging Face's with two columns of images, and a run that learnt one of them."""
    monkeypatch.chdir(tmp_path)
    pictures = [Image.fromarray(NOISE.integers(256, size=(4, 5)).astype(np.uint8)) for _ in range(40)]
    both = {"left": pictures, "right": pictures[::-1]}
    for name, columns in {"two": both, "one": {"picture": pictures}}.items():
        Path(name).mkdir()
        features = datasets.Features({column: datasets.Image() for column in columns})
        datasets.Dataset.from_dict(columns, features=features).to_parquet(f"{name}/train.parquet")
    return tmp_path


def test_sets_of_hugging_face(pair: Path, call: Callable[..., Any]) -> None:
    recipe = {"model": PIXELCNN, "data": {"name": "hf:two", "columns": {"image": "right"}}}
    Path("own.yaml").write_text(json.dumps(recipe))
    assert call("train", "own.yaml", "--out", "run", *SMALL).status == 0
    want = _bits(call, "run")
    assert _scored(call, "run", "hf:two") == pytest.approx(want, rel=1e-4)
    assert _scored(call, "run", "hf:one/train.parquet") == pytest.approx(want, rel=1e-4)  # the same, in another order
    assert _bits(call, "run", "--data", "hf:one") == pytest.approx(want, rel=1e-4)
    assert _scored(call, "run", "--data", "hf:two", "--split", "all") == pytest.approx(want, rel=1e-4)
    np.savez("plain.npz", images=NOISE.integers(256, size=(40, 4, 5)))
    Path("own.yaml").write_text(json.dumps({"model": PIXELCNN, "data": {"name": "plain.npz"}}))
    assert call("train", "own.yaml", "--out", "other", *SMALL).status == 0
    said = call("evaluate", "other", "--data", "hf:two")
    assert said.status == 2
    assert "nextpixel data pack takes --columns, and --data hf:DIR what it writes" in said.err
    assert call("data", "pack", "hf:two", "--columns", "{image: left}", "--out", "packed").status == 0
    _bits(call, "other", "--data", "hf:packed")
    assert "no file or folder ./none" in call("score", "run", "hf:./none").err
    Path("two").rename("moved")
    for words in (("evaluate", "run"), ("train", "run", "--resume")):
        assert "where" in call(*words).err
        assert "--data" in call(*words).err
    assert _bits(call, "run", "--data", "hf:moved") == pytest.approx(want, rel=1e-6)
    assert call("train", "run", "--resume", "--data.name", "hf:moved", "--training.epochs", 2).status == 0
    np.savez("ambiguous.npz", images=NOISE.integers(256, size=(40, 3, 4, 3)))
    assert "nextpixel data pack takes --layout" in call("evaluate", "other", "--data", "ambiguous.npz").err
    assert call("data", "pack", "ambiguous.npz", "--layout", "NHWC", "--out", "laid").status == 0
