"""Kinds of models beside the flow, and presets, by the names that users give. Nothing is imported here."""

MASKED = ("mdlm", "mlm")
AUTOREGRESSIVE = ("gpt2", "bart")
BASELINES = (*AUTOREGRESSIVE, *MASKED)
"""Trained baselines. ``vfm``, plain flow matching, is the flow itself with one expert."""

PRESET_NAMES = ("tiny", "small", "base", "paper-transformer", "paper-mamba")
"""Names in :data:`yanlm.runs.presets.PRESETS`, for code that must not load torch."""
