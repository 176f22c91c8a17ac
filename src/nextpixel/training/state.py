"""All that a run needs to go on: a safetensors file of tensors, with the rest as JSON in its metadata."""

import math
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer, RMSprop

from nextpixel import sealed
from nextpixel.errors import BadInput, Damaged
from nextpixel.training.engine import divided, gathered
from nextpixel.training.muon import Muon, is_matrix


class MovingAverage:
    """An exponential moving average of a model's weights that does not remember where it began.

    After t updates the decay is min(decay, (1 + t) / (10 + t)), so the random initial weights, or zeros, have no part
    in the average of a short run, and it never spans much more than the last tenth of the updates.

    Args:
        model: whose parameters are averaged, and its running statistics, which belong to them.
        decay: the part of the average that a late update keeps; 0 for the weights themselves, 1 for no limit but that.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        kept = model.state_dict(keep_vars=True)
        statistics = {name: each for name, each in model.named_buffers() if name in kept and each.is_floating_point()}
        self._present = dict(model.named_parameters()) | statistics
        self.average = {name: tensor.detach().clone() for name, tensor in self._present.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take the present weights into the average."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for name, tensor in self._present.items():
            self.average[name].lerp_(tensor, 1 - decay)

    @contextmanager
    def in_place(self) -> Generator[None]:
        """Within this context the model has the average weights; afterwards its own again."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, tensor in self._present.items():
            present = tensor.clone()
            tensor.copy_(self.average[name])
            self.average[name].copy_(present)


@dataclass
class Position:
    """Where a run stands; a TypeError where a file says something else."""

    step: int  # optimizer steps done
    per_epoch: int  # steps in an epoch; the batch within the epoch is step % per_epoch
    minutes: float = 0.0  # spent so far, validation included
    best: float = float("inf")  # the lowest validation loss so far, in nats per image
    nats: float = 0.0  # the training loss summed over the steps since the last validation
    steps: int = 0  # how many steps these are
    row: dict[str, Any] | None = None  # the last one of metrics.csv
    learnt: dict[str, Any] | None = None  # what tells the data that it learns from (`data.learnt_from`)
    worse: int = 0  # validations since the best one
    threads: int | None = None  # that were chosen last, see `nextpixel.threads`
    processes: int = 0  # that trained last; 0 where that was not kept
    precision: str = ""  # of the last steps; "" where that was not kept
    stream: dict[str, Any] | None = None  # where a stream of images stands, see `Streamed`

    def __post_init__(self) -> None:
        counts = (self.step, self.per_epoch, self.steps, self.worse, self.threads or 0, self.processes)
        if (
            not all(type(count) is int and count >= 0 for count in counts)
            or not all(isinstance(a, int | float) and math.isfinite(a) for a in (self.minutes, self.nats, self.step))
            or not isinstance(self.best, int | float)
            or not isinstance(self.precision, str)
            or not (self.row is None or "step" in self.row)
        ):
            raise TypeError(f"no position of a run: {self}")

    @property
    def epoch(self) -> float:
        """Epochs done, with the fraction of the present one."""
        return self.step / self.per_epoch


@dataclass
class State:
    """The parts of a run that change, to be written to a file and read back."""

    model: nn.Module
    average: MovingAverage
    optimizer: Optimizer
    position: Position

    def save(self, path: Path, *, write: bool = True) -> None:
        """Write all of it to a file, at once or not at all; of a divided one all give their parts, and one writes."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.average.items()}
        for number, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": tensor for name, tensor in moments.items()}
        about = {**asdict(self.position), "updates": self.average.updates}
        tensors = {name: gathered(tensor) for name, tensor in tensors.items()}
        if write:
            sealed.write(path, tensors, key="training", about=about)

    def load(self, path: Path) -> None:
        """Take everything from a file that `save` wrote for the same model, optimizer and batch."""
        if not path.is_file():
            raise Damaged(f"{path} does not exist, so there is no run to resume.")
        file = sealed.Sealed(path, key="training")
        try:
            updates, position = file.about.pop("updates"), Position(**file.about)
            if position.per_epoch != self.position.per_epoch:
                steps = f"{position.per_epoch} steps in an epoch, not {self.position.per_epoch}"
                raise BadInput(f"{path} is of a run with {steps}: a run goes on with the data and batch it began with.")
            tensors = file.tensors()
            weights, averages, present = _under("model", tensors), _under("average", tensors), self.model.state_dict()
            self.model.load_state_dict(
                {name: divided(tensor, present.get(name, tensor)) for name, tensor in weights.items()}
            )
            for name, average in self.average.average.items():
                average.copy_(divided(averages[name], average))
            self.optimizer.load_state_dict(self._moments(_under("optimizer", tensors)))
        except BadInput:
            raise
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise BadInput(f"{path} is not the training state of this model with this optimizer.") from error
        self.average.updates, self.position = updates, position

    def _moments(self, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """Make the optimizer's state dictionary, with every moment in its parameter's memory format."""
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            number, _, key = name.partition(".")
            parameter = parameters[int(number)]
            if tensor.shape not in (parameter.shape, ()):
                raise ValueError(f"{name} is of another parameter")
            like = parameter if tensor.shape == parameter.shape else tensor
            state.setdefault(int(number), {})[key] = torch.empty_like(like).copy_(divided(tensor, like))
        if any(moments.keys() != _moments_of(parameters[number], self.optimizer) for number, moments in state.items()):
            raise ValueError("the moments are of another optimizer")
        return {**self.optimizer.state_dict(), "state": state}


def _moments_of(parameter: nn.Parameter, optimizer: Optimizer) -> set[str]:
    if isinstance(optimizer, Muon) and is_matrix(parameter):
        return {"step", "momentum"}
    return {"step", "square_avg"} if isinstance(optimizer, RMSprop) else {"step", "exp_avg", "exp_avg_sq"}


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")}
