"""The README's code runs as it is written, with fewer steps."""

import re
from pathlib import Path

import pytest

import wgankit

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def shortened(code: str) -> str:
    """Every number of steps becomes 3; nothing else changes."""
    return re.sub(r"steps=[\d_]+", "steps=3", code)


def test_the_readme_has_its_code():
    assert len(BLOCKS) == 5
    assert "steps=1_000" in BLOCKS[0]


@pytest.mark.timeout(300)
def test_the_readme_runs(tmp_path, monkeypatch, capsys):
    molecules = pytest.importorskip("wgankit_molecules.data", reason="needs wgankit-molecules")
    autoencoder = pytest.importorskip("wgankit_graphs.autoencoder")
    monkeypatch.setitem(autoencoder.AUTOENCODER, "steps", 20)
    monkeypatch.chdir(tmp_path)
    Path("my.smi").write_text("\n".join(molecules.qm9_10k()[:400]))
    names: dict = {}
    for block in BLOCKS:
        exec(compile(shortened(block), "README.md", "exec"), names)
    assert len(names["smiles"]) == 1_000
    assert len(names["new"]) == 16
    assert isinstance(names["again"], wgankit.Recipe)
    assert Path("runs/first/report.html").is_file()
    out = capsys.readouterr().out
    assert "valid" in out
    assert 0 < float(out.strip().split("\n")[-1]) <= 6
