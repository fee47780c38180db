"""The loop of one stage, for any model."""
