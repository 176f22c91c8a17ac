"""Real data sets, for the tests that need them."""

import os
from pathlib import Path

import pytest

DATA = os.environ.get("NEXTPIXEL_DATA")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "data_root" in getattr(item, "fixturenames", ()):
            item.add_marker("data")
        if not DATA and item.get_closest_marker("data"):
            item.add_marker(pytest.mark.skip(reason="NEXTPIXEL_DATA is not set"))
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)  # no worker shall wait for another at the end


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data sets in torchvision's layout; a test that asks for it is marked `data`."""
    assert DATA, "tests that need data are skipped without it"
    root = Path(DATA)
    if not root.is_dir():
        pytest.fail(f"NEXTPIXEL_DATA is {DATA!r}, which is no folder.")
    return root
