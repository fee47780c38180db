"""Labels of texts."""

from __future__ import annotations

from toys import labelled

from yanlm.tasks.task import get_task


def test_better_than_the_majority_by_name() -> None:
    train, test = labelled(200, 0), labelled(60, 1)
    found = get_task("classify").guesses(train, test)
    truth = [row["label"] for row in test]
    hits = {name: sum(map(str.__eq__, made, truth)) for name, made in found.items()}
    assert set(hits) == {"majority", "tfidf_logreg"} and hits["majority"] < 30 < hits["tfidf_logreg"] == 60
