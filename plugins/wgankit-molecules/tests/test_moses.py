"""The MOSES protocol as a whole: on a small reference by hand, and against the original."""

import csv
import gzip
import hashlib
import importlib.util
import io
import json
import math
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from zipfile import ZipFile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from scipy.stats import wasserstein_distance
from typer.testing import CliRunner

from wgankit import cli
from wgankit.errors import DataError
from wgankit_molecules import data, moses, moses_reference
from wgankit_molecules import moses_chemistry as chemistry
from wgankit_molecules.data import qm9_10k
from wgankit_molecules.fcd import chemnet_features, frechet_distance

RINGS = ["c1ccc2ccccc2c1", "c1ccc(-c2ccccc2)cc1", "C1CC2CC2C1", "c1ccc2[nH]ccc2c1"]
TRAINING = [*qm9_10k()[:60], *(Chem.CanonSmiles(f"C{ring}") for ring in RINGS)]
SETS = {
    "test": [*qm9_10k()[100:150], *RINGS[:3]],
    "test_scaffolds": [*qm9_10k()[150:190], RINGS[3]],
}
UNWANTED = ["[#6]=&!@[#6]-[#6]#[#7]", "[H]C([H])([#6])[F,Cl,Br,I]"]
PAINS = ["N1CC1", "c1ccoc1"]
TABLE = [
    *("valid", "unique@1000", "unique@10000"),
    *("FCD/Test", "SNN/Test", "Frag/Test", "Scaf/Test"),
    *("FCD/TestSF", "SNN/TestSF", "Frag/TestSF", "Scaf/TestSF"),
    *("IntDiv", "IntDiv2", "Filters", "logP", "SA", "QED", "weight", "Novelty"),
]
FLOORED = ["FCD/Test", "Scaf/Test", "FCD/TestSF", "Scaf/TestSF"]

pytest.importorskip("fcd_torch")


def statistics(smiles):
    """What the wheel holds of a set, in its form."""
    seen = chemistry.describe(smiles, [])
    found = chemnet_features(seen.smiles)
    scaffolds = Counter(filter(None, seen.scaffolds))
    return {
        "FCD": {"mu": found.mean(0), "sigma": np.cov(found.T)},
        "SNN": {"fps": np.unpackbits(seen.prints, axis=1)},
        "Frag": {"frag": seen.fragments},
        "Scaf": {"scaf": scaffolds},
        **{name: {"values": values.tolist()} for name, values in seen.properties.items()},
    }


def table(*rows):
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows(rows)
    return out.getvalue()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel like that of molsets, of a few molecules."""
    path = tmp_path_factory.mktemp("wheel") / "small.whl"
    with ZipFile(path, "w") as archive:
        for split, smiles in {"train": TRAINING, **SETS}.items():
            rows = table(["SMILES", "SPLIT"], *([one, split] for one in smiles))
            archive.writestr(f"moses/dataset/data/{split}.csv.gz", gzip.compress(rows.encode()))
        for split, smiles in SETS.items():
            out = io.BytesIO()
            np.savez(out, stats=np.array(statistics(smiles), dtype=object))
            archive.writestr(f"moses/dataset/data/{split}_stats.npz", out.getvalue())
        named = table(["names", "smarts"], *zip(["a", "b"], UNWANTED))
        archive.writestr("moses/metrics/mcf.csv", named)
        padded = table(*([f"{smarts}   ", "<regId=x>"] for smarts in PAINS))
        archive.writestr("moses/metrics/wehi_pains.csv", padded)
    return path


@pytest.fixture
def cache(wheel, monkeypatch, tmp_path):
    """A folder of fetched data."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setitem(data.SOURCES, "moses", replace(data.SOURCES["moses"], sha256=digest))
    moses_reference.get_moses(tmp_path / "cache", wheel=wheel)
    return tmp_path / "cache"


