"""Rough command lines: each ends in one sentence, at once, and nothing is written."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

GREAT = "99999999999999999999999"
LONG = "a" * 5000
NOT_WHOLE = ("1000000000000000000000000000000", "1e3", "１２", "1_000", "+5", " 5 ", "0x10", "5.0", "-1", GREAT * 300)
NOT_POSITIVE = ("0", "-1", "nan", "inf", "1e400", "1e-320", "1e-7", "1_0", "１", " 1", "0x1", "1e7")

LINES: list[tuple[str, str]] = [
    *[(f"sample RUN|-n|{value}", "is not a whole number of at least 1 and at most 1000000000") for value in NOT_WHOLE],
    *[(f"sample RUN|--temperature|{value}", "is not a number above 0, from 1e-6 to 1e6") for value in NOT_POSITIVE],
    *[
        (f"{verb} RUN|--seed|{GREAT}", "is not a whole number of at least 0 and at most 9223372036854775807")
        for verb in ("sample", "evaluate", "complete --known top-half", "plot receptive-field", "plot figure")
    ],
    ("sample RUN -n 1000000000", "1,000,000,000 images 1x4x5 with 3 levels need 298 GiB of memory, but there are"),
    ("sample RUN -n 30000000", "A picture of 30,000,000 images 1x4x5 with 3 levels is too large to look at; lower -n"),
    ("sample RUN --label 0-99999999999999999999", "no class '99999999999999999999'"),
    ("sample RUN --label ,", "There is no class ''; the model knows classes 0 to 1."),
    ("sample RUN --label １", "There is no class '１'"),
    (f"sample {LONG}", "cannot be used: File name too long."),
    (f"sample RUN --out {LONG}.png", "cannot be used: File name too long."),
    ("sample FIFO", "There is no model at"),
    ("complete RUN --known top-half --completions 1000000000", "need 1,490 GiB of memory"),
    ("complete RUN --known top-half --completions 9999999", "A picture of 49,999,995 images"),
    (f"complete RUN --known top-half -n {GREAT}", "is not a whole number"),
    ("complete RUN FIFO --known top-half", "There is no file or folder"),
    ("complete RUN --known FIFO", "the file of a mask, not"),
    ("complete RUN --known FOLDER", "the file of a mask, not"),
    (f"complete RUN --known {LONG}", "cannot be used: File name too long."),
    ("complete RUN --known random:１０%", "from 0 to 100 %, not"),
    ("complete RUN --known random:-1%", "from 0 to 100 %, not"),
    ("complete RUN --known random:1e1%", "from 0 to 100 %, not"),
    (f"complete RUN {LONG} --known top-half", "cannot be used: File name too long."),
    ("evaluate RUN --images 1e3", "is not a whole number"),
    ("score RUN --out a.txt", "must end in .png or .jpg or .jpeg or .webp or .npz or .csv, not a.txt."),
    ("score RUN --out nowhere/a.csv", "There is no folder nowhere"),
    ("evaluate RUN --data FIFO", "There is no file or folder"),
    ("data show FIFO", "There is no file or folder"),
    ("evaluate RUN --data ~nouser", "There is no file or folder ~nouser."),
    ("evaluate RUN --data mnist --data-root ~nouser", "~nouser"),
    (f"evaluate RUN --data {LONG}", "a name on a disk has at most 255 bytes"),
    ("evaluate RUN --device cuda:99", "There is no device 'cuda:99' here"),
    ("app RUN --host 300.1.1.1", "This machine has no address 300.1.1.1; 127.0.0.1 is for itself"),
    ("models nothing", "There is no model 'nothing'; nextpixel models lists what there is"),
    ("evaluate /dev/null", "There is no model at"),
    ("plot receptive-field RUN --pixel 99999999999999999999,0", "is not a pixel r,c such as 14,7"),
    ("plot receptive-field RUN --pixel １,2", "is not a pixel r,c such as 14,7"),
    ("plot receptive-field RUN --pixel 999999999999999999,0", "is outside of the image"),
    (f"plot receptive-field RUN --channel {GREAT}", "is not a whole number"),
    ("plot curves /dev/null", "The run /dev/null has no metrics"),
    ("train digits --data.name ~nobody-here/x.npz", "There is no file or folder ~nobody-here/x.npz"),
    ("train digits --data.name ~nobody-here", "There is no file or folder ~nobody-here"),
    ("train mnist-binary --data.root ~nobody-here", "The data root ~nobody-here is not a folder"),
    ("evaluate RUN --data ~nobody-here", "There is no file or folder ~nobody-here"),
    (f"data show digits -n {GREAT}", "is not a whole number"),
    (
        f"import pixelcnnpp FIFO -o m.safetensors --height {GREAT}",
        "is not a whole number of at least 1 and at most 16384",
    ),
    ("import pixelcnnpp FIFO -o m.safetensors", "There is no file"),
    ("train FIFO", "There is no recipe"),
    ("train FOLDER", "There is no recipe"),
    (f"train {LONG}", "cannot be used: File name too long."),
    ("train /dev/null", "There is no recipe /dev/null."),
]


@pytest.mark.parametrize(("line", "sentence"), LINES, ids=[line[:60] for line, _ in LINES])
def test_rough_command_lines(
    line: str, sentence: str, refused: Callable[..., Any], labelled: Path, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo.png")
    places = {"RUN": labelled, "FIFO": tmp_path / "fifo.png", "FOLDER": tmp_path}
    head, *values = line.split("|")  # values may have spaces in them
    assert sentence in refused(*[places.get(word, word) for word in head.split()], *values)


PICKLES = {
    "a command": b"cos\nsystem\n(S'true'\ntR.",
    "a deep one": b"(" * 100_000,
    "a wrong memo": b"\x80\x02h\x05.",
    "an empty stack": b"\x80\x020.",
    "a number": b"\x80\x02K\x05.",
    "keys that are no names": b"\x80\x02}K\x01K\x02s.",
    "cut": b"\x80\x02}(",
    "a long length": b"\x80\x02\x8a\xff",
    "a text": b"weights",
    "nothing": b"",
    "an archive": b"PK\x03\x04",
    "a header that is too large": b"\xff" * 64,
}


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("kind", PICKLES)
def test_hostile_weights(kind: str, suffix: str, refused: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / f"weights.{suffix}"
    path.write_bytes(PICKLES[kind])
    said = refused("import", "pixelcnnpp", path, "-o", "m.safetensors")
    assert "weights_only" not in said  # torch's hint is how to run the pickle
    assert "is not a state dict of tensors alone" in said or "not the state dict of a model" in said


@pytest.mark.parametrize("row", ["1,nan", "1,inf", "x,1", "1", "\0", "\udcff", ""])
def test_damaged_metrics(row: str, refused: Callable[..., Any], tmp_path: Path) -> None:
    head = "epoch,step,minutes,train_nats,validation_nats,validation_bits_per_dim"
    values = f"1,1,1,1,{row}" if "," in row else row
    (tmp_path / "metrics.csv").write_text(f"{head}\n{values}\n", encoding="utf-8", errors="surrogateescape")
    said = refused("plot", "curves", tmp_path)
    assert "does not hold the metrics of a run" in said


def test_runs_without_metrics_are_left_out_of_several(
    call: Callable[..., Any], refused: Callable[..., Any], plain: Path, tmp_path: Path
) -> None:
    assert "has no metrics: there is no" in refused("plot", "curves", tmp_path, tmp_path / "another")
    said = call("plot", "curves", tmp_path, plain)
    assert (said.status, said.err) == (0, f"{tmp_path} has no metrics.\n")
    assert said.out == f"The curves of {plain}: curves.png\n"


@pytest.mark.parametrize("temperature", ["1e-6", "1e6"])
def test_the_ends_of_what_is_allowed(temperature: str, call: Callable[..., Any], plain: Path) -> None:
    seed = 2**63 - 1
    said = call("sample", plain, "-n", 3, "--temperature", temperature, "--seed", seed, "--out", "a.npz")
    assert said.status == 0, said.err
    assert np.load("a.npz")["images"].max() <= 2
    assert call("evaluate", plain, "--seed", seed, "--images", 10**9).status == 0
