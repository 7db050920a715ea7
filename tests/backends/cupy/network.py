"""A training step by hand, as a device program: two layers, a sigmoid between them, mean of squares, SGD. And what NumPy makes of it.

Memory is written down here, kernel by kernel, so that runners and devices can be tested without a planner.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backends.cupy.products import View, product
from backends.cupy.work import Array, Launch, Move, Multiply, Program, Spot, Work

ROWS, WIDE, HIDDEN, OUT = 33, 20, 32, 10
SHAPES = {"W1": (WIDE, HIDDEN), "b1": (HIDDEN,), "W2": (HIDDEN, OUT), "b2": (OUT,)}
F32 = np.dtype(np.float32)

TEXT = f"""
extern "C" __global__ void __launch_bounds__(256) sigmoid(const float* z, float* h) {{
  long long i = (long long)blockIdx.x * 256 + threadIdx.x;
  if (i < {ROWS * HIDDEN}) h[i] = 1.0f / (1.0f + expf(-z[i]));
}}
extern "C" __global__ void __launch_bounds__(64) loss(const float* y, const float* t, float* g, float* out) {{
  __shared__ float part[2];
  float s = 0;
  for (long long i = threadIdx.x; i < {ROWS * OUT}; i += 64) {{
    float d = y[i] - t[i];
    s += d * d;
    g[i] = d * {2 / (ROWS * OUT)!r}f;
  }}
  for (int d = 16; d; d >>= 1) s += __shfl_xor_sync(0xffffffffu, s, d);
  if ((threadIdx.x & 31) == 0) part[threadIdx.x >> 5] = s;
  __syncthreads();
  if (threadIdx.x == 0) out[0] = (part[0] + part[1]) / {ROWS * OUT}.0f;
}}
extern "C" __global__ void __launch_bounds__(256) sigmoid_vjp(const float* h, float* g) {{
  long long i = (long long)blockIdx.x * 256 + threadIdx.x;
  if (i < {ROWS * HIDDEN}) g[i] = g[i] * h[i] * (1.0f - h[i]);
}}
extern "C" __global__ void __launch_bounds__(32) column_sums(const float* g, float* s) {{
  int j = threadIdx.x;
  float sum = 0;
  if (j < {OUT}) for (int i = 0; i < {ROWS}; i++) sum += g[i * {OUT} + j];
  if (j < {OUT}) s[j] = sum;
}}
extern "C" __global__ void __launch_bounds__(256) update(const float* lr, const float* dW1, const float* db1, const float* dW2,
    const float* db2, float* W1, float* b1, float* W2, float* b2) {{
  long long i = (long long)blockIdx.x * 256 + threadIdx.x;
  if (i < {WIDE * HIDDEN}) W1[i] -= lr[0] * dW1[i];
  if (i < {HIDDEN}) b1[i] -= lr[0] * db1[i];
  if (i < {HIDDEN * OUT}) W2[i] -= lr[0] * dW2[i];
  if (i < {OUT}) b2[i] -= lr[0] * db2[i];
}}
"""

# the arena: z, then the gradient of it, over h's neighbour; bytes
_SIZES = {"z": ROWS * HIDDEN, "h": ROWS * HIDDEN, "y": ROWS * OUT, "g": ROWS * OUT, "dW1": WIDE * HIDDEN, "db1": HIDDEN,
          "dW2": HIDDEN * OUT, "db2": OUT}
_OFFSETS = dict(zip(_SIZES, np.cumsum([0, *[-(-4 * n // 256) * 256 for n in _SIZES.values()]]).tolist()))
ARENA = sum(-(-4 * n // 256) * 256 for n in _SIZES.values())


def spot(name: str, writes: bool = False) -> Spot:
    """Where a value of the step lies."""
    if name in _SIZES:
        return Spot("arena", _OFFSETS[name], 4 * _SIZES[name], writes=writes)
    if name in SHAPES:
        return Spot("state", 0, 4 * int(np.prod(SHAPES[name])), 3 + list(SHAPES).index(name), writes)
    return {"x": Spot("input", 0, 4 * ROWS * WIDE, 1), "t": Spot("input", 0, 4 * ROWS * OUT, 2), "lr": Spot("scalar", 0, 4),
            "loss": Spot("result", 0, 4, 0, writes)}[name]


def spots(*names: str) -> tuple[Spot, ...]:
    """Those with a `!` are written."""
    return tuple(spot(name.rstrip("!"), name.endswith("!")) for name in names)


def multiply(a: str, b: str, d: str, shapes: Sequence[tuple[int, int]], turned: str = "", bias: str = "", epilogue: str = "none",
             otherwise: tuple[Work, ...] = ()) -> Multiply:
    """d = a @ b; those of a, b whose letter is in `turned` lie transposed."""
    (m, k), (_, n) = shapes
    views = [View((m, k), (1, m) if "a" in turned else (k, 1)), View((k, n), (1, k) if "b" in turned else (n, 1)), View((m, n), (n, 1))]
    found = product(*views, "float32", epilogue=epilogue)
    assert found is not None and found.offsets == ((0, 0, 0),)
    first, second = (b, a) if found.swapped else (a, b)
    return Multiply(found.gemm, spot(first), spot(second), spot(d, True), spot(bias, epilogue == "sum_b") if bias else None, otherwise)


def program(barrier: str = "__syncthreads();", text: str = TEXT, move: bool = False) -> Program:
    """The step: x, t, four states and a learning rate in, the loss out. `move`: with a copy of z more, to have one."""
    plain = multiply("h", "g", "dW2", [(HIDDEN, ROWS), (ROWS, OUT)], "a")
    works: list[Work] = [
        multiply("x", "W1", "z", [(ROWS, WIDE), (WIDE, HIDDEN)], bias="b1", epilogue="bias"),
        Launch("sigmoid", (-(-ROWS * HIDDEN // 256),), (256,), spots("z", "h!")),
        multiply("h", "W2", "y", [(ROWS, HIDDEN), (HIDDEN, OUT)], bias="b2", epilogue="bias"),
        Launch("loss", (1,), (64,), spots("y", "t", "g!", "loss!")),
        multiply("h", "g", "dW2", [(HIDDEN, ROWS), (ROWS, OUT)], "a", "db2", "sum_b",
                 (plain, Launch("column_sums", (1,), (32,), spots("g", "db2!")))),
        multiply("g", "W2", "z", [(ROWS, OUT), (OUT, HIDDEN)], "b"),
        Launch("sigmoid_vjp", (-(-ROWS * HIDDEN // 256),), (256,), spots("h", "z!")),
        multiply("x", "z", "dW1", [(WIDE, ROWS), (ROWS, HIDDEN)], "a", "db1", "sum_b"),
        Launch("update", (-(-WIDE * HIDDEN // 256),), (256,),
               spots("lr", "dW1", "db1", "dW2", "db2", "W1!", "b1!", "W2!", "b2!")),
    ]
    if move:
        works.insert(1, Move(spot("dW1", True), Spot("arena", _OFFSETS["z"], 4 * WIDE * HIDDEN)))
    arrays = (None, Array((ROWS, WIDE), F32), Array((ROWS, OUT), F32), *[Array(shape, F32) for shape in SHAPES.values()])
    return Program(text.replace("__syncthreads();", barrier), tuple(works), ARENA, arrays, (3, 4, 5, 6), ((Array((), F32), spot("loss")),),
                   scalar_bytes=4, fill=fill)


def fill(numbers: Sequence[Any], block: np.ndarray) -> None:
    block.view(np.float32)[0] = numbers[0]


# after each node of the captured graph (the scalars' copy is node 0), the bytes of the arena that nobody reads any more
DEAD = {2: ["z"], 4: ["y"], 6: ["g"], 7: ["h"], 8: ["z"], 9: ["dW1", "db1", "dW2", "db2"]}


def data(seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """x, t and the parameters."""
    rng = np.random.default_rng(seed)
    x, t = rng.normal(size=(ROWS, WIDE)), rng.normal(size=(ROWS, OUT))
    return x.astype(F32), t.astype(F32), [(rng.normal(size=shape) / 4).astype(F32) for shape in SHAPES.values()]


def by_numpy(x: np.ndarray, t: np.ndarray, params: list[np.ndarray], lr: float) -> float:
    """One step in float64; writes into the parameters."""
    W1, b1, W2, b2 = params
    h = 1 / (1 + np.exp(-(x @ W1 + b1)))
    d = h @ W2 + b2 - t
    g = 2 * d / d.size
    dz = g @ W2.T * h * (1 - h)
    for p, dp in zip(params, (x.T @ dz, dz.sum(0), h.T @ g, g.sum(0))):
        p -= lr * dp
    return float((d * d).mean())
