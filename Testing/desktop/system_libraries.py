"""Installs the system libraries that the tests of the desktop need, where it may; else says which line to run.

`make test` calls it. Where the libraries are there, or on another system than Debian or Ubuntu, it does nothing.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess

PACKAGES = [
    "libegl1",
    "libgl1",
    "libgl1-mesa-dri",
    "libxcursor1",
    "libglib2.0-0",
    "libxkbcommon0",
    "libfontconfig1",
    "libdbus-1-3",
    "fonts-dejavu-core",
]
LIBRARIES = ("libEGL.so.1", "libGL.so.1", "libXcursor.so.1", "libglib-2.0.so.0", "libxkbcommon.so.0")


def missing_libraries() -> list[str]:
    """Libraries that cannot be loaded."""
    missing = []
    for name in LIBRARIES:
        try:
            ctypes.CDLL(name)
        except OSError:
            missing.append(name)
    return missing


def main() -> None:
    """Install what is missing, or say how."""
    if shutil.which("apt-get") is None or not missing_libraries():
        return
    if os.geteuid() != 0:
        print(f"For the tests of the desktop, run: sudo apt-get install -y {' '.join(PACKAGES)}")
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "-qq", "update"], ["apt-get", "-qq", "install", "-y", *PACKAGES]):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print(
                f"{' '.join(command)} failed; the tests of the desktop will be skipped.\n{done.stderr.strip()[-500:]}"
            )
            return


if __name__ == "__main__":
    main()
