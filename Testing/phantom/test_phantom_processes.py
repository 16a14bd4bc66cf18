"""Phantoms made by several processes are those that one makes."""

from __future__ import annotations

from pathlib import Path

from OrthoDiffusionLib.cli.phantom_making import PhantomOrder, write_phantoms


def test_processes_write_what_one_writes(tmp_path: Path) -> None:
    order = PhantomOrder("knee", "balanced", "hill", "physical")
    entries = {}
    for processes in (1, 2):
        folders = {seed: tmp_path / str(processes) / f"phantom-{seed}" for seed in (5, 4)}
        entries[processes] = list(write_phantoms(order, folders, processes))
    assert entries[1] == entries[2]
    assert [entry.id for entry in entries[1]] == ["phantom-5", "phantom-4"]
    files = sorted(path.relative_to(tmp_path / "1") for path in (tmp_path / "1").rglob("*.*"))
    assert len(files) == 2 * 7
    for file in files:
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "2" / file).read_bytes(), file
