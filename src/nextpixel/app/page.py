"""The page: what stands where, and which function of `work` answers. All that goes wrong is a sentence on it."""

import html
import logging
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr
import pandas as pd
import torch
from PIL import Image

from nextpixel.app import work
from nextpixel.app.work import ANY, COMPLETIONS, MOST, SHOWN, UNKNOWN, Models
from nextpixel.errors import BadInput
from nextpixel.integers import refusal

HIGH = 360  # dots of what is looked into
AT_ONCE, WAITING, SESSIONS, UPLOAD = 2, 32, 64, "10mb"  # users at work, and waiting; those whose images are kept
LAUNCH: dict[str, Any] = {  # nothing is fetched from elsewhere, told to anybody, or shared
    "theme": gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
    "css": ".pixels img {image-rendering: pixelated}",
    "share": False,
    "quiet": True,
    "footer_links": [],
    "run_history": False,
    "enable_monitoring": False,
    "ssr_mode": False,
    "pwa": False,
    "mcp_server": False,
    "max_file_size": UPLOAD,
    "state_session_capacity": SESSIONS,
    "prevent_thread_lock": True,
}

PICTURE: dict[str, Any] = {"format": "png", "interactive": False, "buttons": ["download", "fullscreen"]}
PIXELS: dict[str, Any] = {**PICTURE, "elem_classes": "pixels"}

_log = logging.getLogger(__name__)


@contextmanager
def sentences() -> Generator[None]:
    """What goes wrong within is told on the page: what a user can mend as it is, all else by a sentence of its own."""
    try:
        yield
    except BadInput as error:
        raise gr.Error(html.escape(str(error)), print_exception=False) from error
    except Exception as error:
        _log.exception("the app failed")
        told = "This went wrong by a defect of the app, which its terminal says more of."
        raise gr.Error(told, print_exception=False) from error


def page(models: Models, first: str) -> gr.Blocks:
    """The page with all tabs, which opens with the model of that name."""
    own = models.get(first)
    with gr.Blocks(title="nextpixel", analytics_enabled=False, delete_cache=(600, 3600)) as blocks:
        with gr.Row():
            model = gr.Dropdown([*models.places], value=first, label="Model")
            label = gr.Dropdown([ANY, *work.classes(own)], value=ANY, label="Class", visible=bool(work.classes(own)))
            temperature = gr.Slider(0.1, 2.0, 1.0, step=0.05, label="Temperature")
            seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**31 - 1)
        asked: dict[str, Any] = {"concurrency_id": "work", "concurrency_limit": AT_ONCE, "api_visibility": "private"}
        with gr.Tab("Sample"):
            _sample(models, asked, model, label, temperature, seed)
        with gr.Tab("Complete"):
            canvas = _complete(models, asked, model, label, temperature, seed)
        with gr.Tab("Look inside"):
            _look(models, asked, model, label, temperature, seed)
        with gr.Tab("Compress"):
            about = _compress(models, asked, model, label, temperature, seed)

        @sentences()
        def another(name: str) -> list[Any]:
            chosen = models.get(name)
            there = work.classes(chosen)
            picker = gr.Dropdown([ANY, *there], value=ANY, visible=bool(there))
            return [picker, _blank(chosen), _no_twin(chosen)]

        model.change(another, model, [label, canvas, about], api_visibility="private", show_progress="hidden")
    return blocks.queue(max_size=WAITING, default_concurrency_limit=AT_ONCE)


def _sample(models: Models, asked: dict[str, Any], *top: Any) -> None:
    with gr.Row():
        count = gr.Slider(1, MOST, 16, step=1, label="Images")
        draw, cancel = gr.Button("Draw", variant="primary"), gr.Button("Cancel", variant="stop")
    shown = gr.Image(label="Images", height=SHOWN + 80, **PIXELS)

    def drawn(name: str, label: str, temperature: float, seed: int, count: int) -> Generator[Any]:
        with sentences():
            yield from work.sampled(models.get(name), count, label, seed=seed, temperature=temperature)

    event = draw.click(drawn, [*top, count], shown, show_progress="minimal", **asked)
    cancel.click(None, None, None, cancels=[event], api_visibility="private")


