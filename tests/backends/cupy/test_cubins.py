"""Code on disk: what is found is what was put there, whole, or nothing."""
from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from backends.cupy import cubins
from backends.cupy.cubins import Kept, find, folder, put

KEPT = Kept(b"\x7fELF code\0\xff", "ptxas info: ü")


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "gradplan" / "cubins"


def test_what_is_put_is_found(own_folder: Path) -> None:
    assert find(["a", "b"]) is None and folder() == own_folder
    put(["a", "b"], KEPT)
    assert find(["a", "b"]) == KEPT
    assert find(["ab"]) is None and find(["a", "b", ""]) is None and find(["", "ab"]) is None
    assert own_folder.stat().st_mode & 0o077 == 0 and [f.suffix for f in own_folder.iterdir()] == [".cubin"]


def test_a_relative_folder_is_none_of_the_standard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "somewhere")
    monkeypatch.setenv("HOME", "/home/of_nobody")
    assert folder() == Path("/home/of_nobody/.cache/gradplan/cubins")


@pytest.mark.parametrize("at", [0, 20, 60, 70, -1])
def test_damage_is_noticed(own_folder: Path, at: int) -> None:
    put(["a"], KEPT)
    file, = own_folder.iterdir()
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)
    assert find(["a"]) is None and not file.exists()
    put(["a"], KEPT)
    assert find(["a"]) == KEPT


@pytest.mark.parametrize("length", [0, 5, 30, 55, 70])
def test_a_file_cut_short_is_noticed(own_folder: Path, length: int) -> None:
    put(["a"], KEPT)
    file, = own_folder.iterdir()
    file.write_bytes(file.read_bytes()[:length])
    assert find(["a"]) is None


def test_what_was_used_longest_ago_goes_first(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cubins, "MOST_BYTES", 3500)
    for k in range(3):
        put([str(k)], Kept(bytes(1000), ""))
    for age, file in enumerate(sorted(own_folder.iterdir())):
        os.utime(file, (10 + age, 10 + age))
    assert find(["0"])
    put(["3"], Kept(bytes(1000), ""))
    assert find(["0"]) and find(["3"]) and sum(find([str(k)]) is not None for k in (1, 2)) == 1


@pytest.mark.skipif(os.name != "posix", reason="needs a folder in the way")
def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "gradplan").write_text("a file where the folder would be")
    put(["a"], KEPT)
    assert find(["a"]) is None


def _write(k: int) -> None:
    for _ in range(50):
        put(["a"], Kept(bytes([k]) * 20_000, str(k)))
        found = find(["a"])
        assert found is not None and set(found.image) == {int(found.log)} and len(found.image) == 20_000


def test_processes_that_write_at_once_never_read_halves() -> None:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(_write, range(2))
