import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nextpixel as npx
from nextpixel.data import open_data


def test_the_figures_are_those_of_the_model(call: Callable[..., Any], labelled: Path, data: Path) -> None:
    said = call("evaluate", labelled, "--json")
    assert said.status == 0, said.err
    figures = json.loads(said.out)
    test = open_data(data).test
    with torch.no_grad():
        nats = -npx.load(labelled).log_prob(torch.from_numpy(test.images), test.labels).double()
    assert figures["images"] == len(test)
    assert figures["nats"] == pytest.approx(nats.mean().item())
    assert figures["nats_error"] == pytest.approx(nats.std().item() / math.sqrt(len(test)))
    assert figures["bits_per_dim"] == pytest.approx(figures["nats"] / (20 * math.log(2)))
    assert (figures["model"], figures["data"], figures["split"]) == (str(labelled), str(data), "test")


def test_a_model_of_classes_without_them(
    call: Callable[..., Any], refused: Callable[..., Any], labelled, plain
) -> None:
    with_them, without = (
        json.loads(call("evaluate", labelled, "--json", *more).out) for more in ((), ("--without-classes",))
    )
    assert without["classes"] is False
    assert "classes" not in with_them
    assert abs(without["nats"] - with_them["nats"]) > 1e-4
    assert "for models of classes" in refused("evaluate", plain, "--without-classes")


def test_the_figures_are_told_in_words_too(call: Callable[..., Any], plain: Path, data: Path) -> None:
    said = call("evaluate", plain / "last.safetensors", "--data", data, "--split", "train", "--images", 7)
    assert said.status == 0, said.err
    assert f"{data}, train, 7 images in" in said.out
    assert "nats per image" in said.out
    assert "bits per dimension" in said.out


def test_one_image_has_no_standard_error(call: Callable[..., Any], plain: Path, data: Path) -> None:
    one = ("evaluate", plain, "--data", data, "--images", 1)
    said = call(*one, "--json")

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    figures = json.loads(said.out, parse_constant=refuse)
    assert figures["nats_error"] is None
    assert figures["bits_per_dim_error"] is None
    assert figures["nats"] > 0
    words = call(*one).out
    assert "nan" not in words
    assert "±" not in words
    assert f"{figures['nats']:.4f} nats per image" in words


def test_models_that_cannot_be_loaded(refused: Callable[..., Any], plain: Path, tmp_path: Path) -> None:
    assert "no model at nowhere" in refused("evaluate", "nowhere")
    foreign = tmp_path / "foreign.safetensors"
    torch.save({"weight": torch.zeros(2)}, foreign)
    assert "is a pickle" in refused("evaluate", foreign)
    foreign.write_bytes((plain / "model.safetensors").read_bytes()[:-10])
    assert "not a whole safetensors file" in refused("evaluate", foreign)
    foreign.write_bytes((plain / "state.safetensors").read_bytes())
    assert "not a nextpixel model" in refused("evaluate", foreign)


def test_data_that_do_not_fit(
    refused: Callable[..., Any], plain: Path, labelled: Path, data: Path, tmp_path: Path
) -> None:
    assert "1x4x5 with 3 levels, but those of digits are 1x8x8 with 17" in refused(
        "evaluate", plain, "--data", "digits"
    )
    alone = tmp_path / "alone.safetensors"
    npx.save(npx.build("pixelcnn", npx.ImageSpec(1, 4, 5, levels=3), filters=4, layers=1), alone)
    assert "name one with --data" in refused("evaluate", alone)
    assert "no data set 'nothing'" in refused("evaluate", plain, "--data", "nothing")
    unlabelled = tmp_path / "unlabelled.npz"
    np.savez(unlabelled, images=np.load(data)["images"], levels=3)
    assert "needs a class label" in refused("evaluate", labelled, "--data", unlabelled)


def test_a_config_that_is_not_yaml(refused: Callable[..., Any], plain: Path, tmp_path: Path) -> None:
    run = shutil.copytree(plain, tmp_path / "run")
    (run / "config.yaml").write_text("{")
    assert "config.yaml is not YAML, see line 1." in refused("evaluate", run)


def test_options_out_of_range(refused: Callable[..., Any], plain: Path) -> None:
    assert "invalid choice: 'some'" in refused("evaluate", plain, "--split", "some")
    assert "'0' is not a whole number of at least 1" in refused("evaluate", plain, "--images", 0)
    assert "no device 'tpu'" in refused("evaluate", plain, "--device", "tpu")


def test_images_are_measured_with_their_maps(call: Callable[..., Any], both: Path, codes: Path) -> None:
    said = call("evaluate", both, "--json")
    assert said.status == 0, said.err
    figures, test = json.loads(said.out), open_data(codes).test
    with torch.no_grad():
        context = (test.labels, torch.from_numpy(test.maps).long())
        nats = -npx.load(both).log_prob(torch.from_numpy(test.images), context)
    assert figures["nats"] == pytest.approx(nats.mean().item())
