// CUDA text as host C++. Job: run the kernels of a module on the CPU, one OS thread, and name what they do wrong.
//
// In: CUDA text behind this header and one line EMULATED(name) a kernel. Out: `emulated_<name>(args, grid, block, reversed, &fault)`, which
// takes the driver's `void**` and returns 0, or 1 with the fault filled in.
// Each CUDA thread is a fiber that gives way only at __syncthreads, __syncwarp, shuffles and votes. A warp runs as far as it can before the next
// one starts, so that a missing barrier shows; `reversed` turns round lanes, warps and blocks. Shared memory is NaN (0xFF) before each block.
// A kernel that meets no barrier runs as a plain loop over its threads. Not here, so errors of the compiler: dynamic shared memory, float
// atomics, half types, clusters. Maths by its C names (expf for float, exp for double). No timing, no concurrency: values, indices, barriers.
#pragma once
#define _GLIBCXX_INCLUDE_NEXT_C_HEADERS  // C's own headers: C++'s <cmath> alone takes three times as long to compile as all the rest
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

struct dim3 { unsigned x, y, z; };
struct Fault { int line; unsigned block, thread; uint64_t address, pc; char text[200]; };

namespace emulated {

enum State { fresh, ready, at_barrier, at_warp, done };
constexpr unsigned limit = 1024, lanes = 32;
constexpr size_t stack_bytes = 128 * 1024;

struct Fiber { jmp_buf here; ucontext_t first; char* stack; bool entered; };
struct Thread { State state; int line; const char* what; Fiber* fiber; unsigned phase; uint64_t slots[2]; };

static Thread threads[limit];
static Fiber fibers[limit], *idle[limit];
static unsigned idle_count, current, size, order_reversed, gave_way;
static dim3 thread_index, block_index, block_size, grid_size;
static jmp_buf scheduler, launcher;
static Fault* fault_out;
static pthread_t owner;
static void (*entry)(void**);
static void** arguments;

[[noreturn]] static void fault(int line, const char* text, uint64_t address = 0, uint64_t pc = 0) {
  *fault_out = {line, block_index.x + grid_size.x * (block_index.y + grid_size.y * block_index.z), current, address, pc, {0}};
  snprintf(fault_out->text, sizeof fault_out->text, "%s", text);
  _longjmp(launcher, 1);
}

static unsigned nth(unsigned i, unsigned n) { return order_reversed ? n - 1 - i : i; }

static void enter(unsigned thread) {
  current = thread;
  thread_index = {thread % block_size.x, thread / block_size.x % block_size.y, thread / block_size.x / block_size.y};
}

static void body() {  // what a fiber runs: its thread, and, as long as no thread of the block has given way, the next ones too
  for (;;) {
    Fiber* self = threads[current].fiber;
    entry(arguments);
    threads[current].state = done;
    unsigned i = nth(current, size) + 1;
    if (!gave_way && i < size) {
      enter(nth(i, size));
      threads[current].fiber = self;
    } else {
      idle[idle_count++] = self;
      if (!_setjmp(self->here)) _longjmp(scheduler, 1);
    }
  }
}

__attribute__((noinline)) static void resume(unsigned thread) {
  Thread& t = threads[thread];
  if (t.state == fresh) t.fiber = idle[--idle_count];
  t.state = ready;
  enter(thread);
  if (_setjmp(scheduler)) return;
  if (t.fiber->entered) _longjmp(t.fiber->here, 1);
  t.fiber->entered = true;
  setcontext(&t.fiber->first);
}

__attribute__((noinline)) static void give_way(State state, int line, const char* what) {
  Thread& t = threads[current];
  unsigned thread = current;
  gave_way = 1;
  t.state = state, t.line = line, t.what = what;
  if (!_setjmp(t.fiber->here)) _longjmp(scheduler, 1);
  enter(thread);
  asm volatile("" ::: "memory");
}

static void prepare_fibers(unsigned n) {
  for (unsigned i = 0; i < n; i++) {
    Fiber& f = fibers[n - 1 - i];
    if (!f.stack) f.stack = static_cast<char*>(mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    getcontext(&f.first);
    f.first.uc_stack.ss_sp = f.stack, f.first.uc_stack.ss_size = stack_bytes, f.first.uc_link = nullptr;
    makecontext(&f.first, body, 0);
    f.entered = false;
    idle[i] = &f;
  }
  idle_count = n;
}

static bool released(unsigned first, unsigned n, State waiting) {  // all n wait at the same place: let them go on
  for (unsigned t = first; t < first + n; t++) if (threads[t].state != waiting) return false;
  for (unsigned t = first; t < first + n; t++) if (threads[t].line != threads[first].line || threads[t].what != threads[first].what) {
    char text[200];
    snprintf(text, sizeof text, "divergent %s: thread %u waits here, thread %u at line %d (%s)", threads[first].what, first, t, threads[t].line,
             threads[t].what);
    current = first;
    fault(threads[first].line, text);
  }
  for (unsigned t = first; t < first + n; t++) threads[t].state = ready, threads[t].phase++;
  return true;
}

[[noreturn]] static void stuck(unsigned first, unsigned n, State waiting) {  // some wait for others that will never come
  unsigned here = first, there = first;
  while (threads[here].state != waiting) here++;
  while (threads[there].state == waiting) there++;
  char text[200], where[60];
  if (threads[there].state == done) snprintf(where, sizeof where, "has returned");
  else snprintf(where, sizeof where, "waits at line %d (%s)", threads[there].line, threads[there].what);
  snprintf(text, sizeof text, "divergent %s: thread %u waits here, thread %u %s", threads[here].what, here, there, where);
  current = here;
  fault(threads[here].line, text);
}

static bool waits(unsigned first, unsigned n, State state) {
  for (unsigned t = first; t < first + n; t++) if (threads[t].state == state) return true;
  return false;
}

static void run_block() {
  for (unsigned t = 0; t < size; t++) threads[t].state = fresh, threads[t].phase = 0;
  gave_way = 0;
  do {
    for (unsigned w = 0; w < size / lanes; w++) {
      unsigned first = nth(w, size / lanes) * lanes;
      do {
        for (unsigned i = 0; i < lanes; i++) {
          unsigned t = first + nth(i, lanes);
          if (threads[t].state <= ready) resume(t);
        }
      } while (released(first, lanes, at_warp));
      if (waits(first, lanes, at_warp)) stuck(first, lanes, at_warp);
    }
  } while (released(0, size, at_barrier));
  if (waits(0, size, at_barrier)) stuck(0, size, at_barrier);
}

static void on_signal(int number, siginfo_t* info, void* context) {
  if (!pthread_equal(owner, pthread_self())) { signal(number, SIG_DFL); return; }
  uint64_t pc = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP];
  if (number == SIGFPE) fault(0, "an integer is divided by zero", 0, pc);
  fault(0, "touches memory outside its buffers", reinterpret_cast<uint64_t>(info->si_addr), pc);
}

extern "C" char __start_emulated_shared[], __stop_emulated_shared[];
__attribute__((section("emulated_shared"), used)) static char some_shared;

__attribute__((noinline)) static int launch(void (*kernel)(void**), void** args, const unsigned* grid, const unsigned* block, int reversed, Fault* out) {
  static char signal_stack[64 * 1024];
  fault_out = out, entry = kernel, arguments = args, order_reversed = reversed, owner = pthread_self();
  grid_size = {grid[0], grid[1], grid[2]}, block_size = {block[0], block[1], block[2]}, block_index = {0, 0, 0};
  size = block[0] * block[1] * block[2], current = 0;
  stack_t alternate = {signal_stack, 0, sizeof signal_stack}, old_stack;
  struct sigaction action, old[3];
  const int numbers[3] = {SIGSEGV, SIGBUS, SIGFPE};
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_signal, action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigaltstack(&alternate, &old_stack);
  for (int i = 0; i < 3; i++) sigaction(numbers[i], &action, &old[i]);
  volatile int failed = 1;
  if (!_setjmp(launcher)) {
    if (!size || size % lanes || size > limit) fault(0, "a block has a multiple of 32 threads, 1024 at most");
    if (!grid[0] || !grid[1] || !grid[2]) fault(0, "a grid has at least one block");
    prepare_fibers(size);
    uint64_t blocks = uint64_t(grid[0]) * grid[1] * grid[2];
    for (uint64_t i = 0; i < blocks; i++) {
      uint64_t b = reversed ? blocks - 1 - i : i;
      block_index = {unsigned(b % grid[0]), unsigned(b / grid[0] % grid[1]), unsigned(b / grid[0] / grid[1])};
      memset(__start_emulated_shared, 0xFF, __stop_emulated_shared - __start_emulated_shared);
      run_block();
    }
    failed = 0;
  }
  for (int i = 0; i < 3; i++) sigaction(numbers[i], &old[i], nullptr);
  if (old_stack.ss_flags & SS_DISABLE) old_stack.ss_size = 0;
  sigaltstack(&old_stack, nullptr);
  return failed;
}

template <size_t... i> struct Indices {};
template <size_t n, size_t... i> struct Count : Count<n - 1, n - 1, i...> {};
template <size_t... i> struct Count<0, i...> { using type = Indices<i...>; };
template <class... A, size_t... i> void spread(void (*kernel)(A...), void** args, Indices<i...>) { kernel(*static_cast<A*>(args[i])...); }
template <class... A> void spread(void (*kernel)(A...), void** args) { spread(kernel, args, typename Count<sizeof...(A)>::type{}); }

// what a lane of a warp gives to the others: kept twice, by phase, so that the next exchange does not overwrite what is still to be read
static Thread* exchange(int line, const char* what, unsigned mask, uint64_t bits) {
  if (mask != 0xFFFFFFFFu) fault(line, "a mask that is not full");
  Thread& t = threads[current];
  t.slots[t.phase & 1] = bits;
  give_way(at_warp, line, what);
  return threads + current / lanes * lanes;
}

enum Shuffle { from, up, down, exclusive };

template <class T> T shuffle(int line, const char* what, Shuffle kind, unsigned mask, T value, int by, int width = 32) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles take 4 or 8 bytes");
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof value);
  unsigned phase = threads[current].phase & 1;
  Thread* warp = exchange(line, what, mask, bits);
  int lane = current % lanes, start = lane & ~(width - 1), source = lane;
  if (kind == from) source = start | (by & (width - 1));
  if (kind == up) source = lane - by;
  if (kind == down) source = lane + by;
  if (kind == exclusive) source = lane ^ by;
  if (source < start || source >= start + width) source = lane;
  memcpy(&value, &warp[source].slots[phase], sizeof value);
  return value;
}

