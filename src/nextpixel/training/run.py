"""The run folder: what a training run leaves on disk."""

import csv
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from nextpixel.errors import BadInput


@dataclass(frozen=True)
class Metrics:
    """A row of metrics.csv: one validation.

    Args:
        step: optimizer steps done.
        epoch: passes over the training images done.
        minutes: since the start, validation included.
        train_nats: mean loss since the last validation, nats per image, with the weights as they were.
        validation_nats: of the average weights, nats per image.
        validation_bits_per_dim: the same, in bits per sub-pixel.
        learning_rate: of the last step.
        images_per_second: in the steps since the last validation.
    """

    step: int
    epoch: float
    minutes: float
    train_nats: float
    validation_nats: float
    validation_bits_per_dim: float
    learning_rate: float
    images_per_second: float


class RunFolder:
    """A folder with these files.

        config.yaml          the recipe, complete; it can be trained again
        metrics.csv          a row a validation, see `Metrics`; events.* hold the same for TensorBoard
        model.safetensors    the average weights that did best in validation
        last.safetensors     the last average weights
        state.safetensors    what `resume` needs
        samples/*.png        images drawn by the average weights, named by step

    Args:
        path: is made when it does not exist.
        resume: whether to go on with what is there; otherwise the folder must be empty.

    Raises:
        BadInput: the folder cannot be written, or has files and `resume` is False, or has none and it is True.
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        self.path = path
        self.best, self.last, self.state = (path / f"{name}.safetensors" for name in ("model", "last", "state"))
        self._metrics = path / "metrics.csv"
        self._board = None
        if resume and not self.state.is_file():
            raise BadInput(f"{path} holds no run to resume: it has no {self.state.name}.")
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not resume and any(path.iterdir()):
                raise BadInput(f"{path} is not empty; give another folder, or resume the run that is there.")
            (path / "samples").mkdir(exist_ok=True)
        except OSError as error:
            raise BadInput(f"{path} cannot be written: {error.strerror}.") from error

    def configure(self, config: Mapping[str, Any]) -> None:
        """Write config.yaml."""
        self._write(self.path / "config.yaml", yaml.safe_dump(dict(config), sort_keys=False))

    def record(self, metrics: Metrics) -> None:
        """Add a row to metrics.csv and to TensorBoard."""
        row = asdict(metrics)
        new = not self._metrics.exists()
        with self._metrics.open("a", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(row), lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
        if self._board is None:
            from torch.utils.tensorboard import SummaryWriter  # imports much, and only training needs it

            self._board = SummaryWriter(str(self.path))
        for name, value in row.items():
            if name != "step":
                self._board.add_scalar(name, value, metrics.step)
        self._board.flush()

    def picture(self, step: int) -> Path:
        """Where the samples of a step go."""
        return self.path / "samples" / f"{step:08d}.png"

    def close(self) -> None:
        if self._board is not None:
            self._board.close()

    def _write(self, path: Path, text: str) -> None:
        beside = path.with_name(f".{path.name}.part")
        beside.write_text(text)
        beside.replace(path)
