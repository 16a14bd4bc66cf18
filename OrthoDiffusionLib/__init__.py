"""OrthoDiffusion: diffusion encoders that segment and diagnose MR studies of joints."""

__version__ = "0.1.0"
