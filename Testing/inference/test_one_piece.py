"""Bones in one piece: far pieces go to the next best class, halves and other structures stay."""

from __future__ import annotations

import torch

from OrthoDiffusionLib.inference.one_piece import keep_one_piece

BONE, OTHER, SOFT = 1, 2, 3


def scores_of(labels: torch.Tensor, second: int) -> torch.Tensor:
    """Probabilities in which a voxel's label has 0.7 and a second class 0.2."""
    scores = torch.full((4, *labels.shape), 0.05)
    scores.scatter_(0, labels[None], 0.7)
    scores[second] = torch.where(labels == second, scores[second], torch.full(labels.shape, 0.2))
    return scores


def test_a_far_piece_goes_to_the_class_thought_of_next() -> None:
    labels = torch.zeros((6, 20, 20), dtype=torch.long)
    labels[:, 2:10, 2:10] = BONE
    labels[2:4, 14:18, 14:18] = BONE
    scores = scores_of(labels, second=SOFT)
    before = scores.clone()
    keep_one_piece(scores, [BONE, OTHER])
    winner = scores.argmax(dim=0)
    assert (winner[:, 2:10, 2:10] == BONE).all()
    assert (winner[2:4, 14:18, 14:18] == SOFT).all()
    assert float(scores.max(dim=0).values[3, 15, 15]) < 0.3
    assert torch.equal(scores[[0, OTHER, SOFT]], before[[0, OTHER, SOFT]])


def test_what_becomes_another_bone_must_touch_that_bone() -> None:
    labels = torch.zeros((6, 20, 20), dtype=torch.long)
    labels[:, 1:9, 1:9] = BONE
    labels[:, 10:18, 1:9] = OTHER
    labels[0:2, 12:14, 9:12] = BONE
    labels[4, 1:3, 16:18] = BONE
    scores = scores_of(labels, second=OTHER)
    keep_one_piece(scores, [BONE, OTHER])
    winner = scores.argmax(dim=0)
    assert (winner[0:2, 12:14, 9:12] == OTHER).all()
    assert (winner[4, 1:3, 16:18] == 0).all()


def test_halves_of_like_size_and_other_structures_stay() -> None:
    labels = torch.zeros((4, 20, 20), dtype=torch.long)
    labels[:, 2:8, 2:8] = BONE
    labels[:, 12:17, 2:8] = BONE
    labels[1, 1, 15] = SOFT
    labels[3, 10, 18] = SOFT
    scores = scores_of(labels, second=0)
    keep_one_piece(scores, [BONE])
    assert torch.equal(scores.argmax(dim=0), labels)
