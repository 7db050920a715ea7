"""Switches of define-by-run code: whether operations leave a history to differentiate, and whether the code trains or tests.

Each thread has its own, so that one that evaluates under `no_grad` takes no history from another that trains.
"""
from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from ir.errors import ArgumentError


class Switches(threading.local):
    """The switches of the running thread."""

    enable_backprop: bool = True
    train: bool = True


SWITCHES = Switches()


class _Config(type):
    @property
    def enable_backprop(cls) -> bool:
        return SWITCHES.enable_backprop

    @enable_backprop.setter
    def enable_backprop(cls, value: bool) -> None:
        SWITCHES.enable_backprop = value

    @property
    def train(cls) -> bool:
        return SWITCHES.train

    @train.setter
    def train(cls, value: bool) -> None:
        SWITCHES.train = value


class Config(metaclass=_Config):
    """`enable_backprop`: results remember how they were made. `train`: for functions that act otherwise when testing."""


@contextmanager
def using_config(name: str, value: Any) -> Iterator[None]:
    """Sets a switch inside a `with` block; the old value comes back however the block ends.

    >>> with using_config("train", False):
    ...     Config.train
    False
    >>> Config.train
    True

    Raises ArgumentError for a name that is no switch.
    """
    if name not in ("enable_backprop", "train"):
        raise ArgumentError(f"there is no switch {name!r}", op="using_config", mend="the switches are enable_backprop and train")
    old = getattr(SWITCHES, name)
    setattr(SWITCHES, name, value)
    try:
        yield
    finally:
        setattr(SWITCHES, name, old)


def no_grad() -> AbstractContextManager[None]:
    """A `with` block whose results have no history: nothing is kept for a backward pass."""
    return using_config("enable_backprop", False)


def test_mode() -> AbstractContextManager[None]:
    """A `with` block in which `Config.train` is False."""
    return using_config("train", False)


test_mode.__test__ = False  # type: ignore[attr-defined]  # pytest takes every test_* it meets for a test
