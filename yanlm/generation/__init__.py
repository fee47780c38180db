"""Tensors in, tokens out."""
