"""Offsets: drawn lifetimes in, no two live buffers overlap, aligned, near the bound; linear time on long chains."""
from __future__ import annotations

import itertools
import time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ir.place import Buffer
from ir.planning.arena import most_live, place_buffers

SPANS = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 60), st.integers(0, 12)), max_size=60)


def buffers(spans) -> list[Buffer]:
    return [Buffer(k, "arena", size, birth=birth, death=birth + more) for k, (size, birth, more) in enumerate(spans)]


def bound(made: list[Buffer]) -> int:
    last = max([b.death for b in made], default=0)
    return max(sum(b.bytes for b in made if b.birth <= step <= b.death) for step in range(last + 1))


def holds(made: list[Buffer], end: int, alignment: int) -> None:
    for b in made:
        assert b.offset >= 0 and b.offset + b.bytes <= end
        assert b.offset % min(alignment, 1 << max(b.bytes - 1, 0).bit_length()) == 0
    for a, b in itertools.combinations([b for b in made if b.bytes], 2):
        if a.birth <= b.death and b.birth <= a.death:
            assert a.offset + a.bytes <= b.offset or b.offset + b.bytes <= a.offset


@settings(max_examples=200)
@given(SPANS, st.sampled_from([1, 16, 64]))
def test_drawn_lifetimes(spans, alignment):
    made = buffers(spans)
    end = place_buffers(made, alignment)
    holds(made, end, alignment)
    assert most_live(made) == bound(made) <= end


@settings(max_examples=60)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(1, 40))
def test_forward_and_backward_are_near_the_bound(sizes, width):
    """Activations that wait for their backward, gradients that live for two steps."""
    count = len(sizes)
    made = [Buffer(k, "arena", 640 * n, birth=k, death=2 * count - k) for k, n in enumerate(sizes)]
    made += [Buffer(count + k, "arena", 640 * n, birth=2 * count - k, death=2 * count - k + 1) for k, n in enumerate(sizes)]
    end = place_buffers(made, 64)
    holds(made, end, 64)
    assert end <= 1.05 * most_live(made) or end - most_live(made) <= 640


def test_many_live_at_one_time_are_placed_as_time_goes():
    draw = np.random.default_rng(0)
    spans = [(int(n), k, 2 * (3000 - k)) for k, n in enumerate(draw.integers(1, 4, 3000) * 1024)]
    made = buffers(spans)
    end = place_buffers(made, 64)
    assert end == most_live(made)


def test_a_chain_of_20_000_is_placed_in_linear_time():
    made = buffers([(800 + 8 * (k % 7), k, 1) for k in range(20_000)])
    start = time.process_time()
    end = place_buffers(made, 64)
    assert time.process_time() - start < 2.0
    assert end <= 1.1 * most_live(made)


def test_nothing_needs_nothing():
    assert place_buffers([], 64) == 0 == most_live([])
