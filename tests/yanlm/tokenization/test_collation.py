"""Examples as a batch: padding on either side, spans ended by padding."""

from hypothesis import given
from hypothesis import strategies as st

from yanlm.tokenization.collation import SLOT_COST, Example, call_cost, padded, split_spans, together, until_padding

rows = st.lists(st.lists(st.integers(1, 9), max_size=5), max_size=4)


@given(rows, st.booleans())
def test_rows_are_where_the_mask_is_and_padding_elsewhere(rows, left):
    ids, held = padded(rows, 0, left=left)
    assert ids.shape == held.shape == (len(rows), max([1, *map(len, rows)]))
    assert [row[keep].tolist() for row, keep in zip(ids, held, strict=True)] == rows
    assert not ids[~held].any()
    assert all(keep.sort(descending=not left).values.equal(keep) for keep in held)


@given(rows)
def test_spans_come_back_up_to_their_padding(spans):
    tokens = [token for span in spans for token in [*span, 0, 5]]
    assert split_spans(tokens, [len(span) + 2 for span in spans], pad=0) == spans
    assert until_padding([7, 8], pad=0) == [7, 8]


@given(
    lengths=st.lists(st.tuples(st.integers(1, 600), st.integers(0, 200)), max_size=40),
    size=st.integers(1, 12),
    cost=st.integers(0, 300),
)
def test_no_batch_takes_longer_than_its_examples_one_by_one(
    lengths: list[tuple[int, int]], size: int, cost: int
) -> None:
    examples = [Example([0] * length, [], list(range(slots)), []) for length, slots in lengths]
    batches = together(examples, size, cost)
    assert sorted(i for rows in batches for i in rows) == list(range(len(examples)))
    for rows in batches:
        assert 1 <= len(rows) <= size
        costs = [lengths[i][0] + SLOT_COST * lengths[i][1] for i in rows]
        padded = max(lengths[i][0] for i in rows) + SLOT_COST * max(lengths[i][1] for i in rows)
        assert len(rows) * padded + cost <= sum(costs) + len(rows) * cost


def test_like_lengths_fill_their_batches() -> None:
    examples = [Example([0] * (50 + i % 3), [], [0], []) for i in range(25)]
    assert [len(rows) for rows in together(examples, 10)] == [10, 10, 5]
    apart = [Example([0] * n, [], [0], []) for n in (5, 2000)]
    assert len(together(apart, 10, call_cost(128))) == 2 and len(together(apart, 10, call_cost(128, "cuda"))) == 1
