"""Six novels of Jane Austen, in the public domain: text to train on, and one to be measured with.

They come in the Debian package `r-cran-janeaustenr`, checked by its hash. *Persuasion* is held
out: nothing here is ever trained or calibrated on it.
"""

from __future__ import annotations

import io
import lzma
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from filelock import FileLock

from golden.cache import cache_dir, say
from golden.fetch import RealDataUnavailable, check_hash, is_whole
from golden.rdata import RDataError, character_vectors

PACKAGE = "r-cran-janeaustenr"
DEB = f"{PACKAGE}_1.0.0-1_all.deb"
DEB_SHA256 = "df6bddf211906d1ff404f8ff662c21b34e6660e7f54a311084e749050c019c95"
_FOLDER = "./usr/lib/R/site-library/janeaustenr/data/"

HELD_OUT = "persuasion"
#: The others, by size.
TRAINING = ("emma", "mansfieldpark", "prideprejudice", "sensesensibility", "northangerabbey")


def _members(deb: bytes) -> dict[str, bytes]:
    """Files of an `ar` archive, which a .deb is."""
    if not deb.startswith(b"!<arch>\n"):
        raise RDataError("no Debian package")
    found, at = {}, 8
    while at + 60 <= len(deb):
        name, size = deb[at:at + 16].decode().strip(" /"), int(deb[at + 48:at + 58])
        found[name] = deb[at + 60:at + 60 + size]
        at += 60 + size + size % 2
    return found


def _download(folder: Path) -> Path:
    """The package, fetched by `apt-get download` into a temporary folder."""
    what = (f"What would work: Debian or Ubuntu with a reachable package mirror (`apt-get update` "
            f"first), {DEB} copied into the cache folder, or a text of your own (--text)")
    if shutil.which("apt-get") is None:
        raise RealDataUnavailable(f"no apt-get to fetch {PACKAGE} with\n{what}")
    say.print(f"fetching {DEB}, 1.6 MB")
    done = subprocess.run(["apt-get", "download", f"{PACKAGE}=1.0.0-1"], cwd=folder, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    debs = list(folder.glob("*.deb"))
    if done.returncode or not debs:
        lines = [line for line in done.stdout.splitlines() if line.startswith("E:")]
        raise RealDataUnavailable(f"apt-get could not download {PACKAGE}: "
                                  f"{' '.join(lines[:1]) or done.stdout.strip()}\n{what}")
    return debs[0]


def fetch_deb(cache: Path | None = None) -> Path:
    """Path of the checked package, downloaded first when the cache does not have it.

    Raises `RealDataUnavailable` when it cannot be had, `HashMismatch` when it is another one.
    """
    folder = cache or cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / DEB
    with FileLock(folder / ".lock-austen"):
        if is_whole(target, DEB_SHA256):
            return target
        with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as tmp:
            got = _download(Path(tmp))
            check_hash(got, DEB_SHA256)
            os.replace(got, target)
    return target


def novels(cache: Path | None = None) -> dict[str, str]:
    """The texts by name, `HELD_OUT` among them, lines as printed. Errors as `fetch_deb`."""
    box = _members(fetch_deb(cache).read_bytes())
    with tarfile.open(fileobj=io.BytesIO(lzma.decompress(box["data.tar.xz"]))) as tar:
        files = {}
        for name in ("Rdata.rdx", "Rdata.rdb"):
            member = tar.extractfile(_FOLDER + name)
            assert member is not None
            files[name] = member.read()
    return {name: "\n".join(lines) + "\n"
            for name, lines in character_vectors(files["Rdata.rdx"], files["Rdata.rdb"]).items()}


def paragraphs(text: str) -> str:
    """A text with a paragraph to a line: where a printed line ends says nothing about the text."""
    blocks = (" ".join(block.split()) for block in text.split("\n\n"))
    return "\n".join(block for block in blocks if block) + "\n"
