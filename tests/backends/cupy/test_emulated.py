"""The emulator itself: what kernels give on the CPU agrees with NumPy, and each planted fault is named."""
from __future__ import annotations

import numpy as np
import pytest

from tests.backends.cupy import emulated

pytestmark = emulated.needs_compiler

SOFTMAX = """\
__device__ float warp_max(float v) {
  for (int d = 16; d; d >>= 1) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, d));
  return v;
}
extern "C" __global__ void __launch_bounds__(256) softmax(const float* __restrict__ x, float* __restrict__ y, int n) {
  __shared__ float part[8];
  const float* row = x + (long long)blockIdx.x * n;
  float m = __int_as_float(0xff800000);
  for (int i = threadIdx.x; i < n; i += 256) m = fmaxf(m, row[i]);
  m = warp_max(m);
  if ((threadIdx.x & 31) == 0) part[threadIdx.x >> 5] = m;
  __syncthreads();
  for (int i = 0; i < 8; i++) m = fmaxf(m, part[i]);
  __syncthreads();
  float s = 0;
  for (int i = threadIdx.x; i < n; i += 256) s += expf(row[i] - m);
  for (int d = 16; d; d >>= 1) s += __shfl_down_sync(0xffffffffu, s, d);
  if ((threadIdx.x & 31) == 0) part[threadIdx.x >> 5] = s;
  __syncthreads();
  s = 0;
  for (int i = 0; i < 8; i++) s += part[i];
  for (int i = threadIdx.x; i < n; i += 256) y[(long long)blockIdx.x * n + i] = expf(row[i] - m) / s;
}
extern "C" __global__ void twice(float* x, long long n) {
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] = 2 * x[i];
}
extern "C" __global__ void turned(const int* x, int* y) {
  __shared__ int part[32];
  part[threadIdx.x] = x[threadIdx.x];
  __syncwarp();
  y[threadIdx.x] = part[31 - threadIdx.x];
}
"""


