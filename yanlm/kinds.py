"""Kinds of models beside the flow, by the names that users give."""

MASKED = ("mdlm", "mlm")
AUTOREGRESSIVE = ("gpt2", "bart")
BASELINES = (*AUTOREGRESSIVE, *MASKED)
"""Trained baselines. ``vfm``, plain flow matching, is the flow itself with one expert."""
