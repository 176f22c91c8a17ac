"""MATLAB's files, and the layout in which it has images."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from nextpixel.data.readers import Options, read_path
from nextpixel.errors import BadInput

GREY = np.random.default_rng(0).integers(0, 256, (9, 6, 6), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (9, 6, 6, 3), dtype=np.uint8)


@pytest.mark.parametrize("images", [GREY, COLOUR], ids=["grey", "colour"])
def test_images_as_matlab_has_them(images: np.ndarray, tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "own.mat", {"images": np.moveaxis(images, 0, -1), "labels": np.arange(9) % 3})
    parts = read_path(tmp_path / "own.mat", Options(layout="HWCN"))
    assert parts.classes == 3
    assert (parts.train.images == (images[:, None] if images.ndim == 3 else np.moveaxis(images, 3, 1))).all()


def test_svhn_s_files(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(16) % 10 + 1
    for name, piece in (("train", slice(10)), ("test", slice(10, 16))):
        stored = {"X": np.moveaxis(images[piece], 0, 3), "y": labels[piece, None].astype(np.uint8)}
        scipy.io.savemat(tmp_path / f"{name}_32x32.mat", stored, do_compression=True)
    for path, pieces in ((tmp_path, (slice(10), slice(10, 16))), (tmp_path / "train_32x32.mat", (slice(10),))):
        parts = read_path(path, Options())
        for split, piece in zip((parts.train, parts.test), pieces, strict=False):
            assert split is not None
            assert split.labels is not None
            assert (split.images == np.moveaxis(images[piece], 3, 1)).all()
            assert split.labels.tolist() == (labels[piece] % 10).tolist()


@pytest.mark.parametrize("kind", [float, np.float32, bool, np.uint8])
def test_a_mat_file_of_floats_bits_or_bytes(tmp_path: Path, kind: type) -> None:
    bits = (GREY > 127).reshape(9, 36)
    scipy.io.savemat(
        tmp_path / "own.mat", {"data": bits.astype(kind), "info": "words", "cells": np.array([1, "a"], "O")}
    )
    parts = read_path(tmp_path / "own.mat", Options())
    assert parts.spec.levels == 2
    assert (parts.train.images.reshape(9, 36) == bits).all()


def test_matlab_s_version_7_3(tmp_path: Path) -> None:
    (tmp_path / "own.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + bytes(512))
    with pytest.raises(
        BadInput, match=r"own\.mat is of MATLAB's version 7.3 \(HDF5\); save it there with the option -v7"
    ):
        read_path(tmp_path / "own.mat", Options())


@pytest.mark.parametrize("kept", [0, 100, 200])
def test_a_mat_file_that_was_cut(kept: int, tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "own.mat", {"images": GREY})
    (tmp_path / "own.mat").write_bytes((tmp_path / "own.mat").read_bytes()[:kept])
    with pytest.raises(BadInput, match=r"own\.mat"):
        read_path(tmp_path / "own.mat", Options())
