"""Whole programs: drawn ones against the reference, the text run by hand, states, loops, instances, threads, interrupts."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import backends
from backends.numpy.support import hushed
from backends.straight.finish import finish, together
from ir import Graph, Spec, evaluate
from ir.errors import ArgumentError
from ir.graph import Value
from ir.ops import elementwise as e
from ir.ops import matmul, nn, reduce, shape
from ir.ops.scalar import python
from ir.plan import Plan
from ir.planning import loop, plan
from ir.spec import weak_spec
from tests.backends.drawn import draw_program, spoil
from tests.backends.test_memory import ROOT

NUMPY = backends.get("numpy")
GOLDEN = f"{ROOT}/tests/backends/golden_network.txt"


def copies(inputs: list[Any]) -> list[Any]:
    return [np.array(x) if isinstance(x, np.ndarray) else x for x in inputs]


def close(got: Any, wanted: Any, loose: bool, what: str = "") -> None:
    wide = np.asarray(wanted)
    rtol = 1e-4 if loose else 1e-9
    np.testing.assert_allclose(np.asarray(got), wide, rtol=rtol, atol=rtol / 10, err_msg=what, equal_nan=True)
    assert np.asarray(got).dtype == wide.dtype and np.shape(got) == wide.shape, what


@pytest.mark.parametrize("seed", range(60))
def test_drawn_against_the_reference(seed: int) -> None:
    graph, inputs = draw_program(seed)
    states = [k for k, v in enumerate(graph.inputs) if v.node.attrs["kind"] == "state"]
    loose = any(v.dtype.char in "fF" for node in graph.order() for v in node.outputs)
    with np.errstate(all="ignore"):
        wanted, updated = evaluate(graph, copies(inputs))
        program = NUMPY.emit(plan(graph, NUMPY.target()))
        instance = program.bind()
        for garbage in (0, 255, 7):
            given = copies(inputs)
            for k, x in enumerate(given):
                if isinstance(x, np.ndarray) and k not in states:
                    x.flags.writeable = False
            got = instance.run(given)
            for a, b in zip(got, wanted, strict=True):
                close(a, b, loose, program.source)
                assert type(a) is type(b) or not isinstance(b, np.ndarray)
            for (state, _), new in zip(graph.updates, updated, strict=True):
                close(given[graph.inputs.index(state)], new, loose, program.source)
            spoil(instance, program.plan, garbage)


@pytest.mark.parametrize("seed", range(0, 60, 5))
def test_drawn_in_a_loop(seed: int) -> None:
    graph, inputs = draw_program(seed)
    if any(v.spec.weak for v in graph.outputs):
        return
    with np.errstate(all="ignore"):
        one, many = NUMPY.emit(plan(graph, NUMPY.target())), NUMPY.emit(loop(plan(graph, NUMPY.target()), 3))
        given = copies(inputs)
        rows = [one(given) for _ in range(3)]
        again = copies(inputs)
        stacked = many(again)
        for k, whole in enumerate(stacked):
            np.testing.assert_array_equal(whole, np.stack([row[k] for row in rows]))
        for a, b in zip(given, again):
            np.testing.assert_array_equal(a, b)


# ---- a small network
def network() -> Graph:
    """Two layers, squared error, gradients by hand, plain descent; W1, b1, W2, b2 are states."""
    graph = Graph()
    x, y, lr = graph.input(Spec((8, 3))), graph.input(Spec((8, 1))), graph.input(weak_spec("float"))
    W1, b1, W2, b2 = [graph.input(Spec(s), "state") for s in ((3, 5), (5,), (5, 1), (1,))]
    h = nn.sigmoid(nn.linear(x, W1, b1))
    d = e.subtract(nn.linear(h, W2, b2), y)
    loss = reduce.mean(e.square(d), axis=(0, 1), keepdims=False)
    g = e.multiply(d, 2 / 8)
    dW2, db2 = nn.linear_vjp(h, g)
    gh = e.multiply(matmul.dot(g, shape.transpose(W2, axes=(1, 0))), e.multiply(h, e.subtract(1.0, h)))
    dW1, db1 = nn.linear_vjp(x, gh)
    graph.outputs = [loss]
    graph.updates = [(p, e.subtract(p, e.multiply(lr, dp))) for p, dp in ((W1, dW1), (b1, db1), (W2, dW2), (b2, db2))]
    return graph


def network_inputs() -> list[Any]:
    rng = np.random.default_rng(3)
    return [rng.random((8, 3)), rng.random((8, 1)), 0.1, rng.random((3, 5)), np.zeros(5), rng.random((5, 1)), np.zeros(1)]


def emitted(graph: Graph) -> Any:
    return NUMPY.emit(plan(graph, NUMPY.target()))


def test_the_text_runs_by_hand() -> None:
    program = emitted(network())
    module: dict[str, Any] = {}
    exec(program.source, module)
    given, again = network_inputs(), network_inputs()
    arena = np.empty(program.plan.arena_bytes, np.uint8)
    run = module["bind"](arena, program.const, given[3:], None)
    for _ in range(3):
        assert run(given) == program(again)
    for a, b in zip(given, again):
        np.testing.assert_array_equal(a, b)


def golden_text() -> str:
    """The network's program without comments. `python -m tests.backends.test_programs` writes it anew."""
    lines = [line.split("  #")[0].rstrip() for line in emitted(network()).source.splitlines() if not line.strip().startswith("#")]
    return "\n".join(lines) + "\n"


