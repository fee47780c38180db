"""Reading ahead: what comes, where the draw stands after it, and how it ends."""

import pytest
import torch
from standin import StandInDraw

from yanlm.training.prefetch import Ahead


def equal(batches, others):
    return all(
        seeds == other_seeds and all(torch.equal(x, other[name]) for name, x in batch.items())
        for (batch, seeds), (other, other_seeds) in zip(batches, others, strict=True)
    )


def test_micro_batches_come_in_order_with_the_state_after_them():
    draw, plain = StandInDraw(6, accumulate=2), StandInDraw(6, accumulate=2)
    ahead = Ahead(draw, accumulate=2, pin=False)
    for step in range(1, 5):
        batches, state = ahead.take()
        assert equal(batches, [plain.next() for _ in range(2)])
        assert state == plain.state_dict() == {"taken": 2 * step}
    ahead.close()
    assert draw.taken >= 8  # it has moved on, which is why the state comes with the batches


def test_a_draw_goes_on_from_the_state_of_a_step():
    ahead = Ahead(StandInDraw(4), accumulate=1, pin=False)
    _, state = ahead.take()
    following, _ = ahead.take()
    ahead.close()
    again = StandInDraw(4)
    again.load_state_dict(state)
    assert equal(following, [again.next()])


def test_the_draw_is_free_once_it_is_closed():
    draw = StandInDraw(4)
    ahead = Ahead(draw, accumulate=3, pin=False)
    ahead.take()
    ahead.close()
    taken = draw.taken
    draw.next()
    assert draw.taken == taken + 1 and not ahead._thread.is_alive()


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [(StopIteration(), RuntimeError, "must be endless"), (OSError("line 3 is broken"), OSError, "line 3 is broken")],
)
def test_errors_come_out_where_batches_do(error, kind, message):
    class Failing(StandInDraw):
        def next(self):
            if self.taken == 2:
                raise error
            return super().next()

    ahead = Ahead(Failing(4), accumulate=1, pin=False)
    for _ in range(2):
        ahead.take()
    with pytest.raises(kind, match=message):
        ahead.take()
    ahead.close()
