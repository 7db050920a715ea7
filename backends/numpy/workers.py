"""Workers: the pool of threads that run the tasks of a region, one pool for the process.

In: tasks that do not depend on each other. Out: all of them done, or the error of the first one that failed. Which tasks there are is
the plan's; the pool decides only who runs them, so no bit depends on it. The thread that calls `fork` works too and never waits for a
worker to wake up: it waits for those that have begun a task. So a fork ends even where no worker comes, at the end of the interpreter
too. At most `threads() - 1` workers exist, for all threads that call together; those that find none do their tasks themselves.

A worker sleeps on a lock of its own. All that threads share changes under the pool's lock, so that it is right after each statement:
a signal's handler may raise between any two of the main thread's.
"""

from __future__ import annotations

import contextvars
import os
import sys
import threading
from collections.abc import Callable, Sequence

from ir.errors import ArgumentError

Tasks = Sequence[Callable[[], object]]


def default_threads() -> int:
    """`OMP_NUM_THREADS` where that is a number from 1 (of a list the first), else the processors that this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads() -> int:
    """How many threads work on one fork, the one that calls among them."""
    return _pool.size


def set_threads(n: int | None) -> int:
    """Sets how many threads a call may use, the calling one among them, and gives the number now in force.

    None is the default: `OMP_NUM_THREADS` where it is set, else the processors that the process may use. It holds for the whole
    process from the next call on; results have the same bits whatever it is. The threads are started when first needed. BLAS's own
    threads are not meant.

    >>> set_threads(2)
    2
    >>> set_threads(None) == default_threads()
    True

    Raises ArgumentError where `n` is not an integer from 1.
    """
    global _pool
    if n is not None and (isinstance(n, bool) or not hasattr(n, "__index__") or n.__index__() < 1):
        raise ArgumentError(f"the number of threads is {n!r}", op="set_threads", mend="an integer from 1, or None for the default")
    count = default_threads() if n is None else n.__index__()
    if count != _pool.size:
        old, _pool = _pool, _Pool(count)
        old.close()
    return count


def fork(tasks: Tasks) -> None:
    """Runs all tasks, up to `threads()` at a time and taken in their order, and returns when all have ended.

    Each sees the caller's context variables, `np.errstate` among them. A task that fails stops no other: when all have ended the first
    error by position is raised. What is no Exception (an interrupt of the main thread, say) keeps tasks from being begun; it is raised
    when those that run have ended. A task that forks runs its tasks itself.
    """
    pool, count = _pool, len(tasks)
    if pool.size < 2 or count < 2 or _here.inside:
        _run_alone(tasks)
        return
    _here.inside = True
    try:
        _run_together(pool, _Job(tasks, count, min(pool.size, count) - 1))
    finally:
        _here.inside = False


def alone() -> bool:
    """Whether no thread but the calling one runs Python code of its own (workers do not)."""
    return set(sys._current_frames()) <= {threading.get_ident(), *[t.ident for t in threading.enumerate() if isinstance(t, _Worker)]}


def _run_alone(tasks: Tasks) -> None:
    first: Exception | None = None
    for task in tasks:
        try:
            task()
        except Exception as error:
            first = first or error
    if first is not None:
        try:
            raise first
        finally:
            first = None  # else the error's frames and the error hold each other


def _run_together(pool: _Pool, job: _Job) -> None:
    raised: BaseException | None = None
    try:
        pool.offer(job)
        job.work()
    except BaseException as error:
        raised = error
        job.left.clear()
    while not pool.dead:
        try:
            with pool.lock:
                job.room = 0
                if job in pool.offers:
                    pool.offers.remove(job)
                if not job.inside:
                    break
                job.over = threading.Lock()
                job.over.acquire()
            job.over.acquire()
            break
        except BaseException as error:  # a signal's handler raised; workers write into the arena still
            raised = error
            job.left.clear()
    if raised is None and job.failed:
        raised = job.failed[min(job.failed)]
    job.failed.clear()  # their frames hold the job
    if raised is None and pool.dead and job.inside:
        raised = RuntimeError("this process was forked inside a task: the other tasks' threads are not here")
    if raised is not None:
        try:
            raise raised
        finally:
            raised = None


class _Job:
    """The tasks of one fork. `left`: those not begun, the next one last. `room`: how many workers may still come. `inside`: who came and
    has not gone. `over`: held until the last of them goes, where the caller waits for it."""

    inside = 0
    over: threading.Lock | None = None

    def __init__(self, tasks: Tasks, count: int, room: int):
        self.tasks, self.room = tasks, room
        self.left = list(range(count - 1, -1, -1))
        self.failed: dict[int, BaseException] = {}
        self.context = contextvars.copy_context()

    def work(self) -> None:
        """Takes tasks until none is left (`pop` is atomic)."""
        while self.left:
            try:
                k = self.left.pop()
            except IndexError:
                return
            try:
                self.tasks[k]()
            except Exception as error:
                self.failed[k] = error

    def help(self) -> None:
        """A worker's part, in a copy of the caller's context (no two threads may be in one)."""
        try:
            self.context.copy().run(self.work)
        except BaseException as error:  # SystemExit and the like: the caller's to raise, before any other
            self.left.clear()
            self.failed[-1] = error


class _Pool:
    """Workers for `size` threads, and the jobs that want some, in the order in which they came. `dead`: in a forked child."""

    def __init__(self, size: int):
        self.size, self.closed, self.dead, self.lock = size, False, False, threading.Lock()
        self.offers: list[_Job] = []
        self.workers: list[_Worker] = []
        self.asleep: list[_Worker] = []

    def offer(self, job: _Job) -> None:
        """Wakes as many sleeping workers as the job has room for, or starts new ones."""
        room = job.room
        with self.lock:
            self.offers.append(job)
            called = self.asleep[:room]
            if room < len(self.asleep):
                self.asleep = self.asleep[room:] + called  # the next to come calls others first
            elif len(self.workers) < self.size - 1:
                for _ in range(min(room - len(called), self.size - 1 - len(self.workers))):
                    self.start()
        for worker in called:  # after the lock, or they would wait for that too
            worker.call()

    def start(self) -> None:
        """Under the lock. Where the system has no thread to give, the others do the work."""
        worker = _Worker(self)
        self.workers.append(worker)
        try:
            worker.start()
        except BaseException as error:
            self.workers.remove(worker)
            if not isinstance(error, RuntimeError):
                raise

    def take(self, worker: _Worker) -> _Job | None:
        """A job for this worker; without one it is noted as asleep."""
        with self.lock:
            if not self.offers:
                if worker not in self.asleep:
                    self.asleep.append(worker)
                return None
            if worker in self.asleep:
                self.asleep.remove(worker)
            job = self.offers[0]
            job.inside += 1
            job.room -= 1
            if not job.room:
                del self.offers[0]
            return job

    def leave(self, job: _Job) -> None:
        """The worker is through with the job; whoever waits for the last one goes on."""
        with self.lock:
            job.inside -= 1
            if not job.inside and job.over is not None:
                job.over.release()

    def close(self) -> None:
        """Ends the workers when they are through. Jobs that still come are done by those who bring them."""
        self.closed = True
        for worker in list(self.workers):
            worker.call()


class _Worker(threading.Thread):
    """Sleeps until called, works on jobs while there are any. A daemon: it holds up no end of the interpreter."""

    def __init__(self, pool: _Pool):
        super().__init__(name="gradplan-worker", daemon=True)
        self.pool = pool
        self._wake = threading.Lock()
        self._wake.acquire()

    def call(self) -> None:
        """Wakes it. Where it is awake it looks for work once more."""
        if self._wake.locked():
            try:
                self._wake.release()
            except RuntimeError:
                return  # another thread was faster

    def run(self) -> None:
        _here.inside = True
        while not self.pool.closed:
            job = self.pool.take(self)
            if job is None:
                self._wake.acquire()
                continue
            job.help()
            self.pool.leave(job)
            del job  # asleep, it keeps no arena alive


class _Here(threading.local):
    """Whether this thread runs tasks of a fork."""

    inside = False


def _renew() -> None:
    """In a forked child: the workers are not there any more, and somebody may have held the lock."""
    global _pool
    _pool.dead = True
    _pool = _Pool(_pool.size)


_here, _pool = _Here(), _Pool(default_threads())
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew)
