"""Whole models: network, objectives and generation together."""
