"""The worked example of the architecture page: a two-layer sigmoid network over four Variables, and its training step."""
import numpy as np

import tracer
from tracer import Variable, optimizers
from tracer import functions as F

x, y = np.linspace(0, 1, 100).reshape(100, 1), np.ones((100, 1))
W1, b1 = Variable(np.full((1, 10), 0.1)), Variable(np.zeros(10))
W2, b2 = Variable(np.full((10, 1), 0.1)), Variable(np.zeros(1))


def predict(x):
    h = F.sigmoid(x @ W1 + b1)
    return F.linear_simple(h, W2, b2)


def loss(x, y):
    return F.mean_squared_error(y, predict(x))


step = tracer.train_step(loss, optimizers.SGD(lr=0.2), [W1, b1, W2, b2])
