"""Several processes do what one does: the same losses, the same images, one sentence where something is wrong."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import forked
import nextpixel as npx
from nextpixel import processes
from nextpixel.data import open_data
from nextpixel.data.dataset import Split
from nextpixel.data.transforms import binarise
from nextpixel.training.batches import Batches
from nextpixel.training.loop import _parts

pytestmark = pytest.mark.slow
RECIPE = """
model: {name: gated_pixelcnn, likelihood: categorical, context: label, filters: 12, blocks: 2, head: 16}
data: {name: digits}
training: {epochs: 2, batch: 32, samples: 10, precision: fp32, validate_every: 0.026, validation_images: 70,
           gradient_clip: 50}
"""
# torchrun gives each process one thread; one process has one in all tests.
TORCHRUN = [*forked.TORCHRUN, "2"]
ONE = ["-m", "nextpixel.cli"]
TWO = [*TORCHRUN, *ONE]


def call(command: list[str], *words: object, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command; torchrun itself only where something is to go wrong, which it must end."""
    itself = command == TWO and check
    done = forked.run([*(ONE if itself else command), *words], cwd=cwd, processes=1 + itself)
    assert done.returncode == 0 or not check, done.stderr
    return done


def sentences(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("nextpixel: ")]


def rows(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, and the run of one process and that of two."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "recipe.yaml").write_text(RECIPE)
    call(ONE, "train", "recipe.yaml", "--out", "one", cwd=folder)
    said = call(TWO, "train", "recipe.yaml", "--out", "two", cwd=folder)
    assert said.stdout == "The run is in two; its best model is two/model.safetensors.\n"  # once
    assert said.stderr.count("images: 1,257 train") == 1
    return folder


def test_losses_are_those_of_one_process(folder: Path) -> None:
    one, two = rows(folder / "one"), rows(folder / "two")
    assert len(one) == len(two) == 78
    for name in ("train_nats", "validation_nats", "learning_rate"):
        assert [row[name] for row in one] == pytest.approx([row[name] for row in two], rel=1e-4), name
    assert one[-1]["train_nats"] < one[0]["train_nats"] - 20


def test_processes_that_the_recipe_asks_for(folder: Path) -> None:
    said = call(ONE, "train", "recipe.yaml", "--out", "asked", "--training.devices", 2, cwd=folder)
    assert said.stdout.count("The run is in asked") == 1
    assert [row["train_nats"] for row in rows(folder / "asked")] == [row["train_nats"] for row in rows(folder / "two")]
    data = open_data("digits")
    model = npx.build("pixelcnn", data.spec, filters=4, layers=1)
    alone = call(ONE, "train", "recipe.yaml", "--out", "asked", "--training.nodes", 2, cwd=folder, check=False)
    how = "set MASTER_ADDR to the address of the first machine, NODE_RANK to the number of each, from 0"
    assert sentences(alone.stderr) == [f"nextpixel: training.nodes is 2; {how}."]
    with pytest.raises(
        npx.BadInput, match="asks for 2 processes, but this is one; start it by torchrun with --nproc-per-node 2"
    ):
        npx.train(model, data, out=folder / "script", settings=npx.Training(devices=2))


def test_a_stream_under_two_processes(folder: Path) -> None:
    call(ONE, "data", "pack", "digits", "--out", "packed", cwd=folder)
    words = ["--model.context", "label", "--training.batch", 32, "--data.limit", 640, "--data.streaming", "true"]
    words = ["train", "recipe.yaml", "--data.name", "hf:packed", *words, "--training.samples", 0]
    through = [*words, "--training.schedule", "constant", "--training.warmup", 0, "--training.validate_every", 0.25]
    call(TWO, *through, "--training.epochs", 2, "--out", "stream", cwd=folder)
    call(TWO, *through, "--training.epochs", 1, "--out", "halves", cwd=folder)
    call(TWO, "train", "halves", "--resume", "--training.epochs", 2, cwd=folder)
    nats = [[row["train_nats"] for row in rows(folder / name)] for name in ("stream", "halves")]
    assert nats[0] == nats[1]
    assert len(nats[0]) == 8
    assert nats[0][-1] < nats[0][0] - 20
    alone = call(ONE, "train", "halves", "--resume", "--training.epochs", 3, cwd=folder, check=False)
    assert sentences(alone.stderr) == [
        "nextpixel: A run that reads a stream goes on with as many processes as it began with, 2."
    ]


def test_what_is_divided_among_processes_learns_the_same(folder: Path) -> None:
    """`training.strategy: fsdp`, which GPUs are for: the same losses, files that one process reads, exact resume."""
    words = ["train", "recipe.yaml", "--training.validate_every", 0.25, "--training.samples", 0, "--data.limit", 420]
    words += ["--training.schedule", "constant", "--training.warmup", 0]
    call(ONE, *words, "--out", "alone", cwd=folder)
    words += ["--training.strategy", "fsdp"]
    call(TWO, *words, "--out", "through", cwd=folder)
    call(TWO, *words, "--training.epochs", 1, "--out", "half", cwd=folder)
    call(TWO, "train", "half", "--resume", "--training.epochs", 2, cwd=folder)
    for name in ("train_nats", "validation_nats"):
        losses = [[row[name] for row in rows(folder / run)] for run in ("alone", "through")]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4), name
    for file in ("last.safetensors", "model.safetensors"):
        tensors = [load_file(folder / run / file) for run in ("alone", "through", "half")]
        assert [*tensors[0]] == [*tensors[1]]  # whole, and by their names
        assert all(torch.equal(tensors[1][name], tensors[2][name]) for name in tensors[1])
        assert all(torch.allclose(tensors[0][name], tensors[1][name], atol=1e-4) for name in tensors[0])
    call(ONE, "train", "half", "--resume", "--training.epochs", 3, cwd=folder)  # one process goes on from its state
    assert rows(folder / "half")[-1]["train_nats"] < rows(folder / "half")[-3]["train_nats"]


