"""Trains a two-layer sigmoid network on a noisy sine, compiled: 10,000 iterations, pictures in examples/output/.

Prints the loss every 1,000 iterations (with a progress bar on a terminal) and leaves
    sine.png                     the data, the prediction, the loss curve
    sine_graph.dot, .svg         the joint graph: forward, backward and the update of the parameters
    sine_plan.dot, .svg          the plan: kernels, buffers, lifetimes
The .svg files need the `dot` program of graphviz; without it the .dot files stay and a line says how to install it.
"""
from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import tracer
from tracer import Variable, optimizers
from tracer import functions as F

OUTPUT = Path(__file__).resolve().parent / "output"
HIDDEN = 10
ITERATIONS, CHUNK = 10_000, 100  # CHUNK iterations are one call


def main() -> None:
    np.random.seed(0)
    x = np.random.rand(100, 1)
    y = np.sin(2 * np.pi * x) + np.random.rand(100, 1)

    W1, b1 = Variable(0.01 * np.random.randn(1, HIDDEN), name="W1"), Variable(np.zeros(HIDDEN), name="b1")
    W2, b2 = Variable(0.01 * np.random.randn(HIDDEN, 1), name="W2"), Variable(np.zeros(1), name="b2")

    def predict(x):
        h = F.sigmoid(F.linear(x, W1, b1))
        return F.linear(h, W2, b2)

    def loss_fn(x, y):
        return F.mean_squared_error(y, predict(x))

    step = tracer.train_step(loss_fn, optimizers.SGD(lr=0.2), params=[W1, b1, W2, b2])
    losses = train(step, x, y)

    OUTPUT.mkdir(exist_ok=True)
    plot(x, y, predict, losses, OUTPUT / "sine.png")
    draw(step.graph(x, y), OUTPUT / "sine_graph")
    draw(step.plan(x, y), OUTPUT / "sine_plan")


def train(step, x, y) -> np.ndarray:
    """All iterations, in chunks of one call each, so that there is something to show on the way; gives the losses."""
    terminal = sys.stdout.isatty()
    losses: list[np.ndarray] = []
    for done in range(0, ITERATIONS, CHUNK):
        losses.append(step.run(x, y, steps=CHUNK))
        if done % 1000 == 0:
            text = f"iteration {done:>5}  loss {float(losses[-1][0])!r}"
            print("\r" + text.ljust(60) if terminal else text)
        if terminal:
            print(progress_bar(done + CHUNK), end="", flush=True)
    if terminal:
        print()
    return np.concatenate(losses)


def progress_bar(done: int) -> str:
    return f"\r[{'#' * (40 * done // ITERATIONS):.<40}] {done:>5}/{ITERATIONS}"


def plot(x, y, predict, losses, path: Path) -> None:
    """Data and prediction on the left, the loss curve on the right."""
    t = np.arange(0, 1, 0.01)[:, np.newaxis]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    left.scatter(x, y, s=12, label="sin(2πx) + noise")
    left.plot(t, predict(t).data, color="r", label="prediction")
    left.set(xlabel="x", ylabel="y", title="a noisy sine, learnt")
    left.legend()
    right.plot(losses)
    right.set(xlabel="iteration", ylabel="mean squared error", yscale="log")
    right.set_title(f"loss: {losses[0]:.3f} at first, {losses[-1]:.3f} at last")
    right.yaxis.set_major_formatter("{x:.2f}")
    right.yaxis.set_minor_formatter("{x:.2f}")
    right.grid(which="both", alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
    print(f"picture: {path}")


def draw(thing, path: Path) -> None:
    """The .dot file always; the .svg where graphviz is installed."""
    dot = path.with_suffix(".dot")
    dot.write_text(thing.to_dot())
    print(f"dot: {dot}")
    try:
        thing.render(str(path.with_suffix(".svg")))
    except tracer.RenderError as error:
        print(f"no .svg: {error}")
    else:
        print(f"picture: {path.with_suffix('.svg')}")


if __name__ == "__main__":
    main()
