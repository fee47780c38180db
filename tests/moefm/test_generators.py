"""Random draws: independent of what follows, of the other rows and of torch's global generator."""

import pytest
import torch

from moefm.generators import child, fork, fresh, uniform


@pytest.mark.parametrize("shape", [(3,), (3, 4), (16, 2), (17,)])
def test_first_rows_do_not_depend_on_how_many_follow(gen, shape):
    short, long = uniform(shape, gen()), uniform((100, *shape[1:]), gen())
    assert torch.equal(short, long[: shape[0]])


@pytest.mark.parametrize("rest", [(), (4,), (20, 2)])
def test_a_row_with_its_own_generator_depends_on_it_alone(gen, rest):
    rows = uniform((3, *rest), [gen(7), gen(8), gen(9)])
    swapped = uniform((2, *rest), [gen(9), gen(7)])
    assert torch.equal(rows[[2, 0]], swapped)
    assert torch.equal(rows[1], uniform(rest, gen(8)))


def test_uniform_range_and_dtype(gen):
    u = uniform((10_000,), gen())
    assert u.dtype == torch.float32
    assert 0 <= u.min() and u.max() < 1
    assert abs(u.mean() - 0.5) < 0.02


def test_wrong_number_of_generators(gen):
    with pytest.raises(ValueError, match=r"generator .*\(3\).* 2"):
        uniform((3,), [gen(), gen()])


def test_child_takes_one_integer_of_its_parent(gen):
    a, b = gen(), gen()
    first = child(a)
    torch.rand(1000, generator=first)  # however much the child draws
    child(b)
    assert torch.equal(torch.rand(5, generator=a), torch.rand(5, generator=b))
    assert torch.equal(torch.rand(5, generator=child(gen())), torch.rand(5, generator=child(gen())))


def test_children_of_one_parent_differ(gen):
    parent = gen()
    assert not torch.equal(torch.rand(5, generator=child(parent)), torch.rand(5, generator=child(parent)))


def test_a_fork_takes_the_stream_and_its_parent_does_not_mind_how_much(gen):
    parents, drawn = (gen(), gen()), []
    for parent, size in zip(parents, (3, 1000), strict=True):
        stream = fork(parent)
        drawn.append(torch.rand(size, generator=stream)[:3])
    assert torch.equal(drawn[0], torch.rand(3, generator=gen())) and torch.equal(*drawn)
    after = [torch.rand(5, generator=parent) for parent in parents]
    assert torch.equal(*after) and not torch.isin(after[0], torch.rand(1000, generator=gen())).any()


@pytest.mark.parametrize("wrong", [0, 1.5, torch])
def test_a_seed_is_no_generator(wrong):
    for call in (lambda: fresh(wrong), lambda: uniform((3,), wrong)):
        with pytest.raises(TypeError, match=r"generator must be a torch.Generator.*manual_seed\(seed\)"):
            call()


def test_fresh_keeps_a_generator_and_makes_unseeded_ones(gen, global_rng_untouched):
    g = gen()
    assert fresh(g) is g
    with global_rng_untouched():
        first, second = (torch.rand(8, generator=fresh(None)) for _ in range(2))
    assert not torch.equal(first, second)