def test_parts_of_a_batch_are_the_same_step(folder: Path) -> None:
    call(ONE, "train", "recipe.yaml", "--out", "parts", "--training.accumulate", 3, cwd=folder)
    for one, parts in zip(rows(folder / "one"), rows(folder / "parts"), strict=True):
        assert parts["train_nats"] == pytest.approx(one["train_nats"], rel=1e-4)


def test_images_and_figures_are_those_of_one_process_to_the_bit(folder: Path) -> None:
    for name, words in (
        ("sample", ["-n", 150, "--seed", 3]),
        ("complete", ["--known", "top-half", "-n", 40, "--completions", 2]),
        ("score", ["--outside", "digits", "-n", 150]),
    ):
        for command, out in ((ONE, "a"), (TWO, "b")):
            call(command, name, "one", *words, "--out", f"{out}.npz", f"{out}.png", cwd=folder)
        a, b = (np.load(folder / f"{out}.npz") for out in "ab")
        assert all(np.array_equal(a[key], b[key]) for key in a.files)
        assert (folder / "a.png").read_bytes() == (folder / "b.png").read_bytes()
    figures = [json.loads(call(command, "evaluate", "one", "--json", cwd=folder).stdout) for command in (ONE, TWO)]
    assert {**figures[0], "seconds": 0} == {**figures[1], "seconds": 0}


def test_what_is_wrong_is_said_once(folder: Path) -> None:
    for words, sentence in (
        (["sample", "nowhere"], "There is no model at nowhere; those"),
        (["sample", "one", "--nothing"], "Unrecognized arguments: --nothing"),
        (["train", "recipe.yaml", "--out", "one"], "one is not empty"),  # which only the first process finds out
        (["train", "recipe.yaml", "--out", "new", "--training.batch", "1"], "cannot be divided among 2 processes"),
    ):
        done = call(TWO, *words, cwd=folder, check=False)
        assert done.returncode != 0
        assert len(sentences(done.stderr)) == 1
        assert sentence in done.stderr
        assert "nextpixel/cli/__init__" not in done.stderr  # no traceback of ours
    assert call(TWO, "models", cwd=folder).stdout.count("\n  gated_pixelcnn\n") == 1


def test_a_damaged_image_of_one_process_ends_all_and_the_run_is_kept(folder: Path) -> None:
    pictures, noise = folder / "pictures", np.random.default_rng(0)
    pictures.mkdir()
    for number in range(40):
        (pictures / f"{number}.pgm").write_bytes(b"P5 4 4 255\n" + noise.bytes(16))
    spoilt = """
import sys
from nextpixel import processes
from nextpixel.cli import main
from nextpixel.errors import BadInput
from nextpixel.training.batches import Batches
usual = Batches.part
def part(self, step, own):
    if processes.rank() == 1 and step == 6:
        raise BadInput("cat.png is damaged.")
    return usual(self, step, own)
Batches.part = part
sys.exit(main())
"""
    (folder / "spoilt.py").write_text(spoilt)
    words = ["train", "recipe.yaml", "--out", "kept", "--data.name", pictures, "--model.context", "none"]
    words += ["--training.batch", 8, "--training.validate_every", 1]
    command = [*TORCHRUN, "spoilt.py"]
    done = call(command, *words, cwd=folder, check=False)
    assert done.returncode != 0
    assert len(sentences(done.stderr)) == 1
    assert "cat.png is damaged" in done.stderr
    call(TWO, "train", "kept", "--resume", cwd=folder)
    assert [row["step"] for row in rows(folder / "kept")] == [4, 8]


