"""Training on a stream, from parquet files and tars on this disk; `datasets` does not know the difference."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch

import nextpixel as npx
from data.readers.test_hub import as_parquet, as_tars, png
from nextpixel.data import DataSet, open_data
from nextpixel.data.readers import hub
from nextpixel.errors import BadInput
from nextpixel.training import Training, batches, train

COUNT = 90


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A set in several files, whose images tell their number, by levels of their own."""
    monkeypatch.setattr(hub, "HELD_OUT", 10)
    monkeypatch.setattr(batches, "_WINDOW", 24)
    kinds = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["even", "odd"])})
    (tmp_path / "own").mkdir()
    for shard in range(3):
        rows: list[dict[str, Any]] = []
        for number in range(shard, COUNT, 3):
            image = np.random.default_rng(number).integers(0, 256, (3, 4, 4), np.uint8)
            image[:, 0, 0] = number
            rows.append({"image": {"bytes": png(image), "path": None}, "label": number % 2})
        datasets.Dataset.from_list(rows, kinds).to_parquet(tmp_path / "own" / f"train-{shard}-of-3.parquet")
    return f"hf:{tmp_path}/own"


def numbers(images: torch.Tensor) -> list[int]:
    return images[:, 0, 0, 0].tolist()


def started(data: DataSet, **options: Any) -> batches.Streamed:
    made = batches.Streamed(data.train, size=8, seed=0, context=npx.ClassLabel(2), unreadable=0)
    made.start(options or None)
    return made


def test_what_a_stream_is(name: str) -> None:
    data = open_data(name, streaming=True, limit=70)
    assert len(data.validation) == len(data.test) == 10
    held_out = numbers(data.validation.batch(range(10), np.random.default_rng(0))[0])
    held_out += numbers(data.test.batch(range(10), np.random.default_rng(0))[0])
    assert f"{COUNT - 20} train, 10 validation, 10 test" in repr(data)
    assert (data.classes, data.class_names) == (2, ("even", "odd"))
    stream = started(data)
    seen = []
    for step in range(3 * 12):  # of 24 images a window, 70 an epoch: over many edges of both
        images, labels = stream.part(step, slice(None))
        assert (np.array(numbers(images)) % 2 == labels.numpy()).all()
        seen += numbers(images)
    assert len(set(held_out)) == 20
    assert not set(seen) & set(held_out)
    assert len(set(seen[:72])) == 70, "the first epoch shows all the others"
    assert seen[:24] != sorted(seen[:24])
    stream.close()


def test_a_stream_goes_on_where_it_was(name: str) -> None:
    through = started(open_data(name, streaming=True, limit=70))
    every, states = [], {}
    for step in range(30):
        every.append(numbers(through.part(step, slice(None))[0]))
        states[step] = json.loads(json.dumps(through.where(step) or states[step - 1]))
    through.close()
    for step in (0, 2, 3, 8, 9, 10, 17, 26):
        again = started(open_data(name, streaming=True, limit=70), **states[max(0, step - 1)])
        assert [numbers(again.part(each, slice(None))[0]) for each in range(step, 30)] == every[step:]
        again.close()
    assert len(states[29]["states"]) == 1
    with pytest.raises(BadInput, match="with as many processes as it began with, 2"):
        started(open_data(name, streaming=True, limit=70), window=0, states=["", ""])


def test_processes_have_images_of_their_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []
    for rank in range(2):
        monkeypatch.setattr("nextpixel.processes.rank", lambda rank=rank: rank)
        monkeypatch.setattr("nextpixel.processes.size", lambda: 2)
        stream = started(open_data(name, streaming=True, limit=70))
        own = slice(4 * rank, 4 * rank + 4)
        seen.append([number for step in range(8) for number in numbers(stream.part(step, own)[0])])
        stream.close()
    assert len(set(seen[0])) == len(set(seen[1])) == 32
    assert not set(seen[0]) & set(seen[1])


