"""The cache folder of prepared data: files whole or not at all, damage found and repaired."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

#: What reading a damaged .npz can raise (np.load and zipfile, mostly a failed CRC).
DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)

#: Messages about preparing data go to stderr.
say = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def cache_dir() -> Path:
    """`$SPINTEGER_CACHE`, or `.cache/real` beside the golden package."""
    env = os.environ.get("SPINTEGER_CACHE")
    return Path(env) if env else Path(__file__).parents[1] / ".cache" / "real"


def recipe(*modules: Any, **settings: Any) -> str:
    """'<settings>-<code>': 8 hex digits of the settings, 8 of the modules' source text."""
    wish = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    code = hashlib.sha256(b"".join(Path(m.__file__).read_bytes() for m in modules))
    return f"{wish.hexdigest()[:8]}-{code.hexdigest()[:8]}"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed onto it on success and removed on any failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def save_npz(path: Path, data: dict[str, Any]) -> None:
    """Write arrays and scalars to '<name>-<recipe>.npz', all or nothing, no pickle.

    Files of the same name and settings but of older code are removed: no one reads them again.
    """
    with replacing(path) as part:
        np.savez_compressed(part, **data)
    for old in path.parent.glob(f"{path.stem.rpartition('-')[0]}-*.npz"):
        if old != path:
            old.unlink(missing_ok=True)


def load_npz(path: Path) -> dict[str, Any] | None:
    """What `save_npz` wrote; None when there is no such file, or (said so) when it is damaged."""
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as npz:
            return {key: npz[key] if npz[key].ndim else npz[key].item() for key in npz.files}
    except DAMAGED as why:
        say.print(f"{path}: damaged ({why}), building it again")
        return None


def progress() -> Progress:
    """A progress bar on stderr that disappears when done; silent when stderr is no terminal."""
    return Progress(TextColumn("{task.description}"), BarColumn(),
                    TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn(),
                    console=say, transient=True, disable=not say.is_terminal)
