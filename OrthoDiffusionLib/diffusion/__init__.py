"""Diffusion: the noise schedule, seeded noise and sampling."""
