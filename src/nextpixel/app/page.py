"""The page: what stands where, and what of `work` answers. All that goes wrong is a sentence on it."""

import html
import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import gradio as gr
import pandas as pd
import torch
from gradio.themes import Base
from PIL import Image

from nextpixel.app.work import ANY, COMPLETIONS, MOST, UNKNOWN, Desk, Seen, bounded, classes, larger, levels_of, opened
from nextpixel.errors import BadInput
from nextpixel.integers import refusal
from nextpixel.model import Model

LAUNCH: dict[str, Any] = {  # nothing is fetched from elsewhere, told to anybody, or shared
    "theme": Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
    "css": ".pixels img {image-rendering: pixelated}",
    **dict.fromkeys(("share", "run_history", "enable_monitoring", "ssr_mode", "pwa", "mcp_server"), False),
    "footer_links": [],
    "max_file_size": "10mb",
    "state_session_capacity": 64,
    "quiet": True,
    "prevent_thread_lock": True,
}
PICTURE: dict[str, Any] = {"format": "png", "interactive": False, "buttons": ["download", "fullscreen"]}
PIXELS: dict[str, Any] = {**PICTURE, "elem_classes": "pixels"}
EVENT: dict[str, Any] = {"concurrency_id": "work", "concurrency_limit": 2, "api_visibility": "private"}
ALONE: dict[str, Any] = {**EVENT, "concurrency_id": "exact", "concurrency_limit": 1}  # it sets what all compute with
WAITING, HIGH = 32, 360  # users at the most who wait; dots of pictures that stand below each other
BRUSH = gr.Brush(colors=["#ffffff", UNKNOWN, "#000000"], color_mode="fixed", default_size=24)


@contextmanager
def sentences() -> Generator[None]:
    """What goes wrong within is told on the page: what a user can mend as it is, all else by a sentence of its own."""
    try:
        yield
    except BadInput as error:
        raise gr.Error(html.escape(str(error)), print_exception=False) from error
    except Exception as error:
        logging.getLogger(__name__).exception("The app failed.")
        told = "This is a defect of the app; the terminal that it was started in says more."
        raise gr.Error(told, print_exception=False) from error


def page(desk: Desk, first: str) -> gr.Blocks:
    """The page with all tabs, which opens with the model of that name."""
    told, own = sentences(), desk.model(first)
    with gr.Blocks(title="nextpixel", analytics_enabled=False, delete_cache=(600, 3600)) as blocks:
        with gr.Row():
            model = gr.Dropdown([*desk.places], value=first, label="Model")
            label = gr.Dropdown(**_classes(own), label="Class")
            temperature = gr.Slider(0.1, 2.0, 1.0, step=0.05, label="Temperature")
            seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**31 - 1)
        asked = [model, label, temperature, seed]
        with gr.Tab("Sample"):
            with gr.Row():
                count = gr.Slider(1, MOST, 16, step=1, label="Images")
                draw, cancel = gr.Button("Draw", variant="primary"), gr.Button("Cancel", variant="stop")
            shown = gr.Image(label="Images", height=500, **PIXELS)

            def grow(*asked: Any) -> Generator[Image.Image]:
                with sentences():
                    yield from desk.draw(*asked)

            drawing = draw.click(grow, [*asked, count], shown, show_progress="minimal", **EVENT)
            cancel.click(None, cancels=[drawing], api_visibility="private")
        with gr.Tab("Complete"):
            gr.Markdown("Draw in white, or upload a picture; then paint in pink over what shall be drawn.")
            with gr.Row():
                settings = {"type": "pil", "format": "png", "brush": BRUSH, "layers": False, "transforms": ()}
                sources = {"sources": ["upload", "clipboard"], "fixed_canvas": True}
                canvas = gr.ImageEditor(**_canvas(own), label="Picture", **settings, **sources)
                with gr.Column():
                    particles = gr.Slider(1, MOST, 16, step=1, label="Particles of each completion")
                    with gr.Row():
                        take, complete = gr.Button("Take a sample"), gr.Button("Complete", variant="primary")
                    said = gr.Markdown()
            completed = gr.Image(label=f"Given, and {COMPLETIONS} completions", show_label=False, **PIXELS)
            complete.click(told(desk.complete), [*asked, canvas, particles], [completed, said], **EVENT)

            @told
            def taken(name: str, label: str, temperature: float, seed: int) -> Any:
                *_, picture = desk.draw(name, label, temperature, seed, 1)
                return gr.ImageEditor(**_canvas(desk.model(name), picture))

            take.click(taken, asked, canvas, **EVENT)
        with gr.Tab("Look inside"):
            _look(desk, asked)
        with gr.Tab("Compress"):
            about = _compress(desk, asked)

        @told
        def another(name: str) -> list[Any]:
            own = desk.model(name)
            return [gr.Dropdown(**_classes(own)), gr.ImageEditor(**_canvas(own)), _no_twin(own)]

        model.change(another, model, [label, canvas, about], api_visibility="private", show_progress="hidden")
    return blocks.queue(max_size=WAITING)


