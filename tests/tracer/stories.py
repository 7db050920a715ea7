"""Stories: generators that get a way to compile, call what they compiled, change the world between the calls, and yield what came out."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tracer

A = np.array([1.0, -2.0, 3.0])
A.flags.writeable = False
Compile = Callable[[Callable[..., Any]], Callable[..., Any]]
Story = Callable[[Compile], Iterator[Any]]


class Stories:
    """The stories of a file by name: those that are the same compiled as plain, and those that are refused, with what the error says."""

    def __init__(self) -> None:
        self.alike: dict[str, Story] = {}
        self.refused: dict[str, tuple[Story, str]] = {}

    def same(self, story: Story) -> Story:
        self.alike[story.__name__] = story
        return story

    def loud(self, match: str) -> Callable[[Story], Story]:
        def noted(story: Story) -> Story:
            self.refused[story.__name__] = story, match
            return story

        return noted

    def compare(self, name: str) -> None:
        """Each story is told in a world of its own. Values, dtypes and kinds count: their texts are compared."""
        compiled, plain = ([repr(part) for part in self.alike[name](c)] for c in (tracer.compile, lambda fn: fn))
        assert compiled == plain and len(plain) > 1
