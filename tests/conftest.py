"""What tests of every folder share."""

import os

import pytest
import torch

from golden.fetch import RealDataUnavailable, fetch_gguf

# As many workers as cores run beside each other; threads on top make all of them slow.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_model() -> None:
    """SmolLM2's file is there; skips where it cannot be had, but not in CI."""
    try:
        fetch_gguf()
    except RealDataUnavailable as why:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(why))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long tests first: one that begins last leaves the other cores without work."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
