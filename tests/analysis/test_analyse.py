"""Everything that one call writes."""

import json

import pandas as pd
import pytest
from planted import bowl, planted_table

from relmp.analysis import analyse


def test_writes_table_map_numbers_and_text(tmp_path):
    table = planted_table(bowl, seed=0)
    text = analyse(table, tmp_path / "out")
    assert "Sweet spot: C" in text
    assert (tmp_path / "out" / "summary.txt").read_text() == text
    for name in ("sweet_spot.png", "sweet_spot.pdf"):
        assert (tmp_path / "out" / name).stat().st_size > 5000
    numbers = json.loads((tmp_path / "out" / "analysis.json").read_text())
    assert numbers["summary"]["complete"]["n"] == 4
    assert numbers["sweet_spot"]["ranges"] is not None
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out" / "results.parquet"), table)
    assert len(pd.read_csv(tmp_path / "out" / "results.csv")) == len(table)


@pytest.mark.parametrize("seeds", [1, 2])
def test_json_has_no_nan(tmp_path, seeds):
    analyse(planted_table(bowl, seed=0, seeds=seeds), tmp_path)
    text = (tmp_path / "analysis.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text


def test_out_is_a_file(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(ValueError, match="cannot be made"):
        analyse(planted_table(bowl, seed=0), tmp_path / "taken")