@pytest.mark.parametrize("allowed", [4, 2])
def test_damaged_images_of_every_process_are_named_and_counted_together(allowed: int, folder: Path) -> None:
    pictures, noise = folder / f"torn{allowed}", np.random.default_rng(0)
    for split, count in (("train", 48), ("validation", 4), ("test", 4)):
        (pictures / split).mkdir(parents=True)
        for number in range(count):
            whole = split != "train" or number % 12 != 5
            (pictures / split / f"{number:02}.pgm").write_bytes(b"P5 4 4 255\n" + noise.bytes(16 if whole else 9))
    script = """
import sys
from nextpixel.cli import main
from nextpixel.data.readers import encoded
encoded.MOST_IN_MEMORY, encoded._SAMPLE = 0, 4
sys.exit(main())
"""
    (folder / "ondisk.py").write_text(script)
    words = ["train", "recipe.yaml", "--out", f"t{allowed}", "--data.name", pictures, "--model.context", "none"]
    words += ["--training.batch", 8, "--training.validate_every", 1, "--training.unreadable", allowed]
    done = call([*TORCHRUN, "ondisk.py"], *words, cwd=folder, check=False)
    named = re.findall(
        r"(\d\d)\.pgm cannot be read as an image [^:;]*: another stands in", " ".join(done.stderr.split())
    )
    if allowed == 4:
        assert done.returncode == 0, done.stderr
        assert sorted(named) == ["05", "17", "29", "41"]
    else:
        assert done.returncode != 0
        assert "training.unreadable allows for 2 such" in done.stderr
        assert len(sentences(done.stderr)) == 1


@pytest.fixture
def running(folder: Path) -> Iterator[tuple[forked.Command, Path]]:
    """A long run of two processes that has saved something."""
    run = folder / "long"
    shutil.rmtree(run, ignore_errors=True)
    process = forked.Command([*TWO, "train", "recipe.yaml", "--out", "long", "--training.epochs", "2000"], cwd=folder)
    for _ in range(600):
        if (run / "state.safetensors").exists():
            break
        time.sleep(0.1)
    yield process, run
    if process.returncode is None:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def test_one_process_killed_ends_the_other_with_a_sentence(running: tuple, folder: Path) -> None:
    process, run = running
    began = time.monotonic()
    os.kill(forked.children(process.pid)[1], signal.SIGKILL)
    _, errors = process.communicate()
    assert time.monotonic() - began < 40
    assert process.returncode != 0
    assert len(sentences(errors)) <= 1  # torchrun may end the other one before it has noticed
    before = rows(run)[-1]["step"]
    epochs = int(before // 39) + 2
    call(TWO, "train", "long", "--resume", "--training.epochs", epochs, cwd=folder)
    assert rows(run)[-1]["step"] == 39 * epochs


def test_an_interruption_saves_and_the_run_goes_on_with_one_process(running: tuple, folder: Path) -> None:
    """SIGTERM; the other signals, to any of the processes, are in benchmarks/faults.py, which test_faults.py runs."""
    process, run = running
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert errors.count("long can be resumed") == 1
    step = int(errors.partition("Stopped at step ")[2].partition(";")[0])
    epochs = step // 39 + 2
    said = call(ONE, "train", "long", "--resume", "--training.epochs", epochs, cwd=folder).stderr
    assert "The run goes on with 1 in the place of 2 processes: sums may differ" in said
    assert rows(run)[-1]["step"] == 39 * epochs


def test_a_run_of_one_process_goes_on_with_two_and_says_what_may_differ(folder: Path) -> None:
    for command, name, count in ((ONE, "still-one", 0), (TWO, "now-two", 1)):
        shutil.copytree(folder / "one", folder / name)
        words = ["--resume", "--training.epochs", 3, "--training.validate_every", 0.5]
        said = call(command, "train", name, *words, cwd=folder).stderr
        assert said.count("The run goes on with 2 in the place of 1 processes: sums may differ") == count
    one, two = rows(folder / "still-one"), rows(folder / "now-two")
    assert [row["step"] for row in one] == [row["step"] for row in two] == [*range(1, 79), 80, 100, 117]
    for name in ("train_nats", "validation_nats"):
        assert [row[name] for row in one] == pytest.approx([row[name] for row in two], rel=1e-4), name


@pytest.fixture
def machines(folder: Path) -> Iterator[list[Callable[..., forked.Command]]]:
    """Two network namespaces, joined by a pair of virtual devices: what starts a command in each."""
    names = [f"np{os.getpid()}{side}" for side in "ab"]

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    try:
        for name in names:
            ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"network namespaces may not be made here: {error}")
    try:
        ip("link", "add", "va", "netns", names[0], "type", "veth", "peer", "name", "vb", "netns", names[1])
        for number, name in enumerate(names):
            ip("-n", name, "addr", "add", f"10.77.0.{number + 1}/24", "dev", f"v{'ab'[number]}")
            for device in ("lo", f"v{'ab'[number]}"):
                ip("-n", name, "link", "set", device, "up")

        def start(number: int, *words: object, **more: str) -> forked.Command:
            place = {"GLOO_SOCKET_IFNAME": f"v{'ab'[number]}", "OMP_NUM_THREADS": "1"}
            return forked.Command(words, cwd=folder, env={**os.environ, **place, **more}, network=names[number])

        yield [partial(start, number) for number in range(2)]
    finally:
        for name in names:
            end(name)
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def end(network: str) -> None:
    """Kill all that runs in a network namespace, torchrun and its process, as if the power had gone."""
    found = subprocess.run(["ip", "netns", "pids", network], capture_output=True, text=True, check=False)
    for process in found.stdout.split():
        os.kill(int(process), signal.SIGKILL)


