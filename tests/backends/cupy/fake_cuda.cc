// A driver without a GPU: libcuda.so.1 for tests, with just the calls that the backend makes. Job: run them for real, and refuse what the real
// one refuses (calls without a context, waits and allocations while capturing, addresses outside memory).
//
// A stream is a queue that runs when somebody waits (or at once, by `fake_set("eager", 1)`): work that is not ordered by an event comes late.
// A module is the path of a library that `emulated.py` made; a launch enters its emulator. Memory lies between guarded pages and begins as NaN.
// It holds our beliefs about CUDA, no more: a GPU has the last word.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <dlfcn.h>
#include <functional>
#include <map>
#include <string>
#include <sys/mman.h>
#include <thread>
#include <vector>

namespace {

enum { ok = 0, invalid_value = 1, out_of_memory = 2, invalid_context = 201, invalid_handle = 400, not_found = 500, illegal_address = 700,
       capture_unsupported = 900, capture_invalidated = 901, capture_isolation = 905 };
struct Fault { int line; unsigned block, thread; uint64_t address, pc; char text[200]; };
using Work = std::function<void()>;
struct Node { std::string name; Work work; };
struct Graph { std::vector<Node> nodes; };
struct Stream { std::deque<Work> queue; uint64_t done = 0, asked = 0; Graph* capturing = nullptr; bool spoilt = false; int mode = 0; std::thread::id by; };
struct Event { Stream* stream = nullptr; uint64_t at = 0; };
struct Room { uint64_t nbytes; char* base; size_t mapped; bool pinned; };
struct Module { void* library; };
struct Kernel { int (*enter)(void**, const unsigned*, const unsigned*, int, Fault*); std::vector<size_t> sizes; };

std::map<uint64_t, Room> rooms;
std::map<std::string, int64_t> counts, settings = {{"free", 1 << 30}, {"major", 9}, {"minor", 0}};
std::vector<Stream*> streams;
Stream null_stream;
thread_local std::vector<uint64_t> contexts;
int sticky = ok;
char fault_text[400];
constexpr uint64_t the_context = 0xC0;

Stream* stream_of(void* handle) { return handle ? static_cast<Stream*>(handle) : &null_stream; }
int entered(const char* name) { counts[name]++; return sticky ? sticky : contexts.empty() ? invalid_context : ok; }
#define ENTER if (int status = entered(__func__ + 5)) return status

void drain(Stream* stream, uint64_t upto) {
  while (stream->done < upto && !stream->queue.empty()) {
    Work work = stream->queue.front();
    stream->queue.pop_front();
    stream->done++;
    if (!sticky) work();
  }
}
void drain_all() { drain(&null_stream, null_stream.asked); for (Stream* s : streams) drain(s, s->asked); }

int ask(void* handle, const char* name, Work work) {
  Stream* stream = stream_of(handle);
  if (stream->capturing) { stream->capturing->nodes.push_back({name, work}); return ok; }
  stream->queue.push_back(work), stream->asked++;
  if (settings["eager"]) drain_all();
  return sticky;
}

// what must not be called while this thread (in the strictest mode: any thread) captures
int unsafe() {
  for (Stream* s : streams)
    if (s->capturing && (s->mode == 0 || s->by == std::this_thread::get_id())) { s->spoilt = true; return capture_unsupported; }
  return ok;
}
#define OUTSIDE if (int status = unsafe()) return status

Room* room_of(uint64_t ptr, uint64_t nbytes, bool& near) {
  auto found = rooms.upper_bound(ptr);
  near = false;
  if (found == rooms.begin()) return nullptr;
  --found;
  near = ptr < found->first + found->second.nbytes || (ptr == found->first && !nbytes);
  return near && ptr + nbytes <= found->first + found->second.nbytes ? &found->second : nullptr;
}

uint64_t take(uint64_t nbytes, bool pinned) {
  const size_t page = 4096, pages = (nbytes + page - 1) / page * page + (nbytes ? 0 : page), mapped = pages + 2 * page;
  char* base = static_cast<char*>(mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  mprotect(base, page, PROT_NONE), mprotect(base + page + pages, page, PROT_NONE);
  memset(base + page, 0xFF, pages);
  uint64_t ptr = reinterpret_cast<uint64_t>(base) + page + (settings["at_start"] ? 0 : (pages - nbytes) / 256 * 256);
  rooms[ptr] = {nbytes, base, mapped, pinned};
  counts["outstanding"] += nbytes;
  return ptr;
}
int give(uint64_t ptr) {
  if (!rooms.count(ptr)) return invalid_value;
  Room room = rooms[ptr];
  counts["outstanding"] -= room.nbytes;
  munmap(room.base, room.mapped);
  rooms.erase(ptr);
  return ok;
}

}  // namespace

#define API extern "C" __attribute__((visibility("default")))

// for tests
API void fake_set(const char* name, int64_t value) { settings[name] = value; }
API int64_t fake_count(const char* name) { return counts[name]; }
API const char* fake_fault() { return fault_text; }
API void fake_reset() { sticky = ok; drain_all(); counts.erase("launches"); fault_text[0] = 0; }
API void fake_node(void* exec, int i, char* out) { strcpy(out, static_cast<Graph*>(exec)->nodes[i].name.c_str()); }

API int fake_cuInit(unsigned) { counts["cuInit"]++; return ok; }
API int fake_cuDeviceGetCount(int* n) { *n = 2; return ok; }
API int fake_cuDeviceGet(int* device, int ordinal) { *device = ordinal; return ordinal < 2 ? ok : 101; }
API int fake_cuDeviceGetAttribute(int* value, int what, int) { *value = what == 75 ? settings["major"] : settings["minor"]; return what == 75 || what == 76 ? ok : invalid_value; }
API int fake_cuDevicePrimaryCtxRetain(void** context, int device) { *context = reinterpret_cast<void*>(the_context + device); counts["retained"]++; return ok; }
API int fake_cuDevicePrimaryCtxRelease(int) { counts["retained"]--; return ok; }
API int fake_cuCtxPushCurrent(void* context) { contexts.push_back(reinterpret_cast<uint64_t>(context)); return ok; }
API int fake_cuCtxPopCurrent(void** context) {
  if (contexts.empty()) return invalid_context;
  *context = reinterpret_cast<void*>(contexts.back()), contexts.pop_back();
  return ok;
}
API int fake_cuCtxGetCurrent(void** context) { *context = contexts.empty() ? nullptr : reinterpret_cast<void*>(contexts.back()); return ok; }

API int fake_cuMemAlloc(uint64_t* ptr, size_t nbytes) {
  ENTER; OUTSIDE;
  if (!nbytes) return invalid_value;
  if (int64_t(nbytes) > settings["free"] - counts["outstanding"]) return out_of_memory;
  *ptr = take(nbytes, false);
  return ok;
}
API int fake_cuMemFree(uint64_t ptr) { ENTER; OUTSIDE; drain_all(); return give(ptr); }
API int fake_cuMemHostAlloc(void** ptr, size_t nbytes, unsigned) { ENTER; OUTSIDE; *ptr = reinterpret_cast<void*>(take(nbytes, true)); return ok; }
API int fake_cuMemFreeHost(void* ptr) { ENTER; OUTSIDE; drain_all(); return give(reinterpret_cast<uint64_t>(ptr)); }
API int fake_cuMemGetInfo(size_t* free, size_t* total) { ENTER; *total = settings["free"]; *free = *total - counts["outstanding"]; return ok; }
API int fake_cuPointerGetAttribute(void* out, int what, uint64_t ptr) {
  ENTER;
  bool near;
  Room* room = room_of(ptr, 0, near);
  if (what != 2 || !room) return invalid_value;
  *static_cast<unsigned*>(out) = room->pinned ? 1 : 2;
  return ok;
}

API int fake_cuMemcpyAsync(uint64_t dst, uint64_t src, size_t nbytes, void* handle) {
  ENTER;
  if (!nbytes) return ok;
  bool near_dst, near_src;
  Room *to = room_of(dst, nbytes, near_dst), *from = room_of(src, nbytes, near_src);
  if ((near_dst && !to) || (near_src && !from)) return invalid_value;
  Stream* stream = stream_of(handle);
  char *d = reinterpret_cast<char*>(dst), *s = reinterpret_cast<char*>(src);
  if (!to) {  // to the host's own memory: waits
    OUTSIDE;
    drain(stream, stream->asked);
    if (!sticky) memcpy(d, s, nbytes);
    return sticky;
  }
  if (!from) {  // from the host's own memory: read before this returns
    if (stream->capturing) { stream->spoilt = true; return capture_unsupported; }
    std::string staged(s, nbytes);
    return ask(handle, "upload", [=] { memcpy(d, staged.data(), nbytes); });
  }
  return ask(handle, "copy", [=] { memmove(d, s, nbytes); });
}

API int fake_cuStreamCreate(void** out, unsigned flags) { ENTER; Stream* s = new Stream; streams.push_back(s); *out = s; counts["nonblocking"] += flags; return ok; }
API int fake_cuStreamDestroy(void* handle) {
  ENTER;
  drain(stream_of(handle), stream_of(handle)->asked);
  for (size_t i = 0; i < streams.size(); i++) if (streams[i] == handle) { streams.erase(streams.begin() + i); return ok; }
  return invalid_handle;
}
API int fake_cuStreamSynchronize(void* handle) { ENTER; OUTSIDE; drain(stream_of(handle), stream_of(handle)->asked); return sticky; }
API int fake_cuEventCreate(void** out, unsigned) { ENTER; *out = new Event; counts["events"]++; return ok; }
API int fake_cuEventDestroy(void* event) { ENTER; delete static_cast<Event*>(event); counts["events"]--; return ok; }
API int fake_cuEventRecord(void* event, void* handle) {
  ENTER;
  Stream* stream = stream_of(handle);
  if (stream->capturing) { stream->spoilt = true; return capture_unsupported; }
  *static_cast<Event*>(event) = {stream, stream->asked};
  return ok;
}
API int fake_cuEventSynchronize(void* event) {
  ENTER; OUTSIDE;
  Event* e = static_cast<Event*>(event);
  if (e->stream) drain(e->stream, e->at);
  return sticky;
}
API int fake_cuStreamWaitEvent(void* handle, void* event, unsigned) {
  ENTER;
  Event e = *static_cast<Event*>(event);
  if (stream_of(handle)->capturing) { stream_of(handle)->spoilt = true; return capture_isolation; }
  return e.stream ? ask(handle, "wait", [=] { drain(e.stream, e.at); }) : ok;
}

API int fake_cuStreamBeginCapture(void* handle, int mode) {
  ENTER;
  Stream* stream = stream_of(handle);
  if (!handle || stream->capturing) return capture_unsupported;
  stream->capturing = new Graph, stream->spoilt = false, stream->mode = mode, stream->by = std::this_thread::get_id();
  return ok;
}
API int fake_cuStreamEndCapture(void* handle, void** graph) {
  ENTER;
  Stream* stream = stream_of(handle);
  if (!stream->capturing) return invalid_value;
  Graph* captured = stream->capturing;
  stream->capturing = nullptr, *graph = nullptr;
  if (stream->spoilt) { delete captured; return capture_invalidated; }
  *graph = captured;
  counts["graphs"]++;
  return ok;
}
API int fake_cuGraphGetNodes(void* graph, void** nodes, size_t* n) { ENTER; if (!nodes) *n = static_cast<Graph*>(graph)->nodes.size(); return ok; }
API int fake_cuGraphInstantiateWithFlags(void** exec, void* graph, uint64_t) { ENTER; *exec = new Graph(*static_cast<Graph*>(graph)); counts["execs"]++; return ok; }
API int fake_cuGraphDestroy(void* graph) { ENTER; delete static_cast<Graph*>(graph); counts["graphs"]--; return ok; }
API int fake_cuGraphExecDestroy(void* exec) { ENTER; drain_all(); delete static_cast<Graph*>(exec); counts["execs"]--; return ok; }
API int fake_cuGraphLaunch(void* exec, void* handle) {
  ENTER;
  Graph* graph = static_cast<Graph*>(exec);
  return ask(handle, "graph", [=] { for (Node& node : graph->nodes) if (!sticky) node.work(); });
}

API int fake_cuModuleLoadData(void** module, const void* image) {
  ENTER; OUTSIDE;
  void* library = dlopen(static_cast<const char*>(image), RTLD_NOW | RTLD_LOCAL);
  if (!library) return 200;
  *module = new Module{library};
  counts["modules"]++;
  return ok;
}
API int fake_cuModuleUnload(void* module) { ENTER; drain_all(); delete static_cast<Module*>(module); counts["modules"]--; return ok; }
API int fake_cuModuleGetFunction(void** function, void* module, const char* name) {
  ENTER;
  void* library = static_cast<Module*>(module)->library;
  auto enter = dlsym(library, (std::string("emulated_") + name).c_str());
  auto sizes = reinterpret_cast<size_t (*)(size_t*)>(dlsym(library, (std::string("emulated_sizes_") + name).c_str()));
  if (!enter || !sizes) return not_found;
  size_t each[1024], n = sizes(each);
  *function = new Kernel{reinterpret_cast<decltype(Kernel::enter)>(enter), std::vector<size_t>(each, each + n)};
  return ok;
}
API int fake_cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void* handle,
                            void** params, void** extra) {
  ENTER;
  if (shared || extra || !gx || !gy || !gz || bx * by * bz > 1024) return invalid_value;
  Kernel* kernel = static_cast<Kernel*>(function);
  std::vector<std::string> values;  // arguments are read now
  for (size_t i = 0; i < kernel->sizes.size(); i++) values.emplace_back(static_cast<char*>(params[i]), kernel->sizes[i]);
  return ask(handle, "launch", [=]() mutable {
    std::vector<void*> places;
    for (std::string& value : values) places.push_back(value.data());
    const unsigned grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz};
    Fault fault;
    if (kernel->enter(places.data(), grid, block, settings["reversed"], &fault)) {
      sticky = illegal_address;
      snprintf(fault_text, sizeof fault_text, "line %d, block %u, thread %u: %s", fault.line, fault.block, fault.thread, fault.text);
    }
  });
}

