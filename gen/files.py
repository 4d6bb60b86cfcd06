"""Writing results: whole or not at all, and refused before the work when they cannot be."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from spinteger.config import ConfigError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file as a whole or not at all; a device or pipe is only ever written to."""
    data = content.encode() if isinstance(content, str) else content
    if path.exists() and not path.is_file():
        path.write_bytes(data)      # replacing it would put a file in the place of /dev/null
        return
    path = path.resolve()           # a link stays a link
    with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=f".{path.name}.",
                                     delete=False) as file:
        try:
            file.write(data)
            file.flush()
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(file.name, 0o666 & ~umask)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def check_target(flag: str, target: str | None) -> None:
    """Find out before generating whether a file can be written."""
    if target is None:
        return
    path = Path(target)
    if not target or path.is_dir():
        raise ConfigError(f"{flag} {target or '(empty)'}: is a folder, name a file in it")
    if not path.parent.is_dir():
        raise ConfigError(f"{flag} {target}: folder {path.parent} does not exist, "
                          f"make it first: mkdir -p {path.parent}")
    if path.exists() and not path.is_file():
        return                      # a device or a pipe: nothing to make beside it
    if not os.access(path.resolve().parent, os.W_OK):
        raise ConfigError(f"{flag} {target}: folder {path.parent} is not writable, "
                          "choose another one")