def test_two_machines_train_together_and_one_notices_that_the_other_is_gone(machines: list, folder: Path) -> None:
    def start(*words: object) -> list[forked.Command]:
        place = ["--nnodes", 2, "--nproc-per-node", 1, "--master-addr", "10.77.0.1", "--master-port", 29417]
        ranks = enumerate(machines)
        return [run(*TORCHRUN[:2], *place, "--node-rank", rank, *ONE, "train", *words) for rank, run in ranks]

    run = folder / "far"
    first, second = start("recipe.yaml", "--out", "far", "--training.epochs", 2000)
    for _ in range(300):
        if (run / "state.safetensors").exists():
            break
        time.sleep(0.1)
    began = time.monotonic()
    end(second.network)
    _, errors = first.communicate()
    assert time.monotonic() - began < 30
    assert first.returncode not in (0, -signal.SIGALRM)
    assert "Another process of the run has ended; the run is saved at step" in errors
    second.communicate()
    epochs = int(rows(run)[-1]["step"] // 39) + 2
    again = start("far", "--resume", "--training.epochs", epochs)
    said = [process.communicate() for process in again]
    assert [process.returncode for process in again] == [0, 0], said
    assert [out for out, _ in said] == ["The run is in far; its best model is far/model.safetensors.\n", ""]
    assert rows(run)[-1]["step"] == 39 * epochs


def test_two_machines_that_the_recipe_asks_for(machines: list, folder: Path) -> None:
    """Without torchrun: each is given the same command, and where the first one is."""
    words = [*ONE, "train", "recipe.yaml", "--out", "near", "--training.nodes", 2]
    both = [run(*words, MASTER_ADDR="10.77.0.1", NODE_RANK=str(number)) for number, run in enumerate(machines)]
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sorted(out for out, _ in said) == ["", "The run is in near; its best model is near/model.safetensors.\n"]
    assert [row["train_nats"] for row in rows(folder / "near")] == pytest.approx(
        [row["train_nats"] for row in rows(folder / "one")], rel=1e-4
    )


def test_parts_together_are_the_batch() -> None:
    noise = np.random.default_rng(0)
    images = noise.integers(256, size=(50, 1, 3, 2)).astype(np.uint8)
    maps = noise.integers(4, size=(50, 1, 2, 2))
    for split in (Split(images, np.arange(50), binarise), Split(images, np.arange(50), maps=maps)):
        context = npx.ClassLabel(50) if split.maps is None else npx.Both(npx.ClassLabel(50), npx.Map(1, levels=4))
        batches = Batches(split, size=8, seed=1, context=context)
        for step in (0, 5, 7):
            whole, beside = batches[step]
            parts = [batches.part(step, slice(*ends)) for ends in ((0, 3), (3, 4), (4, 8))]
            assert torch.equal(torch.cat([part for part, _ in parts]), whole)
            if split.maps is None:
                assert torch.equal(torch.cat([given for _, given in parts]), beside)
            else:
                assert all(torch.equal(torch.cat([g[k] for _, g in parts]), beside[k]) for k in (0, 1))


@pytest.mark.parametrize(("batch", "size", "accumulate"), [(8, 1, 1), (7, 2, 1), (10, 2, 3), (5, 5, 1)])
def test_shares_of_a_batch_are_whole(batch: int, size: int, accumulate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    total = 0.0
    for rank in range(size):
        monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
        for part, share in _parts(batch, size, accumulate):
            taken += range(batch)[part]
            assert share * batch == pytest.approx(len(range(batch)[part]))
            total += share
    assert taken == [*range(batch)]
    assert total == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("pixelcnn", {"layers": 1, "norm": "batch"}, "Batch norm needs a batch whole"),
        ("pixelvae", {"blocks": 1, "spread": 1.0}, r"model\.spread needs a batch whole"),
        ("pixelvae", {"blocks": 1, "free_bits": 0.1}, r"model\.free_bits needs a batch whole"),
    ],
)
def test_what_needs_whole_batches(tmp_path: Path, name: str, arguments: dict[str, Any], sentence: str) -> None:
    data = open_data("digits")
    model = npx.build(name, data.spec, filters=4, **arguments)
    with pytest.raises(npx.BadInput, match=sentence):
        npx.train(model, data, out=tmp_path / "a", settings=npx.Training(accumulate=2))


