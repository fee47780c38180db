"""Non-autoregressive language modelling with a latent mixture-of-experts flow."""
