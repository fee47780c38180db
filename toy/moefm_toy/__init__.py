"""Toy data sets, the toy experiment and its figures, built on moefm."""