def _look(desk: Desk, asked: list[Any]) -> None:
    told, seen = sentences(), gr.State()
    with gr.Row():
        take = gr.Button("Look at a sample", variant="primary")
        upload = gr.UploadButton("Look at a picture", file_types=["image"])
    said = gr.Markdown()
    with gr.Row():
        image = gr.Image(label="The image", height=HIGH, **PIXELS)
        costs = gr.Image(label="What its pixels cost", height=HIGH, **PIXELS)
    about = gr.Markdown()
    with gr.Row():
        sight = gr.Image(label="What the pixel sees", show_label=False, height=HIGH, **PICTURE)
        odds = gr.BarPlot(x="level", y="probability", color="channel", label="Its distribution", height=HIGH)

    @told
    def sampled(name: str, label: str, *asked: Any) -> Any:
        return desk.look(name, label, desk.sample(name, label, *asked))

    @told
    def uploaded(name: str, label: str, path: str) -> Any:
        return desk.look(name, label, levels_of(opened(path), desk.model(name).spec))

    @told
    def clicked(seen: Seen | None, click: gr.SelectData) -> Any:
        picture, table, words = desk.pixel(seen, *click.index)
        return picture, pd.DataFrame(table), words

    take.click(sampled, asked, [seen, image, costs, said], **EVENT)
    upload.upload(uploaded, [*asked[:2], upload], [seen, image, costs, said], **EVENT)
    gr.on([image.select, costs.select], clicked, seen, [sight, odds, about], **EVENT)


def _compress(desk: Desk, asked: list[Any]) -> gr.Markdown:
    told, folder, about = sentences(), gr.State(), gr.Markdown(_no_twin(desk.model(asked[0].value)))
    with gr.Row():
        count = gr.Slider(1, MOST, MOST, step=1, label="Samples")
        take = gr.Button("Compress samples", variant="primary")
        upload = gr.UploadButton("Compress pictures", file_types=["image"], file_count="multiple")
    said = gr.Markdown()
    with gr.Row():
        table = gr.Dataframe(headers=["kind of file", "bytes", "bits a sub-pixel"], interactive=False)
        files = gr.File(label="The container, and the exact model that decodes it", interactive=False)

    @told
    def sampled(name: str, *asked: Any) -> Any:
        desk.twin(name)
        return desk.pack(name, desk.sample(name, *asked))

    @told
    def uploaded(name: str, paths: list[str]) -> Any:
        spec, _ = desk.twin(name).spec, bounded(len(paths))
        return desk.pack(name, torch.cat([levels_of(opened(path), spec) for path in paths]))

    take.click(sampled, [*asked, count], [folder, table, files, said], **ALONE)
    upload.upload(uploaded, [asked[0], upload], [folder, table, files, said], **ALONE)
    return about


def _classes(model: Model) -> dict[str, Any]:
    return {"choices": [ANY, *classes(model)], "value": ANY, "visible": bool(classes(model))}


def _no_twin(model: Model) -> str:
    why = refusal(model)
    return "" if why in (None, "it is one") else f"There is no exact twin of this model: {why}."


def _canvas(model: Model, picture: Image.Image | None = None) -> dict[str, Any]:
    """The size of a canvas for a model's images, and what is on it: a picture, or black."""
    ground = larger(Image.new("RGB", (model.spec.width, model.spec.height))) if picture is None else picture
    return {"value": {"background": ground, "layers": [], "composite": ground}, "canvas_size": ground.size}
