"""Diffusion: the noise schedule, noising and feature extraction."""
