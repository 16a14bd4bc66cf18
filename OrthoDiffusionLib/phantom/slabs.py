"""Functions of points, worked out for a few planes of them at a time.

What such a function needs on the way then stays in the processor's cache.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])

SLAB = 32_000
"""Points worked out at a time: a dozen fields of as many fill a megabyte and a half."""


def slabwise(function: Function) -> Function:
    """Have a function of points be called for slabs of them.

    Args:
        function: whose value at a point depends on nothing but its arguments there. Arguments that are arrays, or
            tuples of arrays such as points, are cut along their first axis, whatever else they are called with is not;
            it gives a field, or a list of fields.
    """

    @functools.wraps(function)
    def in_slabs(*arguments: Any) -> Any:
        shape = next((shape for shape in map(_shape, arguments) if shape), ())
        planes = max(1, SLAB * shape[0] // max(1, int(np.prod(shape)))) if shape else 0
        if not shape or planes >= shape[0]:
            return function(*arguments)
        whole: list[Any] = []
        for begin in range(0, shape[0], planes):
            slab = slice(begin, begin + planes)
            value = function(*(_cut(argument, slab) for argument in arguments))
            fields = value if isinstance(value, list) else [value]
            whole = whole or [np.empty(shape, field.dtype) for field in fields]
            for field, part in zip(whole, fields, strict=True):
                field[slab] = part
        return whole if isinstance(value, list) else whole[0]

    return in_slabs  # type: ignore[return-value]


def _shape(argument: Any) -> tuple[int, ...]:
    first = argument[0] if isinstance(argument, tuple) and argument else argument
    return first.shape if isinstance(first, np.ndarray) and first.ndim == 3 else ()


def _cut(argument: Any, slab: slice) -> Any:
    if not _shape(argument):
        return argument
    return tuple(part[slab] for part in argument) if isinstance(argument, tuple) else argument[slab]
