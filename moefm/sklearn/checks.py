"""What a table has to be before a flow learns from it: its columns, rows and weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from moefm.sklearn.forms import is_frame, is_mapping, unmasked
from moefm.sklearn.tables import DROP, Table, check_names, read_table

LEAST_ROWS = 10
MOST_COLUMNS = 500


def checked_table(flow: Any, X: Any, known: Sequence[str] | None = None) -> Table:
    """Columns of an array, a data frame or a dictionary. Sets scikit-learn's attributes of the estimator, or compares.

    Args:
        flow: The estimator.
        X: The table.
        known: Names of the columns of ``fit``; ``None`` while fitting.

    Raises:
        ValueError: The columns are others than in ``fit``, there are too many or too few rows, or a value is wrong.
        TypeError: A column holds objects that are neither numbers nor labels.
    """
    fitting, X = known is None, unmasked(X)
    if is_mapping(X):
        if fitting:
            flow.n_features_in_, flow.feature_names_in_ = len(X), np.array([str(name) for name in X], dtype=object)
    elif is_frame(X):
        check_names("X", X)
        validate_data(flow, X, skip_check_array=True, reset=fitting)
    else:
        least = LEAST_ROWS if fitting else 1
        X = validate_data(flow, X, dtype=None, ensure_all_finite=False, ensure_min_samples=least, reset=fitting)
    check_width(flow.n_features_in_)
    if known is None:
        return read_table("X", X, flow.missing, LEAST_ROWS, DROP)
    if is_mapping(X) and list(map(str, X)) != list(known):
        _refuse(known, list(map(str, X)))
    table = read_table("X", X)
    if table.form.labels is not None and table.form.names != list(known):  # validate_data compares only texts
        _refuse(known, table.form.names)
    return table


def _refuse(known: Sequence[str], names: Sequence[str]) -> NoReturn:
    raise ValueError(f"X must have the columns {', '.join(known)}, got {', '.join(names)}")


def check_width(columns: int) -> None:
    """Raise ``ValueError`` where a table has more columns than a flow on rows can learn."""
    if columns > MOST_COLUMNS:
        raise ValueError(
            f"X must have at most {MOST_COLUMNS} columns, got {columns}: reduce them first, for instance with "
            "sklearn.decomposition.PCA"
        )


def row_weights(weight: Any, count: int) -> NDArray[np.float64]:
    """Weights of ``count`` rows, the largest of them 1, and all if none are given.

    Raises:
        ValueError: They are not one number of at least 0 for each row, or all 0.

    Example:
        >>> row_weights(None, 2), row_weights([1e-50, 4e-50], 2)
        (array([1., 1.]), array([0.25, 1.  ]))
    """
    if weight is None:
        return np.ones(count)
    weights = np.asarray(weight, dtype=np.float64)
    if weights.size and not weights.any():
        raise ValueError("sample_weight must not be zero for all rows")
    if weights.shape != (count,) or not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError(
            f"sample_weight must be one finite number of at least 0 for each of the {count} rows of X, got shape "
            f"{weights.shape}"
        )
    return weights / weights.max(initial=0)  # in proportion, so that neither tiny nor huge weights leave float32
