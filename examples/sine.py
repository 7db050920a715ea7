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
ITERATIONS, CHUNK = 10_000, 100


def main() -> None:
    np.random.seed(0)
    x = np.random.rand(100, 1)
    y = np.sin(2 * np.pi * x) + np.random.rand(100, 1)

    I, H, O = 1, 10, 1
    W1, b1 = Variable(0.01 * np.random.randn(I, H), name="W1"), Variable(np.zeros(H), name="b1")
    W2, b2 = Variable(0.01 * np.random.randn(H, O), name="W2"), Variable(np.zeros(O), name="b2")

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
    """All iterations, in chunks of one call each, so that there is something to show on the way."""
    losses: list[np.ndarray] = []
    bar = sys.stdout.isatty()
    for done in range(0, ITERATIONS, CHUNK):
        losses.append(step.run(x, y, steps=CHUNK))
        if bar:
            filled = 40 * (done + CHUNK) // ITERATIONS
            sys.stdout.write(f"\r[{'#' * filled}{'.' * (40 - filled)}] {done + CHUNK:>6}/{ITERATIONS}")
            sys.stdout.flush()
        if done % 1000 == 0:
            print(f"{chr(13) + chr(27) + '[K' if bar else ''}iteration {done:>5}  loss {losses[-1][0]!r}" if bar else f"iteration {done:>5}  loss {float(losses[-1][0])!r}")
    if bar:
        print()
    return np.concatenate(losses)


def plot(x, y, predict, losses, path: Path) -> None:
    """Data and prediction on the left, the loss curve on the right."""
    t = np.arange(0, 1, 0.01)[:, np.newaxis]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    left.scatter(x, y, s=12, label="data")
    left.plot(t, predict(t).data, color="r", label="prediction")
    left.set(xlabel="x", ylabel="y", title="a noisy sine")
    left.legend()
    right.plot(losses)
    right.set(xlabel="iteration", ylabel="loss", yscale="log", title=f"mean squared error, last {losses[-1]:.4f}")
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
