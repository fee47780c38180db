"""Cross-entropy over the vocabulary: every method has the values and gradients of F.cross_entropy on all logits."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from yanlm.nn import cross_entropy as module
from yanlm.nn.cross_entropy import METHODS, token_cross_entropy

HAS_LINEAR = hasattr(F, "linear_cross_entropy") and hasattr(torch.nn, "LinearCrossEntropyOptions")
needs_linear = pytest.mark.skipif(not HAS_LINEAR, reason="this torch has no linear_cross_entropy with options")
EVERY_METHOD = [pytest.param(m, marks=needs_linear) if m == "linear" else m for m in METHODS]


def inputs(n=10, d=6, vocabulary=17, bias=True, dtype=torch.float64, seed=0):
    g = torch.Generator().manual_seed(seed)
    hidden, weight = (torch.randn(rows, d, generator=g, dtype=torch.float64) for rows in (n, vocabulary))
    offset = torch.randn(vocabulary, generator=g, dtype=torch.float64) if bias else None
    labels = torch.randint(vocabulary, (n,), generator=g)
    leaves = [t if t is None else t.to(dtype).requires_grad_() for t in (hidden, weight, offset)]
    return *leaves, labels


def reference(hidden, weight, bias, labels):
    return F.cross_entropy(F.linear(hidden, weight, bias), labels, reduction="none")


def gradients(losses, leaves, seed=3):
    """Losses and gradients under a different weight for every token."""
    weight = torch.randn(losses.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    wanted = [leaf for leaf in leaves if leaf is not None]
    return losses.detach(), *torch.autograd.grad(losses, wanted, weight.to(losses.dtype))


def assert_close(given_, expected, tolerance):
    for a, b in zip(given_, expected, strict=True):
        scale = float(b.abs().max()) if b.numel() else 1.0
        assert a.shape == b.shape
        assert torch.allclose(a.double(), b.double(), rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("method", EVERY_METHOD)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("chunk", [None, 1, 4, 10, 100])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-14), (torch.float32, 2e-6)], ids=str)
def test_values_and_gradients(method, bias, chunk, dtype, tolerance):
    *leaves, labels = inputs(bias=bias)
    expected = gradients(reference(*leaves, labels), leaves)
    *leaves, labels = inputs(bias=bias, dtype=dtype)
    losses = token_cross_entropy(*leaves, labels, method=method, chunk=chunk)
    assert losses.dtype == dtype
    assert_close(gradients(losses, leaves), expected, tolerance)


@given(
    n=st.integers(0, 12), d=st.integers(1, 5), v=st.integers(1, 9), chunk=st.integers(1, 15), seed=st.integers(0, 2**31)
)
def test_any_chunk_gives_the_same(n, d, v, chunk, seed):
    *leaves, labels = inputs(n, d, v, seed=seed)
    losses = token_cross_entropy(*leaves, labels, method="chunked", chunk=chunk)
    assert_close(gradients(losses, leaves), gradients(reference(*leaves, labels), leaves), 1e-12)


@pytest.mark.parametrize("method", EVERY_METHOD)
def test_no_tokens(method):
    *leaves, labels = inputs(n=0)
    losses = token_cross_entropy(*leaves, labels, method=method)
    assert losses.shape == (0,)
    losses.sum().backward()
    assert all(leaf.grad is not None and not leaf.grad.any() for leaf in leaves)


@pytest.mark.parametrize("method", EVERY_METHOD)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision(method, dtype):
    """Products may round, the log-softmax does not: losses of one token add up over a long vocabulary."""
    *leaves, labels = inputs(20, 16, 3000, dtype=dtype)
    losses = token_cross_entropy(*leaves, labels, method=method, chunk=6)
    assert losses.dtype == torch.float32
    wide = [leaf.detach().float().requires_grad_() for leaf in leaves]
    result = gradients(losses, leaves)
    assert all(grad.dtype == dtype for grad in result[1:])
    assert_close(result, gradients(reference(*wide, labels), wide), 2e-2)


@pytest.mark.parametrize("method", EVERY_METHOD)
def test_log_softmax_of_half_precision_is_wide(method):
    """Equal logits of -8 over 3000 tokens: log 3000 has no room in bfloat16, float32 gives it exactly."""
    hidden = torch.ones(3, 8, dtype=torch.bfloat16)
    weight = -torch.ones(3000, 8, dtype=torch.bfloat16)
    losses = token_cross_entropy(hidden, weight, None, torch.tensor([0, 7, 2999]), method=method)
    assert torch.allclose(losses, torch.tensor(3000.0).log(), rtol=1e-6)


@pytest.mark.parametrize("method", EVERY_METHOD)
@pytest.mark.parametrize("inside", [True, False], ids=["backward inside", "backward outside"])
def test_autocast(method, inside):
    *leaves, labels = inputs(20, 16, 300, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        losses = token_cross_entropy(*leaves, labels, method=method, chunk=6)
        result = gradients(losses, leaves) if inside else None
    result = result or gradients(losses, leaves)
    assert all(tensor.dtype == torch.float32 for tensor in result)
    assert_close(result, gradients(reference(*leaves, labels), leaves), 2e-2)


def test_autocast_multiplies_alike():
    *leaves, labels = inputs(20, 16, 300, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        full, chunked = (token_cross_entropy(*leaves, labels, method=m, chunk=6) for m in ("full", "chunked"))
    assert not torch.equal(full, reference(*leaves, labels))
    assert torch.allclose(full, chunked, atol=0.05)


@pytest.mark.parametrize("scale", [1e3, 1e4])
def test_huge_logits(scale):
    *leaves, labels = inputs(dtype=torch.float32)
    leaves[0] = (scale * leaves[0].detach()).requires_grad_()
    losses = token_cross_entropy(*leaves, labels, method="chunked", chunk=3)
    assert losses.isfinite().all()
    assert_close(gradients(losses, leaves), gradients(reference(*leaves, labels), leaves), 1e-6)


def test_gradcheck():
    *leaves, labels = inputs(5, 3, 7)
    assert torch.autograd.gradcheck(lambda *a: token_cross_entropy(*a, labels, method="chunked", chunk=2), leaves)


@pytest.mark.parametrize("index", range(3), ids=["hidden", "weight", "bias"])
def test_frozen_inputs_cost_nothing(index):
    *leaves, labels = inputs()
    expected = gradients(reference(*leaves, labels), leaves)[1 + index]
    alone = [leaf.detach().requires_grad_(i == index) for i, leaf in enumerate(leaves)]
    losses = token_cross_entropy(*alone, labels, method="chunked", chunk=4)
    assert_close(gradients(losses, [alone[index]])[1:], [expected], 1e-14)


def test_backward_twice():
    *leaves, labels = inputs()
    loss = token_cross_entropy(*leaves, labels, method="chunked", chunk=4).sum()
    first = torch.autograd.grad(loss, leaves, retain_graph=True)
    assert all(torch.equal(a, b) for a, b in zip(first, torch.autograd.grad(loss, leaves), strict=True))


def test_compiles():
    *leaves, labels = inputs()
    compiled = torch.compile(
        lambda *a: token_cross_entropy(*a, method="chunked", chunk=4), backend="aot_eager", fullgraph=True
    )
    assert_close(gradients(compiled(*leaves, labels), leaves), gradients(reference(*leaves, labels), leaves), 1e-14)


def test_one_chunk_of_logits_at_a_time(monkeypatch):
    """Neither pass computes more rows at once than a chunk has, and nothing as large as the logits is kept."""
    seen = chunks_seen(monkeypatch)
    *leaves, labels = inputs(10, 6, 1000)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        losses = token_cross_entropy(*leaves, labels, method="chunked", chunk=4)
    losses.sum().backward()
    assert seen == [(4, 1000), (4, 1000), (2, 1000)] * 2
    assert max(kept) == 6 * 1000  # the weight


@pytest.mark.parametrize("limit, chunks", [(170, 0), (169, 1)])
def test_auto_looks_at_the_size(monkeypatch, limit, chunks):
    """Where chunks that fit the cache would have too few rows."""
    monkeypatch.setattr(module, "CACHED_ROWS", module.CACHED)
    monkeypatch.setattr(module, "FULL_UP_TO", limit)
    assert rows_of_chunks(monkeypatch) == [10] * chunks


@pytest.mark.parametrize("cached, rows", [(170, []), (169, [9, 1]), (5 * 17, [5, 5]), (4 * 17, [])])
def test_on_a_cpu_chunks_fit_the_cache(monkeypatch, cached, rows):
    monkeypatch.setattr(module, "CACHED_ROWS", 5)
    monkeypatch.setattr(module, "CACHED", cached)
    assert rows_of_chunks(monkeypatch) == rows


def rows_of_chunks(monkeypatch):
    """Rows of the chunks that ten states and a vocabulary of 17 are computed in."""
    seen = chunks_seen(monkeypatch)
    token_cross_entropy(*inputs(10, 6, 17))
    return [rows for rows, _ in seen]


def chunks_seen(monkeypatch):
    """A list to which every chunk of logits adds its shape."""
    seen, original = [], module._chunks

    def spy(*args):
        for at, logits in original(*args):
            seen.append(tuple(logits.shape))
            yield at, logits

    monkeypatch.setattr(module, "_chunks", spy)
    return seen


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"method": "fast"}, "method must be one of auto, chunked, full, linear, got 'fast'"),
        ({"chunk": 0}, "chunk must be an integer of at least 1, got 0"),
        ({"hidden": torch.zeros(2, 5, 6)}, r"hidden must have shape \(N, d\), got \(2, 5, 6\)"),
        ({"weight": torch.zeros(17, 5)}, r"weight must have shape \(V, d\) with d = 6, got \(17, 5\)"),
        ({"weight": torch.zeros(0, 6)}, r"weight must have shape"),
        ({"bias": torch.zeros(16)}, r"bias must have shape \(V,\) = \(17,\), got \(16,\)"),
        ({"labels": torch.zeros(9, dtype=torch.long)}, r"labels must have shape \(N,\) = \(10,\), got \(9,\)"),
        ({"labels": torch.full((10,), 17)}, r"labels must lie in 0 \.\.\. 16, got 17"),
        ({"labels": torch.full((10,), -100)}, r"labels must lie in 0 \.\.\. 16, got -100"),
    ],
    ids=str,
)
def test_inputs_are_checked(changed, message):
    arguments = dict(zip(("hidden", "weight", "bias", "labels"), inputs(), strict=True))
    with pytest.raises(ValueError, match=message):
        token_cross_entropy(**{**arguments, **changed})


def test_labels_are_integers():
    *leaves, labels = inputs()
    with pytest.raises(TypeError, match=r"labels must be of dtype torch\.int64, got torch\.float32"):
        token_cross_entropy(*leaves, labels.float())


def test_linear_where_torch_lacks_it(monkeypatch):
    monkeypatch.delattr(F, "linear_cross_entropy", raising=False)
    with pytest.raises(ValueError, match=r"method 'linear' needs .* use 'chunked'"):
        token_cross_entropy(*inputs(), method="linear")
