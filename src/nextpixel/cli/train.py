"""`nextpixel train`: a recipe becomes a run folder.

Constructors are the schema: a recipe's `model` has the arguments of the model's constructor, `data` those of
`open_data`, and `training` the fields of `Training`. What a signature says is what is accepted.
"""

import os
import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace

import nextpixel as npx
from nextpixel import processes
from nextpixel.cli.common import afford
from nextpixel.cli.listing import find
from nextpixel.cli.parsers import COMMANDS, PARSERS, imported, options
from nextpixel.cli.recipe import SECTIONS, override, parse, read
from nextpixel.data import CATALOGUE, DataSet, open_data
from nextpixel.data.opening import from_anywhere, own_path
from nextpixel.data.readers.hub import is_hub, place_of
from nextpixel.errors import BadInput, require
from nextpixel.files import home
from nextpixel.likelihoods import LIKELIHOODS, Categorical
from nextpixel.models import TooLarge, kind_of, outline, settings_of
from nextpixel.pairing import given
from nextpixel.processes import device
from nextpixel.shipped import located
from nextpixel.training.dial import build_section, choose, seconds_of_a_step
from nextpixel.training.settings import Training
from nextpixel.training.start import start_from

LOWER = "model.filters, model.kernel or how many layers model has"
MOST_CALLS = 2**15  # of torch, to make a model: some eight seconds; the largest recipe asks for a tenth


def train(arguments: list[str]) -> None:
    """Train, or go on training, and say where the run is."""
    if arguments[0].startswith("-"):
        raise BadInput(f"The recipe comes first, before {arguments[0]}: nextpixel train RECIPE {arguments[0]} ….")
    if (name := override(arguments, "--data")) is not None:
        raise BadInput(f"The data set of a recipe is a setting: --data.name {name}.")
    dialled = override(arguments, "--minutes") is not None
    if dialled and "--resume" in arguments:
        how = "to go on until so many in all, say --resume --training.max_minutes M"
        raise BadInput(f"--minutes is for a new run; {how}.")
    if dialled and (other := override(arguments, "--data.name")) is not None:
        raise BadInput(f"--minutes is for the data set that is named first, {arguments[0]}, not for {other}; name one.")
    if "--resume" in arguments and (start := override(arguments, "--training.start")) is not None:
        raise BadInput(
            f"A run that is resumed has its weights; leave out --training.start {start}, or begin a new run."
        )
    if "--resume" in arguments and Path(arguments[0]).is_dir() and not Path(arguments[0], "config.yaml").exists():
        how = "holds no run to resume; start it again"
        if Path(arguments[0], "state.safetensors").exists():
            how = "lacks its config.yaml, which says what to train: put it back, or begin a new run in another folder"
        raise BadInput(f"{arguments[0]} {how}.")
    several = {name: override(arguments, f"--training.{name}") or "1" for name in ("devices", "nodes")}
    if dialled and processes.size() == 1 and all(map(str.isdecimal, several.values())):
        _as_several(Training(devices=int(several["devices"]), nodes=int(several["nodes"])), arguments)
    source = Path(arguments[0]) if dialled else find(arguments[0])
    settings = _settings(source, arguments, _dial(arguments) if dialled else None)
    if settings.resume and (settings.out is not None or not source.is_dir()):
        how = "give the run folder alone: nextpixel train RUN_FOLDER --resume"
        raise BadInput(f"To resume, {how}, not {arguments[0]}.")
    if source.is_dir() and not settings.resume and not dialled:
        raise BadInput(f"{source} is a run folder; give a recipe, or add --resume to go on with the run.")
    if is_hub(settings.data.name):
        own = place_of(settings.data.name)
    else:
        named = settings.data.name in CATALOGUE or not (os.sep in settings.data.name or Path(settings.data.name).suffix)
        own = None if named else own_path(settings.data.name, settings.data.root)
    if own is not None and not own.exists():
        raise BadInput(f"There is no file or folder {own}; say where your own data is with --data.name PATH.")
    out = _place(settings, source)

    training = Training(**settings.training.as_dict())
    _as_several(training, arguments)
    where = device(settings.device)
    data = open_data(**settings.data.as_dict())
    make = partial(build_section, settings.model.as_dict(), data, seed=training.seed)
    _count(make)
    afford(training.samples, data.spec, [out / "a.png"], lower="training.samples")
    model = make()
    if settings.dry_run:
        if training.start is not None and not settings.resume:
            start_from(training.start, model)  # which says what is wrong with it
        print("\n".join(_costs(model.to(where), data, training)))
        return
    config = {name: settings[name].as_dict() for name in SECTIONS}
    config["training"]["betas"] = list(training.betas)  # YAML has no tuples
    places = {key: config["data"][key] for key in ("name", "root") if config["data"][key] is not None}
    config["data"] |= {key: from_anywhere(path) for key, path in places.items()}  # a run works from any folder
    if (start := training.start) and not is_hub(start) and located(home(start)) == home(start):
        config["training"]["start"] = str(home(start).absolute())
    npx.train(model, data, out=out, settings=training, resume=settings.resume, config=config, device=settings.device)
    print(f"The run is in {out}; its best model is {out / 'model.safetensors'}.")


