import xml.dom.minidom

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import Descriptors, rdFingerprintGenerator
from scipy.linalg import sqrtm

from wgankit.errors import DataError, MissingPackageError, SettingError
from wgankit_molecules import fcd, metrics
from wgankit_molecules.data import qm9_10k
from wgankit_molecules.pictures import draw_molecules

SMILES = qm9_10k()
BROKEN = ["C1CC", "C(C)(C)(C)(C)C", "", "[not-a-molecule]"]


@pytest.fixture
def without_fcd(monkeypatch):
    monkeypatch.setattr(metrics, "has_fcd", lambda: False)


def test_shares_count_what_they_say():
    training = ["OCC", "CN"]
    # 10 strings; 6 parse; 5 are one molecule; CCO, CN, CCF are distinct; of them CCF is new.
    given = [*BROKEN, "CCO", "OCC", "CN", "C(C)F", "CCF", "C.C"]
    assert metrics.shares(given, training) == {
        "parses": 6 / 10,
        "valid": 5 / 10,
        "unique": 3 / 5,
        "novel": 1 / 3,
        "valid_unique": 3 / 10,
        "vun": 1 / 10,
    }


def test_stereo_makes_no_molecule_new():
    counts = metrics.shares(["C[C@H](F)Cl", "C[C@@H](F)Cl"], ["CC(F)Cl"])
    assert (counts["unique"], counts["novel"]) == (1 / 2, 0)


@pytest.mark.parametrize("given", [[], BROKEN])
def test_shares_of_nothing_are_zero(given):
    assert set(metrics.evaluate_molecules(given, SMILES[:5], SMILES[5:9]).values()) == {0.0}


def test_training_molecules_are_valid_and_not_novel(without_fcd):
    result = metrics.evaluate_molecules(SMILES[:100], SMILES[:200], SMILES[200:300])
    assert result["valid"] == result["unique"] == result["valid_unique"] == 1
    assert result["novel"] == result["vun"] == 0


def test_distances_are_the_areas_between_the_quantiles(without_fcd):
    sample, training, held_out = SMILES[:60], SMILES[100:160], SMILES[200:260]
    result = metrics.evaluate_molecules(sample, training, held_out)
    assert result["compared"] == 60

    def weights(smiles):
        return np.sort([Descriptors.MolWt(Chem.MolFromSmiles(text)) for text in smiles])

    # With equally many points the quantile functions are steps of equal width.
    apart = np.abs(weights(sample) - weights(held_out)).mean()
    floor = np.abs(weights(training) - weights(held_out)).mean()
    assert result["w1_weight"] == pytest.approx(apart)
    assert result["w1_weight_floor"] == pytest.approx(floor)
    assert result["weight"] == pytest.approx(weights(sample).mean())
    for name in ("qed", "logp", "sa"):
        values, target = (np.sort(metrics.properties(tuple(s))[name]) for s in (sample, held_out))
        assert result[f"w1_{name}"] == pytest.approx(np.abs(values - target).mean())


def test_the_floor_compares_as_many_as_there_are_samples(without_fcd):
    few = metrics.evaluate_molecules(SMILES[:20], SMILES[:500], SMILES[500:600])
    weights = metrics.properties(metrics._draw(SMILES[:500], 20))["weight"]
    target = metrics.properties(tuple(SMILES[500:600]))["weight"]
    grid = (np.arange(100_000) + 0.5) / 100_000
    area = np.abs(
        np.quantile(weights, grid, method="inverted_cdf")
        - np.quantile(target, grid, method="inverted_cdf")
    ).mean()
    assert few["w1_weight_floor"] == pytest.approx(area, rel=1e-3)


def test_at_most_so_many_are_compared(without_fcd):
    result = metrics.evaluate_molecules(SMILES[:50], SMILES, SMILES, most=30)
    assert result["compared"] == 30
    again = metrics.evaluate_molecules(SMILES[:50], SMILES, SMILES, most=30)
    assert result == again


def test_mols_and_unreadable_references_are_taken(without_fcd):
    mols = [Chem.MolFromSmiles(text) for text in SMILES[:30]]
    plain = metrics.evaluate_molecules(SMILES[:30], SMILES[30:60], SMILES[60:90])
    mixed = metrics.evaluate_molecules(mols, SMILES[30:60], [*SMILES[60:90], *BROKEN, None])
    assert mixed == plain


def test_without_held_out_molecules_there_are_no_distances():
    result = metrics.evaluate_molecules(SMILES[:10], SMILES[:10], [])
    assert not [name for name in result if name.startswith(("w1", "fcd"))]
    assert {"qed", "internal_diversity"} <= set(result)


def test_internal_diversity_agrees_with_brute_force():
    smiles = [*SMILES[:40], SMILES[0]]
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    bits = np.array([generator.GetFingerprintAsNumPy(Chem.MolFromSmiles(s)) for s in smiles]) > 0
    similar = [[(a & b).sum() / (a | b).sum() for b in bits] for a in bits]
    assert metrics.internal_diversity(smiles) == pytest.approx(1 - np.mean(similar))
    assert metrics.internal_diversity([smiles[0]] * 3) == pytest.approx(0)