static unsigned vote(int line, const char* what, unsigned mask, bool yes) {
  unsigned phase = threads[current].phase & 1, all = 0;
  Thread* warp = exchange(line, what, mask, yes);
  for (unsigned i = 0; i < lanes; i++) all |= unsigned(warp[i].slots[phase]) << i;
  return all;
}

}  // namespace emulated

// the compiler's own checks (-fsanitize=bounds,signed-integer-overflow,shift-exponent,alignment): the line stands first in what they are given
#define EMULATED_CHECK(name, text) \
  extern "C" void __ubsan_handle_##name(const void* data, ...) { emulated::fault(int(*reinterpret_cast<const uint32_t*>(static_cast<const char*>(data) + 8)), text); }
EMULATED_CHECK(out_of_bounds, "an index outside its array")
EMULATED_CHECK(add_overflow, "a signed sum overflows")
EMULATED_CHECK(sub_overflow, "a signed difference overflows")
EMULATED_CHECK(mul_overflow, "a signed product overflows")
EMULATED_CHECK(negate_overflow, "a signed negation overflows")
EMULATED_CHECK(divrem_overflow, "a signed division overflows")
EMULATED_CHECK(shift_out_of_bounds, "a shift by more than the bits there are")
EMULATED_CHECK(type_mismatch_v1, "a pointer not aligned as its type wants")

