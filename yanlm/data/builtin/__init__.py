"""Texts that need no file."""
