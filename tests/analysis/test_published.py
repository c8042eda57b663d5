"""The paper's figures, replayed from its published raw results by the command."""

import json

import numpy as np
import pytest

from relmp.analysis import find_sweet_spot
from relmp.analysis.published import read_published
from relmp.cli.analyse import AnalyseCommand

NAMES = [
    ["linear", "dense", "64.0", "ws", "1.0", "0.0", "sum", "1.0"],
    ["talklinear", "dense", "64.0", "ws", "0.125", "0.006443", "sum", "28.0"],
    ["talklinear", "dense", "16.0", "ws", "0.363412", "0.219237", "sum", "15.0"],
]


def write_results(folder, names=NAMES, results=None, task="mlp_cifar10_epoch200"):
    names = np.array(names)
    if results is None:
        results = np.zeros((len(names), 2, 8))
        results[..., 3] = 30 + np.arange(len(names))[:, None]
        results[..., 7] = [1, 2]
    folder.mkdir(exist_ok=True)
    np.save(folder / f"names_{task}.npy", names)
    np.save(folder / f"results_{task}.npy", results)
    return folder


def test_rows_are_the_generated_graphs(tmp_path):
    read = read_published([write_results(tmp_path / "a")])
    table = read.table
    assert len(table) == 6
    assert table["model"].unique().tolist() == ["mlp"]
    assert table["data"].unique().tolist() == ["cifar10"]
    for row in table.to_dict("records"):
        graph = read.graphs[row["graph_key"]]
        assert row["clustering"] == graph.clustering
        assert row["path_length"] == graph.path_length
    assert table.loc[table["density"] == 1, "test_error"].tolist() == [30, 30]
    # C and L of these settings in the published graph sets.
    n16 = table[table["num_nodes"] == 16].iloc[0]
    assert n16["clustering"] == pytest.approx(0.457589286, abs=1e-9)
    assert n16["path_length"] == pytest.approx(1.683333333, abs=1e-9)


def test_seed_folders_are_joined_by_graph_not_by_position(tmp_path):
    first = write_results(tmp_path / "a", task="mlp_cifar10_epoch200")
    results = np.zeros((3, 1, 8))
    results[:, 0, 3] = [42, 41, 40]
    results[:, 0, 7] = 3
    second = write_results(tmp_path / "b", NAMES[::-1], results, "mlp_cifar10_seed3_epoch200")
    table = read_published([first, second]).table
    errors = table.pivot_table(index="graph", columns="seed", values="test_error")
    assert errors.loc["complete"].tolist() == [30, 30, 40]
    assert errors.loc["ws_flex(n=64, k=8, p=0.00644, seed=28)"].tolist() == [31, 31, 41]


@pytest.mark.parametrize(
    ("results", "message"),
    [
        (np.zeros((3, 2, 7)), r"should have shape \[3, seeds, 8\]"),
        (np.zeros((2, 2, 8)), r"should have shape \[3, seeds, 8\]"),
        (np.array([None, {}, 1]), "is not a plain NumPy array"),
    ],
)
def test_damaged_results(tmp_path, results, message):
    with pytest.raises(ValueError, match=message):
        read_published([write_results(tmp_path / "a", results=results)])


def test_bad_folders(tmp_path):
    with pytest.raises(ValueError, match="There is no folder"):
        read_published([tmp_path / "none"])
    with pytest.raises(ValueError, match="holds no published results"):
        read_published([tmp_path])
    folder = write_results(tmp_path / "a")
    (folder / "results_mlp_cifar10_epoch200.npy").unlink()
    with pytest.raises(ValueError, match="has no results_mlp"):
        read_published([folder])
    other = write_results(tmp_path / "b", [[*NAMES[1][:3], "raw", *NAMES[1][4:]]])
    with pytest.raises(ValueError, match="generator 'raw'"):
        read_published([other])


def test_resnet_from_three_seed_folders(shared_data):
    folders = sorted((shared_data / "published_results").glob("resnet34_imagenet_seed*"))
    table = read_published(folders).table
    assert table.groupby("epoch").size().to_dict() == {1: 159, 3: 159, 10: 159, 100: 159}
    assert table["graph_key"].nunique() == 53
    spot = find_sweet_spot(table)
    assert np.round(spot.clustering, 2).tolist() == [0.10, 0.63]
    assert np.round(spot.path_length, 2).tolist() == [1.58, 2.52]


