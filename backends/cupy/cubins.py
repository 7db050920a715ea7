"""Machine code kept on disk, by a hash of all that decides it; what is found is checked before it is used.

In: the parts of the key (text, options, architecture, version) and the code with the assembler's log. Out: the same, in this process or
another. The folder is `gradplan/cubins` in $XDG_CACHE_HOME (else ~/.cache), readable by the user alone. Files appear whole (written aside,
then renamed); one that is damaged is taken away and counts as missing; past `MOST_BYTES` those used longest ago go. Where nothing can be
written, nothing is kept.
"""
from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MARK = b"gradplan cubin 1\n"
MOST_BYTES = 128 << 20


@dataclass(frozen=True)
class Kept:
    """Code and the log of how it was made."""

    image: bytes
    log: str


def folder() -> Path:
    """Where files lie."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "gradplan" / "cubins"


def find(parts: Sequence[str]) -> Kept | None:
    """What was kept under these parts, if it is there and whole."""
    path = _path(parts)
    try:
        data = path.read_bytes()
    except OSError:
        return None
    kept = _unpacked(data)
    with contextlib.suppress(OSError):
        os.utime(path) if kept else path.unlink()
    return kept


def put(parts: Sequence[str], kept: Kept) -> None:
    """Keep it."""
    path = _path(parts)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, suffix=".new")
    except OSError:
        return
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_packed(kept))
        os.replace(aside, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(aside)
    _limit(path.parent)


def _path(parts: Sequence[str]) -> Path:
    key = hashlib.sha256()
    for part in parts:
        key.update(f"{len(part)}:{part}".encode())
    return folder() / f"{key.hexdigest()}.cubin"


def _packed(kept: Kept) -> bytes:
    """Mark, checksum, length of the log, log, code."""
    log = kept.log.encode()
    body = len(log).to_bytes(8, "little") + log + kept.image
    return MARK + hashlib.sha256(body).digest() + body


def _unpacked(data: bytes) -> Kept | None:
    start = len(MARK) + 32
    if not data.startswith(MARK) or hashlib.sha256(data[start:]).digest() != data[len(MARK) : start]:
        return None
    size = int.from_bytes(data[start : start + 8], "little")
    return Kept(data[start + 8 + size :], data[start + 8 : start + 8 + size].decode())


def _limit(place: Path) -> None:
    """Take away what was used longest ago, and what an interrupted write left, until the rest fits."""
    with contextlib.suppress(OSError):
        files = sorted(((f.stat().st_mtime, f.stat().st_size, f) for f in place.iterdir()), reverse=True)
        total = 0
        for _, size, file in files:
            total += size
            if total > MOST_BYTES:
                file.unlink(missing_ok=True)