template <class... A> size_t sizes_of(void (*)(A...), size_t* sizes) {
  const size_t all[] = {sizeof(A)..., 0};
  for (size_t i = 0; i < sizeof...(A); i++) sizes[i] = all[i];
  return sizeof...(A);
}

#define EMULATED(name) \
  extern "C" size_t emulated_sizes_##name(size_t* sizes) { return sizes_of(name, sizes); } \
  extern "C" int emulated_##name(void** args, const unsigned* grid, const unsigned* block, int reversed, Fault* out) { \
    return emulated::launch([](void** a) { emulated::spread(name, a); }, args, grid, block, reversed, out); }

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define __constant__ static const
#define __shared__ static __attribute__((section("emulated_shared"), used))
#define threadIdx emulated::thread_index
#define blockIdx emulated::block_index
#define blockDim emulated::block_size
#define gridDim emulated::grid_size
#define warpSize 32
#define __syncthreads() emulated::give_way(emulated::at_barrier, __LINE__, "__syncthreads")
#define __syncwarp(...) emulated::exchange(__LINE__, "__syncwarp", 0xFFFFFFFFu, 0)
#define __shfl_sync(...) emulated::shuffle(__LINE__, "__shfl_sync", emulated::from, __VA_ARGS__)
#define __shfl_up_sync(...) emulated::shuffle(__LINE__, "__shfl_up_sync", emulated::up, __VA_ARGS__)
#define __shfl_down_sync(...) emulated::shuffle(__LINE__, "__shfl_down_sync", emulated::down, __VA_ARGS__)
#define __shfl_xor_sync(...) emulated::shuffle(__LINE__, "__shfl_xor_sync", emulated::exclusive, __VA_ARGS__)
#define __ballot_sync(mask, yes) emulated::vote(__LINE__, "__ballot_sync", mask, yes)
#define __any_sync(mask, yes) (emulated::vote(__LINE__, "__any_sync", mask, yes) != 0)
#define __all_sync(mask, yes) (emulated::vote(__LINE__, "__all_sync", mask, yes) == 0xFFFFFFFFu)
#define __threadfence()

