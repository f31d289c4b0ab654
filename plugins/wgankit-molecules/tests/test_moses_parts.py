"""The parts of the MOSES protocol against plain loops, rdkit itself and independent programs."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem, DataStructs
from rdkit.Chem import QED, AllChem, RDConfig, rdFingerprintGenerator
from rdkit.rdBase import BlockLogs

from wgankit.errors import DataError, RunError, SettingError
from wgankit_molecules import data, fcd, moses_processes
from wgankit_molecules import moses_chemistry as chemistry
from wgankit_molecules import moses_chemnet as chemnet
from wgankit_molecules import moses_similarity as similarity
from wgankit_molecules.data import qm9_10k

DATA = Path(RDConfig.RDDataDir)
PAINS = [row[0].strip() for row in csv.reader((DATA / "Pains" / "wehi_pains.csv").open())]
MORE = ["[#6]=&!@[#6]-[#6]#[#7]", "[#7]!@[#7]", "[H]C([H])([#6])[F,Cl,Br,I]", "[!#6;!#1]~[!#6;!#1]"]
SCREENED = [*PAINS[::7], *MORE, "[$([#6]=O)]-[!$(N)]", "c1ccccc1.[Cl,Br]", "[c,n]:[s,o]", "*~*~*"]
PERMITTED = ["C", "N", "S", "O", "F", "Cl", "Br", "H"]
BROKEN = ["C1CC", "C(C)(C)(C)(C)C", "", "[not-a-molecule]"]
ODD = [
    "[H][H]",
    "[2H]C",
    "[Na+].[Cl-]",
    "C[Si](C)(C)C",
    "[O-][N+](=O)c1ccccc1",
    "C1CCCCCCCC1",
    "*C",
]


def real(count):
    """Molecules as they come in a collection of compounds, with every element and many rings."""
    with BlockLogs():
        lines = [line.split()[0] for line in (DATA / "NCI" / "first_5K.smi").open()]
        spread = lines[:: max(1, len(lines) // count)]
        return [text for text in spread if Chem.MolFromSmiles(text) is not None][:count]


SMILES = [*real(250), *qm9_10k()[:50], *ODD]


def mols(smiles=SMILES):
    with BlockLogs():
        return [Chem.MolFromSmiles(text) for text in smiles]


# Chemistry ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("hydrogens", [True, False])
def test_a_screen_leaves_out_only_what_cannot_occur(hydrogens):
    patterns = [Chem.MolFromSmarts(text) for text in SCREENED] + list(QED.StructuralAlerts)
    screen = chemistry.Screen(patterns)
    searched = 0
    for text, mol in zip(SMILES, mols()):
        content = chemistry.Content(mol, text.count(".") + 1)
        whole = Chem.AddHs(mol) if hydrogens else mol
        possible = {id(one) for one in screen.possible(content, hydrogens=hydrogens)}
        occurring = {id(one) for one in patterns if whole.HasSubstructMatch(one)}
        assert occurring <= possible, text
        searched += len(possible)
    assert searched < 0.3 * len(SMILES) * len(patterns)


def test_descriptions_of_queries_are_read():
    everything = frozenset((number, flag) for number in (0, 1, 6, 7, 8) for flag in (False, True))

    def allowed(smarts):
        query = Chem.MolFromSmarts(smarts).GetAtomWithIdx(0).DescribeQuery()
        return everything - chemistry.allowed_kinds(query, everything)

    carbon, nitrogen = {(6, False), (6, True)}, {(7, False), (7, True)}
    assert allowed("[#6]") == everything - carbon
    assert allowed("c") == everything - {(6, True)}
    assert allowed("C") == everything - {(6, False)}
    assert allowed("[!#6]") == carbon
    assert allowed("[C,n]") == everything - {(6, False), (7, True)}
    assert allowed("[!#6;!#7]") == carbon | nitrogen
    assert allowed("[a]") == {kind for kind in everything if not kind[1]}
    assert allowed("[#6;A]") == everything - {(6, False)}
    assert allowed("[*]") == allowed("[!$(CN)]") == allowed("[R2]") == allowed("[+1]") == set()
    assert allowed("[$(CN),#8]") == set()


def test_drug_likeness_is_that_of_rdkit():
    for mol in mols():
        content = chemistry.Content(mol, len(Chem.GetMolFrags(mol)))
        logp, weight = chemistry._lipophilicity.MolLogP(mol), chemistry._descriptors.MolWt(mol)
        found = chemistry.drug_likeness(mol, content, chemistry._alerts(), logp, weight)
        assert found == pytest.approx(QED.qed(mol), rel=1e-12)


def published_filters(mol, patterns):
    """The filters as the publication lists them, one condition after the other."""
    if any(len(ring) >= 8 for ring in mol.GetRingInfo().AtomRings()):
        return False
    for atom in mol.GetAtoms():
        if atom.GetFormalCharge() or atom.GetSymbol() not in PERMITTED:
            return False
    whole = Chem.AddHs(mol)
    return not any(whole.HasSubstructMatch(pattern) for pattern in patterns)


def test_molecules_are_described_as_by_plain_loops():
    unwanted = [*PAINS[::3], *MORE]
    given = [*SMILES, *BROKEN, "OCC", "C(O)C", "C/C=C/C", "F[C@H](Cl)Br"]
    seen = chemistry.describe(given, unwanted)
    with BlockLogs():
        once = [Chem.MolToSmiles(mol) for mol in mols(given) if mol is not None and given]
        kept = mols(filter(None, once))
    assert seen.given == len(given)
    assert seen.smiles == [Chem.MolToSmiles(mol) for mol in kept]
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    bits = np.array([generator.GetFingerprintAsNumPy(mol) for mol in kept])
    np.testing.assert_array_equal(np.unpackbits(seen.prints, axis=1), bits)
    patterns = [Chem.MolFromSmarts(text) for text in unwanted]
    assert 0 < seen.passed == sum(published_filters(mol, patterns) for mol in kept) < len(kept)
    pieces = [Chem.MolToSmiles(AllChem.FragmentOnBRICSBonds(mol)).split(".") for mol in kept]
    assert seen.fragments == Counter(piece for some in pieces for piece in some)
    np.testing.assert_allclose(seen.properties["QED"], [QED.qed(mol) for mol in kept])
    assert set(seen.properties) == {"logP", "SA", "QED", "weight"}


def test_scaffolds_have_two_rings():
    two = "c1ccc(CCc2ccccc2)cc1"
    seen = chemistry.describe([f"C{two}O", "CC1CCC1", "CCO", two], [])
    assert seen.scaffolds == [Chem.CanonSmiles(two), "", "", Chem.CanonSmiles(two)]
    assert chemistry.scaffolds_of(["CCO", "C1CC", f"C{two}O"]) == (
        ["CCO", Chem.CanonSmiles(f"C{two}O")],
        ["", Chem.CanonSmiles(two)],
    )


def equal(one, other):
    plain = ("given", "smiles", "fragments", "scaffolds", "passed")
    assert all(getattr(one, name) == getattr(other, name) for name in plain)
    np.testing.assert_array_equal(one.prints, other.prints)
    for name in chemistry.PROPERTIES:
        np.testing.assert_array_equal(one.properties[name], other.properties[name])


def test_shares_described_in_processes_make_up_the_whole(monkeypatch):
    monkeypatch.setattr(moses_processes, "FEWEST", 20)
    smiles = [*SMILES[:60], *BROKEN]
    parts = moses_processes.shared_out(chemistry.describe, smiles, MORE, workers=2)
    assert [part.given for part in parts] == [32, 32]
    equal(chemistry.join(parts), chemistry.describe(smiles, MORE))


def test_few_molecules_stay_in_this_process():
    assert moses_processes.shared_out(len, "abc") == [3]
    assert moses_processes.shared_out(len, "abc" * 1_000, workers=0) == [3_000]
    with pytest.raises(SettingError, match="got -1"):
        moses_processes.shared_out(len, "abc", workers=-1)


def test_what_goes_wrong_in_a_process_is_said_here():
    with pytest.raises(DataError, match="MOSES has the splits"):
        moses_processes.shared_out(data.moses, "x" * 500, workers=1)
    with pytest.raises(RunError, match=r"ended with code 3.*workers=0"):
        moses_processes.shared_out(exec, "raise SystemExit(3)" + " " * 500, {}, workers=1)


# Similarity ---------------------------------------------------------------------------------------


def tanimoto(x, y):
    shared = x.astype(int) @ y.T.astype(int)
    either = x.sum(1)[:, None].astype(int) + y.sum(1)[None].astype(int) - shared
    return np.where(either, shared / np.maximum(either, 1), 1.0)


@st.composite
def bits(draw):
    """Fingerprints of various lengths, densities and sizes; some empty, some equal, some full."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    width = 8 * draw(st.sampled_from([24, 64, 128]))
    density = draw(st.sampled_from([0.02, 0.1, 0.5, 1.0])) * rng.random(width) ** 2
    x, y = (rng.random((draw(st.integers(1, most)), width)) < density for most in (70, 400))
    x[0] = draw(st.sampled_from([x[0], y[0], np.zeros(width, bool), np.ones(width, bool)]))
    return x, y


