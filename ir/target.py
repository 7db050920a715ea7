"""What a backend says of itself, as data: its kernels and what they accept and cost, its caches and workers.

The planner reads nothing else about a machine, so a plan can be made, read and tested without one.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ir.place import Place
from ir.spec import Spec

if TYPE_CHECKING:
    from ir.graph import Graph, Node

Places = tuple[Place, ...]


def anything(reads: Places, writes: Places, attrs: dict[str, Any]) -> bool:
    """The `accepts` of kernels that take any strides."""
    return True


def nothing(reads: Places, writes: Places, attrs: dict[str, Any]) -> int:
    """The `scratch` of kernels that allocate nothing."""
    return 0


def no_temps(specs: tuple[Spec, ...], outs: tuple[Spec, ...], attrs: dict[str, Any]) -> tuple[Spec, ...]:
    """The `temps` of kernels that need no buffer beside their outputs."""
    return ()


@dataclass(frozen=True, eq=False)
class Kernel:
    """One way to compute the operation `covers`.

    `accepts(reads, writes, attrs)` says whether it takes these places; where none of an operation's kernels does, the planner copies
    operands to C order. `exact`: the same bits as the operation's reference. `cost` is nanoseconds for (operand specs, output specs,
    attrs). `overwrites`: operand positions whose buffer the (first) output may take over. `temps`: specs of buffers it needs
    during the step, planned in the arena. `scratch`: bytes that it allocates behind our back. `single`: it is one call that writes its
    output and nothing else, whatever the places, and can't fail halfway: such calls may write states. `scalar`: it is for
    outputs without axes, and writes no state. `body` is the backend's own.
    """

    name: str
    covers: str
    body: Any
    exact: bool = True
    accepts: Callable[[Places, Places, dict[str, Any]], bool] = anything
    cost: Callable[[tuple[Spec, ...], tuple[Spec, ...], dict[str, Any]], float] = lambda specs, outs, attrs: 0.0
    overwrites: tuple[int, ...] = ()
    temps: Callable[[tuple[Spec, ...], tuple[Spec, ...], dict[str, Any]], tuple[Spec, ...]] = no_temps
    scratch: Callable[[Places, Places, dict[str, Any]], int] = nothing
    single: bool = False
    scalar: bool = False


TOO_LONG = "it would compute what is read at several places once for each of them, too often"


class Generator(Protocol):
    """What a Target that generates code can write as one kernel."""

    def refuses(self, node: Node) -> str:
        """Why an operation has no generated code at all; nothing where it has."""
        ...

    def lends(self, graph: Graph, parts: tuple[int, ...]) -> tuple[str, tuple[tuple[int, ...], ...]]:
        """Why a graph, whose last outputs are left in shares, so many for each of `parts`, is no single kernel (nothing where it is;
        `TOO_LONG`: fewer slices of what it computes itself would do); for each output the inputs that it may be written over."""
        ...


@dataclass(frozen=True)
class Target:
    """A backend on a machine. Times in nanoseconds, `bandwidth` in bytes a nanosecond, `cache_bytes` of one worker's fast cache.
    `shared_bytes`: arrays of so many in all stay in a cache from step to step, blocks or not.

    `kernels` maps an operation's name to its kernels, in the order in which equals are preferred. `alignment`: of buffers in the
    arena, in bytes; the arena itself is requested with that many bytes more. `in_place_from`: outputs of fewer elements take over no
    operand's memory. `pack_bytes`: states of up to so many bytes may lie one behind the other in one buffer. `row_ns`: what each
    row costs where a vector is added to all of a matrix, `run_ns` each step from one run of a block's elements to the next, `gap_ns` each
    element that does not lie next to the one before (0: nothing is laid in rows for that). `regions`: whether nodes may run block by
    block; `block_elements`: what the largest array of a block has at least, counted in elements of 8 bytes; `shorter`: how many times
    shorter blocks are than they would be, for the sake of memory; `region_products`, `region_buffers`: whether products may be in regions,
    and whether what a block computes lies in buffers. With a `generator` regions are generated kernels instead, any operations that are
    not products, one call each: then `lone_bandwidth` is that of one row's worker. `shares`: in how many parts, at most, that are added up
    apart a reduction is taken; bits hang on no number of workers. `lacking`: why there is no kernel, by operation ("": the others), and
    what to do then.
    """

    name: str
    kernels: dict[str, tuple[Kernel, ...]]
    workers: int = 1
    call_ns: float = 500.0
    fork_ns: float = 60_000.0
    cache_bytes: int = 1 << 20
    shared_bytes: int = 0
    bandwidth: float = 10.0
    alignment: int = 64
    regions: bool = False
    block_elements: int = 1 << 13
    region_products: bool = True
    region_buffers: bool = True
    control: tuple[str, ...] = ("loop",)
    in_place_from: int = 0
    pack_bytes: int = 0
    row_ns: float = 0.0
    gap_ns: float = 0.0
    run_ns: float = 0.0
    shorter: int = 1
    lacking: Mapping[str, str] = field(default_factory=dict)
    lacking_mend: str = "give the backend's table a kernel that takes these operands in C order"
    generator: Generator | None = None
    lone_bandwidth: float = 10.0
    shares: int = 8