@pytest.mark.parametrize("stop", [1, 4, 7])
def test_a_resumed_run_is_the_uninterrupted_run(name: str, tmp_path: Path, stop: int) -> None:
    def trained(out: str, epochs: int, *, resume: bool = False) -> Path:
        data = open_data(name, streaming=True, limit=16)
        torch.manual_seed(0)
        model = npx.build("gated_pixelcnn", data.spec, context=npx.ClassLabel(2), filters=4, blocks=1)
        settings = Training(epochs=epochs, batch=8, samples=0, precision="fp32", schedule="constant", warmup=0)
        return train(model, data, out=tmp_path / out, settings=settings, resume=resume)

    through = trained("through", 6)
    trained("stopped", stop)
    if stop < 6:
        trained("stopped", 6, resume=True)
        for weights in ("last.safetensors", "model.safetensors"):
            assert (through / weights).read_bytes() == (tmp_path / "stopped" / weights).read_bytes()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"bits": 4}, r"bits=4 is not for hf:.*, which is read as it comes \(data\.streaming\)"),
        ({"layout": "NHWC"}, "layout=NHWC means nothing for hf:"),
    ],
)
def test_what_a_stream_cannot_do(name: str, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        open_data(name, streaming=True, **options)


def test_a_set_that_does_not_say_how_large_it_is(name: str) -> None:
    data = open_data(name, streaming=True)
    data.train.stream.images = None
    with pytest.raises(BadInput, match=r"does not say how many images it has; data\.limit says it"):
        started(data)


def test_splits_of_its_own_and_classes_without_names(tmp_path: Path) -> None:
    data = open_data(as_tars(tmp_path), streaming=True)
    assert [len(split) for split in data.splits.values()] == [30, 5, 6]
    assert data.classes is None
    assert "labels left alone: a stream needs the classes of cls named" in data.notes
    with pytest.raises(BadInput, match=r"streaming=True means nothing for .*digits"):
        open_data("digits", streaming=True)


def test_too_few_images(tmp_path: Path) -> None:
    as_parquet(tmp_path)
    with pytest.raises(BadInput, match=r"too few images to be read as they come.*; leave data\.streaming out"):
        open_data(f"hf:{tmp_path}/test-00000-of-00001.parquet", streaming=True)


@pytest.fixture(params=[(50, 61)])
def torn(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Tars of which some records, at first two far behind the first ones, are no pictures."""
    monkeypatch.setattr(hub, "HELD_OUT", 10)
    monkeypatch.setattr(batches, "_WINDOW", 24)
    (tmp_path / "torn").mkdir()
    with tarfile.open(tmp_path / "torn" / "train-000.tar", "w") as tar:
        for number in range(COUNT):
            content = png(np.full((1, 4, 4), number, np.uint8).repeat(3, 0))
            member = tarfile.TarInfo(f"{number:04}.png")
            member.size = len(content := content[:40] if number in request.param else content)
            tar.addfile(member, io.BytesIO(content))
    return f"hf:{tmp_path}/torn"


@pytest.mark.parametrize(("unreadable", "damaged"), [(2, "refuse"), (1, "refuse"), (0, "skip")])
def test_damaged_records_are_named(
    unreadable: int, damaged: str, torn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = open_data(torn, streaming=True, limit=70, damaged=damaged, levels=256)
    assert data.rule == "the first 10 each for validation and test"
    model = npx.build("gated_pixelcnn", data.spec, filters=4, blocks=1)
    settings = Training(epochs=1, batch=8, samples=0, precision="fp32", unreadable=unreadable)
    if unreadable == 1:
        with pytest.raises(BadInput, match=r"image \S*0061\.png of .*training\.unreadable allows for 1 such.*saved"):
            train(model, data, out=tmp_path / "run", settings=settings)
        return
    train(model, data, out=tmp_path / "run", settings=settings)
    said = " ".join(capsys.readouterr().err.split())
    for name in ("0050.png", "0061.png"):
        assert said.count(name) == 1, said
    assert said.count("cannot be read: it is left out.") == 2


@pytest.mark.parametrize("torn", [(3, 23)], indirect=True)
@pytest.mark.parametrize("unreadable", [1, 0])
def test_damaged_records_among_the_first_ones_are_as_later_ones(
    unreadable: int, torn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = open_data(torn, streaming=True, limit=70, levels=256)
    assert (len(data.validation), len(data.test), len(data.train)) == (9, 10, 9)
    assert any(note.startswith("damaged files left out: 2") and "0003.png" in note for note in data.notes)
    model = npx.build("gated_pixelcnn", data.spec, filters=4, blocks=1)
    settings = Training(epochs=1, batch=8, samples=0, precision="fp32", unreadable=unreadable)
    if not unreadable:
        with pytest.raises(BadInput, match=r"0023\.png of .*training\.unreadable allows for 0 such"):
            train(model, data, out=tmp_path / "run", settings=settings)
        return
    train(model, data, out=tmp_path / "run", settings=settings)
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("cannot be read: it is left out.") == 1