SAMPLES = [*qm9_10k()[30:70], "C1CC", "OCC", "C(O)C", Chem.CanonSmiles(f"C{RINGS[0]}"), RINGS[1],
           "N1CC1", "CCCl", "[NH3+]CC", "CCO"]  # fmt: skip


def cosine(x, y):
    names = [*x, *y]
    a, b = (np.array([some.get(name, 0) for name in set(names)], float) for some in (x, y))
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_the_figures_are_those_of_plain_loops(cache):
    said = []
    figures = moses.moses_metrics(SAMPLES, data=cache, say=said.append)
    assert [name for name in figures if not name.endswith("_floor")] == TABLE
    smiles = [Chem.CanonSmiles(text) for text in SAMPLES if text != "C1CC"]
    assert figures["valid"] == len(smiles) / len(SAMPLES)
    assert figures["unique@1000"] == figures["unique@10000"] == len(set(smiles)) / len(smiles)
    assert figures["Novelty"] == len(set(smiles) - set(TRAINING)) / len(set(smiles))
    seen, found = chemistry.describe(smiles, []), chemnet_features(smiles)
    bits = np.unpackbits(seen.prints, axis=1).astype(int)
    for name, split in (("Test", "test"), ("TestSF", "test_scaffolds")):
        known, target = chemistry.describe(SETS[split], []), chemnet_features(SETS[split])
        assert figures[f"FCD/{name}"] == pytest.approx(frechet_distance(found, target), rel=1e-5)
        others = np.unpackbits(known.prints, axis=1).astype(int)
        shared = bits @ others.T
        similar = shared / (bits.sum(1)[:, None] + others.sum(1) - shared)
        assert figures[f"SNN/{name}"] == pytest.approx(similar.max(1).mean(), rel=1e-9)
        expected = cosine(known.fragments, seen.fragments)
        assert figures[f"Frag/{name}"] == pytest.approx(expected, rel=1e-9)
        frames = (Counter(filter(None, one.scaffolds)) for one in (known, seen))
        assert figures[f"Scaf/{name}"] == pytest.approx(cosine(*frames), rel=1e-9)
    whole = [Chem.AddHs(Chem.MolFromSmiles(text)) for text in smiles]
    refused = [Chem.MolFromSmarts(text) for text in (*UNWANTED, *PAINS)]
    passed = [not any(map(mol.HasSubstructMatch, refused)) and "+" not in text
              and max(map(len, mol.GetRingInfo().AtomRings()), default=0) < 8
              for text, mol in zip(smiles, whole)]  # fmt: skip
    assert 0 < figures["Filters"] == np.mean(passed) < 1
    known = chemistry.describe(SETS["test"], [])
    for name in chemistry.PROPERTIES:
        expected = wasserstein_distance(known.properties[name], seen.properties[name])
        assert figures[name] == pytest.approx(expected, rel=1e-9)
    assert "49 samples, 48 of them valid; the protocol wants 30,000" in said[0]


def test_floors_are_those_of_as_many_training_molecules(cache):
    said = []
    figures = moses.moses_metrics(SAMPLES[:20], data=cache, say=said.append)
    assert {name[:-6] for name in figures if name.endswith("_floor")} == set(FLOORED)
    order = np.random.default_rng(0).permutation(len(TRAINING))
    drawn = [TRAINING[place] for place in order]
    again = moses.moses_metrics(drawn[:20], data=cache)
    for name in FLOORED:
        floor = figures[f"{name}_floor"]
        assert again[name] == pytest.approx(floor, rel=1e-6, nan_ok=True)
        assert again[f"{name}_floor"] == pytest.approx(floor, rel=1e-6, nan_ok=True)
    assert said[1:] == ["floors: 20 training molecules, once"]
    more = moses.moses_metrics(drawn[:50], data=cache, say=said.append)
    assert said[3:] == ["floors: 30 training molecules, once"]
    assert more["FCD/Test_floor"] == pytest.approx(more["FCD/Test"], rel=1e-6)
    assert more["FCD/Test_floor"] < figures["FCD/Test_floor"]
    whole = moses.moses_metrics(drawn * 2, data=cache, say=said.append)
    assert said[5:] == ["floors: 14 training molecules, once"]
    moses.moses_metrics(drawn * 2, data=cache, say=said.append)
    assert len(said) == 7
    assert whole["Scaf/Test_floor"] == pytest.approx(whole["Scaf/Test"])


