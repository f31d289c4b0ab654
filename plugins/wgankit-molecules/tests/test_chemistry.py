from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem, RDConfig
from rdkit.rdBase import BlockLogs

from wgankit.errors import DataError, ShapeError
from wgankit_graphs.encoding import GraphLabels
from wgankit_molecules import chemistry
from wgankit_molecules.chemistry import decode_molecules, encode_molecules, round_trip
from wgankit_molecules.data import qm9_10k

VALENCE = {"C": 4, "N": 3, "O": 2, "F": 1}
ORGANIC = {"nodes": list(VALENCE), "edges": ["single", "double", "triple"], "size": 7}

# Hydrogens that the bonds do not imply, charges, hypervalence, and Kekule forms with an N that
# carries a hydrogen.
ODD = [
    *("[CH3]", "[CH2]", "CN(C)[O]", "[O][O]", "[C-]C", "[Na+]", "[NH4+]", "[Fe+2]", "[PH5]"),
    *("C[N+](C)(C)C", "C[N+](=O)[O-]", "[C-]#[O+]", "C=[N+]=[N-]", "F[B-](F)(F)F", "C[SiH3]"),
    *("CS(C)(=O)=O", "FS(F)(F)(F)(F)F", "CP(=O)(O)O", "C[SH](C)=O", "[H][H]", "[H+]"),
    *("c1cc[nH]c1", "O=c1[nH]cnc2nc[nH]c12", "c1ccc2c(c1)[nH]c1ccccc12", "c1cc[n+](C)cc1"),
]


def parses(smiles):
    with BlockLogs():
        return Chem.MolFromSmiles(smiles) is not None


def graph(atoms, bonds, size):
    nodes = torch.zeros(1, size, dtype=torch.uint8)
    edges = torch.zeros(1, size, size, dtype=torch.uint8)
    nodes[0, : len(atoms)] = torch.tensor(atoms)
    for i, j, label in bonds:
        edges[0, i, j] = edges[0, j, i] = label
    return GraphLabels(nodes, edges)


def test_bundled_molecules_come_back_as_they_were():
    smiles = qm9_10k()
    assert round_trip(smiles) == {
        "given": 10_000,
        "kept": 10_000,
        "changed": 0,
        "stereo dropped": 0,
    }
    encoded = encode_molecules(smiles)
    assert decode_molecules(encoded.points, encoded.vocabulary) == smiles


