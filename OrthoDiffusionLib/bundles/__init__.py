"""Bundles: the model package, its manifest, safe weights, import of published checkpoints, and the registry."""