def test_a_perfect_copy_of_a_set_is_at_no_distance(cache):
    figures = moses.moses_metrics(SETS["test"], data=cache, floors=False)
    assert figures["FCD/Test"] == pytest.approx(0, abs=1e-4)
    ones = ("SNN/Test", "Frag/Test", "Scaf/Test", "valid", "unique@1000")
    assert [figures[name] for name in ones] == pytest.approx([1] * len(ones))
    zeros = (*chemistry.PROPERTIES, "Scaf/TestSF")
    assert [figures[name] for name in zeros] == pytest.approx([0] * len(zeros), abs=1e-12)


def test_the_numbers_of_uniqueness_are_those_of_the_first_valid_ones(cache, monkeypatch):
    monkeypatch.setattr(moses, "UNIQUE_AT", (3, 5))
    given = ["C", "C1CC", "CC", "C", "CCC", "CC"]
    figures = moses.moses_metrics(given, data=cache, floors=False)
    assert (figures["unique@3"], figures["unique@5"]) == (2 / 3, 3 / 5)


@settings(deadline=None, max_examples=50)
@given(*(st.lists(st.integers(-9, 9), min_size=1, max_size=30) for _ in range(2)))
def test_the_area_between_laws_is_the_wasserstein_distance(x, y):
    x, y = np.array(x) / 4, np.array(y) / 4
    expected = wasserstein_distance(x, y)
    assert moses.area_between(x, y) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_one_molecule_has_no_covariance_and_none_no_figures(cache):
    figures = moses.moses_metrics(["CCO"], data=cache)
    assert all(math.isnan(figures[name]) for name in FLOORED)  # and ethanol has no scaffold
    assert not any(math.isnan(figures[name]) for name in TABLE if name not in FLOORED)
    with pytest.raises(DataError, match="none of the 2 samples is a molecule"):
        moses.moses_metrics(["C1CC", ""], data=cache)


def test_the_command_judges_a_file(cache, tmp_path):
    path = tmp_path / "samples.smi"
    path.write_text("".join(f"{text}\n" for text in SAMPLES))
    words = ["evaluate", str(path), "--against", "moses", "--json", "--data"]
    for folder in (cache, cache / "moses"):
        done = CliRunner().invoke(cli.app, [*words, str(folder)])
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout) == moses.moses_metrics(SAMPLES, data=cache)
    assert "48 of them valid" in done.stderr


# The reference ------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", ["", "\n \n\n", "\n#CC\n"])
def test_lines_without_a_molecule_are_invalid_samples(cache, tmp_path, more):
    """A generator may say nothing, or what a list takes for a comment."""
    (tmp_path / "a.smi").write_text("\n".join(SAMPLES) + "\n" + more)
    said = []
    found = moses.evaluate_moses(tmp_path / "a.smi", data=cache, say=said.append)
    given = len(SAMPLES) + len(more.splitlines())
    assert found["valid"] == (len(SAMPLES) - 1) / given  # C1CC
    assert any("count as invalid" in line for line in said) == bool(more)
    plain = moses.moses_metrics(SAMPLES, data=cache)
    assert {**found, "valid": 0} == pytest.approx({**plain, "valid": 0})