def test_golden_source() -> None:
    with open(GOLDEN) as golden:
        assert golden_text() == golden.read()


def test_the_text_does_not_hang_on_the_hash_seed() -> None:
    code = "from tests.backends.test_programs import *; from tests.backends.drawn import *; "
    code += "print(emitted(network()).source, *[emitted(draw_program(k)[0]).source for k in range(5)])"
    texts = set()
    for seed in ("0", "1", "77"):
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        texts.add(done.stdout)
    assert len(texts) == 1


def test_other_state_arrays_are_noticed() -> None:
    program = emitted(network())
    first, second = network_inputs(), network_inputs()
    instance = program.bind()
    a, b = instance.run(first), instance.run(second)
    assert a == b and (first[3] == second[3]).all() and (first[3] != network_inputs()[3]).any()
    third = instance.run(first)
    assert third < a


def test_results_are_the_callers() -> None:
    graph = Graph()
    x = graph.input(Spec((4,)))
    graph.outputs = [e.add(x, 1.0), x]
    program = emitted(graph)
    given = np.arange(4.0)
    first = program([given])
    second = program([given + 1])
    assert (first[0] == given + 1).all() and (second[0] == given + 2).all()
    assert not np.shares_memory(first[1], given) and first[0].flags.owndata


def test_threads_do_not_meet() -> None:
    graph, inputs = draw_program(5)
    graph.updates = []
    program = emitted(graph)
    with np.errstate(all="ignore"):
        wanted = [program([x + k if isinstance(x, np.ndarray) else x for x in inputs]) for k in range(4)]
    wrong: list[int] = []

    def work(k: int) -> None:
        given = [x + k if isinstance(x, np.ndarray) else x for x in inputs]
        with np.errstate(all="ignore"):
            for _ in range(200):
                for a, b in zip(program(given), wanted[k], strict=True):
                    if not np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind in "fc"):
                        wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    assert 1 <= len(program._free) <= 5


def test_an_error_gives_the_instance_back() -> None:
    graph = Graph()
    x = graph.input(Spec((4,)))
    graph.outputs = [e.log(x)]
    program = emitted(graph)
    program([np.ones(4)])
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        program([-np.ones(4)])
    assert len(program._free) == 1
    assert (program([np.ones(4)])[0] == 0).all()


def test_memory_goes_with_the_program() -> None:
    program = emitted(network())
    given = network_inputs()
    program(given)
    arena, state = weakref.ref(program._free[0].memory.arena.base), weakref.ref(given[3])
    gc.disable()
    try:
        del program, given
        assert arena() is None and state() is None
    finally:
        gc.enable()


def test_sigmoid_is_silent_and_the_user_is_not() -> None:
    graph = Graph()
    x = graph.input(Spec((3,)))
    graph.outputs = [nn.sigmoid(x), e.exp(x)]
    program = emitted(graph)
    assert "quiet" in program.source
    with np.errstate(all="raise"):
        assert program([np.array([0.0, -700.0, -1.0])])[0][1] > 0
    with np.errstate(over="raise", under="ignore"):
        program([np.array([-800.0, -1000.0, 0.0])])
        with pytest.raises(FloatingPointError):
            program([np.array([800.0, 0.0, 0.0])])
    with np.errstate(over="call", call=lambda *_: None):
        assert np.geterr()["over"] == "call"


# ---- states: the old values or the new
def test_finish_makes_all_calls() -> None:
    done: list[int] = []

    def fail(k: int) -> None:
        done.append(k)
        raise KeyboardInterrupt

    for make in (finish, lambda writes: together(writes)()):
        done.clear()
        with pytest.raises(KeyboardInterrupt):
            make(((done.append, 1), (fail, 2), (done.append, 3)))
        assert done == [1, 2, 3]


