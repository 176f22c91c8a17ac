"""What every test and every docstring's example runs under."""

import os
import random
import tempfile
from collections.abc import Iterator
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch
from beartype import BeartypeConf, beartype
from beartype.claw import beartype_package
from beartype.claw._ast import _clawaststar  # what modules are given whose annotations are checked

# Before anything imports nextpixel: the types and shapes of its annotations are checked in tests, and only there.
beartype_package("nextpixel", conf=BeartypeConf(claw_is_pep526=False))


def _but_closures(**settings: Any) -> Any:
    """As beartype, but not closures, which are made anew again and again: a tenth of all time."""
    decorate: Any = beartype(**settings)
    return lambda its: its if "<locals>" in its.__qualname__ else decorate(its)


_clawaststar.__beartype__ = _but_closures

# Hugging Face's caches are the tests' own, and nothing is asked of the network.
_CACHES = tempfile.TemporaryDirectory()
os.environ.update(HF_HOME=_CACHES.name, HF_HUB_OFFLINE="1")

# The same examples in every run, and no deadline: the first call of a kernel may take long.
hypothesis.settings.register_profile("nextpixel", derandomize=True, deadline=None)
hypothesis.settings.load_profile("nextpixel")

# The networks of the tests are tiny: a second thread costs more than it brings.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def same_start() -> Iterator[None]:
    """The global generators start alike, and a test's default dtype ends with it."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - for libraries that draw from it; our own code has generators
    torch.manual_seed(0)
    dtype = torch.get_default_dtype()
    yield
    torch.set_default_dtype(dtype)


@pytest.fixture(autouse=True)
def names_of_examples(doctest_namespace: dict[str, Any]) -> None:
    """Examples in docstrings say `npx` and `torch` without importing them."""
    import nextpixel

    doctest_namespace.update(npx=nextpixel, torch=torch, np=np)
