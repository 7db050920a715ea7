"""Trains a two-layer classifier on scikit-learn's handwritten digits (8x8 pixels), in mini-batches with Adam.

A fifth of the digits is held out. Prints loss and accuracy on the way and leaves two pictures in examples/output/:
    digits_loss.png        the loss of every mini-batch, and of the held-out digits after every epoch
    digits_confusion.png   which held-out digits were taken for which
Two runs give the same numbers to the bit: the last line is a checksum of the trained parameters. Takes a few seconds.
"""
from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import tracer
from tracer import Parameter, optimizers
from tracer import functions as F

OUTPUT = Path(__file__).resolve().parent / "output"
HIDDEN, BATCH, EPOCHS = 64, 64, 30


class Classifier:
    """Scores of the ten classes from the pixels: linear, relu, linear."""

    def __init__(self, rng: np.random.Generator):
        self.W1, self.b1 = Parameter(rng.normal(0, np.sqrt(2 / 64), (64, HIDDEN)), name="W1"), Parameter(np.zeros(HIDDEN), name="b1")
        self.W2, self.b2 = Parameter(rng.normal(0, np.sqrt(1 / HIDDEN), (HIDDEN, 10)), name="W2"), Parameter(np.zeros(10), name="b2")

    def scores(self, x):
        return F.linear(F.relu(F.linear(x, self.W1, self.b1)), self.W2, self.b2)

    def loss(self, x, t):
        return F.softmax_cross_entropy(self.scores(x), t)


def main() -> None:
    rng = np.random.default_rng(0)
    (x, t), (held_x, held_t) = digits(rng)
    model = Classifier(rng)

    # the Parameters that the loss uses are found; a schedule gives the learning rate of each iteration without a new trace
    rate = optimizers.Cosine(lr=0.003, steps=EPOCHS * -(-len(x) // BATCH))
    step = tracer.train_step(model.loss, optimizers.Adam(rate), on_nan="raise")
    scores = tracer.compile(lambda x: model.scores(x).data)
    held_loss = tracer.compile(lambda x, t: model.loss(x, t).data)

    losses, held = [], []
    for epoch in range(1, EPOCHS + 1):
        order = rng.permutation(len(x))
        batches = [order[k : k + BATCH] for k in range(0, len(x), BATCH)]  # the last one is smaller: traced once for itself
        losses.append(step.fit((x[rows], t[rows]) for rows in batches))
        held.append(float(held_loss(held_x, held_t)))
        if epoch % 5 == 0:
            right = np.mean(scores(held_x).argmax(1) == held_t)
            print(f"epoch {epoch:>2}  loss {losses[-1].mean():.4f}  held out: loss {held[-1]:.4f}  accuracy {right:.1%}")

    guesses = scores(held_x).argmax(1)
    print(f"{step.iteration} iterations, {step.explain().traces} traces; {sum(guesses == held_t)} of {len(held_t)} held-out digits right")
    OUTPUT.mkdir(exist_ok=True)
    plot_losses(losses, held, OUTPUT / "digits_loss.png")
    plot_confusion(held_t, guesses, OUTPUT / "digits_confusion.png")
    print(f"parameters sha256 {hashlib.sha256(b''.join([p.data.tobytes() for p in step.params])).hexdigest()}")


def digits(rng: np.random.Generator) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """(pixels from 0 to 1, classes) to train with, and the same of a fifth that is held out."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        sys.exit("this example needs scikit-learn: python -m pip install scikit-learn")
    data = load_digits()
    order = rng.permutation(len(data.data))
    x, t = data.data[order] / 16, data.target[order]
    count = len(x) // 5
    return (x[count:], t[count:]), (x[:count], t[:count])


def plot_losses(losses: list[np.ndarray], held: list[float], path: Path) -> None:
    """Every mini-batch as a thin line, the means of the epochs and the held-out digits over it."""
    figure, axes = plt.subplots(figsize=(7.5, 4.5))
    per_epoch = len(losses[0])
    ends = per_epoch * np.arange(1, len(held) + 1)
    axes.plot(np.concatenate(losses), color="0.8", linewidth=0.7, label="mini-batch")
    axes.plot(ends - per_epoch / 2, [epoch.mean() for epoch in losses], label="mean of an epoch")
    axes.plot(ends, held, color="r", label="held out")
    axes.set(xlabel="iteration", ylabel="cross-entropy", yscale="log", title="Loss of the digits")
    axes.legend()
    axes.grid(alpha=0.3)
    save(figure, path)


def plot_confusion(right: np.ndarray, guesses: np.ndarray, path: Path) -> None:
    """A row for each digit, a column for each guess."""
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (right, guesses), 1)
    figure, axes = plt.subplots(figsize=(5.5, 5.5))
    axes.imshow(counts, cmap="Blues")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            axes.text(column, row, count, ha="center", va="center", color="white" if count > counts.max() / 2 else "black")
    axes.set(xlabel="guess", ylabel="digit", xticks=range(10), yticks=range(10))
    axes.set_title(f"Held-out digits: {np.trace(counts)} of {counts.sum()} right")
    save(figure, path)


def save(figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
    print(f"picture: {path}")


if __name__ == "__main__":
    main()
