"""What becomes of a run that is killed, signalled, out of room or damaged: faults, counted.

    python benchmarks/faults.py --out docs/faults.md    # all of it, some 25 minutes on two cores that others use too
    python benchmarks/faults.py --parts kill files --trials 5

Each fault is followed by what a user would do next: resume, start again, make room. What then ends as it would have
without the fault is compared by bytes. A traceback of ours, other weights,
or damage that nobody mentions are marked as defects, and then the exit status is 1.
"""

import argparse
import contextlib
import json
import mmap
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from datetime import date
from functools import partial
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # commands are forked, which threads would not survive

import lightning_fabric.strategies.ddp  # noqa: F401 (what commands import, before they are forked)
import torch
import torch.utils.tensorboard

import forked
import nextpixel.cli.drawing
import nextpixel.cli.train  # noqa: F401 (the same)
from nextpixel import cli, sealed
from nextpixel.training.loop import _Loop

RECIPE = """
model: {name: gated_pixelcnn, likelihood: categorical, filters: 12, blocks: 2, head: 16, dropout: 0.2}
data: {name: digits, limit: 70}
training: {epochs: 2, batch: 8, samples: 4, precision: fp32, validate_every: 0.5, validation_images: 20,
           save_every: 1e-9}
"""
WIDE = ["--model.filters", "32", "--model.head", "48"]  # a first save takes 1.3 MiB, the next ones 2.2
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN = "begun again, as nothing was saved"
FELL_BACK = "The run goes on from the state that was saved before"
SILENT, TRACEBACK = "DEFECT: accepted silently", "DEFECT: traceback"