def _complete(models: Models, asked: dict[str, Any], *top: Any) -> Any:
    gr.Markdown("Draw in white, or upload a picture; paint in pink over what shall be drawn.")
    with gr.Row():
        brush = gr.Brush(colors=["#ffffff", UNKNOWN, "#000000"], color_mode="fixed", default_size=24)
        canvas = gr.ImageEditor(
            **_canvas(models.get(top[0].value)),
            label="Picture",
            type="pil",
            format="png",
            brush=brush,
            layers=False,
            transforms=(),
            sources=["upload", "clipboard"],
            fixed_canvas=True,
        )
        with gr.Column():
            particles = gr.Slider(1, 64, 16, step=1, label="Particles of each completion")
            with gr.Row():
                take, complete = gr.Button("Take a sample"), gr.Button("Complete", variant="primary")
            shown = gr.Image(label=f"Given, and {COMPLETIONS} completions", **PIXELS)
            said = gr.Markdown()

    @sentences()
    def taken(name: str, label: str, temperature: float, seed: int) -> Any:
        own = models.get(name)
        *_, picture = work.sampled(own, 1, label, seed=seed, temperature=temperature)
        return _blank(own, picture)

    @sentences()
    def completed(name: str, label: str, temperature: float, seed: int, drawn: Any, particles: int) -> Any:
        if not drawn or drawn["composite"] is None:
            raise BadInput("There is no picture yet: draw one, or upload one.")
        own = models.get(name)
        given, unknown = work.levels_of(drawn["composite"], own.spec), work.unknown_of(drawn["layers"], own.spec)
        settings = {"particles": particles, "seed": seed, "temperature": temperature}
        return work.completed(own, given, unknown, label, **settings)

    take.click(taken, [*top], canvas, **asked)
    complete.click(completed, [*top, canvas, particles], [shown, said], **asked)
    return canvas


def _look(models: Models, asked: dict[str, Any], *top: Any) -> None:
    seen = gr.State()
    with gr.Row():
        take = gr.Button("Look at a sample", variant="primary")
        upload = gr.UploadButton("Look at a picture", file_types=["image"])
    said = gr.Markdown()
    with gr.Row():
        shown = gr.Image(label="The image", height=HIGH, **PIXELS)
        heat = gr.Image(label="What its pixels cost", height=HIGH, **PIXELS)
    with gr.Row():
        sight = gr.Image(label="What the pixel sees", show_label=False, height=HIGH, **PICTURE)
        odds = gr.BarPlot(x="level", y="probability", color="channel", label="Its distribution", height=HIGH)
    about = gr.Markdown()

    @sentences()
    def sample(name: str, label: str, temperature: float, seed: int) -> Any:
        own = models.get(name)
        levels = own.sample(1, work.labels(own, label, 1), seed=seed, temperature=temperature).cpu()
        return work.looked(models, name, levels, label)

    @sentences()
    def picture(name: str, label: str, file: str) -> Any:
        return work.looked(models, name, work.levels_of(work.opened(file), models.get(name).spec), label)

    @sentences()
    def clicked(seen: work.Seen | None, click: gr.SelectData) -> Any:
        if seen is None:
            raise BadInput("There is no image yet to look into.")
        drawn, table, words = work.pixel(models, seen, *seen.place(*click.index))
        return drawn, pd.DataFrame(table), words

    outputs = [seen, shown, heat, said]
    take.click(sample, [*top], outputs, **asked)
    upload.upload(picture, [*top[:2], upload], outputs, **asked)
    gr.on([shown.select, heat.select], clicked, seen, [sight, odds, about], **asked)


def _compress(models: Models, asked: dict[str, Any], *top: Any) -> Any:
    folder, about = gr.State(), gr.Markdown(_no_twin(models.get(top[0].value)))
    with gr.Row():
        count = gr.Slider(1, MOST, MOST, step=1, label="Samples")
        take = gr.Button("Compress samples", variant="primary")
        upload = gr.UploadButton("Compress pictures", file_types=["image"], file_count="multiple")
    said = gr.Markdown()
    with gr.Row():
        table = gr.Dataframe(headers=["kind of file", "bytes", "bits a sub-pixel"], interactive=False)
        files = gr.File(label="The container, and the exact model that decodes it", interactive=False)

    def packed(name: str, images: torch.Tensor) -> Any:
        made = TemporaryDirectory(prefix="nextpixel-app-")  # gone with the session, or with what is made next
        return made, *work.compressed(models, name, images, Path(made.name))

    @sentences()
    def samples(name: str, label: str, temperature: float, seed: int, count: int) -> Any:
        own = models.twin(name)
        which = work.labels(own, label, work.bounded(count))
        return packed(name, own.sample(count, which, seed=seed, temperature=temperature).cpu())

    @sentences()
    def pictures(name: str, paths: list[str]) -> Any:
        spec = models.twin(name).spec
        work.bounded(len(paths))
        return packed(name, torch.cat([work.levels_of(work.opened(path), spec) for path in paths]))

    alone = {**asked, "concurrency_id": "exact", "concurrency_limit": 1}  # its arithmetic is that of the process
    outputs = [folder, table, files, said]
    take.click(samples, [*top, count], outputs, **alone)
    upload.upload(pictures, [top[0], upload], outputs, **alone)
    return about


def _no_twin(model: Any) -> str:
    why = refusal(model)
    return "" if why in (None, "it is one") else f"There is no exact twin of this model: {why}."


def _canvas(model: Any, picture: Image.Image | None = None) -> dict[str, Any]:
    """The size of a canvas for a model's images, and what is on it: a picture, or black."""
    blank = Image.new("RGB", (model.spec.width, model.spec.height))
    ground = work.larger(blank if picture is None else picture)
    return {"value": {"background": ground, "layers": [], "composite": ground}, "canvas_size": ground.size}


def _blank(model: Any, picture: Image.Image | None = None) -> Any:
    return gr.ImageEditor(**_canvas(model, picture))