@pytest.mark.parametrize("failing", [(), (0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2)])
def test_what_is_written_together_is_so_after_an_error_too(failing: tuple[int, ...]) -> None:
    done: list[int] = []
    broken = True

    def step(k: int) -> None:
        done.append(k)
        if broken and k in failing:
            raise ArithmeticError(k)

    write = together([(step, k) for k in range(3)])
    for broken in (False, True, False, True, True, False):
        done.clear()
        if broken and failing:
            with pytest.raises(ArithmeticError, match=str(failing[0])):
                write()
        else:
            write()
        assert done == [0, 1, 2]


def test_what_is_hushed_follows_the_callers_setting() -> None:
    quiet = hushed()
    x = np.array([1000.0, 0.0])
    with np.errstate(all="raise"):
        assert quiet()(np.exp, x)[0] == np.inf
        with pytest.raises(FloatingPointError):
            quiet()(np.divide, x, 0.0)
    with np.errstate(divide="ignore", invalid="ignore", over="raise"):
        assert quiet()(np.divide, x, 0.0)[0] == quiet()(np.exp, x)[0] == np.inf
        with pytest.raises(FloatingPointError):
            np.exp(x)


def test_a_float_error_in_an_update_leaves_no_half() -> None:
    graph = Graph()
    states = [graph.input(Spec((2,)), "state") for _ in range(3)]
    graph.updates = [(s, e.multiply(s, 1e200)) for s in states]
    program = emitted(graph)
    given = [np.full(2, v) for v in (1.0, 1e200, 1.0)]
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        program(given)
    assert given[0][0] == 1e200 and np.isinf(given[1][0]) and given[2][0] == 1e200


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
def test_interrupts_leave_whole_iterations() -> None:
    """The states count in step; Ctrl-C at any moment leaves all counters equal."""
    graph = Graph()
    states = [graph.input(Spec((1000,)), "state") for _ in range(6)]
    graph.updates = [(s, e.add(s, 1.0)) for s in states]
    program = NUMPY.emit(loop(plan(graph, NUMPY.target()), 10**6))
    before = signal.signal(signal.SIGALRM, _interrupt)
    try:
        for k in range(30):
            given = [np.zeros(1000) for _ in states]
            with pytest.raises(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, 0.002 + 0.0001 * k)  # a busy machine may take that long to get to the call
                program(given)
            assert len({x[0] for x in given} | {x[-1] for x in given}) == 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def test_unknown_backend() -> None:
    with pytest.raises(ArgumentError, match="numpy"):
        backends.get("fortran")


def test_lease() -> None:
    program = emitted(network())
    with program.lease() as one, program.lease() as two:
        assert one is not two
    with program.lease() as three:
        assert three in (one, two)


def test_python_numbers() -> None:
    graph = Graph()
    x, n = graph.input(Spec((3,), "f")), graph.input(weak_spec("int"))
    half: Value = python(n, 2, fn="truediv")
    graph.outputs = [e.multiply(x, half), half, python(n, 3, fn="pow")]
    program = emitted(graph)
    got = program([np.ones(3, "f"), 3])
    assert got[0].dtype == np.float32 and (got[0] == 1.5).all() and got[1:] == [1.5, 27]
    assert isinstance(program.plan, Plan)


def halved(dtype: str) -> tuple[Graph, Any]:
    graph = Graph()
    x, n = graph.input(Spec((3,), dtype)), graph.input(weak_spec("float"))
    graph.outputs = [e.multiply(x, python(1.0, n, fn="truediv"))]
    return graph, np.ones(3, dtype)


def test_numbers_of_the_call_before_are_not_computed_again() -> None:
    graph, x = halved("d")
    program = emitted(graph)
    assert "is not" in program.source
    two, four = 2.0, 4.0
    for n in (two, two, four, two, float("2"), four):
        np.testing.assert_array_equal(program([x, n])[0], 1 / n)


def test_what_numbers_raise_and_warn_of_they_do_at_each_call() -> None:
    graph, x = halved("d")
    program, zero, two = emitted(graph), 0.0, 2.0
    program([x, two])
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            program([x, zero])
    np.testing.assert_array_equal(program([x, two])[0], 0.5)
    graph, x = halved("f")
    program, tiny = emitted(graph), 1e-300
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="overflow"):
            program([x, tiny])


if __name__ == "__main__":
    with open(GOLDEN, "w") as file:
        file.write(golden_text())
