"""The training loop."""

import copy
import math
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import asdict
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import yaml
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor
from torch.optim import Adam, AdamW, Optimizer, RMSprop

from nextpixel import pictures, plots, processes
from nextpixel.checkpoint import load, recorded, save
from nextpixel.data import DataSet, describe, learnt_from
from nextpixel.errors import BadInput, flag, shown
from nextpixel.evaluation import baselines, compared
from nextpixel.files import home
from nextpixel.model import Model, a_model, evaluating
from nextpixel.pairing import check_all, difference, given
from nextpixel.threads import Threads
from nextpixel.training.batches import Batches, Streamed
from nextpixel.training.display import Display, interruption
from nextpixel.training.engine import engine, gathered
from nextpixel.training.muon import Muon
from nextpixel.training.run import Metrics, RunFolder
from nextpixel.training.settings import Training
from nextpixel.training.start import differences, start_from
from nextpixel.training.state import MovingAverage, Position, State

MARGIN = 1.5  # how many times as quick as all threads one must be: less does not change the sums of a run
MOST_LEFT_OUT = 100  # steps in a row, of losses or gradients that are not finite
LOGGED = 20  # losses from one validation to the next, for TensorBoard; none where there are not so many


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

    The model is changed in place and ends with the last weights, not the average ones; weights of 16 bits, as files may
    hold them, become float32, since fewer bits lose small steps. The first interruption (Ctrl-C, SIGTERM or SIGHUP)
    lets the step finish and saves the state, and a validation comes again when the run goes on; a second one ends at
    once. What goes wrong with an image or a picture loses nothing: the state is saved first.

    Args:
        model: with the data set's spec; with a `ClassLabel` context if it is to see the labels, a `Map` for the maps.
        data: its train split is learnt, its validation split chooses the best weights.
        out: the run folder, which is returned.
        settings: how to train; None for the defaults.
        resume: whether to go on with the run in `out`, from the state it saved last.
        config: written as config.yaml; None for what the model and the settings tell.
        device: "auto", "cpu", "cuda" or "mps".

    Raises:
        BadInput: a folder that cannot be used, no images, images without the context that the model needs, or a loss
            that is not finite.
        KeyboardInterrupt: after an interruption, when the state is saved.
    """
    settings = settings or Training()
    model = a_model(model)
    if isinstance(data, str | Path):
        raise BadInput(f"The data must be what npx.open_data({str(data)!r}) gives, not its name.")
    if hasattr(data, "__array__"):
        raise BadInput("Arrays are trained from a file: numpy.savez('x.npz', images=…), then npx.open_data('x.npz').")
    for value, its, what in ((data, DataSet, "data"), (settings, Training, "settings"), (out, str | Path, "out")):
        if not isinstance(value, its):
            raise BadInput(f"{what} must be a {getattr(its, '__name__', 'path')}, not {shown(value)}.")
    flag(resume, "resume")
    if config is not None:
        try:
            yaml.safe_dump(dict(config))
        except (TypeError, ValueError, yaml.YAMLError) as error:
            raise BadInput(f"config must be what YAML can write, not {shown(config)}.") from error
    if ":" in str(device):
        raise BadInput(f"Training takes a kind of device, not {str(device)!r}; CUDA_VISIBLE_DEVICES picks cards.")
    where = processes.device(device).type
    if not torch.is_grad_enabled() or not any(weight.requires_grad for weight in model.parameters()):
        raise BadInput("There is nothing to train: gradients are off (torch.no_grad), or no weight takes any.")
    for name in ("train", "validation"):
        if len(getattr(data, name)) == 0:
            raise BadInput(f"{data.name} has no {name} images.")
    if model.spec != data.spec:
        raise BadInput(f"The model is for images {model.spec}, but those of {data.name} are {data.spec}.")
    if (asked := settings.devices * settings.nodes) > 1 and processes.size() == 1:
        how = f"torchrun with --nproc-per-node {settings.devices}, or the command nextpixel train"
        raise BadInput(f"training asks for {asked} processes, but this is one; start it by {how}.")
    check_all(model, data)
    if any(weight.dtype.itemsize < 4 for weight in model.parameters()):
        model.float()
    if settings.start is not None and not resume:
        start_from(settings.start, model)
    recorded(model)
    model.learnt = learnt_from(data)
    first = processes.rank() == 0
    folder = RunFolder(home(out), resume=resume, ours=first)
    with closing(folder), torch.random.fork_rng(), Display(epochs=settings.epochs) as display:
        loop = _Loop(model, data, settings, folder, display, where)
        loop.python = config is None
        if resume:
            loop.resume()
        if first:
            own = {"model": model.recipe, "training": {**asdict(settings), "betas": list(settings.betas)}}
            folder.configure(config or own)  # in YAML's own types
        display.say("\n".join(describe(data)))
        loop.run()
    return folder.path


class _Diverged(BadInput):
    """Weights that are not worth keeping."""


class _Loop:
    """One run: steps, and every so often a validation that saves."""

    def __init__(
        self, model: Model, data: DataSet, settings: Training, folder: RunFolder, display: Display, device: str
    ) -> None:
        self.plain, self.data, self.settings, self.folder, self.display = model, data, settings, folder, display
        (self.fabric, self.precision), count = engine(settings, device), processes.size()
        self.divided = settings.strategy == "fsdp" and count > 1
        if count * settings.accumulate > 1 and (what := model.undivided()):
            raise BadInput(f"{what} needs a batch whole: take one process and training.accumulate 1, or leave it out.")
        named: dict[str, Any] = {"size": settings.batch, "seed": settings.seed, "context": model.context}
        named |= {"unreadable": settings.unreadable}
        streams = data.train.stream is not None
        self.batches = Streamed(data.train, **named) if streams else Batches(data.train, **named)
        self.parts = _parts(self.batches.size, count, settings.accumulate)
        model.to(self.fabric.device).initialise(*self.batches[0])  # a run that is resumed gets its own weights back
        self.batches.waited = 0.0
        # What is divided is a copy: the model itself is whole again wherever it validates, draws or is saved.
        self.model = copy.deepcopy(model) if self.divided else model
        compiled = cast(torch.nn.Module, torch.compile(model)) if settings.compile else self.model
        self.wrapped = self.fabric.setup_module(compiled)
        optimizer = _optimizer(self.model, settings)
        self.optimizer: Any = self.fabric.setup_optimizers(optimizer)
        average = MovingAverage(self.model, decay=1.0 if settings.ema is None else settings.ema)
        self.state = State(self.model, average, optimizer, Position(0, self.batches.per_epoch, learnt=model.learnt))
        self.steps = settings.epochs * self.batches.per_epoch
        self.interval = max(1, round(settings.validate_every * self.batches.per_epoch))
        self.rate, self.seconds, self.cost, self.reserved = 0.0, 0.0, 0.0, 0.0
        self.python = False  # whether npx.train was called, and not the command
        self.first, self.stopping, self.left_out = processes.rank() == 0, False, 0
        self.watched = min(len(data.validation), settings.validation_images or len(data.validation))
        self.baselines = baselines(model.spec, data.train, data.validation, images=self.watched)

    def resume(self) -> None:
        """Go back to where the run in the folder was saved last."""
        changed: list[Any] = []
        with suppress(BadInput):  # where its weights are not there, or damaged, the state is all that counts
            changed = differences(load(self.folder.last), self.plain) if self.plain.recipe else []
        for name in ("batch", "seed"):
            asked = getattr(self.settings, name)
            if (began := self.folder.config().get(name, asked)) != asked:
                changed.append((f"training.{name}", began, asked))
        for key, found, wanted in changed:
            raise BadInput(f"The run in {self.folder.path} has {key} {found}, not {wanted}; resume it as it began.")
        try:
            self.state.load(self.folder.state)
        except BadInput as error:
            try:
                self.state.load(self.folder.previous)
            except BadInput:
                raise error from None
            self.display.say(f"{error} The run goes on from the state that was saved before, {self.folder.previous}.")
        if told := difference(self.position.learnt, self.data, splits=("train", "validation"), classes=True):
            raise BadInput(f"{told}; a run is resumed with the data that it began with.")
        lost = self.first and math.isfinite(self.position.best) and not self.folder.best.is_file()
        if any(processes.total(float(lost))):
            self.position.best = math.inf  # of what is not there any more
            self.display.say(f"{self.folder.best} is not there any more; the next validation writes it anew.")
        if self.first:
            self.folder.rewind(self.position.step, self.position.row)
        if self.progress() >= 1 and not self.due():
            self.redraw()
            raise BadInput(
                f"The run in {self.folder.path} is finished, after {self.position.step} steps and "
                f"{self.position.minutes:.1f} minutes; to go on, raise training.epochs, max_minutes or patience."
            )
        step = max(0, self.position.step - 1)
        self.rate = self.settings.rate(step, self.settings.progress(step, self.steps, self.position.minutes))

    def run(self) -> None:
        """Train until the last epoch or minute."""
        self.batches.start(self.position.stream)
        if self.position.processes not in (0, processes.size()):
            told = f"The run goes on with {processes.size()} in the place of {self.position.processes} processes: "
            self.display.say(f"{told}sums may differ in their last digits, and dropout draws other features.")
        if self.position.precision not in ("", self.precision):
            before = self.position.precision
            told = f"The run goes on in {self.precision} in the place of {before}; "
            self.display.say(f"{told}training.precision {before} goes on as before.")
        self.position.processes, self.position.precision = processes.size(), self.precision
        self.clock, self.saved = time.monotonic() - 60 * self.position.minutes, self.position.minutes
        device, chosen = self.fabric.device, self.position.threads
        self.threads = Threads("a training step", device, laps=1, margin=MARGIN, chosen=chosen)
        with interruption() as self.interrupted, self.threads, closing(self.batches):
            try:
                if self.due():  # the run was saved because this failed
                    self.validate()
                else:
                    self.redraw()
                while self.progress() < 1 and not self.stopping:
                    self.step()
                    if self.due():
                        self.validate()
                    elif self.position.minutes - self.saved >= self.settings.save_every:
                        self.save()
            except _Diverged:
                raise
            except (BadInput, OSError) as error:
                raise self.rescued(error) from error
            except RuntimeError as error:
                if processes.lost(error):
                    raise self.rescued(BadInput("Another process of the run has ended.")) from error
                raise
            self.whole()
            if self.stopping and (self.progress() < 1 or self.due()):
                self.save()
                self.display.say(
                    f"Stopped at step {self.position.step}; {self.folder.path} can be resumed: "
                    + ("npx.train(…, resume=True)." if self.python else f"nextpixel train {self.folder.path} --resume.")
                )
                processes.total(0.0)  # who leaves earlier lets torchrun end the others, before it is saved
                raise KeyboardInterrupt
        best = self.bits(self.position.best)
        self.display.say(
            f"Trained {self.position.epoch:.2f} epochs in {self.position.minutes:.1f} minutes; best validation "
            f"{self.position.best:.3f} nats per image, {best:.4f} bits/dim ({compared(best, self.baselines)})."
        )

    @property
    def position(self) -> Position:
        return self.state.position

    def due(self) -> bool:
        """Whether a validation comes next."""
        return self.position.steps > 0 and (self.position.step % self.interval == 0 or self.progress() >= 1)

    def rescued(self, error: Exception) -> BadInput:
        """What to say of an error that has nothing to do with the weights, such as a damaged image; they are saved."""
        if self.position.step == 0 or self.divided:  # what is divided is saved by all, and the others do not know
            return BadInput(str(error))
        try:
            self.save()
        except BadInput:  # on a full disk, for one, the last state is still there
            return BadInput(str(error))
        kept = f"the run is saved at step {self.position.step}, and {self.folder.path} can be resumed"
        return BadInput(f"{str(error).rstrip('.')}; {kept}.")

    def progress(self) -> float:
        if self.settings.patience is not None and self.position.worse >= self.settings.patience:
            return 1.0
        return self.settings.progress(self.position.step, self.steps, self.position.minutes, reserve=self.reserved)

    def agree(self, nats: float = 0.0) -> float:
        """The sum of nats over all processes; one clock, that of the first, one answer whether to stop, all news."""
        own = ((time.monotonic() - self.clock) / 60, self.reserve()) if self.first else (0.0, 0.0)
        news = self.batches.news()
        found = processes.total(nats, *own, float(self.interrupted.is_set()), float(len(news)))
        nats, self.position.minutes, self.reserved, asked, told = found
        self.stopping = asked > 0
        for line in self.batches.heard(chain.from_iterable(processes.told(news)) if told else []):
            self.display.say(line)
        return nats

    def reserve(self) -> float:
        """Minutes that a validation with its samples takes: as measured, or else as steps let expect."""
        if self.cost or not self.position.steps:
            return self.cost
        each = self.seconds / (self.position.steps * self.settings.batch)  # of an image in a step
        return each * (self.watched / 3 + 2 * self.settings.samples) / 60

    def step(self) -> None:
        """Learn from one batch, of which each process has its parts."""
        began = time.monotonic()
        position = self.position
        self.rate = self.settings.rate(position.step, self.progress())
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        seed = np.random.SeedSequence([self.settings.seed, position.step, processes.rank()])
        torch.manual_seed(int(seed.generate_state(1, np.uint64)[0]))  # dropout, wherever the run was resumed
        self.optimizer.zero_grad()
        own = torch.zeros((), device=self.fabric.device)
        drawn = self.model.drawn(self.batches.size, np.random.default_rng([self.settings.seed, position.step, 1]))
        for part, share in self.parts:
            images, context = self.batches.part(position.step, part)
            if (where := self.batches.where(position.step)) is not None:
                position.stream = where
            own_drawn = None if drawn is None else drawn[part]
            while self.threads.trying:
                self.rehearse(images, context, own_drawn)
            self.wrapped.train()
            with self.fabric.no_backward_sync(self.wrapped, enabled=part != self.parts[-1][0]):
                loss = -self.log_prob(images, context, own_drawn).mean()
                self.fabric.backward(loss * (share * processes.size()))  # whose mean over processes is taken
            own += loss.detach() * share
        position.threads = self.threads.chosen
        nats = self.agree(own.item())
        gradients = [weight.grad for weight in self.model.parameters() if weight.grad is not None]
        norm = gathered(torch.nn.utils.get_total_norm(gradients))  # of finite ones it may be infinite, in float32
        finite = bool(norm.isfinite()) or all(bool(gathered(gradient.isfinite().all())) for gradient in gradients)
        if self.settings.gradient_clip is not None:
            self.fabric.clip_gradients(
                self.wrapped, self.optimizer, max_norm=self.settings.gradient_clip, error_if_nonfinite=False
            )
        position.step += 1
        if math.isfinite(nats) and finite:
            self.optimizer.step()
            self.state.average.update()
            self.left_out = 0
            position.steps += 1
            position.nats += nats
        else:
            self.refuse(nats)
        self.seconds += time.monotonic() - began
        self.show(nats)
        if self.first and self.interval >= LOGGED and position.step % (self.interval // LOGGED) == 0:
            self.folder.log(position.step, {"step/train_nats": nats, "step/learning_rate": self.rate})

    def refuse(self, nats: float) -> None:
        """Stop, or go on without this step, because of a loss or a gradient that is not finite."""
        what = "gradient is not finite" if math.isfinite(nats) else f"loss is {nats}"
        step, images = self.position.step, self.batches.indices(self.position.step - 1)
        told = f"The {what} at step {step}, with a learning rate of {self.rate:.3g}, of the training images "
        told += f"{', '.join(map(str, images[:8]))}{', …' * (len(images) > 8)}"
        self.left_out += 1
        if self.settings.non_finite == "stop" or self.left_out == MOST_LEFT_OUT:
            raise _Diverged(f"{told}; lower training.learning_rate, or set training.gradient_clip.")
        self.display.say(f"{told}: it is left out.")

    def rehearse(self, images: Tensor, context: Any, drawn: Tensor | None) -> None:
        """Take a step that changes nothing, for the threads' trial."""
        with self.fabric.autocast():
            loss = evaluating(self.model)(*self.fabric.to_device((images, context, drawn))).mean()
        loss.backward()
        self.optimizer.zero_grad()
        self.threads.lap()

    def validate(self) -> None:
        """Measure the average weights, and save everything."""
        position = self.position
        began = time.monotonic()
        self.display.doing("validating")
        with self.state.average.in_place():
            model = self.whole()
            nats = self.validation_nats()
            self.agree()
            if self.stopping:  # in the middle of it, maybe: it comes again when the run goes on
                return
            if not math.isfinite(nats):
                raise _Diverged(f"The validation loss is {nats} at step {position.step}; lower training.learning_rate.")
            if nats < position.best:
                if self.first:
                    save(model, self.folder.best)
                position.best, position.worse = nats, 0  # when it is written, and not before
            else:
                position.worse += 1
        self.agree()
        metrics = Metrics(
            step=position.step,
            epoch=position.epoch,
            minutes=position.minutes,
            train_nats=position.nats / position.steps,
            validation_nats=nats,
            validation_bits_per_dim=self.bits(nats),
            learning_rate=self.rate,
            images_per_second=self.images_per_second(),
            threads=torch.get_num_threads(),
            waiting=self.batches.waited / self.seconds if self.seconds else 0.0,
        )
        self.display.validated(metrics.validation_bits_per_dim)
        self.show(metrics.train_nats)
        position.nats, position.steps, position.row = 0.0, 0, asdict(metrics)
        self.seconds, self.batches.waited = 0.0, 0.0
        self.save()  # before anything that could fail
        with self.state.average.in_place():
            model = self.whole()
            if self.first:
                self.folder.record(metrics)
                self.display.doing("drawing samples")
                self.draw(model)
        self.cost = max(self.cost, (time.monotonic() - began) / 60)
        self.agree()

    def validation_nats(self) -> float:
        """Nats per image, in the precision of the training."""
        split = self.data.validation

        def measure(start: int) -> tuple[float, int]:
            indices = np.arange(start, min(self.watched, start + self.settings.batch))
            if self.interrupted.is_set():  # torchrun waits for 30 seconds
                return 0.0, 0
            images, indices = split.look(indices, seed=self.settings.seed)
            nats = -self.log_prob(images, given(self.model.context, split, indices)).sum().cpu().double()
            return nats.item(), len(indices)

        with torch.no_grad(), self.fabric.autocast():
            self.network().eval()
            found = processes.everywhere(range(0, self.watched, self.settings.batch), measure)
        nats, count = (sum(column) for column in zip(*found, strict=True))
        if not count and not self.interrupted.is_set():
            raise BadInput("No validation image can be read any more.")
        if 0 < count < self.watched and not self.interrupted.is_set():
            self.display.say(f"{self.watched - count} of {self.watched} validation images cannot be read: left out.")
        return nats / count if count else math.nan

    def redraw(self) -> None:
        """Draw the samples of the last validation, where a run ended while they were drawn."""
        here = self.position.row is not None and self.position.row["step"] == self.position.step
        with self.state.average.in_place():
            model = self.whole()
            if self.first and here and self.settings.samples and not self.folder.picture(self.position.step).exists():
                self.draw(model)

    def draw(self, model: Model) -> None:
        """Draw samples of the average weights, always from the same noise."""
        settings, step = self.settings, self.position.step
        if settings.samples:
            sheet = plots.samples(model, self.data.validation, settings.samples, seed=settings.seed)
            pictures.write(sheet, self.folder.picture(step))
            self.folder.log(step, {}, sheet)

    def log_prob(self, *given: Any) -> Tensor:
        """Nats of images, given with their context and what is drawn for them: (B,); a GPU reads pinned memory."""
        if self.fabric.device.type == "cuda":
            given = apply_to_collection(given, Tensor, Tensor.pin_memory)
        return self.network()(*self.fabric.to_device(given))

    def network(self) -> torch.nn.Module:
        """What computes: what is divided learns in all processes at once; pieces of a validation are not as many."""
        return self.plain if self.divided and not torch.is_grad_enabled() else self.wrapped

    def save(self) -> None:
        with self.state.average.in_place():
            model = self.whole()
            if self.first:
                save(model, self.folder.last)
        if self.first:
            self.folder.keep_state()
        self.state.save(self.folder.state, write=self.first)
        self.saved = self.position.minutes

    def whole(self) -> Model:
        """The model with its present weights, all of them, which all processes ask for."""
        if self.divided:
            self.plain.load_state_dict({name: gathered(each) for name, each in self.model.state_dict().items()})
        return self.plain

    def show(self, nats: float) -> None:
        self.display.show(
            self.progress(),
            epoch=self.position.epoch,
            bits=self.bits(nats),
            rate=self.images_per_second(),
            limit=60 * (self.settings.max_minutes - self.position.minutes) if self.settings.max_minutes else math.inf,
        )

    def bits(self, nats: float) -> float:
        return nats / (self.model.spec.subpixels * math.log(2))

    def images_per_second(self) -> float:
        return self.position.steps * self.batches.size / self.seconds if self.seconds else 0.0