API int fake_cuGetErrorName(int error, const char** out) {
  static const std::map<int, const char*> names = {
    {ok, "CUDA_SUCCESS"}, {invalid_value, "CUDA_ERROR_INVALID_VALUE"}, {out_of_memory, "CUDA_ERROR_OUT_OF_MEMORY"},
    {invalid_context, "CUDA_ERROR_INVALID_CONTEXT"}, {illegal_address, "CUDA_ERROR_ILLEGAL_ADDRESS"}, {not_found, "CUDA_ERROR_NOT_FOUND"},
    {capture_unsupported, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"}, {capture_invalidated, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"},
    {capture_isolation, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION"}};
  auto found = names.find(error);
  *out = found == names.end() ? "CUDA_ERROR_UNKNOWN" : found->second;
  return ok;
}

API int cuGetProcAddress_v2(const char* symbol, void** function, int, uint64_t, int* status) {
  *function = !strcmp(symbol, "cuGetProcAddress") ? reinterpret_cast<void*>(cuGetProcAddress_v2) : dlsym(RTLD_DEFAULT, (std::string("fake_") + symbol).c_str());
  if (!*function) {
    Dl_info own;
    dladdr(reinterpret_cast<void*>(cuGetProcAddress_v2), &own);
    void* self = dlopen(own.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    *function = dlsym(self, (std::string("fake_") + symbol).c_str());
  }
  if (status) *status = *function ? 0 : 1;
  return *function ? ok : not_found;
}
