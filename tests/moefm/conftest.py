"""What the tests of the library share. Factories are session-wide, so that hypothesis tests may use them too."""

import contextlib
import math

import pytest
import torch

from moefm import MixtureField, MLPMixtureField
from moefm.paths import expand_time


@pytest.fixture(scope="session")
def gen():
    """A seeded generator: ``gen(seed)``."""
    return lambda seed=0: torch.Generator().manual_seed(seed)


@pytest.fixture(scope="session")
def randn():
    """Seeded normal draws: ``randn(2, 3, seed=1, dtype=torch.float64)``."""

    def draw(*shape, seed=0, dtype=torch.float32):
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)

    return draw


@pytest.fixture(scope="session")
def mixture(randn):
    """Random predictions: ``velocities, logits, target = mixture((B, L), K, D)``, leaves with gradients."""

    def draw(batch, experts=3, dim=2, *, seed=0, dtype=torch.float64, scale=1.0):
        velocities = randn(*batch, experts, dim, seed=seed, dtype=dtype) * scale
        logits = randn(*batch, experts, seed=seed + 1, dtype=dtype)
        target = randn(*batch, dim, seed=seed + 2, dtype=dtype) * scale
        return velocities.requires_grad_(), logits.requires_grad_(), target

    return draw


@pytest.fixture(scope="session")
def make_field():
    """A small seeded field: ``make_field(dim, K, seed=0, gain=1.0, **options)``; ``gain`` scales its parameters."""

    def make(dim=2, num_experts=4, *, hidden=16, layers=2, seed=0, gain=1.0, **options):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            field = MLPMixtureField(dim, num_experts, hidden, layers, **options)
        with torch.no_grad():
            for parameter in field.parameters():
                parameter.mul_(gain)
        return field

    return make


class AffineField(MixtureField):
    """Expert k carries z0 to ``mean_k + scale_k z0`` along straight lines; the gate is linear in the state.

    What frozen routing samples from is known in closed form, and one Euler step is exact.
    """

    def __init__(self, means, scales, gate_weight):
        super().__init__()
        self.num_experts, self.dim = means.shape
        self.means, self.scales = torch.nn.Parameter(means), torch.nn.Parameter(scales)
        self.gate_weight = torch.nn.Parameter(gate_weight)  # (D, K)

    def trunk(self, z, t, cond=None):
        return z, expand_time(t, z)

    def heads(self, features):
        z, t = features
        z0 = (z.unsqueeze(-2) - t.unsqueeze(-1) * self.means) / (1 + t * (self.scales - 1)).unsqueeze(-1)
        return self.means + (self.scales - 1).unsqueeze(-1) * z0

    def head(self, features, index):
        index = index[..., None, None].expand(*index.shape, 1, self.dim)
        return self.heads(features).gather(-2, index).squeeze(-2)

    def gate_logits(self, features):
        return features[0] @ self.gate_weight

    def exact_log_prob(self, z1, event_dims=1):
        """Closed form of the density; with two event dimensions the rows share one expert."""
        event = tuple(range(-event_dims, 0))
        terms = []
        for k in range(self.num_experts):
            z0 = (z1 - self.means[k]) / self.scales[k]
            logits = z0 @ self.gate_weight
            logits = logits if event_dims == 1 else logits.mean(-2)
            normal = (-0.5 * z0.square() - 0.5 * math.log(2 * math.pi) - self.scales[k].log()).sum(event)
            terms.append(logits.log_softmax(-1)[..., k] + normal)
        return torch.logsumexp(torch.stack(terms), 0)


@pytest.fixture(scope="session")
def affine_field(randn):
    """``affine_field(dim, K)`` in float64, with experts that differ in mean and scale and a gate that depends on z0."""

    def make(dim, num_experts, seed=0):
        means = 2 * randn(num_experts, dim, seed=seed, dtype=torch.float64)
        scales = torch.linspace(0.5, 1.5, num_experts, dtype=torch.float64)
        return AffineField(means, scales, randn(dim, num_experts, seed=seed + 1, dtype=torch.float64))

    return make


@pytest.fixture(scope="session")
def count_trunk():
    """``calls = count_trunk(field)``: a list that grows by one with every evaluation of the field's trunk."""

    def watch(field):
        calls, original = [], field.trunk

        def trunk(z, t, cond=None):
            calls.append(float(torch.as_tensor(t).reshape(-1)[0]))
            return original(z, t, cond)

        field.trunk = trunk
        return calls

    return watch


@pytest.fixture(scope="session")
def global_rng_untouched():
    """A context in which torch's global generator must not be drawn from."""

    @contextlib.contextmanager
    def check():
        before = torch.get_rng_state()
        yield
        assert torch.equal(before, torch.get_rng_state()), "the global random state was touched"

    return check