Outcome = str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=tuple(PARTS), default=[*PARTS])
    parser.add_argument("--trials", type=int, help="of each fault, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, metavar="FILE", help="a page for the table; else it is printed")
    parser.add_argument("--within", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.within:
        print(json.dumps(_small_disk(options.within, options.trials or 12, random.Random(options.seed))))
        return
    lines = ["| fault | trials | what came of it |", "|---|---|---|"]
    with tempfile.TemporaryDirectory() as name:
        for part in options.parts:
            folder = Path(name) / part
            folder.mkdir()
            (folder / "recipe.yaml").write_text(RECIPE)
            for fault, found in PARTS[part](folder, options.trials, random.Random(options.seed)):
                told = "; ".join(f"{count} {what}" for what, count in Counter(found).most_common())
                lines.append(f"| {fault} | {len(found)} | {told} |")
                print(lines[-1], file=sys.stderr, flush=True)
    table = "\n".join(lines)
    if options.out is None:
        print(table)
    else:
        command = " ".join(["python benchmarks/faults.py", *sys.argv[1:]])
        options.out.write_text(PAGE.format(command=command, day=date.today().isoformat(), table=table))
    sys.exit("DEFECT" in table)


def kills(folder: Path, trials: int | None, noise: random.Random) -> Iterator[tuple[str, list[Outcome]]]:
    """kill -9, and the signals that ask a run to stop, at any moment."""
    done = mmap.mmap(-1, 8)  # steps that the child has done, shared with it
    whole = _whole(folder)
    began = time.monotonic()
    _start("train", folder / "recipe.yaml", "--out", folder / "another").wait()
    seconds = time.monotonic() - began
    usual = _Loop.step

    def counted(self: _Loop) -> None:
        usual(self)
        done[:] = struct.pack("q", self.position.step)

    _Loop.step = counted
    try:
        for numbers, fault in (((signal.SIGKILL,), "kill -9 at a random moment"), (SIGNALS, "SIGINT, SIGTERM, SIGHUP")):
            found, out = [], folder / "run"
            while len(found) < (trials or 30):
                number = numbers[len(found) % len(numbers)]
                done[:] = struct.pack("q", 0)
                child = _start("train", folder / "recipe.yaml", "--out", out)
                time.sleep(noise.uniform(0, seconds))
                os.kill(child.pid, number)
                status, _ = child.wait()
                if status == 0:  # it was done
                    shutil.rmtree(out)
                    continue
                saved = _step(out)
                lost = struct.unpack("q", done[:])[0] - saved
                expected = (-number,) if number == signal.SIGKILL or not saved else (130,)
                if status not in expected and not (status == 130 and not saved):
                    found.append(f"DEFECT: ended with status {status}")
                elif lost > (number == signal.SIGKILL):
                    found.append(f"DEFECT: lost {lost} steps")
                else:
                    after = AGAIN if not saved else f"resumed, {'one step' if lost else 'nothing'} lost"
                    found.append(_end(out, folder / "recipe.yaml", whole, after))
                shutil.rmtree(out, ignore_errors=True)
            yield f"{fault}, of a run that saves at every step", found
    finally:
        _Loop.step = usual


def files(folder: Path, trials: int | None, noise: random.Random) -> Iterator[tuple[str, list[Outcome]]]:
    """Byte ranges that are missing and bits that are flipped in what a run has saved."""
    run = _whole(folder)
    kept = {name: (run / name).read_bytes() for name in ("state.safetensors", "state.previous", "model.safetensors")}
    resume = ["train", run, "--resume", "--training.epochs", "3", "--training.validate_every", "3"]

    def damaged(content: bytes, *, cut: bool) -> bytes:
        if cut:
            first, last = sorted(noise.randrange(len(content) + 1) for _ in range(2))
            return content[:first] + content[max(last, first + 1) :]
        bits, bad = 8 * len(content), bytearray(content)
        # Half of them in what stands before the tensors, which is a small part of a large model.
        bit = noise.randrange(noise.choice([bits, 8 * (8 + int.from_bytes(content[:8], "little"))]))
        bad[bit // 8] ^= 1 << bit % 8
        return bytes(bad)

    for name, others, words in (
        ("state.safetensors", ["state.previous"], resume),
        ("state.safetensors", [], resume),
        ("model.safetensors", [], ["sample", run, "-n", "1", "--out", folder / "a.png"]),
    ):
        for cut, count in ((True, 50), (False, 200)):
            found = []
            for _ in range(trials or count):
                for each in kept:
                    (run / each).unlink(missing_ok=True)
                    if each not in ("state.safetensors", "state.previous") or each in (name, *others):
                        (run / each).write_bytes(kept[each])
                (run / name).write_bytes(damaged(kept[name], cut=cut))
                status, said = _start(*words).wait()
                if status == 0 and FELL_BACK in said:
                    found.append("resumed from the state before, which is said")
                else:
                    found.append(_refused(status, said, name) if status else SILENT)
            what = "a random range of bytes cut out" if cut else "a random bit flipped"
            beside = " (state.previous is there)" if others else " (alone)" if name[0] == "s" else ""
            yield f"`{name}`{beside}: {what}", found


def disk(folder: Path, trials: int | None, noise: random.Random) -> Iterator[tuple[str, list[Outcome]]]:
    """A disk of 2 MiB that gets full, and one that cannot be written."""
    within = f'mount -t tmpfs -o size=2m none "{folder}" && exec "$@"'
    command = ["unshare", "-rm", "sh", "-c", within, "sh", sys.executable, __file__, "--within", str(folder)]
    command += ["--seed", str(noise.randrange(2**31))] + ([] if trials is None else ["--trials", str(trials)])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        yield f"full or read-only disk: not tried, as no file system may be mounted here ({done.stderr[-80:]!r})", []
    else:
        yield from json.loads(done.stdout).items()


def _small_disk(folder: Path, trials: int, noise: random.Random) -> dict[str, list[Outcome]]:
    """What happens on the disk that is mounted there, in a namespace of our own."""
    recipe, out = folder / "recipe.yaml", folder / "run"
    found: dict[str, list[Outcome]] = {}

    def mount(options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)

    mount("size=99m")
    recipe.write_text(RECIPE)
    whole = {2: _whole(folder, *WIDE, two=True), 1: _whole(folder, *WIDE)}
    for processes, count in ((1, trials), (2, max(1, trials // 3))):
        for number in range(count):
            mount("size=99m")
            shutil.rmtree(out, ignore_errors=True)
            used = sum(each.stat().st_blocks * 512 for each in folder.rglob("*"))
            # Room for all but the last files, or for less.
            size = used + int(2 * 2**20 * (1 if number == 0 else noise.random()))
            mount(f"size={size}")
            words = ["train", recipe, "--out", out, *WIDE]
            status, said = _two(*words) if processes == 2 else _start(*words).wait()
            what = _refused(status, said, "cannot be written", statuses=(1,) if processes == 2 else (2,))
            mount("size=99m")
            if what.startswith("refused"):
                after = f"{what}, then {'resumed' if _step(out) else AGAIN}"
                what = _end(out, recipe, whole[processes], after, *WIDE, two=processes == 2)
            found.setdefault(f"disk of at most 2 MiB gets full, {_count(processes)}", []).append(what)
    for processes in (1, 2):
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(whole[1], out)
        mount("ro")
        results = []
        for words in (
            ["train", recipe, "--out", folder / "new"],
            ["train", out, "--resume", "--training.epochs", "3"],
            ["sample", out, "-n", "1", "--out", folder / "a.png"],
        ):
            status, said = _two(*words) if processes == 2 else _start(*words).wait()
            results.append(_refused(status, said, str(folder), statuses=(1,) if processes == 2 else (2,)))
        mount("rw")
        found[f"read-only file system: a new run, a resumed run, samples; {_count(processes)}"] = results
    return found


def several(folder: Path, trials: int | None, noise: random.Random) -> Iterator[tuple[str, list[Outcome]]]:
    """Two processes under torchrun: a second run in the same folder, signals, kills before the first save."""
    recipe, out = folder / "recipe.yaml", folder / "run"
    long = ["train", recipe, "--out", out, "--training.epochs", "2000"]
    found: list[Outcome] = []
    with _running(*long, until=out / "state.safetensors") as process:
        for words, run in (
            (["train", recipe, "--out", out], _two),
            (["train", out, "--resume"], _two),
            (["train", out, "--resume"], None),
        ):
            status, said = run(*words) if run else _start(*words).wait()
            found.append(_refused(status, said, "is training in|is not empty", statuses=(1,) if run else (2,)))
        os.kill(process.pid, signal.SIGTERM)
        process.wait()
    yield "a second run in the folder of one that runs: two processes new, two and one resumed", found
    for place in ("torchrun", "the first process", "the second process", "all at once, as Ctrl-C in a terminal"):
        found = []
        for number in SIGNALS[: trials or 3]:
            shutil.rmtree(out, ignore_errors=True)
            with _running(*long, until=out / "state.safetensors") as process:
                time.sleep(noise.uniform(0, 1))
                own = forked.children(process.pid)
                if place.startswith("all"):
                    os.killpg(process.pid, number)
                else:
                    target = {"torchrun": process.pid, "the first process": own[0], "the second process": own[1]}
                    os.kill(target[place], number)
                status, said = process.wait(120)
            saved, told = _step(out), said.count("can be resumed")
            stopped = int(said.partition("Stopped at step ")[2].partition(";")[0] or -1)
            epochs = str(saved // 8 + 1)
            again, _ = _start("train", out, "--resume", "--training.epochs", epochs).wait()
            good = told == 1 and stopped == saved and again == 0 and "nextpixel/cli/__init__" not in said
            what = f"saved, said once, resumed; torchrun's status {status}"
            found.append(
                what
                if good
                else f"DEFECT: {number.name}: said {told} times, stopped at {stopped}, saved at {saved}, {again}"
            )
        yield f"SIGINT, SIGTERM, SIGHUP to {place}", found
    whole, found = _whole(folder, two=True), []
    for number in range(min(trials or 4, 4)):
        shutil.rmtree(out, ignore_errors=True)
        with _running("train", recipe, "--out", out, until=out / ".lock") as process:
            time.sleep(noise.uniform(0, 0.3))
            own = forked.children(process.pid)
            os.kill(own[number % 2], signal.SIGKILL)
            process.wait(120)
        after = "resumed" if _step(out) else AGAIN
        found.append(_end(out, recipe, whole, after, two=True))
    yield "kill -9 of one of two processes at the start of a run", found


class _Command:
    """A command of ours in a process forked from this one, where all is imported, or in several that are one run."""

    def __init__(self, *words: object, processes: int = 1, torchrun: bool = False) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (until `wait`)
        asked = [str(word) for word in words]
        with socket.create_server(("127.0.0.1", 0)) as free:
            ranks = forked.ranked(1 if torchrun else processes, free.getsockname()[1])

        def main(rank: dict[str, str]) -> object:
            os.environ.update(rank)
            if torchrun:
                return forked.torchrun(*forked.TORCHRUN[2:], str(processes), "-m", "nextpixel.cli", *asked)
            return cli.main(asked)

        self._forks = [forked.Fork(partial(main, rank), [self._said, self._said]) for rank in ranks]
        self.pid = self._forks[0].pid

    def ended(self) -> bool:
        """Whether the first process has."""
        return self._forks[0].poll() is not None

    def wait(self, timeout: float = 300) -> tuple[int, str]:
        """The exit status, the worst of several, and what was said."""
        statuses = [fork.wait(timeout) for fork in self._forks]
        self._said.seek(0)
        return max(statuses, key=abs), self._said.read().decode()


_start: Callable[..., _Command] = _Command


def _two(*words: object) -> tuple[int, str]:
    """The same of two processes under torchrun, which ends all when one ends."""
    return _start(*words, processes=2, torchrun=True).wait()


@contextlib.contextmanager
def _running(*words: object, until: Path) -> Generator[_Command]:
    """Two processes under torchrun that have made that file."""
    process = _start(*words, processes=2, torchrun=True)
    try:
        for _ in range(1200):
            if until.exists() or process.ended():
                break
            time.sleep(0.05)
        assert until.exists(), process.wait()
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _whole(folder: Path, *words: str, two: bool = False) -> Path:
    """A run that nothing happens to."""
    out = folder / ("whole-of-two" if two else "whole")
    asked = ["train", folder / "recipe.yaml", "--out", out, *words]
    status, said = _start(*asked, processes=1 + two).wait()
    assert status == 0, said
    return out


def _end(out: Path, recipe: Path, whole: Path, after: str, *words: str, two: bool = False) -> Outcome:
    """Go on with a run, or begin it again, to its end."""
    saved = (out / "state.safetensors").exists() or (out / "state.previous").exists()
    asked = ["train", out, "--resume"] if saved else ["train", recipe, "--out", out, *words]
    status, said = _start(*asked, processes=1 + two).wait()
    if status == 2 and "is finished, after" in said:  # killed when all was saved
        status, after = 0, "was done"
    if status:
        return TRACEBACK if "Traceback" in said else f"DEFECT: ended with status {status}: {said[-200:]!r}"
    same = all(
        (out / name).read_bytes() == (whole / name).read_bytes() for name in ("model.safetensors", "last.safetensors")
    )
    return f"{after}, and ended with the same bytes" if same else "DEFECT: ended with other weights"


def _refused(status: int, said: str, name: str, *, statuses: tuple[int, ...] = (2,)) -> Outcome:
    """Whether that is one sentence which names the file."""
    sentences = [line for line in said.splitlines() if line.startswith("nextpixel: ")]
    if status == 0:
        return "DEFECT: went on"
    if "nextpixel/cli/__init__" in said or len(sentences) != 1 or status not in statuses:
        return TRACEBACK if "Traceback" in said else f"DEFECT: {len(sentences)} sentences, status {status}"
    named = any(each in sentences[0] for each in name.split("|"))
    return f"refused in one sentence, status {status}" if named else f"DEFECT: {sentences[0]}"


def _step(out: Path) -> int:
    """The step that a run has saved."""
    state = out / "state.safetensors"
    return sealed.Sealed(state, key="training").about["step"] if state.exists() else 0


def _count(processes: int) -> str:
    return "one process" if processes == 1 else "two processes"


PARTS: dict[str, Callable[..., Iterator[tuple[str, list[Outcome]]]]] = {
    "kill": kills,
    "files": files,
    "disk": disk,
    "several": several,
}
PAGE = """# Faults, counted

Made by `{command}` on {day}.

After each fault the run is resumed, or begun again where nothing had been saved; "the same bytes" are those of the
models of a run that nothing happened to. Half of the flipped bits are among those before the tensors. A traceback,
other weights, or damage that nobody mentions would be marked DEFECT. torchrun has its own exit status, 1.

{table}
"""

if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
