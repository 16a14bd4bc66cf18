"""Losses of a training as a plain table and for TensorBoard; a training that goes on replaces what it does again."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter


class LossLog:
    """`losses.csv`, a row for each step, and the same under `tensorboard`.

    Args:
        folder: of both.
        first: step that is done next; rows from it on are dropped.
        names: of what `write` is given.
    """

    def __init__(self, folder: Path, first: int, names: Sequence[str] = ("loss",)) -> None:
        self._names = names
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "losses.csv"
        kept: list[list[str]] = []
        if self._path.exists():
            with self._path.open(newline="", encoding="utf-8") as file:
                kept = [
                    row
                    for row in csv.reader(file)
                    if len(row) == 1 + len(names) and row[0].isdigit() and int(row[0]) < first
                ]
        unfinished = self._path.with_name(f"{self._path.name}.{os.getpid()}.part")
        with unfinished.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["step", *names], *kept])
        unfinished.replace(self._path)
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=first)

    def write(self, step: int, *losses: float | None) -> None:
        """Add a step's losses, in the order of their names; steps are counted from 0, and None leaves a cell empty."""
        with self._path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow([step, *("" if loss is None else f"{loss:.6f}" for loss in losses)])
        for name, loss in zip(self._names, losses, strict=True):
            if loss is not None:
                self._board.add_scalar(name, loss, step)

    def close(self) -> None:
        """Write what TensorBoard still waits for."""
        self._board.close()


@contextmanager
def loss_log(folder: Path | None, first: int, names: Sequence[str]) -> Iterator[Callable[..., None]]:
    """`LossLog.write` of a log that is closed with the block; without a folder, one that keeps nothing.

    Args:
        folder: of the log, or None.
        first: step that is done next; rows from it on are dropped.
        names: of what is written.
    """
    if folder is None:
        yield lambda step, *losses: None
        return
    log = LossLog(folder, first, names)
    try:
        yield log.write
    finally:
        log.close()