def test_every_molecule_of_a_foreign_collection_comes_back_or_is_counted():
    path = Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi"
    smiles = [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
    counts = round_trip(smiles)
    refused = sum(count for reason, count in counts.items() if reason.startswith("refused"))
    assert counts["kept"] + counts["changed"] + refused == counts["given"] == len(smiles)
    assert counts["changed"] == 0
    assert counts["refused: more than one fragment"] > 0
    assert counts["kept"] > 0.95 * len(smiles)


@pytest.mark.parametrize("smiles", ODD)
def test_unusual_atoms_come_back(smiles):
    encoded = encode_molecules([smiles])
    assert decode_molecules(encoded.points, encoded.vocabulary) == [Chem.CanonSmiles(smiles)]


def test_points_are_symmetric_labels_without_loops():
    nodes, edges = encode_molecules(qm9_10k()[:500]).points
    assert nodes.dtype == edges.dtype == torch.uint8
    assert torch.equal(edges, edges.transpose(1, 2))
    assert not edges.diagonal(dim1=1, dim2=2).any()
    assert not edges[(nodes == 0)[:, :, None].expand_as(edges)].any()


def test_vocabulary_counts_what_the_points_hold():
    encoded = encode_molecules(qm9_10k()[:500])
    vocabulary, (nodes, edges) = encoded.vocabulary, encoded.points
    counts = torch.bincount(nodes.flatten().long())[1:].tolist()
    assert vocabulary["node_counts"] == counts == sorted(counts, reverse=True)
    assert [2 * count for count in vocabulary["edge_counts"]] == torch.bincount(
        edges.flatten().long()
    )[1:].tolist()
    assert vocabulary["sizes"] == torch.bincount((nodes > 0).sum(1)).tolist()
    assert len(vocabulary["sizes"]) == vocabulary["size"] + 1 == nodes.shape[1] + 1


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(qm9_10k()[:2000] + ODD), st.randoms(use_true_random=False))
def test_the_numbering_of_the_atoms_does_not_matter(smiles, random):
    encoded = encode_molecules([smiles])
    nodes, edges = encoded.points
    order = list(range(nodes.shape[1]))
    random.shuffle(order)
    shuffled = GraphLabels(nodes[:, order], edges[:, order][:, :, order])
    assert decode_molecules(shuffled, encoded.vocabulary) == [Chem.CanonSmiles(smiles)]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_a_graph_parses_exactly_if_its_valences_allow(seed):
    """Judged by counting bonds: neutral C, N, O, F take at most 4, 3, 2, 1."""
    rng = np.random.default_rng(seed)
    size, batch = ORGANIC["size"], 50
    density = rng.uniform(0, 0.5)
    nodes = rng.integers(0, 5, (batch, size))
    upper = np.triu(rng.integers(1, 4, (batch, size, size)), 1)
    upper *= rng.random(upper.shape) < density
    edges = upper + upper.transpose(0, 2, 1)
    points = GraphLabels(torch.from_numpy(nodes), torch.from_numpy(edges))
    limits = np.array([0, *VALENCE.values()])
    for smiles, labels, bonds in zip(decode_molecules(points, ORGANIC), nodes, edges):
        there = labels > 0
        bonds = bonds * np.outer(there, there)
        allowed = there.any() and (bonds.sum(0) <= limits[labels])[there].all()
        assert parses(smiles) == allowed
        assert smiles
        if allowed:
            pieces = nx.number_connected_components(nx.from_numpy_array(bonds[there][:, there]))
            mol = Chem.MolFromSmiles(smiles)
            assert smiles.count(".") + 1 == pieces
            assert mol.GetNumAtoms() == there.sum()
            hydrogens = (limits[labels] - bonds.sum(0))[there].sum()
            assert sum(atom.GetTotalNumHs() for atom in mol.GetAtoms()) == hydrogens


def test_nothing_is_corrected():
    # rdkit's parser would turn the five-valent nitrogen into a charged nitro group.
    nitro = graph([1, 2, 3, 3], [(0, 1, 1), (1, 2, 2), (1, 3, 2)], ORGANIC["size"])
    assert parses("CN(=O)=O")
    assert decode_molecules(nitro, ORGANIC) == [chemistry.NOT_A_MOLECULE]


def test_a_graph_without_atoms_is_no_molecule():
    assert decode_molecules(graph([0], [], 3), ORGANIC) == [chemistry.NOT_A_MOLECULE]
    assert not parses(chemistry.NOT_A_MOLECULE)


def test_fragments_are_written_with_a_dot():
    pair = graph([1, 0, 3], [(0, 1, 1)], 3)
    assert decode_molecules(pair, ORGANIC) == ["C.O"]


def test_relaxed_points_decode_as_their_largest_entries():
    encoded = encode_molecules(qm9_10k()[:200])
    nodes, edges = (part.long() for part in encoded.points)
    torch.manual_seed(0)
    atoms, bonds = len(encoded.vocabulary["nodes"]), len(encoded.vocabulary["edges"])
    soft_nodes = torch.nn.functional.one_hot(nodes, 1 + atoms) + 0.9 * torch.rand(
        *nodes.shape, 1 + atoms
    )
    noise = 0.9 * torch.rand(*edges.shape, 1 + bonds)
    soft_edges = torch.nn.functional.one_hot(edges, 1 + bonds) + noise
    assert decode_molecules((soft_nodes, soft_edges), encoded.vocabulary) == decode_molecules(
        encoded.points, encoded.vocabulary
    )


