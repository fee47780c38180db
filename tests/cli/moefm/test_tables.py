"""moefm fit and moefm sample: a csv in, a folder, a csv out."""

import csv
import io
import json

import numpy as np
import polars as pl
import pytest

from moefm.sklearn import MoEFlow


@pytest.fixture
def people(tmp_path):
    random = np.random.RandomState(0)
    rows = zip(random.normal(170, 9, 40), random.randint(18, 80, 40), random.choice(["red", "blue"], 40), strict=True)
    with open(tmp_path / "people.csv", "w", newline="") as file:
        csv.writer(file).writerows([("height", "age", "team"), *rows])
    return tmp_path / "people.csv"


def test_a_file_becomes_a_flow_and_new_rows(moefm, people):
    code, out, _ = moefm("fit", people, "--out", "flow", "--experts", "2", "--steps", "5", "--json")
    assert code == 0 and json.loads(out)["rows"] == 40
    code, out, err = moefm("sample", "flow", "-n", "7")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0 and not err and list(rows[0]) == ["height", "age", "team"] and len(rows) == 7
    assert all(float(row["height"]) and int(row["age"]) and row["team"] in ("red", "blue") for row in rows)
    assert moefm("sample", "flow", "-n", "7")[1] == out != moefm("sample", "flow", "-n", "7", "--seed", "1")[1]
    moefm("sample", "flow", "-n", "7", "--out", "new.csv")
    assert (people.parent / "new.csv").read_text() == out


def test_rows_are_given_columns(moefm, people):
    options = ("--out", "flow", "--experts", "1", "--steps", "5")
    assert moefm("fit", people, *options, "--given", "age, team,age")[0] == 0
    code, out, _ = moefm("sample", "flow", "-n", "3", "--given", "age=30", "--given", "team=red")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0 and list(rows[0]) == ["height", "age", "team"]
    assert {(row["age"], row["team"]) for row in rows} == {("30", "red")}
    for wrong, words in (
        ([], "rows need --given age=..., --given team=..., got none"),
        (["--given", "age=x", "--given", "team=red"], "--given age must be a number, got 'x'"),
        (["--given", "age=1_0", "--given", "team=red"], "--given age must be a number, got '1_0'"),
        (["--out", "nowhere/new.csv"], "--out must be a file in a folder that exists, got nowhere/new.csv"),
        (["--out", "flow"], "--out must be a file in a folder that exists, got flow"),
        (["--seed", "4294967296"], "--seed must be from 0 to 4294967295"),
        (["--given", "age=3", "--given", "team=pink"], "labels seen in fit (blue, red), got 'pink'"),
        (["--given", "age=3", "--given", "team=red", "--given", "age=4"], "rows need --given age=..."),
        (["--given", "age=3", "--given", "team=red", "--given", "junk"], "rows need --given age=..."),
    ):
        code, out, err = moefm("sample", "flow", "-n", "3", *wrong)
        assert code == 2 and words in err and err.count("\n") == 1 and not out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--experts", "many"], "--experts must be auto or a number"),
        (["--given", "size"], "--given must name some of the columns height, age, team, got 'size'"),
        (["--out", "."], "--out must be a new folder"),
        (["--steps", "0"], "--steps must be at least 1, got 0"),
        (["--seed", "-1"], "--seed must be from 0 to 4294967295, got -1"),
        (["--device", "gpu"], "--device must be one of"),
        (["--out", "people.csv/flow"], "--out must be a folder that can be written to"),
    ],
)
def test_wrong_use_leaves_nothing_behind(moefm, people, options, words):
    code, out, err = moefm("fit", people, "--out", "flow", *options)
    assert code == 2 and words in err and err.count("\n") == 1 and not out
    assert not (people.parent / "flow").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n3\n", "line 3 has 1 columns, 2 expected"),
        ("a,a\n1,2\n", "must name every column once"),
        ("a,b\n", "holds no rows"),
        ("a,b\n" + "1,2\n" * 12 + "3,\n", "NaN in row 12, column 'b'"),
        ("a,b\n" + "1,2\n" * 12 + "3,\n", "or give --drop-missing"),
        ("a\n" + "".join(f"{i / 7}\n" for i in range(30)) + "oops\n", "column 'a' holds 31 different texts in 31 rows"),
        ("id,x\n" + "".join(f"user {i},{i % 4}\n" for i in range(30)), "column 'id' holds 30 different texts"),
        ("0.5,1.5\n" + "1,2\n" * 12, "the first line must name the columns, got numbers: 0.5, 1.5"),
        ("a\n" + "".join(f"{10**30 + i}\n" for i in range(12)), "more than 64 bits in column 'a'"),
        ("a\n" + "".join(f"{i}e307\n" for i in range(12)), "column 'a' has numbers too large"),
        ("a,b\n1,2\n3,4\n", "at least 10 rows without missing values, got 2"),
        ("a,b\n" + "1,x\n" * 20, "a column that varies"),
        (",".join(f"c{i}" for i in range(1000)) + ("\n" + ",".join(map(str, range(1000)))) * 12, "at most 500 columns"),
    ],
)
def test_what_cannot_be_read_gets_one_line(moefm, tmp_path, text, words):
    (tmp_path / "bad.csv").write_text(text)
    code, _, err = moefm("fit", "bad.csv", "--out", "flow")
    assert code == 2 and words in err and err.count("\n") == 1
    assert not (tmp_path / "flow").exists()


