"""What the latents of a model look like."""
