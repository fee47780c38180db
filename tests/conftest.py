"""Settings for all tests: offline, one thread, the same hypothesis examples every time."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before any library that reads it
os.environ.setdefault("GOMP_SPINCOUNT", "0")  # a test of two threads must not hold up the others: before torch

import hypothesis
import torch

torch.set_num_threads(1)

hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, max_examples=30)
hypothesis.settings.register_profile("search", deadline=None, max_examples=500)  # HYPOTHESIS_PROFILE=search
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