def test_rows_with_gaps_are_left_out_on_request(moefm, tmp_path):
    (tmp_path / "gaps.csv").write_text("a,b\n" + "".join(f"{i},{i % 5}\n" for i in range(20)) + "3,\n")
    code, out, _ = moefm("fit", "gaps.csv", "--out", "f", "--experts", "1", "--steps", "3", "--drop-missing", "--json")
    assert code == 0 and json.loads(out)["rows"] == 20


def test_a_condition_with_gaps_can_be_dropped(moefm, tmp_path):
    (tmp_path / "g.csv").write_text("a,b\n" + "".join(f"{i},{i % 5}\n" for i in range(20)) + "3,\n")
    options = ("g.csv", "--out", "f", "--experts", "1", "--steps", "3", "--given", "b", "--json")
    code, _, err = moefm("fit", *options)
    assert code == 2 and "NaN in row 20, column 'b'" in err and "or give --drop-missing" in err
    code, out, _ = moefm("fit", *options, "--drop-missing")
    assert code == 0 and json.loads(out)["rows"] == 20


@pytest.mark.parametrize("table", [lambda rows: rows, lambda rows: pl.DataFrame({"a": rows[:, 0], "b": rows[:, 1]})])
def test_rows_of_a_flow_that_was_fitted_in_python(moefm, tmp_path, table):
    MoEFlow(1, train_steps=3).fit(table(np.random.RandomState(0).normal(size=(20, 2)))).save(tmp_path / "flow")
    code, out, err = moefm("sample", "flow", "-n", "2")
    assert code == 0 and not err and len(out.splitlines()) == 3


def test_given_values_are_the_labels_of_the_column(moefm, tmp_path):
    random = np.random.RandomState(0)
    table = {"x": random.normal(size=40), "ok": random.rand(40) < 0.5, "land": ["DE"] * 40}
    pl.DataFrame(table).write_parquet(tmp_path / "t.parquet")
    assert moefm("fit", "t.parquet", "--out", "f", "--experts", "1", "--steps", "3", "--given", "ok,land")[0] == 0
    code, out, _ = moefm("sample", "f", "-n", "2", "--given", "ok=True", "--given", "land=DE")
    assert code == 0 and all(line.endswith(",True,DE") for line in out.splitlines()[1:])
    code, _, err = moefm("sample", "f", "-n", "2", "--given", "ok=True", "--given", "land=FR")
    assert code == 2 and "cond must be 'DE' in column 'land', as in fit, got 'FR'" in err


def test_folders_that_were_made_are_removed_again(moefm, tmp_path):
    (tmp_path / "few.csv").write_text("a,b\n1,2\n3,4\n")
    assert moefm("fit", "few.csv", "--out", "new/inner/flow")[0] == 2
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("order", ["{", '["height"]', "[1, 2, 3]", '{"height": 1}'])
def test_a_damaged_order_of_columns_is_named(moefm, tmp_path, order):
    MoEFlow(1, train_steps=3).fit({"a": np.arange(20.0), "b": np.arange(20.0) ** 2}).save(tmp_path / "flow")
    (tmp_path / "flow" / "columns.json").write_text(order)
    code, out, err = moefm("sample", "flow", "-n", "2")
    assert code == 2 and not out and err.count("\n") == 1 and "columns.json must list the columns a, b" in err