def test_fetching_works_the_reference_out_once(cache, wheel, monkeypatch):
    folder = cache / "moses"
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [moses_reference.REFERENCE, "train.smi", "test.smi", "test_scaffolds.smi"]
    )
    assert sorted(path.name for path in cache.iterdir()) == ["moses"]
    reference = moses_reference.Reference(cache)
    assert reference.lines("unwanted") == [*UNWANTED, *PAINS]
    assert moses_reference.get_moses(cache, wheel="nowhere") == folder
    (folder / moses_reference.REFERENCE).unlink()
    monkeypatch.setattr(data, "_download", lambda *_: wheel)
    moses_reference.get_moses(cache)
    again = moses_reference.Reference(cache)
    np.testing.assert_array_equal(again["Test.packed"], reference["Test.packed"])


def test_a_wrong_wheel_and_a_full_disk_leave_nothing(wheel, cache, monkeypatch, tmp_path):
    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(DataError, match="No space left"):
        moses_reference.get_moses(tmp_path / "other", wheel=wheel)
    assert sorted(path.suffix for path in (tmp_path / "other" / "moses").iterdir()) == [".smi"] * 3
    monkeypatch.setitem(data.SOURCES, "moses", replace(data.SOURCES["moses"], sha256="0" * 64))
    with pytest.raises(DataError, match="not the file that was expected"):
        moses_reference.get_moses(tmp_path / "third", wheel=wheel)
    assert not list((tmp_path / "third").iterdir())


def full(*arguments, **options):
    raise OSError(28, "No space left on device")


def test_without_the_reference_it_says_what_to_type(cache, tmp_path):
    for gone in ("train.smi", moses_reference.REFERENCE):
        (cache / "moses" / gone).unlink()
        with pytest.raises(DataError, match=rf"{gone}\); type: wgankit data get moses --cache"):
            moses_reference.Reference(cache)


# Against the original -----------------------------------------------------------------------------

ORIGINAL = """
import json, sys, types, warnings
warnings.simplefilter("ignore")
import pandas, rdkit
six = types.ModuleType("rdkit.six")
six.iteritems = lambda mapping: iter(mapping.items())
sys.modules["rdkit.six"] = six
pandas.DataFrame.append = lambda self, other, **options: pandas.concat([self, other], **options)
from moses import get_all_metrics, get_dataset
figures = get_all_metrics(json.load(sys.stdin), train=list(get_dataset("train")))
print(json.dumps({name: float(value) for name, value in figures.items()}))
"""


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_the_figures_are_those_of_the_original():
    """3,000 strings: of MOSES, of QM9, invalid, charged, with stereo, in other spellings, twice."""
    if importlib.util.find_spec("moses") is None or importlib.util.find_spec("pandas") is None:
        pytest.skip("the original: pip install --no-deps --target DIR molsets==0.3.1 pandas tqdm, "
                    "then PYTHONPATH=DIR")  # fmt: skip
    try:
        reference, training = moses_reference.Reference(), data.moses("train")
    except DataError as error:
        pytest.skip(str(error))
    smiles = [*training[::800], *qm9_10k()[:900], "C1CC", "[not-a-molecule]", *training[:40]]
    smiles += ["C[C@H](O)Cl", "[O-]C(=O)C", "OCC", "C.C", "C1CCCCCCC1", "C[Si](C)(C)C", "CC#N"]
    smiles = (smiles + [Chem.MolToSmiles(Chem.MolFromSmiles(text), canonical=False)
                        for text in data.moses("test")[:200]])[:3_000]  # fmt: skip
    np.random.default_rng(0).shuffle(smiles)
    done = subprocess.run([sys.executable, "-c", ORIGINAL], input=json.dumps(smiles), text=True,
                          capture_output=True, check=True)  # fmt: skip
    expected = json.loads(done.stdout.strip().split("\n")[-1])
    figures = moses.moses_metrics(smiles, reference=reference, floors=False)
    assert list(figures) == list(expected) == TABLE
    exact = [*TABLE[:3], "Filters", "Novelty"]
    assert {name: figures[name] for name in exact} == {name: expected[name] for name in exact}
    for name, value in expected.items():
        assert figures[name] == pytest.approx(value, rel=1e-6, abs=1e-6), name