REFUSED = {
    "C1CC": chemistry.UNREADABLE,
    "ethanol": chemistry.UNREADABLE,
    "": chemistry.NO_ATOMS,
    "[Na+].[Cl-]": chemistry.FRAGMENTS,
    "[2H]C": chemistry.ISOTOPE,
    "*C": chemistry.WILDCARD,
    "c1cccc1": chemistry.NOT_KEKULISED,
    "CC(C)(C)(C)C": chemistry.BAD_VALENCE,
    "[NH3]->[Cu]": chemistry.BAD_BOND,
    "CCCCCC": "more than 5 heavy atoms",
    3.5: f"{chemistry.NOT_CHEMICAL} (float)",
    None: f"{chemistry.NOT_CHEMICAL} (NoneType)",
}


@pytest.mark.parametrize("refused", REFUSED)
def test_what_is_refused_is_counted_with_its_reason(refused):
    encoded = encode_molecules(["CC", refused, "CO"], largest=5)
    assert encoded.skipped == {REFUSED[refused]: 1}
    assert encoded.kept == [0, 2]
    assert len(encoded.points.nodes) == 2


def test_a_vocabulary_refuses_what_it_lacks():
    vocabulary = encode_molecules(["CCO", "C=O"]).vocabulary
    given = ["CO", "CN", "C#C", "CCCO"]
    encoded = encode_molecules(given, vocabulary)
    assert encoded.kept == [0]
    assert encoded.vocabulary is vocabulary
    assert encoded.skipped == {
        chemistry.UNKNOWN_ATOM: 1,
        chemistry.UNKNOWN_BOND: 1,
        "more than 3 heavy atoms": 1,
    }
    assert decode_molecules(encoded.points, vocabulary) == ["CO"]


def test_rare_atoms_are_left_out_and_counted():
    encoded = encode_molecules(["CCO", "CO", "CN", "CBr"], rarest=2)
    assert encoded.vocabulary["nodes"] == ["C", "O"]
    assert encoded.skipped == {chemistry.UNKNOWN_ATOM: 2}


@pytest.mark.parametrize("given", [[], ["C1CC", "C.C"]])
def test_nothing_left_is_an_error_that_says_why(given):
    with pytest.raises(DataError, match="list is empty" if not given else "1 unreadable SMILES"):
        encode_molecules(given)


def test_mols_with_hydrogens_encode_as_their_smiles():
    smiles = qm9_10k()[:50]
    mols = [Chem.AddHs(Chem.MolFromSmiles(text)) for text in smiles]
    encoded = encode_molecules(mols)
    assert decode_molecules(encoded.points, encoded.vocabulary) == smiles
    assert mols[0].GetNumAtoms() > encoded.vocabulary["size"]  # the caller's are left alone
    raw = Chem.MolFromSmiles("C1=CC=CC=C1", sanitize=False)
    encode_molecules([raw])
    assert not any(atom.GetIsAromatic() for atom in raw.GetAtoms())


def test_lost_stereo_is_counted():
    counts = round_trip(["C[C@H](F)Cl", "CC(F)Cl", "F/C=C/F"])
    assert counts == {"given": 3, "kept": 3, "changed": 0, "stereo dropped": 2}


def test_logs_are_silent_only_inside(capfd):
    encode_molecules(["CC", "C1CC", "CC(C)(C)(C)C"])
    assert capfd.readouterr().err == ""
    Chem.MolFromSmiles("C1CC")
    assert "C1CC" in capfd.readouterr().err


@pytest.mark.parametrize(
    "points",
    [
        (torch.zeros(2, 3), torch.zeros(2, 3, 4)),
        (torch.zeros(2, 3), torch.zeros(2, 3, 3, 4)),
        (torch.full((2, 3), 9), torch.zeros(2, 3, 3)),
        (torch.ones(2, 3), torch.full((2, 3, 3), 4)),
    ],
)
def test_points_of_another_vocabulary_are_refused(points):
    with pytest.raises(ShapeError):
        decode_molecules(points, ORGANIC)


def test_a_vocabulary_of_no_atoms_is_refused():
    with pytest.raises(DataError, match="'blue' is no atom"):
        decode_molecules(graph([1], [], 2), {"nodes": ["blue"], "edges": [], "size": 2})
