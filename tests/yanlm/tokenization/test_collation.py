"""Examples as a batch: padding on either side, spans ended by padding."""

from hypothesis import given
from hypothesis import strategies as st

from yanlm.tokenization.collation import padded, split_spans, until_padding

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
