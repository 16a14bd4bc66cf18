"""Inference: a study in, a result out."""
