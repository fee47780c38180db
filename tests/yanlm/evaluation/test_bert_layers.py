"""Default layers and tables of baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from yanlm.evaluation.bert_layers import baseline_f1, default_layer

TABLE = "LAYER,P,R,F\n0,0.1,0.2,0.3\n1,0.3,0.4,0.5\n2,0.5,0.6,0.8\n3,0.7,0.8,0.9\n"


class TestLayer:
    @pytest.mark.parametrize(
        ("name", "layers", "expected"),
        [
            ("roberta-large", 24, 17),
            ("microsoft/deberta-xlarge-mnli", 48, 40),
            ("/models/BERT-base-uncased", 12, 9),
            ("~/.cache/hub/models--FacebookAI--roberta-base/snapshots/0a1b", 12, 10),
            ("bert-base-uncased/my-own", 12, 12),
            ("bert-base-uncased", 2, 2),  # a small model in a folder of a known name
            ("", 6, 6),
        ],
    )
    def test_known_encoders(self, name: str, layers: int, expected: int) -> None:
        assert default_layer(["unknown", name], layers) == expected


class TestBaseline:
    @pytest.mark.parametrize("value", [1, 1.5, float("nan"), float("-inf"), True, "", "no/such.tsv"])
    def test_not_below_one_nor_a_file(self, value: Any) -> None:
        with pytest.raises(ValueError, match=r"baseline .*give a number below 1, or a table"):
            baseline_f1(value, 3)

    @pytest.mark.parametrize(
        ("table", "fault"),
        [
            (TABLE, "no row for layer 7, its layers are 0 to 3"),
            ("LAYER,P,R,F\n", "no row for layer 7, its layers are none"),
            ("LAYER,P,R\n7,1,2\n", "columns LAYER and F"),
            ("LAYER\tP\tR\tF\n7\t.1\t.1\t.1\n", "columns LAYER and F"),
            ("LAYER,P,R,F\n7,0.1\n", "columns LAYER and F"),
            ("LAYER,P,R,F\n7,.1,.1,high\n", "columns LAYER and F"),
            ("LAYER,P,R,F\n7,.1,.1,1.0\n", "below 1"),
        ],
    )
    def test_tables(self, tmp_path: Path, table: str, fault: str) -> None:
        path = tmp_path / "table.tsv"
        path.write_text(table)
        with pytest.raises(ValueError, match=fault) as caught:
            baseline_f1(path, 7)
        assert "\n" not in str(caught.value)

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        path = tmp_path / "table.tsv"
        path.write_bytes(b"LAYER,F\n\xff\xfe,\x00\n")
        with pytest.raises(ValueError, match="columns LAYER and F"):
            baseline_f1(path, 7)
