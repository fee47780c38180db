import random
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanlm.tokenization.masking import Masking, drop_tokens, mask_spans, mask_tail

seeds = st.integers(0, 2**64 - 1)
rates = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(lambda pair: (min(pair), max(pair)))
span_lengths = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)


def runs(positions):
    """Lengths of runs of adjacent positions."""
    lengths = []
    for previous, position in pairwise([-2, *positions]):
        if position == previous + 1:
            lengths[-1] += 1
        else:
            lengths.append(1)
    return lengths


@given(st.integers(0, 300), seeds, rates, span_lengths)
def test_positions_are_sorted_distinct_within_the_text_and_never_all(length, seed, rate, spans):
    positions = mask_spans(length, random.Random(seed), rate=rate, spans=spans)
    assert positions == sorted(set(positions))
    assert all(0 <= position < length for position in positions)
    if length >= 2:
        assert 1 <= len(positions) < length
    else:
        assert len(positions) == length


@given(st.lists(st.integers(0, 9), max_size=50), seeds, st.floats(0, 1))
def test_what_is_not_dropped_keeps_its_order_and_something_is_left(ids, seed, most):
    left = drop_tokens(ids, random.Random(seed), most)
    rest = iter(ids)
    assert all(id in rest for id in left)
    assert bool(left) == bool(ids) and (most or left == ids)


@given(st.integers(0, 300), seeds, rates, span_lengths)
def test_the_share_is_met_as_closely_as_whole_spans_allow(length, seed, rate, spans):
    count = len(mask_spans(length, random.Random(seed), rate=rate, spans=spans))
    longest = max(spans)
    if length >= 2:
        assert count >= min(rate[0] * length, length - 1) - max(longest - 1, longest / 2) - 0.5
        assert count <= max(rate[1] * length + longest / 2 + 0.5, longest)


@given(st.integers(2, 300), seeds)
def test_the_papers_spans_have_one_to_three_tokens(length, seed):
    positions = mask_spans(length, random.Random(seed))
    assert set(runs(positions)) <= {1, 2, 3}
    assert len(positions) <= max(3, 0.1 * length + 2)


@given(st.integers(4, 300), seeds, st.integers(1, 4))
def test_spans_stay_apart_while_there_is_room(length, seed, span):
    positions = mask_spans(length, random.Random(seed), rate=(0.0, 0.4), spans=(span,))
    assert set(runs(positions)) == {min(span, length - 1)}


def test_lengths_of_spans_and_places_are_uniform():
    rng = random.Random(0)
    spans, places, share = Counter(), Counter(), 0
    for _ in range(2000):
        positions = mask_spans(100, rng)
        spans.update(runs(positions))
        places.update(positions)
        share += len(positions) / 100
    assert 0.07 <= share / 2000 <= 0.08
    total = sum(spans.values())
    assert all(0.28 <= spans[n] / total <= 0.40 for n in (1, 2, 3))  # the last span of a text is more often short
    assert all(90 <= places[i] <= 220 for i in range(1, 99))


@given(st.integers(0, 300), seeds)
def test_the_seed_decides(length, seed):
    assert mask_spans(length, random.Random(seed)) == mask_spans(length, random.Random(seed))


@given(st.integers(0, 50), seeds, st.integers(1, 60))
def test_tails_are_the_end(length, seed, longest):
    positions = mask_tail(length, random.Random(seed), longest=longest)
    assert positions == list(range(length - len(positions), length))
    if length >= 2:
        assert 1 <= len(positions) <= min(longest, length - 1)
    else:
        assert len(positions) == length


def test_tails_of_every_length_are_drawn():
    rng = random.Random(0)
    assert {len(mask_tail(10, rng, longest=4)) for _ in range(100)} == {1, 2, 3, 4}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 0.1}, "rate must be the least and the greatest share"),
        ({"rate": (0.2, 0.1)}, "from the least to the greatest"),
        ({"rate": (0.0, 1.5)}, r"rate must be a share from 0 to 1, got 1\.5"),
        ({"rate": (float("nan"), 1.0)}, "rate must be a share"),
        ({"spans": ()}, "spans must list"),
        ({"spans": 3}, "spans must list"),
        ({"spans": (0, 1)}, "spans must be an integer of at least 1, got 0"),
        ({"tail": -0.1}, "tail must be a share"),
        ({"tail": True}, "tail must be a share"),
        ({"clean": "all"}, "clean must be a share"),
        ({"tail": 0.6, "clean": 0.6}, "tail and clean must not exceed 1 together"),
        ({"tail_max": 0}, "tail_max must be an integer of at least 1"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Masking(**options)


def test_wrong_arguments_are_named():
    rng = random.Random(0)
    with pytest.raises(ValueError, match="length must be"):
        mask_spans(-1, rng)
    with pytest.raises(ValueError, match="rate must be"):
        mask_spans(5, rng, rate=(0, 2))
    with pytest.raises(ValueError, match="spans must"):
        mask_spans(5, rng, spans=(1.5,))
    with pytest.raises(ValueError, match="longest must be"):
        mask_tail(5, rng, longest=0)
