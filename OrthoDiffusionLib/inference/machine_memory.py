"""How much memory this machine has; standard library alone, for it is told even where torch is missing."""

from __future__ import annotations

import os
import sys

GIB = 2**30


def machine_memory_gib() -> float | None:
    """Physical memory in GiB, to one decimal; None where the system does not tell."""
    size = _windows_bytes() if sys.platform == "win32" else _posix_bytes()
    return None if size is None else round(size / GIB, 1)


def _posix_bytes() -> int | None:
    try:
        pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None
    return pages * page if pages > 0 and page > 0 else None


def _windows_bytes() -> int | None:
    import ctypes

    kilobytes = ctypes.c_ulonglong()
    kernel = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined,unused-ignore]
    return kilobytes.value * 1024 if kernel.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes)) else None
