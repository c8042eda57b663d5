"""A model's options are written behind its name, as those of messages and graphs are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from relmp.cli import Sweep, main


def test_options_behind_the_name(tmp_path: Path) -> None:
    arguments = ["train", "complete(n=8)", "--model", "mlp(stem_width=24)", "--width", "16",
                 "--epochs", "1", "--train-size", "100", "--device", "cpu", "--out"]  # fmt: skip
    main([*arguments, str(tmp_path / "run")])
    model = json.loads((tmp_path / "run" / "config.json").read_text())["model"]
    assert model["name"] == "mlp"
    assert model["options"]["stem_width"] == 24
    (run, *_) = Sweep(
        out=str(tmp_path / "sweep"), model="mlp(stem_width=24)", nodes=16, size=2, seeds=1, width=32
    ).runs()
    assert run.model.name == "mlp"
    assert run.model.options["stem_width"] == 24


@pytest.mark.parametrize(
    ("model", "message"),
    [("mlp(width=3)", "gives width, which is an option of the command"),
     ("mlp(roundz=3)", "Model 'mlp' has no option 'roundz'"),
     ("mlp(3)", "cannot be read")],
)  # fmt: skip
def test_options_that_do_not_fit(
    model: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["train", "complete(n=8)", "--model", model, "--out", str(tmp_path / "run")])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
