"""What NumPy's calls take on the machine on which they were measured (2 cores, AVX2): the one table of nanoseconds of this backend.

`target.py` hands the planner those of the machine, the kernels' files reckon with those of an element and of a call. Nothing is measured
when a plan is made, so plans depend on nothing else.
"""

from __future__ import annotations

# ---- a call
CALL = 500.0  # a ufunc with `out` on arrays, before its first element
NUMBERS = 250.0  # an operation on NumPy's scalars
REDUCE = 1400.0  # `ufunc.reduce` before its first element: a column sum of 100x10 5.5 us, a sum of 1,000 2.4
PRODUCT = 600.0  # the method `dot`; `np.dot` 500 more. With ones: a column sum of 100x10 1.7 us, a sum of 1,000 1.0
MATMUL = 2500.0  # `np.matmul`
MATRIX = 300.0  # each matrix that `np.matmul` hands to BLAS
MOVES = 2000.0  # `take`, `concatenate` and the like

# ---- an element, float64, contiguous; what is not in ELEMENT is arithmetic. Floats of 4 bytes take half, functions in VECTOR32 a quarter
ARITHMETIC = 0.6
ELEMENT: dict[str, float] = {
    "divide": 1.2, "reciprocal": 1.2, "sqrt": 1.2, "exp": 7, "exp2": 7, "expm1": 12, "log": 12, "log2": 8, "log10": 9, "log1p": 12,
    "tanh": 34, "sin": 12, "cos": 12, "tan": 20, "arcsin": 15, "arccos": 15, "arctan": 15, "sinh": 20, "cosh": 15, "arcsinh": 30,
    "arccosh": 25, "arctanh": 20, "arctan2": 25, "hypot": 6, "power": 28, "logaddexp": 25, "logaddexp2": 25, "floor_divide": 6,
    "remainder": 8, "fmod": 8, "cbrt": 15,
}  # fmt: skip
VECTOR32 = {"exp", "log", "tanh", "sin", "cos"}  # NumPy has vector code for these
MASKED = 4.0  # `copyto` and `where` with a mask, between one without pattern and a uniform one
MOVED = 1.5  # of what `take` and the like write

# ---- a row, a step, a place in memory
ROW = 25.0  # each row where a vector is added to all of a matrix, or each row that a reduction ends
RUN = 25.0  # each step from one run of a block's elements to the next: blocks along an inner axis took up to 2.7 times what calls do
GAP = 1.0  # an element that does not lie next to the one before; on a page of its own 8, within a cache line 0.25

# ---- the machine
GFLOPS = 20.0  # of one core, float64; float32 twice as many
BANDWIDTH = 10.0  # bytes a nanosecond, of one core, from memory; four times as many from the cache
FORK = 60_000.0  # to wake a worker and wait for it: 40 us after 2 ms of sleep, 54 to 80 in all for calls of 15 us and more
FAST_BYTES = 1 << 20  # blocks' buffers in one worker's cache: of 64k doubles they are as quick as of 16k
SHARED_BYTES = 1 << 22  # chains over four arrays, ns an element: 3.2 MB 0.44, blocks or not; 6.4 MB 0.88, 16 MB 1.9, in blocks 0.55
# Elements of 8 bytes. Two threads hand each other Python's lock at each call: layer norm took 54 ms in blocks of 26,000 floats, 41 from
# 65,000 on; doubles are best in half as many, which take as long and as much of the cache. Calls of 7 us cost 10 to 20 each to hand over.
BLOCK = 1 << 15