def _as_several(training: Training, arguments: list[str]) -> None:
    """Be torchrun from here on, which starts the processes of this machine with the same command line, if several."""
    if training.devices * training.nodes == 1 or processes.size() > 1:
        return
    meet, there = ["--standalone"], os.environ
    if training.nodes > 1:
        if not {"MASTER_ADDR", "NODE_RANK"} <= there.keys():
            least = "set MASTER_ADDR to the address of the first machine, NODE_RANK to the number of each, from 0"
            raise BadInput(f"training.nodes is {training.nodes}; {least}.")
        meet = ["--nnodes", str(training.nodes), "--node-rank", there["NODE_RANK"], "--master-addr"]
        meet += [there["MASTER_ADDR"], "--master-port", there.get("MASTER_PORT", "29500")]
    there.setdefault("OMP_NUM_THREADS", "1")  # as torchrun sets it, which would tell so at length
    asked = [*meet, "--nproc-per-node", str(training.devices), "-m", "nextpixel.cli", "train", *arguments]
    os.execv(sys.executable, [sys.executable, "-m", "torch.distributed.run", *asked])


def _dial(arguments: list[str]) -> dict[str, Any]:
    """A recipe for a data set and the minutes that there are; what was chosen is said."""
    data: dict[str, Any] = {"name": arguments[0]}
    base = {"model": {"name": "gated_pixelcnn", "likelihood": "logistic_mixture"}, "data": data}
    said = _settings(Path(arguments[0]), arguments, base)
    _place(said, Path(arguments[0]))
    options, seed, where = said.data.as_dict(), said.training.seed, device(said.device).type
    # Of several processes the first one chooses: each would measure another speed.
    own = choose(open_data(**options), said.minutes, seed=seed, device=where) if processes.rank() == 0 else None
    recipe, lines = processes.told(own)[0]
    print("\n  ".join([f"{said.minutes:g} minutes for {arguments[0]}", *lines]), file=sys.stderr)
    return {**recipe, "data": data}


def _place(settings: Namespace, source: Path) -> Path:
    """The run folder, which must not be among the images that are learnt."""
    called = (source if source.stem.strip(".") else source.resolve()).stem.removeprefix("hf:")
    out = source if settings.resume else home(settings.out or Path("runs") / called)
    own = own_path(settings.data.name, settings.data.root)
    if not settings.resume and own.is_dir() and own.resolve() in (out.resolve(), *out.resolve().parents):
        raise BadInput(f"{out} is in {own}, whose images are learnt, and would be one of them; give another --out.")
    return out


