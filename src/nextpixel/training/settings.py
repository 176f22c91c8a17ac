"""What can be set about a training run, and what follows from it."""

import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from nextpixel.errors import BadInput, plain

LARGEST = {"samples": 2**16, "seed": 2**63 - 1, "warmup": 2**53}  # 2^31 − 1 of other whole numbers
Rule = tuple[str, Callable[[float], bool], str]
RULES: tuple[Rule, ...] = (
    ("at least 1", lambda value: value >= 1, "epochs batch devices nodes accumulate validation_images patience"),
    ("above 0", lambda value: value > 0, "max_minutes learning_rate gradient_clip validate_every save_every"),
    ("at least 0", lambda value: value >= 0, "warmup samples seed unreadable weight_decay"),
    ("at least 1e-30", lambda value: value >= 1e-30, "epsilon"),  # less is 0 in float32, and 0 / 0 no step
    ("above 0 and at most 1", lambda value: 0 < value <= 1, "decay"),
    ("at least 0 and below 1", lambda value: 0 <= value < 1, "ema"),
)


@dataclass(frozen=True)
class Training:
    """How a model is trained.

    A run that `max_minutes` may end is not reproducible to the bit: its learning rate follows the clock.

    Args:
        epochs: passes over the training images, at most.
        max_minutes: minutes, validation and samples included, after which the run ends, with one last validation;
            None for no limit. The cosine schedule reaches zero by then.
        batch: images in a step, of all processes together.
        devices: processes on this machine, each with a GPU where there are some, which `nextpixel train` starts by
            torchrun; where torchrun started it, its own count holds.
        nodes: machines, on each of which the same command is given, with MASTER_ADDR (of the first) and NODE_RANK set.
        strategy: "ddp", where each process has the whole model, or "fsdp", where weights, their average, gradients and
            moments are divided among the processes, and whole only while a step computes.
        accumulate: parts of a batch that are computed one after the other, for less memory; the step is the same.
        learning_rate: of the optimizer, at its highest.
        optimizer: "adam", "adamw" (weight decay apart from the gradient), "rmsprop" or "muon" (adamw, but matrices and
            kernels take steps of orthogonal directions, see `nextpixel.training.muon`; at adam's rates).
        betas: decay of the two moments that adam, adamw and muon keep, a step.
        epsilon: what these three add to the root of the second moment.
        weight_decay: of matrices and kernels; biases and gains are left alone.
        warmup: steps in which the learning rate rises linearly from zero; None for the first 5 % of the run.
        schedule: "cosine" falls to zero over the run, "exponential" by the factor `decay` a step, "constant" stays.
        decay: of the exponential schedule, above 0; 1 for no decay.
        gradient_clip: largest norm of the gradient of nats per image; None for no limit.
        ema: decay of the average of the weights that is validated and saved, a step; 0 for the weights themselves, None
            for an average over about the last tenth of the steps so far, however many there are.
        start: a trained model whose weights are the first ones: its file, run folder or name, as `npx.load` takes it.
            Settings must be the same, but dropout and names of classes; one reading order may become several. None for
            fresh weights.
        precision: "fp32", "bf16" (activations only), or "auto": bf16 where the device computes it clearly faster.
        non_finite: what a loss or a gradient that is not finite does: "stop" the run, or "skip" the step.
        unreadable: training images that turn out to be damaged and are left out (the next stands in, but in a stream),
            before the run saves and ends.
        validate_every: epochs between validations, which also save; 0.25 is four an epoch.
        save_every: minutes after which the state is saved between validations too.
        validation_images: at most so many, the first ones; None for all.
        patience: validations in a row without a better one after which the run ends; None for no end before its time.
        samples: images drawn at each validation into the run folder; 0 for none.
        seed: of the order of the images, of their noise and of dropout.
        compile: whether torch.compile makes the network faster; costs a minute at the start.

    Raises:
        BadInput: a value out of its range.
    """

    epochs: int = 10
    max_minutes: float | None = None
    batch: int = 64
    devices: int = 1
    nodes: int = 1
    strategy: Literal["ddp", "fsdp"] = "ddp"
    accumulate: int = 1
    learning_rate: float = 1e-3
    optimizer: Literal["adam", "adamw", "rmsprop", "muon"] = "adam"
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    warmup: int | None = None
    schedule: Literal["cosine", "exponential", "constant"] = "cosine"
    decay: float = 1.0
    gradient_clip: float | None = None
    ema: float | None = None
    start: str | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    non_finite: Literal["stop", "skip"] = "stop"
    unreadable: int = 10
    validate_every: float = 1.0
    save_every: float = 10.0
    validation_images: int | None = None
    patience: int | None = None
    samples: int = 64
    seed: int = 0
    compile: bool = False

    def __post_init__(self) -> None:
        for name in ("strategy", "optimizer", "schedule", "precision", "non_finite"):
            choices = get_args(self.__dataclass_fields__[name].type)
            if getattr(self, name) not in choices:
                raise BadInput(f"training.{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}.")
        for rule, holds, names in RULES:
            for name in names.split():
                self._set(name, self._checked(name, getattr(self, name), rule, holds))
        if isinstance(self.start, os.PathLike):
            self._set("start", os.fspath(self.start))
        if not isinstance(self.start, str | None):
            raise BadInput(f"training.start must be a model's file, run folder or name, not {self.start!r}.")
        if not isinstance(self.compile, bool):
            raise BadInput(f"training.compile must be true or false, not {self.compile!r}.")
        if self.compile and self.strategy == "fsdp":
            raise BadInput("training.compile is not for training.strategy fsdp; leave out one of them.")
        if self.optimizer == "muon" and self.strategy == "fsdp":
            raise BadInput("training.optimizer muon needs whole matrices, not strategy fsdp; take adamw or ddp.")
        if self.decay != 1 and self.schedule != "exponential":
            raise BadInput(
                f"training.decay is for the exponential schedule, but {self.decay} is given for {self.schedule}."
            )
        if not isinstance(self.betas, tuple | list) or len(self.betas) != 2:
            raise BadInput(f"training.betas must be two numbers, not {self.betas!r}.")
        below_1 = "at least 0 and below 1", lambda value: 0 <= value < 1
        self._set("betas", tuple(self._checked("betas", value, *below_1) for value in self.betas))
        if self.optimizer == "rmsprop" and (self.betas, self.epsilon) != ((0.9, 0.999), 1e-8):
            raise BadInput("training.betas and training.epsilon are for adam, adamw and muon; leave them to rmsprop.")

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _checked(self, name: str, given: Any, rule: str, holds: Callable[[float], bool]) -> Any:
        """A value of the right type and in range, as Python's own number, which YAML knows."""
        value, field = plain(given), self.__dataclass_fields__[name]
        if value is None and field.default is None:
            return None
        is_whole = field.type in (int, int | None)
        if isinstance(value, bool) or not isinstance(value, int if is_whole else int | float):
            raise BadInput(f"training.{name} must be {'a whole number' if is_whole else 'a number'}, not {value!r}.")
        most = LARGEST.get(name, 2**31 - 1 if is_whole else sys.float_info.max)
        if not holds(value) or not value <= most:
            limit = f" and at most {most}" if value > most and value != math.inf else ""
            raise BadInput(f"training.{name} must be {rule}{limit}, not {value}.")
        return value

    def progress(self, step: int, steps: int, minutes: float, *, reserve: float = 0.0) -> float:
        """Tell the part of the run that is behind us, in [0, 1]: of its steps or minutes, whichever is more.

        Some minutes may be in reserve for what comes after the last step; at the most half of all.
        """
        limit = self.max_minutes
        timed = 0.0 if limit is None else minutes / max(limit - reserve, limit / 2)
        return min(1.0, max(step / steps, timed))

    def rate(self, step: int, progress: float) -> float:
        """Tell the learning rate of a step, where `progress` of the run is behind it."""
        warmup = 0.05 * (step / progress if step and progress else 200) if self.warmup is None else self.warmup
        risen = min(1.0, (step + 1) / warmup) if warmup else 1.0
        # 1 to any power is the constant schedule.
        fallen = 0.5 * (1 + math.cos(math.pi * progress)) if self.schedule == "cosine" else self.decay**step
        return self.learning_rate * risen * fallen