@settings(deadline=None, max_examples=30)
@given(bits())
def test_the_nearest_is_that_of_all_pairs(drawn):
    x, y = drawn
    references = similarity.arrange(np.packbits(y, axis=1))
    found = similarity.nearest(np.packbits(x, axis=1), references)
    np.testing.assert_allclose(found, tanimoto(x, y).max(1), rtol=1e-12)
    assert (np.diff(references.ones) >= 0).all()


@settings(deadline=None, max_examples=15)
@given(bits())
def test_a_short_product_is_never_below_the_whole_one(drawn):
    x, y = drawn
    references = similarity.arrange(np.packbits(y, axis=1))
    short = similarity.shorten(np.packbits(x, axis=1), references.groups).astype(int)
    whole = x.astype(int) @ np.unpackbits(references.packed, axis=1).T.astype(int)
    assert (short @ references.short.T.astype(int) >= whole).all()


@settings(deadline=None, max_examples=20)
@given(bits())
def test_diversity_is_that_of_all_pairs(drawn):
    _, y = drawn
    similar = tanimoto(y, y)
    expected = 1 - similar.mean(), 1 - np.sqrt((similar**2).mean(1)).mean()
    assert similarity.diversity(np.packbits(y, axis=1)) == pytest.approx(expected, abs=1e-6)


