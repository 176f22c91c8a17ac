"""The training loop; the only file that knows lightning-fabric."""

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.optim import Adam, AdamW, Optimizer, RMSprop

from nextpixel import pictures
from nextpixel.checkpoint import save
from nextpixel.data import DataSet, describe, learnt_from
from nextpixel.errors import BadInput
from nextpixel.model import Model
from nextpixel.nn.context import ClassLabel
from nextpixel.pairing import check_all, given
from nextpixel.training.batches import Batches
from nextpixel.training.display import Display
from nextpixel.training.ema import MovingAverage
from nextpixel.training.interruption import interruption
from nextpixel.training.run import Metrics, RunFolder
from nextpixel.training.settings import Training
from nextpixel.training.state import Position, State

# Fabric announces its precision there, which is ours to say.
logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.WARNING)


def train(
    model: Model,
    data: DataSet,
    *,
    out: Path | str,
    settings: Training | None = None,
    resume: bool = False,
    config: Mapping[str, Any] | None = None,
    device: str = "auto",
) -> Path:
    """Train a model on a data set by its likelihood, or a bound of it, and leave a run folder (see `RunFolder`).

    The model is changed in place and ends with the last weights, not the average ones. The first interruption
    (Ctrl-C, or SIGTERM) lets the step finish and saves the state; a second one ends at once.

    Args:
        model: with the data set's spec; with a `ClassLabel` context if it is to see the labels, a `Map` for the maps.
        data: its train split is learnt, its validation split chooses the best weights.
        out: the run folder.
        settings: how to train; None for the defaults.
        resume: whether to go on with the run in `out`, from the state it saved last.
        config: written as config.yaml; None for what the model and the settings tell.
        device: "auto", "cpu", "cuda" or "mps".

    Returns:
        The run folder.

    Raises:
        BadInput: a folder that cannot be used, no images, images without the context that the model needs, or a loss
            that is not finite.
        KeyboardInterrupt: after an interruption, when the state is saved.
    """
    settings = settings or Training()
    for name in ("train", "validation"):
        if len(getattr(data, name)) == 0:
            raise BadInput(f"{data.name} has no {name} images.")
    if model.spec != data.spec:
        raise BadInput(f"The model is for images {model.spec}, but those of {data.name} are {data.spec}.")
    check_all(model, data)
    model.learnt = learnt_from(data)
    folder = RunFolder(Path(out), resume=resume)
    with torch.random.fork_rng(), Display(epochs=settings.epochs) as display:
        torch.manual_seed(settings.seed)  # dropout
        try:
            loop = _Loop(model, data, settings, folder, display, device)
            if resume:
                loop.resume()
            folder.configure(config or _plain(model, settings))
            display.say("\n".join(describe(data)))
            loop.run()
        finally:
            folder.close()
    return folder.path


