"""Losses of a training as a plain table and for TensorBoard; a training that goes on replaces what it does again."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter


class LossLog:
    """`losses.csv`, a row for each step, and the same under `tensorboard`.

    Args:
        folder: of both.
        first: step that is done next; rows from it on are dropped.
    """

    def __init__(self, folder: Path, first: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "losses.csv"
        kept: list[list[str]] = []
        if self._path.exists():
            with self._path.open(newline="", encoding="utf-8") as file:
                kept = [row for row in csv.reader(file) if len(row) == 2 and row[0].isdigit() and int(row[0]) < first]
        unfinished = self._path.with_name(f"{self._path.name}.{os.getpid()}.part")
        with unfinished.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["step", "loss"], *kept])
        unfinished.replace(self._path)
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=first)

    def write(self, step: int, loss: float) -> None:
        """Add the loss of a step, counted from 0."""
        with self._path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow([step, f"{loss:.6f}"])
        self._board.add_scalar("loss", loss, step)

    def close(self) -> None:
        """Write what TensorBoard still waits for."""
        self._board.close()
