"""A model on the rows of a task."""
