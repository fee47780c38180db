"""What is asked, and what counts as right; no model."""
