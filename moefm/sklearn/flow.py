"""A mixture flow for tables, as an estimator of scikit-learn."""

from __future__ import annotations

from numbers import Integral
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from moefm.checks import check_choice, check_count
from moefm.density import log_prob
from moefm.inputs import check_device
from moefm.objectives import ConsistentMoEFM, MoEFM
from moefm.sampling import sample
from moefm.sklearn.checks import LEAST_ROWS, checked_table, row_weights
from moefm.sklearn.conditions import Conditions, complete_rows
from moefm.sklearn.coordinates import Coordinates
from moefm.sklearn.saving import load_parts, save_parts
from moefm.sklearn.selection import Recipe, Rows, choose_experts, coupling_for
from moefm.sklearn.tables import MISSING

LOSSES = {"consistent": ConsistentMoEFM, "paper": MoEFM}
DENSITY_ROWS = 1024
"""Rows whose densities are computed together."""


class MoEFlow(DensityMixin, BaseEstimator):  # type: ignore[misc]
    """Mixture-of-experts flow on the rows of a table: new rows in few steps, and log-densities, in the table's units.

    Floating-point columns are standardized, and integers are spread over their unit interval. Texts and booleans become
    labels, and constant columns are repeated. Arrays give arrays, data frames give data frames with the same columns.

    Args:
        n_experts: K, or ``auto``: of 1, 2, 3, 4, 8 and 16 the number whose samples are closest to a held-out fifth of
            the rows. Each is trained in full, so ``auto`` takes seven times as long.
        loss: ``consistent``, or ``paper`` for the paper's mixture likelihood.
        sigma: Softness of the assignment, in standard deviations; ``None`` takes the loss's own.
        coupling: Pairs noise with rows: ``semidiscrete``, transport to all rows at once, so that few steps are enough;
            ``ot``, transport within a batch (and within labels of a 1-D ``cond``); or ``independent``. ``None`` takes
            the first of them that fits: 5000 rows at most without ``cond``; labels or no ``cond``; vectors.
        hidden: Width of the network.
        layers: Hidden layers of the network.
        train_steps: Optimizer steps.
        batch_size: Rows in a step.
        lr: Peak learning rate.
        missing: ``refuse`` missing values, or ``drop`` the rows that hold one when fitting.
        random_state: Seed of the training.
        device: Where to train and sample.
        verbose: Show a bar with the time left.

    Attributes:
        field_: The trained :class:`moefm.MLPMixtureField`.
        n_experts_: Its number of experts.
        distances_: Sliced W2 to the held-out rows for every number of experts tried (only with ``auto``).
        loss_curve_: ``(step, loss)`` pairs.
        n_features_in_: Number of columns.
        feature_names_in_: Their names, if the table has any.

    Example:
        >>> X = np.random.RandomState(0).normal([170.0, 70.0], [8.0, 12.0], (200, 2))
        >>> flow = MoEFlow(n_experts=2, train_steps=20, hidden=16).fit(X)
        >>> flow.sample(3).shape, flow.score_samples(X[:5]).shape
        ((3, 2), (5,))
    """

    def __init__(
        self,
        n_experts: int | str = "auto",
        *,
        loss: str = "consistent",
        sigma: float | None = None,
        coupling: str | None = None,
        hidden: int = 64,
        layers: int = 3,
        train_steps: int = 1000,
        batch_size: int = 256,
        lr: float = 2e-3,
        missing: str = "refuse",
        random_state: Any = 0,
        device: str = "cpu",
        verbose: bool | int = False,
    ) -> None:
        self.n_experts = n_experts
        self.loss = loss
        self.sigma = sigma
        self.coupling = coupling
        self.hidden = hidden
        self.layers = layers
        self.train_steps = train_steps
        self.batch_size = batch_size
        self.lr = lr
        self.missing = missing
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, cond: Any = None) -> Self:
        """Train a flow on the rows of ``X``.

        Args:
            X: Table ``(N, D)``: an array, a data frame, or a dictionary of columns.
            y: Ignored.
            sample_weight: How often each row counts, ``(N,)``.
            cond: Condition of every row: labels ``(N,)``, an array ``(N, C)`` or a data frame.

        Raises:
            ValueError: A value is missing or infinite, no column varies, or an option is out of range.
            TypeError: A column holds objects that are neither numbers nor labels.
        """
        check_count("train_steps", self.train_steps)
        check_device(self.device)
        objective, seed = self._objective(), int(check_random_state(self.random_state).randint(2**31 - 2))
        table = checked_table(self, X)
        weight = row_weights(sample_weight, len(table.rows)) * table.rows
        if cond is not None and self.missing == "drop":
            weight = weight * complete_rows(cond, len(weight))
            if (weight > 0).sum() < LEAST_ROWS:
                raise ValueError(f"X and cond must have at least {LEAST_ROWS} rows without missing values")
        table = table.where(weight > 0)
        self.conditions_ = None if cond is None else Conditions.fit(cond, weight)
        weight = weight[table.rows]
        self.coordinates_ = Coordinates.fit(table, weight)
        rows = Rows(
            self.coordinates_.encode(table, np.random.RandomState(seed)),
            None if self.conditions_ is None else self.conditions_.encode(cond, table.rows),
            None if np.ptp(weight) == 0 else torch.as_tensor(weight),
        )
        classes = 0 if self.conditions_ is None else self.conditions_.classes
        recipe = Recipe(
            objective, coupling_for(self.coupling, rows, classes), self.hidden, self.layers, classes, self.train_steps,
            self.batch_size, self.lr, seed, self.device, bool(self.verbose),
        )  # fmt: skip
        if self.n_experts == "auto":
            self.n_experts_, self.distances_ = choose_experts(recipe, rows)
        else:
            self.n_experts_ = check_count("n_experts, unless 'auto',", self.n_experts)  # type: ignore[arg-type]
            self.__dict__.pop("distances_", None)  # of an earlier fit
        self.field_, result = recipe.train(rows, self.n_experts_, self.train_steps, recipe.couple(rows))
        self.loss_curve_ = [list(point) for point in result.losses]
        self.n_rows_ = len(rows.z)
        return self

    def sample(self, n: int = 1, steps: int = 4, cond: Any = None, random_state: Any = 0) -> Any:
        """Draw new rows, in the form of the table that was fitted.

        Args:
            n: Number of rows.
            steps: Euler steps, one evaluation of the network each.
            cond: Conditions of the rows, as in ``fit`` and with ``n`` rows, or a single one for all.
            random_state: Seed.

        Raises:
            ValueError: ``cond`` does not fit, or a count is below 1.
        """
        check_is_fitted(self)
        n = check_count("n", n)
        generator = torch.Generator().manual_seed(int(check_random_state(random_state).randint(2**31 - 1)))
        z0 = torch.randn(n, self.field_.dim, generator=generator).to(self.device)
        with torch.no_grad():
            drawn = sample(self.field_, z0, steps, cond=self._condition(cond, n), generator=generator)
        return self.coordinates_.decode(drawn.z1)

    def score_samples(self, X: Any, cond: Any = None, steps: int = 20) -> Any:
        """Log-density of every row in the units of the table, ``(N,)``, in nats.

        For integers it is a density over their unit interval, for labels a probability. It is the density of the
        continuous flow, integrated backwards in ``steps`` steps of fourth order. There are K flows, so its cost grows
        with K.

        Raises:
            ValueError: The columns differ from those of ``fit``, or a label was not seen there.
        """
        check_is_fitted(self)
        table = checked_table(self, X, self.coordinates_.form.names)
        points, given = self.coordinates_.encode(table).to(self.device), self._condition(cond, len(table.rows))
        parts = points.split(DENSITY_ROWS)
        conditions = [None] * len(parts) if given is None else given.split(DENSITY_ROWS)
        pairs = zip(parts, conditions, strict=True)
        logs = [log_prob(self.field_, part, cond=c, steps=steps).double().cpu() for part, c in pairs]
        return torch.cat(logs).numpy() + self.coordinates_.log_scale(table)

    def score(self, X: Any, y: Any = None, cond: Any = None) -> float:
        """Mean log-density of the rows: what ``cross_val_score`` and ``GridSearchCV`` maximize."""
        return float(np.mean(self.score_samples(X, cond)))

    def save(self, folder: str | Path) -> None:
        """Write the flow to a folder: weights, columns, settings and a model card. :meth:`load` reads it.

        Settings that are objects, such as a ``random_state`` other than an integer, become ``None``.
        """
        check_is_fitted(self)
        facts = {"rows": self.n_rows_, "losses": self.loss_curve_, "distances": getattr(self, "distances_", None),
                 "named": hasattr(self, "feature_names_in_")}  # fmt: skip
        settings = self.get_params()
        settings["random_state"] = self.random_state if isinstance(self.random_state, Integral) else None
        settings["coupling"] = self.coupling if isinstance(self.coupling, str) else None
        settings["device"] = str(self.device)
        save_parts(folder, self.field_, self.coordinates_, self.conditions_, settings, facts)

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> Self:
        """A flow that :meth:`save` wrote.

        Raises:
            ValueError: The folder holds no such flow, or one of another version; or torch has no such device.
        """
        check_device(device)
        field, coordinates, conditions, table = load_parts(folder, cls._get_param_names())
        flow = cls(**{**table["settings"], "device": device})
        flow.field_, flow.coordinates_, flow.conditions_ = field.to(device), coordinates, conditions
        facts, names = table["facts"], coordinates.form.names
        flow.n_experts_, flow.n_features_in_, flow.n_rows_ = field.num_experts, len(names), facts["rows"]
        flow.loss_curve_ = facts["losses"]
        if facts["distances"] is not None:
            flow.distances_ = {int(experts): value for experts, value in facts["distances"].items()}
        if facts["named"]:
            flow.feature_names_in_ = np.array(names, dtype=object)
        return flow

    def _objective(self) -> ConsistentMoEFM | MoEFM:
        check_choice("missing", self.missing, MISSING)
        make = LOSSES[check_choice("loss", self.loss, LOSSES)]
        return make() if self.sigma is None else make(sigma=self.sigma)

    def _condition(self, cond: Any, count: int) -> Tensor | None:
        """Conditions of ``count`` rows, encoded; one row stands for all."""
        if (cond is None) != (self.conditions_ is None):
            if self.conditions_ is None:
                raise ValueError("cond must be left out: the flow was fitted without one")
            raise ValueError(f"cond must be given: the flow was fitted given {', '.join(self.conditions_.names)}")
        return None if self.conditions_ is None else self.conditions_.encode_for(cond, count).to(self.device)

    def __sklearn_tags__(self) -> Tags:
        """Texts and labels are welcome, missing values are not."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.categorical = True
        return tags