class _Loop:
    """One run: steps, and every so often a validation that saves."""

    def __init__(
        self, model: Model, data: DataSet, settings: Training, folder: RunFolder, display: Display, device: str
    ) -> None:
        self.model, self.data, self.settings, self.folder, self.display = model, data, settings, folder, display
        from lightning_fabric import Fabric  # here, because it takes a second or two

        self.fabric = Fabric(accelerator=device, devices=1)
        if settings.precision == "bf16" or (settings.precision == "auto" and _has_fast_bf16(self.fabric.device)):
            self.fabric = Fabric(accelerator=device, devices=1, precision="bf16-mixed")
        self.fabric.launch()
        optimizer = _optimizer(model, settings)
        compiled = cast(torch.nn.Module, torch.compile(model)) if settings.compile else model
        self.wrapped, self.optimizer = self.fabric.setup(compiled, optimizer)
        self.batches = Batches(data.train, size=settings.batch, seed=settings.seed, context=model.context)
        model.initialise(*self.batches[0])  # a run that is resumed gets its own weights back
        average = MovingAverage(model, decay=1.0 if settings.ema is None else settings.ema)
        self.state = State(model, average, optimizer, Position(0, self.batches.per_epoch))
        self.steps = settings.epochs * self.batches.per_epoch
        self.interval = max(1, round(settings.validate_every * self.batches.per_epoch))
        self.rate, self.seconds = 0.0, 0.0

    def resume(self) -> None:
        """Go back to where the run in the folder was saved last."""
        self.state.load(self.folder.state)
        if self.progress() >= 1:
            raise BadInput(
                f"The run in {self.folder.path} is finished, after {self.position.step} steps and "
                f"{self.position.minutes:.1f} minutes; to go on, raise training.epochs, max_minutes or patience."
            )

    def run(self) -> None:
        """Train until the last epoch or minute."""
        self.display.start_at(self.progress())
        self.clock = time.monotonic() - 60 * self.position.minutes
        with interruption() as interrupted:
            while self.progress() < 1 and not interrupted.is_set():
                self.step()
                self.position.minutes = (time.monotonic() - self.clock) / 60
                if self.position.step % self.interval == 0 or self.progress() >= 1:
                    self.validate()
        if interrupted.is_set() and self.progress() < 1:
            self.save()
            self.display.say(f"Stopped at step {self.position.step}; {self.folder.path} can be resumed.")
            raise KeyboardInterrupt
        self.display.say(
            f"Trained {self.position.epoch:.2f} epochs in {self.position.minutes:.1f} minutes; best validation "
            f"{self.position.best:.3f} nats per image, {self.bits(self.position.best):.4f} bits/dim."
        )

    @property
    def position(self) -> Position:
        return self.state.position

    def progress(self) -> float:
        if self.settings.patience is not None and self.position.worse >= self.settings.patience:
            return 1.0
        return self.settings.progress(self.position.step, self.steps, self.position.minutes)

    def step(self) -> None:
        """Learn from one batch."""
        began = time.monotonic()
        position = self.position
        self.rate = self.settings.rate(position.step, self.progress())
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        images, context = self.batches[position.step]
        self.wrapped.train()
        self.optimizer.zero_grad()
        loss = -self.log_prob(images, context).mean()
        nats = loss.item()
        if not math.isfinite(nats):
            raise BadInput(
                f"The loss is {nats} at step {position.step + 1}, with a learning rate of {self.rate:.3g}; "
                "lower training.learning_rate, or set training.gradient_clip."
            )
        self.fabric.backward(loss)
        if self.settings.gradient_clip is not None:
            self.fabric.clip_gradients(
                self.wrapped, self.optimizer, max_norm=self.settings.gradient_clip, error_if_nonfinite=False
            )
        self.optimizer.step()
        self.state.average.update()
        position.step += 1
        position.steps += 1
        position.nats += nats
        self.seconds += time.monotonic() - began
        self.show(nats)

    def validate(self) -> None:
        """Measure the average weights, and save everything."""
        position = self.position
        with self.state.average.in_place():
            nats = self.validation_nats()
            if not math.isfinite(nats):
                raise BadInput(f"The validation loss is {nats} at step {position.step}; lower training.learning_rate.")
            self.draw()
            position.worse += 1
            if nats < position.best:
                position.best, position.worse = nats, 0
                save(self.model, self.folder.best)
        position.minutes = (time.monotonic() - self.clock) / 60
        metrics = Metrics(
            step=position.step,
            epoch=position.epoch,
            minutes=position.minutes,
            train_nats=position.nats / position.steps,
            validation_nats=nats,
            validation_bits_per_dim=self.bits(nats),
            learning_rate=self.rate,
            images_per_second=self.images_per_second(),
        )
        self.display.validated(metrics.validation_bits_per_dim)
        self.show(metrics.train_nats)
        position.nats, position.steps, self.seconds = 0.0, 0, 0.0
        self.save()
        self.folder.record(metrics)

    def validation_nats(self) -> float:
        """Nats per image, in the precision of the training."""
        split = self.data.validation
        count = min(len(split), self.settings.validation_images or len(split))
        self.wrapped.eval()
        total = 0.0
        with torch.no_grad():
            for start in range(0, count, self.settings.batch):
                indices = np.arange(start, min(count, start + self.settings.batch))
                images, _ = split.batch(indices, np.random.default_rng(self.settings.seed))
                total -= self.log_prob(images, given(self.model.context, split, indices)).sum().item()
        return total / count

    def draw(self) -> None:
        """Draw samples of the average weights, always from the same noise.

        Classes alone have a column each; maps are those of the first validation images, with their classes if need be.
        """
        count, context, spec, columns = self.settings.samples, self.model.context, self.model.spec, None
        if count == 0:
            return
        if isinstance(context, ClassLabel):
            chosen, columns = torch.arange(count) % context.classes, min(context.classes, count)
        else:
            count = count if context is None else min(count, len(self.data.validation))
            chosen = given(context, self.data.validation, np.arange(count))
        images = self.model.sample(count, chosen, seed=self.settings.seed)
        sheet = pictures.grid(images, spec.levels, ordinal=spec.ordinal, columns=columns)
        pictures.write(sheet, self.folder.picture(self.position.step))

    def save(self) -> None:
        with self.state.average.in_place():
            save(self.model, self.folder.last)
        self.state.save(self.folder.state)

    def log_prob(self, images: Tensor, context: Any) -> Tensor:
        return self.wrapped(*self.fabric.to_device((images, context)))

    def show(self, nats: float) -> None:
        self.display.show(
            self.progress(), epoch=self.position.epoch, bits=self.bits(nats), rate=self.images_per_second()
        )

    def bits(self, nats: float) -> float:
        return nats / (self.model.spec.subpixels * math.log(2))

    def images_per_second(self) -> float:
        images = self.position.steps * min(self.settings.batch, len(self.data.train))
        return images / self.seconds if self.seconds else 0.0


def _plain(model: Model, settings: Training) -> dict[str, Any]:
    """What config.yaml says of a run that was not made from a recipe, in YAML's own types."""
    chosen = {**asdict(settings), "betas": list(settings.betas)}
    return {"model": model.recipe, "training": chosen}


def _has_fast_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.10 or later
    return device.type == "cpu" and any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def _optimizer(model: torch.nn.Module, settings: Training) -> Optimizer:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    kept = [group for group in groups if group["params"]]
    if settings.optimizer == "rmsprop":
        return RMSprop(kept, lr=settings.learning_rate)  # has no fused form
    kind = {"adam": Adam, "adamw": AdamW}[settings.optimizer]
    return kind(kept, lr=settings.learning_rate, betas=settings.betas, eps=settings.epsilon, fused=True)
