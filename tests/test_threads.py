"""The choice of threads, with a clock that tells how long a lap would have taken."""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import nextpixel as npx
from nextpixel import threads
from nextpixel.threads import Threads

CPU = torch.device("cpu")


class Machine:
    """A clock that work moves: by `one` seconds with one thread, by `every` with two."""

    def __init__(self) -> None:
        self.now, self.one, self.every, self.used = 100.0, 1.0, 0.6, []

    def monotonic(self) -> float:
        return self.now

    def work(self) -> None:
        self.used.append(torch.get_num_threads())
        self.now += self.one if self.used[-1] == 1 else self.every


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    machine = Machine()
    monkeypatch.setattr(threads, "time", machine)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield machine
    torch.set_num_threads(before)


def laps(chooser: Threads, machine: Machine, count: int) -> list[int]:
    """The threads of each of some laps."""
    machine.used = []
    with chooser:
        for _ in range(count):
            machine.work()
            chooser.lap()
    return machine.used


def test_the_quicker_number_is_kept_after_a_trial(machine: Machine) -> None:
    assert laps(Threads("a lap", CPU, laps=2, margin=1.2), machine, 9) == [1, 1, 1, 1, 2, 2, 2, 2, 2]
    machine.every = 1.3
    assert laps(Threads("a lap", CPU, laps=2, margin=1.2), machine, 9) == [1, 1, 1, 1, 2, 2, 1, 1, 1]
    assert torch.get_num_threads() == 2


def test_within_the_margin_all_threads_are_kept(machine: Machine) -> None:
    machine.every = 1.4
    assert laps(Threads("a lap", CPU, laps=1, margin=1.5), machine, 5) == [1, 1, 2, 2, 2]


def test_what_is_very_slow_is_not_tried_to_the_end(machine: Machine) -> None:
    machine.every = 200.0
    assert laps(Threads("a lap", CPU, laps=10, margin=1.2), machine, 25) == [1] * 20 + [2] + [1] * 4


def test_it_is_tried_again_after_a_minute_or_when_a_trial_is_cheap(machine: Machine) -> None:
    chooser = Threads("a lap", CPU, laps=1, margin=1.5)
    machine.one, machine.every = 0.1, 1.0
    assert laps(chooser, machine, 5) == [1, 1, 2, 1, 1]
    machine.every = 0.06
    machine.now += 61
    assert laps(chooser, machine, 5) == [1, 1, 2, 2, 2]
    machine.every = 3.0  # a trial of more than three seconds comes again after 50 times as many
    machine.now += 61
    assert laps(chooser, machine, 3) == [1, 1, 2]
    machine.now += 61
    assert not chooser.trying
    machine.now += 200
    assert chooser.trying


def test_the_choice_of_an_earlier_run_is_taken_for_a_minute(machine: Machine) -> None:
    chooser = Threads("a lap", CPU, laps=1, margin=1.5, chosen=1)
    assert laps(chooser, machine, 3) == [1, 1, 1]
    machine.now += 61
    assert laps(chooser, machine, 5) == [1, 1, 2, 2, 2]


def test_nothing_is_tried_where_the_number_is_said_or_elsewhere(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert laps(Threads("a lap", torch.device("cuda"), laps=1, margin=1.5), machine, 4) == [2] * 4
    found: list[bool] = []
    other = threading.Thread(target=lambda: found.append(Threads("a lap", CPU, laps=1, margin=1.5).trying))
    other.start()
    other.join()
    assert found == [False]
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert laps(Threads("a lap", CPU, laps=1, margin=1.5, chosen=1), machine, 4) == [2] * 4


def test_a_trial_is_logged(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    machine.every = 2.0
    with caplog.at_level(logging.INFO, "nextpixel"):
        laps(Threads("a lap", CPU, laps=1, margin=1.2), machine, 3)
    assert caplog.messages == ["a lap: 1 of 2 threads; 1 s with one, 2 s with all"]


def test_samples_do_not_depend_on_a_trial_and_leave_the_number_as_it_was(machine: Machine) -> None:
    model = npx.build("gated_pixelcnn", npx.ImageSpec(1, 6, 5, 4), filters=8, blocks=2).double()
    images = model.sample(3, seed=1)
    torch.set_num_threads(1)
    assert torch.equal(images, model.sample(3, seed=1))
    torch.set_num_threads(2)
    with pytest.raises(ZeroDivisionError):
        model.unroll(lambda site, distribution: 1 // 0, 1)
    assert torch.get_num_threads() == 2


_TRAINED = """
import json, sys, torch
import nextpixel as npx
from nextpixel.threads import Threads
torch.set_num_threads(2)
asked = json.loads(sys.argv[1])
tried = []
lap = Threads.lap
def told(self):
    due = self._due
    lap(self)
    if self._due != due:  # a trial has ended
        self.chosen = asked["chosen"]
        self.start()
        tried.append(self._what)
Threads.lap = told
data = npx.open_data("digits")
torch.manual_seed(0)
model = npx.build(asked["name"], data.spec, filters=8, blocks=2, **asked["arguments"])
settings = npx.Training(epochs=asked["epochs"], batch=256, samples=0, precision="fp32", validation_images=64)
npx.train(model, data, out=asked["out"], settings=settings, resume=asked["resume"])
print(json.dumps(tried.count("a training step")))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments"), [("gated_pixelcnn", {"dropout": 0.2}), ("residual_pixelcnn", {"norm": "batch"})]
)
def test_a_trial_changes_nothing_of_a_run_and_a_resumed_one_keeps_its_choice(
    name: str, arguments: dict, tmp_path: Path
) -> None:
    """In processes that may use two threads; of dropout and of batch norm's statistics a trial must take nothing."""

    def trained(out: str, *, chosen: int, epochs: int = 2, resume: bool = False, **environment: str) -> int:
        about = {"name": name, "arguments": arguments, "out": str(tmp_path / out), "resume": resume}
        asked = json.dumps({**about, "chosen": chosen, "epochs": epochs})
        words = [sys.executable, "-c", _TRAINED, asked]
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
        return json.loads(done.stdout.splitlines()[-1])

    assert trained("a", chosen=2) == 1
    assert trained("b", chosen=2, OMP_NUM_THREADS="2") == 0  # no trial
    states = [npx.load(tmp_path / run / "last.safetensors").state_dict() for run in ("a", "b")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert trained("c", chosen=1, epochs=1) == 1
    assert trained("c", chosen=2, resume=True) == 0
    for run, number in (("a", "2"), ("c", "1")):
        rows = (tmp_path / run / "metrics.csv").read_text().splitlines()
        column = rows[0].split(",").index("threads")
        assert {row.split(",")[column] for row in rows[1:]} == {number}