# The Frechet ChemNet distance ---------------------------------------------------------------------


def features_with(rng, mean, deviations, axes, count):
    """Draw features whose sample mean and covariance axes diag(d^2) axes^T are exact."""
    raw = rng.standard_normal((count, len(mean)))
    raw -= raw.mean(0)
    white = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw, rowvar=False))).T
    return mean + (white * deviations) @ axes.T


@pytest.mark.parametrize("seed", range(3))
def test_frechet_distance_of_commuting_covariances(seed):
    rng = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    (a, b), (s, t) = rng.standard_normal((2, 6)), rng.uniform(0.1, 3, (2, 6))
    x, y = features_with(rng, a, s, axes, 30), features_with(rng, b, t, axes, 50)
    expected = ((a - b) ** 2).sum() + ((s - t) ** 2).sum()
    assert fcd.frechet_distance(x, y) == pytest.approx(expected)
    assert fcd.frechet_distance(x, x) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_agrees_with_the_matrix_root():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 5)) @ rng.standard_normal((5, 5))
    y = rng.standard_normal((60, 5)) @ rng.standard_normal((5, 5)) + 1
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    shift = x.mean(0) - y.mean(0)
    expected = shift @ shift + np.trace(a + b) - 2 * np.trace(sqrtm(a @ b)).real
    assert fcd.frechet_distance(x, y) == pytest.approx(expected)


def test_frechet_distance_of_fewer_points_than_dimensions():
    """Without common directions the covariances' cross term vanishes."""
    x, y = np.zeros((3, 8)), np.zeros((4, 8))
    x[:, 0], y[:, 1] = [1, 2, 3], [5, 6, 7, 8]
    shift = np.square(x.mean(0) - y.mean(0)).sum()
    expected = shift + np.var([1, 2, 3], ddof=1) + np.var([5, 6, 7, 8], ddof=1)
    assert fcd.frechet_distance(x, y) == pytest.approx(expected)


def test_frechet_distance_needs_two_points():
    with pytest.raises(DataError, match="got 1 and 5"):
        fcd.frechet_distance(np.zeros((1, 3)), np.zeros((5, 3)))


ODD = ["C", "CC[Se]C", "CCO.CCN", "C" * 400, "[Na+].[Cl-]", "C[Si](C)(C)Cl", "F/C=C/Br", "[2H]C"]


def test_features_and_distance_agree_with_fcd_torch():
    fcd_torch = pytest.importorskip("fcd_torch")
    theirs = fcd_torch.FCD(batch_size=64)
    smiles = ODD + SMILES[:92]
    ours = fcd.chemnet_features(smiles)
    expected = theirs.get_predictions(smiles)
    assert ours.shape == (100, 512)
    np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-7)
    laws = [{"mu": x.mean(0), "sigma": np.cov(x.T)} for x in (expected[8:60], expected[60:])]
    assert fcd.frechet_distance(ours[8:60], ours[60:]) == pytest.approx(
        theirs.metric(*laws), rel=1e-4
    )


def test_the_evaluation_holds_the_distance_and_its_floor():
    pytest.importorskip("fcd_torch")
    sample, training, held_out = SMILES[:30], SMILES[30:60], SMILES[60:110]
    result = metrics.evaluate_molecules(sample, training, held_out)
    target = fcd.chemnet_features(held_out)
    for name, some in (("fcd", sample), ("fcd_floor", training)):
        expected = fcd.frechet_distance(fcd.chemnet_features(some), target)
        assert result[name] == pytest.approx(expected, rel=1e-3)


def test_without_the_weights_the_distance_says_what_to_install(monkeypatch):
    def missing(name):
        raise fcd.PackageNotFoundError(name)

    monkeypatch.setattr(fcd, "distribution", missing)
    with pytest.raises(MissingPackageError, match=r"pip install 'wgankit-molecules\[fcd\]'"):
        fcd.weights_file()
    result = metrics.evaluate_molecules(SMILES[:9], SMILES[9:19], SMILES[19:29])
    assert "w1_qed" in result
    assert "fcd" not in result


def test_features_refuse_what_is_no_molecule():
    pytest.importorskip("fcd_torch")
    with pytest.raises(DataError, match="'C1CC' is no molecule"):
        fcd.chemnet_features(["CC", "C1CC"])


# Pictures -----------------------------------------------------------------------------------------


def test_a_picture_has_a_cell_for_every_string():
    given = [*SMILES[:5], "C1CC", "<&>"]
    picture = xml.dom.minidom.parseString(draw_molecules(given, columns=3))
    titles = [node.firstChild.data for node in picture.getElementsByTagName("title")]
    assert titles == given
    assert draw_molecules(given).count("not a molecule") == 2
    root = picture.documentElement
    assert (root.getAttribute("width"), root.getAttribute("height")) == ("540", "540")


def test_a_picture_stays_small():
    assert draw_molecules(SMILES[:100]).count("<title>") == 24
    assert draw_molecules([]).count("<title>") == 0
    with pytest.raises(SettingError, match="columns=0"):
        draw_molecules(SMILES[:2], columns=0)
