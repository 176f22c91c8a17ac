"""The run folder: what a training run leaves on disk."""

import os
import re
import shutil
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np
import yaml
from PIL import Image

from nextpixel.errors import BadInput
from nextpixel.files import here, whole_file


@dataclass(frozen=True)
class Metrics:
    """A row of metrics.csv: one validation."""

    step: int  # optimizer steps done
    epoch: float  # passes over the training images done
    minutes: float  # since the start, validation included
    train_nats: float  # mean loss since the last validation, an image, with the weights as they were
    validation_nats: float  # of the average weights, an image
    validation_bits_per_dim: float  # the same, in bits per sub-pixel
    learning_rate: float  # of the last step
    images_per_second: float  # in the steps since the last validation
    threads: int  # of the processor that the last step took
    waiting: float  # share of the time of these steps that was spent waiting for images, in [0, 1]


# What a run makes before it saves.
OURS = (".lock", "config.yaml", "metrics.csv", "events.*", ".*.part", "samples", "samples/*.png", "samples/.*.part")


class RunFolder:
    """A folder with these files.

        config.yaml          the recipe, complete; it can be trained again
        metrics.csv          a row a validation, see `Metrics`; events.* hold the same for TensorBoard, with losses in
                             between and the samples
        model.safetensors    the average weights that did best in validation
        last.safetensors     the last average weights
        state.safetensors    what `resume` needs; state.previous the one before, should this one be damaged
        samples/*.png        images drawn by the average weights, named by step
        .lock                held by the process that trains here, for as long as it does

    Args:
        path: is made when it does not exist.
        resume: whether to go on with what is there; otherwise the folder must be empty, or hold no more than a run
            left that ended before it saved, which is removed.
        ours: False for a process that only looks, beside the one that writes.

    Raises:
        BadInput: the folder cannot be written, another process trains there, or what is there is not as `resume` says.
    """

    def __init__(self, path: Path, *, resume: bool, ours: bool = True) -> None:
        self.path = here(path)
        self.best, self.last, self.state = (path / f"{name}.safetensors" for name in ("model", "last", "state"))
        self.previous = path / "state.previous"
        self._metrics = path / "metrics.csv"
        self._board, self._from, self._lock = None, 0, None
        if not ours:
            return
        if resume and not self.state.is_file() and not self.previous.is_file():
            raise BadInput(f"{path} holds no run to resume: it has no {self.state.name}; start it, here or elsewhere.")
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not resume:
                self._left()  # before anything is written here; and again, as another process may be faster
            self._lock = _locked(path)
            for each in [*path.glob(".*.part"), *path.glob("samples/.*.part")] if resume else self._left():
                each.unlink()
            (path / "samples").mkdir(exist_ok=True)
        except BadInput:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise BadInput(f"{path} cannot be written: {error.strerror}.") from error

    def config(self) -> dict[str, Any]:
        """The settings of training that config.yaml names."""
        with suppress(OSError, UnicodeError, yaml.YAMLError):
            found = yaml.safe_load((self.path / "config.yaml").read_text("utf-8"))
            if isinstance(found, dict) and isinstance(found.get("training"), dict):
                return found["training"]
        return {}

    def configure(self, config: Mapping[str, Any]) -> None:
        """Write config.yaml."""
        self._write(self.path / "config.yaml", yaml.safe_dump(dict(config), sort_keys=False))

    def rewind(self, step: int, row: Mapping[str, Any] | None) -> None:
        """Go back to a step: metrics.csv keeps the rows up to it, each whole and once; the last one shall be `row`."""
        self._from = step + 1
        header, *lines = _lines(self._metrics) or [""]
        header = header if row is None else _line(*row)
        whole = re.compile(rf"(\d+)(,[-+.aefin\d]+){{{header.count(',')}}}\n")  # a step, and as many numbers beside it
        rows = filter(None, map(whole.fullmatch, reversed(lines)))
        kept = {number: found[0] for found in rows if (number := int(found[1])) <= step}
        if row is not None:
            kept[row["step"]] = _line(*row.values())
        if header:
            self._write(self._metrics, header + "".join(kept[number] for number in sorted(kept)))

    def record(self, metrics: Metrics) -> None:
        """Add a row to metrics.csv and to TensorBoard."""
        row = asdict(metrics)
        new = not self._metrics.exists() or self._metrics.stat().st_size == 0
        with self._writing(), self._metrics.open("a", encoding="utf-8") as file:
            file.write(_line(*row) * new + _line(*row.values()))
        self.log(row.pop("step"), row)

    def log(self, step: int, values: Mapping[str, float], picture: Image.Image | None = None) -> None:
        """Let TensorBoard show numbers, and the samples; without that extra, what is in the other files is all."""
        if find_spec("tensorboard") is None:
            return
        hook = threading.excepthook
        threading.excepthook = lambda _: None  # TensorBoard's thread would print what is raised here as well
        try:
            with self._writing():
                if self._board is None:
                    from torch.utils.tensorboard import SummaryWriter  # imports much, and only training needs it

                    self._board = SummaryWriter(str(self.path), purge_step=self._from or None)
                for name, value in values.items():
                    self._board.add_scalar(name, value, step)
                if picture is not None:
                    self._board.add_image("samples", np.asarray(picture), step, dataformats="HWC")
                self._board.flush()
        finally:
            threading.excepthook = hook

    @contextmanager
    def _writing(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise BadInput(f"The metrics in {self.path} cannot be written: {error.strerror or error}.") from error

    def keep_state(self) -> None:
        """Let the state be the previous one, before another takes its place; it stays where it is until then."""
        if self.state.is_file():
            with whole_file(self.previous) as beside:
                try:
                    os.link(self.state, beside)
                except OSError:  # a file system without links
                    shutil.copyfile(self.state, beside)

    def picture(self, step: int) -> Path:
        """Where the samples of a step go."""
        return self.path / "samples" / f"{step:08d}.png"

    def close(self) -> None:
        """Let other processes train here."""
        if self._board is not None:
            with suppress(OSError):  # a full disk has been told of
                self._board.close()
        if self._lock is not None:
            self._lock.close()

    def _left(self) -> list[Path]:
        """The files of a run that ended before it saved; the folder must have no others."""
        if self.state.exists() or self.previous.exists():
            how = "resume the run that is there (--resume, resume=True)"
            raise BadInput(f"{self.path} is not empty; give another folder, or {how}.")
        ours = OURS
        if (self.path / ".lock").exists() and len(_lines(self._metrics)) < 2:  # it was ended at its first validation
            ours = (*OURS, self.best.name, self.last.name)
        every, known = {*self.path.rglob("*")}, {each for pattern in ours for each in self.path.glob(pattern)}
        if others := every - known:
            what = f"{min(others).relative_to(self.path)} is not of a run to start again"
            raise BadInput(f"{self.path} is not empty, and {what}; give another folder.")
        return [*every - {self.path / "samples", self.path / ".lock"}]

    def _write(self, path: Path, text: str) -> None:
        with whole_file(path) as beside:
            beside.write_text(text, encoding="utf-8")


def _locked(path: Path) -> IO[str] | None:
    """The open file .lock, which no other process holds; it lets go of it however it ends."""
    try:
        import fcntl
    except ImportError:  # another kind of system
        return None
    file = (path / ".lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise BadInput(f"Another process is training in {path}; wait for it, or give another folder.") from error
    except OSError:  # a file system that has no locks
        pass
    return file


def _lines(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines(keepends=True) if path.is_file() else []


def _line(*values: object) -> str:
    return ",".join(f"{value:.6g}" if isinstance(value, float) else str(value) for value in values) + "\n"
