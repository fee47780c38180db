"""The table of a parquet file: what is refused before it is unpacked."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from moefm.reading import TooLargeError
from moefm_toy.named_points import DataError
from moefm_toy.parquet import parquet_table


def written(path, columns, names):
    pq.write_table(pa.table(columns, names=names), path)
    return path, path.read_bytes()


def test_columns_come_without_the_row_index(tmp_path):
    path, content = written(tmp_path / "t.parquet", [[1, 2], ["a", None], [0, 1]], ["n", "w", "__index_level_0__"])
    table = parquet_table(path, content, lambda name, held: None)
    assert table.to_pydict() == {"n": [1, 2], "w": ["a", None]}


def test_faults_name_the_file_and_come_before_the_values(tmp_path):
    path, content = written(tmp_path / "t.parquet", [[1], [2.0]], ["n", "x"])
    with pytest.raises(DataError, match=r"t\.parquet: x is a double"):
        parquet_table(path, content, lambda name, held: f"{name} is a {held}" if pa.types.is_floating(held) else None)
    path, content = written(tmp_path / "twice.parquet", [[1], [2]], ["n", "n"])
    with pytest.raises(DataError, match="several columns of one name"):
        parquet_table(path, content, lambda name, held: None)
    with pytest.raises(DataError, match=r"damaged or not a \.parquet file"):
        parquet_table(path, content[:20], lambda name, held: None)


def test_what_unpacks_to_more_than_the_cap_is_refused(tmp_path, monkeypatch):
    path, content = written(tmp_path / "zeros.parquet", [np.zeros(1_000_000)], ["x"])
    monkeypatch.setenv("MOEFM_MAX_BYTES", "1M")
    assert len(content) < 2**20
    with pytest.raises(TooLargeError, match="unpacks to"):
        parquet_table(path, content, lambda name, held: None)