def test_latent_draws_and_warm_up_are_those_of_one_process(folder: Path) -> None:
    words = ["train", "recipe.yaml", "--model.name", "pixelvae", "--model.context", "none", "--model.warmup", 60]
    words += ["--model.latent", 4, "--training.epochs", 1, "--training.samples", 0]
    words += ["--training.validate_every", 0.5]
    words += ["--training.learning_rate", 1e-4]  # with larger steps, AVX-512's order of sums grows to 2e-4 of a loss
    runs = {"vae": ONE, "vae-two": TWO, "vae-parts": ONE}
    for name, command in runs.items():
        more = ["--training.accumulate", 3] if name == "vae-parts" else []
        call(command, *words, *more, "--out", name, cwd=folder)
    one, *others = (rows(folder / name) for name in runs)
    for other in others:
        assert [row["train_nats"] for row in other] == pytest.approx([row["train_nats"] for row in one], rel=1e-4)
    states = [npx.load(folder / name / "last.safetensors").state_dict()["batches"].item() for name in runs]
    assert states == [39, 39, 39]


def test_reading_orders_and_particles_are_those_of_one_process(folder: Path) -> None:
    words = ["train", "recipe.yaml", "--model.orders", 8, "--training.epochs", 1, "--training.samples", 0]
    words += ["--training.validate_every", 0.5]
    runs = {"ordered": ONE, "ordered-two": TWO}
    for name, command in runs.items():
        call(command, *words, "--out", name, cwd=folder)
        known = ["--known", "random:40%", "--particles", 5, "-n", 3, "--out", f"{name}.npz"]
        call(command, "complete", "ordered", *known, cwd=folder)
    one, two = (rows(folder / name) for name in runs)
    assert [row["train_nats"] for row in two] == pytest.approx([row["train_nats"] for row in one], rel=1e-4)
    made = [np.load(folder / f"{name}.npz")["images"] for name in runs]
    assert (made[0] == made[1]).all()


def test_of_several_processes_the_first_one_turns_the_dial(folder: Path) -> None:
    said = call(TWO, "train", "digits", "--minutes", 0.05, "--out", "dialled", "--data.limit", 300, cwd=folder)
    assert said.stderr.count("0.05 minutes for digits") == 1
    assert (folder / "dialled" / "model.safetensors").exists()


def test_two_processes_make_the_same_container_and_give_its_images(tmp_path: Path) -> None:
    spec = npx.ImageSpec(1, 64, 64)
    twin = npx.exact(npx.build("pixelcnn", spec, filters=2, layers=1), torch.zeros(2, *spec.shape).long())
    npx.save(twin, tmp_path / "exact.safetensors")
    images = np.arange(300 * 64 * 64, dtype=np.uint8).reshape(300, 64, 64) % 2  # in two blocks, as PNG
    np.savez(tmp_path / "x.npz", images=images, levels=2)
    for name, command in (("one", ONE), ("two", TWO)):
        call(command, "compress", "exact.safetensors", "x.npz", "--no-verify", "-o", f"{name}.npxc", cwd=tmp_path)
    assert (tmp_path / "one.npxc").read_bytes() == (tmp_path / "two.npxc").read_bytes()
    said = call(TWO, "decompress", "exact.safetensors", "two.npxc", "-o", "two.npz", cwd=tmp_path)
    assert said.stdout == "two.npz: 300 images.\n"
    assert (np.load(tmp_path / "two.npz")["images"][:, 0] == images).all()