def _costs(model: npx.Model, data: DataSet, training: Training) -> list[str]:
    """What a run would cost, by some steps that are thrown away."""
    images_there = len(data.train) if data.train.stream is None else data.train.stream.images or len(data.train)
    parts = processes.size() * training.accumulate
    batch = -(-min(training.batch, len(data.train)) // parts)
    images, _ = data.train.batch(first := np.arange(batch), np.random.default_rng(training.seed))
    seconds = seconds_of_a_step(model, images, given(model.context, data.train, first))
    import resource  # here, because not every system has it

    cuda = model.device.type == "cuda"
    memory = torch.cuda.max_memory_allocated() if cuda else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    weights, steps = sum(weight.numel() for weight in model.parameters()), max(1, images_there // training.batch)
    seconds *= training.accumulate
    minutes = training.epochs * steps * seconds / 60
    end = f"; training.max_minutes ends it after {training.max_minutes:g}" if training.max_minutes else ""
    return [
        f"weights: {weights:,}",
        f"a step of {batch * parts} images: {seconds:.3g} s, {batch * parts / seconds:.3g} images a second",
        f"an epoch of {steps:,} steps: {steps * seconds / 60:.3g} minutes; {training.epochs} of them: "
        f"{minutes:.3g} minutes, and validations{end}",
        f"memory: {memory / 2**20:,.0f} MiB, and {12 * weights / 2**20:,.1f} MiB of averages and moments",
        f"disk: {40 * weights / 2**20:,.1f} MiB of weights and states, and samples",
    ]


def _count(make: Callable[[], npx.Model]) -> None:
    """Refuse a model that memory cannot hold: it is made without memory, and its weights are counted."""
    try:
        weights = sum(tensor.numel() for tensor in outline(make, numbers=2**62, calls=MOST_CALLS).values())
    except TooLarge as error:
        raise BadInput(f"The weights of the model cannot even be counted; lower {LOWER}.") from error
    require(16 * weights, f"{weights:,} weights of a model, their gradients and moments", LOWER)  # all in float32


class _Format(RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Keeps the lines of the examples."""


def _parser(name: str, likelihood: str) -> ArgumentParser:
    """The parser of recipes for the model and the likelihood of those names."""
    if ":" in str(name):
        imported(name.partition(":")[0])
    model = kind_of(name)
    about = {key: getattr(PARSERS["train"], key) for key in ("prog", "usage", "description", "epilog")}
    parser = ArgumentParser(
        **about, formatter_class=_Format, exit_on_error=False, default_env=False, allow_abbrev=False
    )
    add = parser.add_argument
    for names, about in options(COMMANDS["train"]["takes"]):
        add(*names, **about)
    add("--model.name", default=name, help=f"one of {', '.join(npx.MODELS)}")
    add("--model.likelihood", default="categorical", help=f"one of {', '.join(LIKELIHOODS)}")
    about = "label: images are given their class; map: the map beside each; label+map: both"
    add("--model.context", type=Literal["none", "label", "map", "label+map"], default="none", help=about)
    about = "reading orders, the symmetries of the grid: one network, whose likelihood is the mixture; 8 of squares"
    add("--model.orders", type=Literal[1, 4, 8], default=1, help=about)
    parser.add_class_arguments(model, "model", skip={"spec", "likelihood", "context"})
    if settings_of(LIKELIHOODS.get(likelihood, Categorical)):
        parser.add_class_arguments(LIKELIHOODS[likelihood], "model", as_group=False, skip={"spec"})
    parser.add_function_arguments(open_data, "data")
    parser.add_class_arguments(Training, "training")
    return parser


def _settings(source: Path, arguments: list[str], recipe: dict[str, Any] | None = None) -> Namespace:
    """The recipe, read from its source if it is not given, with the overrides of the command line."""
    recipe = recipe or read(source / "config.yaml" if source.is_dir() else source)
    said = recipe["model"]
    if "spec" in said:
        raise BadInput(f"{source} is a run of npx.train: go on with it there, by npx.train(…, out=…, resume=True).")
    for key in ("name", "likelihood"):
        if not isinstance(text := said.get(key, ""), str):
            raise BadInput(f"model.{key} must be a text, not {text!r}.")
    name = override(arguments, "--model.name") or said.get("name")
    if name is None:
        raise BadInput(f"{source} does not say model.name; there is {', '.join(npx.MODELS)}.")
    likelihood = override(arguments, "--model.likelihood") or said.get("likelihood", "categorical")
    parser = _parser(name, likelihood)
    if (name, likelihood) != (said.get("name"), said.get("likelihood", "categorical")):
        of_both = (*settings_of(kind_of(name)), *settings_of(LIKELIHOODS.get(likelihood, Categorical)))
        kept = {key: said[key] for key in said if key in ("name", "likelihood", "context", "orders", *of_both)}
        recipe = {**recipe, "model": kept}
        if left := [key for key in said if key not in kept]:
            print(f"Note: {source} sets {', '.join(left)}, which {name} with {likelihood} has not.", file=sys.stderr)
    if "-h" in arguments or "--help" in arguments:
        parser.print_help()
        raise SystemExit(0)
    settings = parse(parser, {**recipe, "recipe": str(source)}, arguments)
    for short, section, key in (("data_root", "data", "root"), ("seed", "training", "seed")):
        if (value := settings[short]) is not None:
            if override(arguments, f"--{section}.{key}") is not None:
                raise BadInput(f"--{short.replace('_', '-')} and --{section}.{key} are one setting; give one of them.")
            settings[section][key] = value
    return settings
