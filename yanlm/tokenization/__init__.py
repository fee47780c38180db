"""Rows to token ids to batches."""