@pytest.fixture(scope="module")
def replayed(shared_data, tmp_path_factory):
    """analysis.json as the command writes it, by task."""
    out = tmp_path_factory.mktemp("published")
    folders = sorted(str(f) for f in (shared_data / "published_results").iterdir() if f.is_dir())
    AnalyseCommand(source=("published", *folders), out=str(out)).run()
    numbers = json.loads((out / "analysis.json").read_text())
    assert (out / "mlp_cifar10" / "report.html").stat().st_size > 5_000_000
    assert (out / "resnet34_imagenet" / "epochs.pdf").is_file()
    return {task["task"]: task for task in numbers["tasks"]} | {"transfer": numbers["transfer"]}


def near(value, digits):
    """The value, within what rounding it to so many digits hides."""
    return pytest.approx(value, abs=0.5 * 10**-digits + 1e-9)


@pytest.mark.slow
def test_mlp_numbers(replayed):
    mlp = replayed["mlp on cifar10"]
    summary = mlp["comparison"]
    assert summary["graphs"] == 3942
    assert summary["complete"]["mean"] == near(33.34, 2)
    assert summary["complete"]["deviation"] == near(0.36, 2)
    assert summary["lowest"][1]["mean"] == near(31.98, 2)
    assert summary["cautious"][1]["mean"] == near(32.05, 2)
    assert summary["cautious"][1]["deviation"] == near(0.14, 2)
    assert summary["beat_complete"] == near(0.988, 3)
    assert summary["quadratic"]["r2"] == near(0.56, 2)
    (left, right), (low, high) = mlp["sweet_spot"]["ranges"]
    assert (left, right) == (near(0.10, 2), near(0.50, 2))
    assert (low, high) == (near(1.82, 2), near(2.75, 2))
    assert mlp["subset"]["pearson"] == near(0.90, 2)
    assert mlp["subset"]["n"] == 52
    assert mlp["slices"]["path_length"]["vertex"][0] == near(2.48, 2)
    assert mlp["slices"]["clustering"]["vertex"][0] == near(0.34, 2)
    terms = mlp["slices"]["path_length"]["coefficients"]
    assert terms["path_length^2"] == near(0.563, 3)
    assert terms["path_length"] == near(-2.796, 3)
    assert terms["1"] == near(35.92, 2)
    assert mlp["ten_best"]["shown"] == near(31.78, 2)
    assert mlp["ten_best"]["honest"] == near(32.49, 2)
    assert mlp["regions"]["inside"]["mean"] == near(32.49, 2)
    assert mlp["regions"]["outside"]["mean"] == near(32.76, 2)
    density = mlp["nested"][0]
    assert density["r2_control"] == near(0.38, 2)
    assert density["r2_both"] == near(0.66, 2)


@pytest.mark.slow
def test_resnet_numbers(replayed):
    resnet = replayed["resnet34 on imagenet"]
    summary = resnet["comparison"]
    assert summary["complete"]["mean"] == near(25.73, 2)
    assert summary["complete"]["deviation"] == near(0.07, 2)
    for best in ("lowest", "cautious"):
        assert summary[best][1]["mean"] == near(24.57, 2)
        assert summary[best][1]["deviation"] == near(0.10, 2)
    assert summary["beat_complete"] == near(0.90, 2)
    third = next(e for e in resnet["identification"]["epochs"] if e["epoch"] == 3)
    assert third["graphs"]["pearson"] == near(0.925, 3)
    assert third["with_complete"]["pearson"] == near(0.928, 3)
    density = resnet["nested"][0]
    assert density["r2_control"] == near(0.18, 2)
    assert density["r2_measures"] == near(0.84, 2)
    assert density["r2_both"] == near(0.96, 2)
    assert resnet["slices"]["path_length"]["vertex"][0] == near(2.13, 2)


@pytest.mark.slow
def test_tasks_against_each_other(replayed):
    (pair,) = replayed["transfer"]
    assert pair["bins_and_complete"]["pearson"] == near(0.658, 3)
    assert pair["bins_and_complete"]["n"] == 53
    assert pair["bins"]["pearson"] == near(0.639, 3)