def softmax(text: str = SOFTMAX, rows: int = 3, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(n).normal(size=(rows, n)).astype(np.float32)
    y = np.zeros_like(x)
    emulated.run(text, "softmax", rows, 256, x, y, np.int32(n), writes=[1])
    e = np.exp(x - x.max(1, keepdims=True), dtype=np.float64)
    return y, e / e.sum(1, keepdims=True)


def twice(text: str = SOFTMAX, n: int = 1000) -> np.ndarray:
    x = np.arange(n, dtype=np.float32)
    emulated.run(text, "twice", 4, 256, x, np.int64(n), writes=[0])
    return x


def changed(old: str, new: str, nth: int = 0) -> str:
    parts = SOFTMAX.split(old)
    assert len(parts) > nth + 1
    return old.join(parts[: nth + 1]) + new + old.join(parts[nth + 1 :])


@pytest.mark.parametrize("n", [1, 31, 32, 33, 255, 256, 257, 1025])
def test_row_softmax_agrees_with_numpy(n: int) -> None:
    y, expected = softmax(n=n)
    np.testing.assert_allclose(y, expected, rtol=1e-6)


def test_kernels_without_barriers() -> None:
    np.testing.assert_array_equal(twice(), 2 * np.arange(1000, dtype=np.float32))


def test_lanes_of_a_warp_meet() -> None:
    x, y = np.arange(32, dtype=np.int32), np.zeros(32, np.int32)
    emulated.run(SOFTMAX, "turned", 1, 32, x, y, writes=[1])
    np.testing.assert_array_equal(y, x[::-1])


def test_votes_and_shuffles() -> None:
    text = """extern "C" __global__ void f(const int* x, int* y, double* z) {
      int t = threadIdx.x, lane = t & 31;
      unsigned odd = __ballot_sync(0xffffffffu, x[t] & 1);
      y[t] = __popc(odd) + 100 * __any_sync(0xffffffffu, x[t] > 40) + 1000 * __all_sync(0xffffffffu, x[t] < 40);
      z[t] = __shfl_up_sync(0xffffffffu, (double)x[t], 1) + 0.25 * __shfl_sync(0xffffffffu, x[t], 3);
      z[t] += 1000 * __shfl_down_sync(0xffffffffu, x[t], 2, 8);
      if (lane > 40) z[t] = 0;
    }"""
    x, y, z = np.arange(64, dtype=np.int32), np.zeros(64, np.int32), np.zeros(64)
    emulated.run(text, "f", 1, 64, x, y, z, writes=[1, 2])
    np.testing.assert_array_equal(y, np.repeat([16 + 1000, 16 + 100], 32))
    lane = x % 32
    down = np.where(lane % 8 + 2 < 8, x + 2, x)
    np.testing.assert_array_equal(z, np.where(lane, x - 1, x) + 0.25 * (x - lane + 3) + 1000.0 * down)


def test_blocks_and_threads_of_three_axes() -> None:
    text = """extern "C" __global__ void f(int* y) {
      int b = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
      int t = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
      y[b * 32 + t] = b * 32 + t;
    }"""
    y = np.zeros(24 * 32, np.int32)
    emulated.run(text, "f", (2, 3, 4), (4, 4, 2), y, writes=[0])
    np.testing.assert_array_equal(y, np.arange(y.size))


@pytest.mark.parametrize("nth", [0, 1, 2])
def test_a_barrier_removed_gives_other_values(nth: int) -> None:
    with pytest.raises(AssertionError, match="depends on the order of threads"):
        softmax(changed("__syncthreads();", "", nth))


def test_a_barrier_of_the_warp_removed() -> None:
    x, y = np.arange(32, dtype=np.int32), np.zeros(32, np.int32)
    with pytest.raises(AssertionError, match="depends on the order of threads"):
        emulated.run(changed("__syncwarp();", ""), "turned", 1, 32, x, y, writes=[1])


@pytest.mark.parametrize(("old", "new", "said", "line"), [
    ("__syncthreads();", "if (threadIdx.x < 100) __syncthreads();",
     "divergent __syncthreads: thread 0 waits here, thread 100 at line 14", 12),
    ("__syncthreads();", "if (threadIdx.x == 100) return; __syncthreads();", "thread 0 waits here, thread 100 has returned", 12),
    ("m = warp_max(m);", "if (threadIdx.x & 1) m = warp_max(m);",
     "divergent __shfl_xor_sync: thread 1 waits here, thread 0 waits at line 12", 2),
    ("float s = 0;", "if (threadIdx.x == 100) return; float s = 0;",
     "divergent __shfl_down_sync: thread 96 waits here, thread 100 has returned", 17),
    ("i < 8; i++", "i <= 8; i++", "an index outside its array", 13),
    ("0xffffffffu, v, d", "0xffffu, v, d", "a mask that is not full", 2),
    ("expf(row[i] - m) / s", "n / (int)(threadIdx.x & 0)", "an integer is divided by zero", 22),
    ("row = x + (long long)blockIdx.x * n", "row = x + n * n * n * n * n", "a signed product overflows", 7),
    ("row[i] - m) / s", "row[i + 1] - m) / s", "touches memory outside its buffers", 22),
    ("row[i] - m) / s", "row[i - 1] - m) / s", "touches memory outside its buffers", 22),
])
def test_a_planted_fault_is_named(old: str, new: str, said: str, line: int) -> None:
    with pytest.raises(emulated.Fault, match=said) as raised:
        softmax(changed(old, new))
    assert raised.value.line == line and raised.value.kernel == "softmax"
    softmax()  # what came before leaves nothing behind


@pytest.mark.parametrize("index", ["i + 1", "i - 1"])
def test_a_write_beside_a_buffer(index: str) -> None:
    with pytest.raises((AssertionError, emulated.Fault), match="writes beside its argument 0|touches memory outside its buffers"):
        twice(changed("x[i] = 2", f"x[{index}] = 2"))


def test_a_write_into_what_is_only_read() -> None:
    x, y = np.ones((1, 5), np.float32), np.zeros((1, 5), np.float32)
    with pytest.raises(AssertionError, match="writes into argument 1, which it only reads"):
        emulated.run(SOFTMAX, "softmax", 1, 256, x, y, np.int32(5))


def test_a_pointer_of_wide_type_is_aligned() -> None:
    text = 'extern "C" __global__ void f(float* x) { if (threadIdx.x == 0) *(float4*)(x + 1) = make_float4(1, 2, 3, 4); }'
    with pytest.raises(emulated.Fault, match="line 1, block 0, thread 0: a pointer not aligned as its type wants"):
        emulated.run(text, "f", 1, 32, np.zeros(8, np.float32), writes=[0])


def test_blocks_have_whole_warps() -> None:
    with pytest.raises(emulated.Fault, match="a multiple of 32 threads"):
        emulated.run(SOFTMAX, "twice", 1, 33, np.zeros(3, np.float32), np.int64(3), writes=[0])


@pytest.mark.parametrize("text", [
    'extern "C" __global__ void f(float* x) { extern __shared__ float s[]; x[0] = s[0]; }',
    'extern "C" __global__ void f(float* x) { atomicAdd(x, 1.0f); }',
])
def test_what_is_not_emulated_does_not_compile(text: str) -> None:
    with pytest.raises(AssertionError, match="(?s)refuses the text:.*kernels.cu:1"):
        emulated.load(text)
