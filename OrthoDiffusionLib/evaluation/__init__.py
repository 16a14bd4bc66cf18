"""Evaluation: metrics and how good a bundle is on studies with known truth."""
