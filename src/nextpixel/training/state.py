"""All that a run needs to go on: a safetensors file of tensors, with the rest as JSON in its metadata."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from nextpixel.errors import BadInput
from nextpixel.training.ema import MovingAverage


@dataclass
class Position:
    """Where a run stands.

    Args:
        step: optimizer steps done.
        per_epoch: steps in an epoch; the batch within the epoch is step % per_epoch.
        minutes: spent so far, validation included.
        best: the lowest validation loss so far, in nats per image.
        nats: the training loss summed over the steps since the last validation.
        steps: how many steps these are.
        worse: validations since the best one.
    """

    step: int
    per_epoch: int
    minutes: float = 0.0
    best: float = float("inf")
    nats: float = 0.0
    steps: int = 0
    worse: int = 0

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

    def save(self, path: Path) -> None:
        """Write all of it to a file, at once or not at all; torch's CPU generator, which draws the dropout, is part."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.average.items()}
        for number, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": tensor for name, tensor in moments.items()}
        tensors["generator"] = torch.get_rng_state()
        plain = {name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}
        about = {**asdict(self.position), "updates": self.average.updates}
        beside = path.with_name(f".{path.name}.part")
        save_file(plain, beside, metadata={"training": json.dumps(about)})
        beside.replace(path)

    def load(self, path: Path) -> None:
        """Take everything from a file that `save` wrote for the same model, optimizer and batch.

        Raises:
            BadInput: no such file, not one of ours, or of another model or batch.
        """
        tensors, about = _read(path)
        per_epoch = self.position.per_epoch
        try:
            updates, position = about.pop("updates"), Position(**about)
            if position.per_epoch != per_epoch:
                raise BadInput(
                    f"{path} is of a run with {position.per_epoch} steps in an epoch, not {per_epoch}: "
                    "a run goes on with the data and the batch that it began with."
                )
            generator = tensors.pop("generator")
            self.model.load_state_dict(_under("model", tensors))
            averages = _under("average", tensors)
            for name, average in self.average.average.items():
                average.copy_(averages[name])
            self.optimizer.load_state_dict(self._moments(_under("optimizer", tensors)))
        except (KeyError, TypeError, AttributeError, IndexError, RuntimeError) as error:
            raise BadInput(f"{path} is not the training state of this model.") from error
        self.average.updates, self.position = updates, position
        torch.set_rng_state(generator)

    def _moments(self, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """Make the optimizer's state dictionary, with every moment in its parameter's memory format."""
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            number, _, key = name.partition(".")
            parameter = parameters[int(number)]
            alike = torch.empty_like(parameter) if tensor.shape == parameter.shape else torch.empty_like(tensor)
            state.setdefault(int(number), {})[key] = alike.copy_(tensor)
        return {**self.optimizer.state_dict(), "state": state}


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")}


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not path.is_file():
        raise BadInput(f"{path} does not exist, so there is no run to resume.")
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["training"])
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118 - not a mapping
    except (SafetensorError, KeyError, ValueError) as error:
        raise BadInput(f"{path} is not a training state that nextpixel wrote.") from error
