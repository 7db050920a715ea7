"""The examples as a stranger runs them: child processes without a screen, in a copy, with and without graphviz."""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest
from matplotlib.image import imread

from tests.test_seed import LOSSES

ROOT = Path(__file__).resolve().parent.parent
HAS_DOT = shutil.which("dot") is not None or os.environ.get("GRADPLAN_REQUIRE_DOT") == "1"  # where it is required, its absence fails


def run(name: str, folder: Path, **environment: str) -> str:
    """What the example prints, run in a copy; its pictures are in folder/output."""
    shutil.copy(ROOT / "examples" / name, folder)
    env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "MPLBACKEND")} | {"PYTHONPATH": str(ROOT)} | environment
    done = subprocess.run([sys.executable, str(folder / name)], env=env, capture_output=True, text=True, timeout=300, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr and "Warning" not in done.stderr, done.stderr
    return done.stdout


def check_losses(text: str, pattern: str) -> None:
    found = [float(number) for number in re.findall(pattern, text)]
    assert found == pytest.approx(list(LOSSES.values()), rel=1e-12)


def check_picture(path: Path) -> None:
    pixels = imread(path)
    assert pixels.ndim == 3 and min(pixels.shape[:2]) > 300 and pixels[..., :3].std() > 0.02


def test_sine(tmp_path):
    text = run("sine.py", tmp_path)
    check_losses(text, r"iteration +\d+  loss (\S+)")
    assert "\r" not in text  # no progress bar into a file
    output = tmp_path / "output"
    check_picture(output / "sine.png")
    for name in ("sine_graph", "sine_plan"):
        assert (output / f"{name}.dot").read_text().startswith("digraph")
        assert f"dot: {output / name}.dot" in text
        if HAS_DOT:
            assert xml.parse(output / f"{name}.svg").getroot().tag.endswith("svg")
            assert f"picture: {output / name}.svg" in text
    assert f"picture: {output / 'sine.png'}" in text


def test_sine_without_graphviz(tmp_path):
    (tmp_path / "bin").mkdir()
    text = run("sine.py", tmp_path, PATH=str(tmp_path / "bin"))
    output = tmp_path / "output"
    assert sorted(path.name for path in output.iterdir()) == ["sine.png", "sine_graph.dot", "sine_plan.dot"]
    assert "no .svg" in text and "apt install graphviz" in text and "brew install graphviz" in text


def test_define_by_run(tmp_path):
    text = run("sine_dezero_style.py", tmp_path)
    check_losses(text, r"variable\((\S+)\)")
    check_picture(tmp_path / "output" / "sine_dezero_style.png")
    assert f"picture: {tmp_path / 'output' / 'sine_dezero_style.png'}" in text


def test_digits(tmp_path):
    pytest.importorskip("sklearn", reason="the digits are scikit-learn's")
    text = run("digits.py", tmp_path)
    found = re.search(r"690 iterations, 2 traces; (\d+) of 359 held-out digits right", text)
    assert found is not None and int(found[1]) >= 0.96 * 359, text
    for name in ("digits_loss.png", "digits_confusion.png"):
        check_picture(tmp_path / "output" / name)
        assert f"picture: {tmp_path / 'output' / name}" in text
    assert len(re.search(r"sha256 (\w+)", text)[1]) == 64
    assert run("digits.py", tmp_path, PYTHONHASHSEED="7") == text  # to the bit


def test_digits_without_scikit_learn(tmp_path):
    (tmp_path / "sklearn").mkdir()
    (tmp_path / "sklearn" / "__init__.py").write_text("raise ImportError('not here')")
    shutil.copy(ROOT / "examples" / "digits.py", tmp_path)
    env = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run([sys.executable, str(tmp_path / "digits.py")], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and "pip install scikit-learn" in done.stderr and "Traceback" not in done.stderr


def test_the_progress_bar_on_a_terminal(tmp_path):
    pty = pytest.importorskip("pty")

    shutil.copy(ROOT / "examples" / "sine.py", tmp_path)
    ours, theirs = pty.openpty()
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    child = subprocess.Popen([sys.executable, "sine.py"], cwd=tmp_path, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    parts = []
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # the child is gone
            break
        if not part:
            break
        parts.append(part)
    os.close(ours)
    assert child.wait() == 0
    text = b"".join(parts).decode()
    assert "\r[" + "#" * 20 + "." * 20 + "]  5000/10000" in text and "\r[" + "#" * 40 + "] 10000/10000" in text
    check_losses(text, r"iteration +\d+  loss (\S+)")