#define EMULATED_VECTORS(type, name) \
  struct alignas(2 * sizeof(type)) name##2 { type x, y; }; \
  struct alignas(sizeof(type) < 8 ? 4 * sizeof(type) : 16) name##4 { type x, y, z, w; }; \
  static inline name##2 make_##name##2(type x, type y) { return {x, y}; } \
  static inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
EMULATED_VECTORS(float, float)
EMULATED_VECTORS(double, double)
EMULATED_VECTORS(int, int)
EMULATED_VECTORS(unsigned, uint)
EMULATED_VECTORS(short, short)
EMULATED_VECTORS(unsigned short, ushort)
EMULATED_VECTORS(char, char)
EMULATED_VECTORS(unsigned char, uchar)
EMULATED_VECTORS(long long, longlong)
EMULATED_VECTORS(unsigned long long, ulonglong)

template <class T> static inline T __ldg(const T* p) { return *p; }
template <class To, class From> static inline To emulated_bits(From v) { To to; static_assert(sizeof to == sizeof v, ""); memcpy(&to, &v, sizeof to); return to; }
static inline float __int_as_float(int v) { return emulated_bits<float>(v); }
static inline float __uint_as_float(unsigned v) { return emulated_bits<float>(v); }
static inline int __float_as_int(float v) { return emulated_bits<int>(v); }
static inline unsigned __float_as_uint(float v) { return emulated_bits<unsigned>(v); }
static inline double __longlong_as_double(long long v) { return emulated_bits<double>(v); }
static inline long long __double_as_longlong(double v) { return emulated_bits<long long>(v); }
static inline float abs(float v) { return fabsf(v); }
static inline double abs(double v) { return fabs(v); }
static inline long long abs(long long v) { return llabs(v); }
static inline float rsqrtf(float v) { return 1 / sqrtf(v); }
static inline double rsqrt(double v) { return 1 / sqrt(v); }
static inline float sinpif(float v) { return float(sin(3.14159265358979323846 * fmod(v, 2.0))); }
static inline float cospif(float v) { return float(cos(3.14159265358979323846 * fmod(v, 2.0))); }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dsub_rn(double a, double b) { return a - b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline double __ddiv_rn(double a, double b) { return a / b; }
static inline int __popc(unsigned v) { return __builtin_popcount(v); }
static inline int __popcll(unsigned long long v) { return __builtin_popcountll(v); }
static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline long long min(long long a, long long b) { return a < b ? a : b; }
static inline long long max(long long a, long long b) { return a > b ? a : b; }
