"""Flows for tables in scikit-learn's form: fit, sample and score rows in their own units."""

from moefm.sklearn.flow import MoEFlow

__all__ = ["MoEFlow"]