def _parts(batch: int, size: int, accumulate: int) -> list[tuple[slice, float]]:
    """The parts of a batch that this process computes, and what share of it each is."""
    count = size * accumulate
    if batch < count:
        raise BadInput(
            f"A batch of {batch} images cannot be divided among {size} processes with training.accumulate "
            f"{accumulate}; raise training.batch."
        )
    edges = [batch * part // count for part in range(count + 1)]
    own = range(processes.rank() * accumulate, (processes.rank() + 1) * accumulate)
    return [(slice(edges[part], edges[part + 1]), (edges[part + 1] - edges[part]) / batch) for part in own]


def _optimizer(model: torch.nn.Module, settings: Training) -> Optimizer:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = (
        (settings.weight_decay, [p for p in parameters if p.ndim > 1]),
        (0.0, [p for p in parameters if p.ndim <= 1]),
    )
    kept = [{"params": group, "weight_decay": decay} for decay, group in groups if group]
    if settings.optimizer == "rmsprop":
        return RMSprop(kept, lr=settings.learning_rate)  # has no fused form
    kind = {"adam": partial(Adam, fused=True), "adamw": partial(AdamW, fused=True), "muon": Muon}[settings.optimizer]
    return kind(kept, lr=settings.learning_rate, betas=settings.betas, eps=settings.epsilon)
