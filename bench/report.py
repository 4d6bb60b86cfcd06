"""What every benchmark's JSON file holds beside its figures: command, configuration, versions."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gen.files import write_whole
from sim import tools
from spinteger import __version__
from spinteger.config import Config


def write_json(path: str, benchmark: str, cfg: Config, figures: dict[str, Any],
               seed: int | None = None, versions: Mapping[str, str] | None = None) -> None:
    """Write a report, whole or not at all; `versions`: of tools that this one used beside the
    usual. Raises OSError when the file cannot be written."""
    report = {"benchmark": benchmark, "spinteger": __version__, "config": cfg.params(),
              "versions": {**tools.versions(), **(versions or {}),
                           "python": platform.python_version()},
              "seed": seed, **figures}
    write_whole(Path(path), json.dumps(report, indent=2) + "\n")


def versions_line() -> str:
    """The versions as one line for the terminal."""
    return ", ".join(f"{name} {version}" for name, version in tools.versions().items())
