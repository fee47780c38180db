"""Networks: no loss, no generation."""
