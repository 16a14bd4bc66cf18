"""Which devices there are, how they compute, and what a person is told when one fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError
from OrthoDiffusionLib.inference.device_failures import device_failures
from OrthoDiffusionLib.inference.devices import available_devices, choose_device, described_devices
from OrthoDiffusionLib.inference.exactness import compute_exactly


def test_a_card_without_a_driver_that_works_is_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert available_devices() == ("cpu",)
    assert [device.name for device in described_devices()] == ["cpu"]
    assert choose_device("auto") == torch.device("cpu")
    with pytest.raises(OrthoDiffusionError) as caught:
        choose_device("cuda")
    assert caught.value.kind is ErrorKind.DEVICE_UNAVAILABLE
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert available_devices() == ("cuda:0", "cpu")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("CUDA error: no kernel image is available\nCUDA kernel errors"), ErrorKind.DEVICE_UNAVAILABLE),
        (RuntimeError("The NVIDIA driver on your system is too old"), ErrorKind.DEVICE_UNAVAILABLE),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"), ErrorKind.DEVICE_UNAVAILABLE),
        (RuntimeError("CUDA error: out of memory"), ErrorKind.OUT_OF_MEMORY),
        (torch.OutOfMemoryError("CUDA out of memory."), ErrorKind.OUT_OF_MEMORY),
    ],
)
def test_a_device_that_fails_is_a_sentence(error: RuntimeError, kind: ErrorKind) -> None:
    with pytest.raises(OrthoDiffusionError) as caught, device_failures():
        raise error
    assert caught.value.kind is kind
    assert "on the CPU" in caught.value.action
    assert "\n" not in caught.value.detail


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="size mismatch"), device_failures():
        raise RuntimeError("size mismatch")


FLAGS = (
    (torch.backends.cudnn, "allow_tf32"),
    (torch.backends.cuda.matmul, "allow_tf32"),
    (torch.backends.cudnn, "benchmark"),
    (torch.backends.cudnn, "deterministic"),
)


def set_flags(*values: bool) -> None:
    for (part, name), value in zip(FLAGS, values, strict=True):
        setattr(part, name, value)


def flags() -> tuple[bool, ...]:
    return tuple(getattr(part, name) for part, name in FLAGS)


@pytest.fixture
def flags_come_back() -> Iterator[None]:
    before = flags()
    yield
    set_flags(*before)


def test_graphics_cards_compute_in_float32_and_the_same_again(flags_come_back: None) -> None:
    set_flags(True, True, True, False)
    compute_exactly(torch.device("cpu"))
    assert flags() == (True, True, True, False)
    compute_exactly(torch.device("cuda:0"))
    assert flags() == (False, False, False, True)