def test_diversity_of_more_than_a_tile(monkeypatch):
    monkeypatch.setattr(similarity, "_TILE", 16)
    seen = chemistry.describe(SMILES[:50], [])
    prints = [DataStructs.CreateFromBitString("".join(map(str, np.unpackbits(row))))
              for row in seen.prints]  # fmt: skip
    similar = np.array([DataStructs.BulkTanimotoSimilarity(one, prints) for one in prints])
    expected = 1 - similar.mean(), 1 - np.sqrt((similar**2).mean(1)).mean()
    assert similarity.diversity(seen.prints) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("quick", [True, False])
def test_large_counts_are_not_left_to_bfloat16(monkeypatch, quick):
    monkeypatch.setattr(similarity, "quick_bfloat16", lambda: quick)
    few, many = np.ones((2, 192), np.uint8), np.full((2, 192), 2, np.uint8)
    exact = similarity.torch.bfloat16 if quick else similarity.torch.float32
    assert similarity.exact_type(few, few) == exact
    assert similarity.exact_type(few, many) == similarity.torch.float32
    found = similarity.nearest(
        np.full((1, 128), 255, np.uint8), similarity.arrange(np.full((3, 128), 254, np.uint8))
    )
    assert found == pytest.approx([7 / 8])
    assert similarity.diversity(np.full((3, 128), 255, np.uint8)) == pytest.approx((0, 0))


def test_bits_are_counted_without_numpy_2(monkeypatch):
    packed = np.random.default_rng(0).integers(0, 256, (5, 16), np.uint8)
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    np.testing.assert_array_equal(
        similarity.count_ones(packed), np.unpackbits(packed, axis=1).sum(1)
    )


# ChemNet ------------------------------------------------------------------------------------------


def test_features_are_those_of_the_whole_network():
    pytest.importorskip("fcd_torch")
    smiles = [Chem.CanonSmiles(text) for text in [*SMILES[:20], *ODD, "C" * 345, "C" * 400, "C"]]
    chains = ["C" * length for length in range(1, 9)]  # the longest decides what is computed
    for some in (smiles, smiles[:-3], *([chain] for chain in chains)):
        found, expected = chemnet.features(some), fcd.chemnet_features(some)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(
        chemnet.features(smiles[::-1]), chemnet.features(smiles)[::-1], atol=1e-5
    )
    assert chemnet.features([]).shape == (0, 512)


def test_the_distance_of_laws_is_that_of_their_features():
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((40, 5)) @ rng.standard_normal((5, 5))).astype(np.float32)
    y = (rng.standard_normal((60, 5)) @ rng.standard_normal((5, 5)) + 1).astype(np.float32)
    expected = fcd.frechet_distance(x.astype(float), y.astype(float))
    assert chemnet.frechet(chemnet.law(x), chemnet.law(y)) == pytest.approx(expected)
    assert chemnet.frechet(chemnet.law(x), chemnet.law(x)) == pytest.approx(0, abs=1e-9)
