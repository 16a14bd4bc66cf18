"""Datasets: which studies there are, who they belong to, and what is known about them."""
