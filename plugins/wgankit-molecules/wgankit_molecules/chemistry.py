"""Molecules as labelled graphs and back, with rdkit.

A molecule is its kekulised graph of heavy atoms.  The label of a node is the *kind* of the atom, a
short string in one of two forms:

* ``"C"``, ``"N+"``, ``"O-"``, ``"Fe+2"``: element and charge; the hydrogens are those that rdkit's
  valence model implies from the bonds;
* ``"[CH3]"``, ``"[NH+]"``: a SMILES bracket atom, with exactly these hydrogens; needed only where
  the valence model implies another number (radicals, carbenes, some metals).

The label of an edge is a bond: single, double or triple.  Aromaticity is not stored, because rdkit
finds it again; so the hydrogen of an aromatic ``[nH]`` is implied by the Kekulé form.  Stereo and
atom-map numbers are dropped on purpose: a graph has no room for them, and `round_trip` says for how
many molecules.  Isotopes are refused.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.rdBase import BlockLogs
from torch import Tensor

from wgankit.domain import Encoded, Vocabulary
from wgankit.errors import DataError, ShapeError
from wgankit_graphs.encoding import LARGEST_LABEL, GraphLabels

Labels: TypeAlias = NDArray[np.integer[Any]]

NOT_A_MOLECULE = "[not-a-molecule]"
"""Stands for a graph that has no SMILES string of its own; no parser accepts it."""

LARGEST = 64
"""Heavy atoms of the largest molecule that `encode_molecules` takes unless told otherwise."""

BONDS = ("single", "double", "triple")

NOT_CHEMICAL = "neither a SMILES string nor an rdkit Mol"
UNREADABLE = "unreadable SMILES"
NO_ATOMS = "no atoms"
FRAGMENTS = "more than one fragment"
ISOTOPE = "isotope labels"
WILDCARD = "an atom without an element"
NOT_KEKULISED = "cannot be kekulised"
BAD_VALENCE = "impossible valence or charge"
BAD_BOND = "a bond other than single, double or triple"
UNKNOWN_ATOM = "an atom that the vocabulary lacks"
UNKNOWN_BOND = "a bond that the vocabulary lacks"

_BOND_TYPES = (Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE)
_BOND_LABELS = {kind: label for label, kind in enumerate(_BOND_TYPES, start=1)}
_CHARGED = re.compile(r"(?P<element>[A-Z][a-z]?)(?P<charge>[+-]\d*)?")
_BLOCK = 8_192  # graphs that are decoded at once, which bounds the memory
# rdkit's clean-up rewrites some impossible atoms, such as a five-valent nitrogen.  A sample is
# judged as it was made, so it is left out here.
_SANITISE = (
    Chem.SANITIZE_ALL ^ Chem.SANITIZE_CLEANUP ^ Chem.SanitizeFlags.SANITIZE_CLEANUP_ORGANOMETALLICS
)


class Refusal(Exception):
    """A molecule that has no graph; the message is the reason that is counted."""


class Skeleton(NamedTuple):
    """One molecule, small enough to hold millions of: atom kinds, and bonds as packed numbers.

    Arguments:
        atoms: the kinds of the atoms.
        bonds: triples (atom, atom, label), each number an unsigned 16-bit one.
    """

    atoms: tuple[str, ...]
    bonds: bytes


# Reading ----------------------------------------------------------------------------------------


def parse(molecule: object) -> Chem.Mol:
    """Return a sanitised copy of a molecule without explicit hydrogens, or raise `Refusal`.

    Arguments:
        molecule: a SMILES string or an rdkit Mol.
    """
    if isinstance(molecule, str):
        mol = Chem.MolFromSmiles(molecule)
        if mol is None:
            raise Refusal(_why_unreadable(molecule))
        return mol
    if not isinstance(molecule, Chem.Mol):
        raise Refusal(f"{NOT_CHEMICAL} ({type(molecule).__name__})")
    mol = Chem.Mol(molecule)
    problem = Chem.SanitizeMol(mol, catchErrors=True)
    if problem != Chem.SANITIZE_NONE:
        raise Refusal(_name_problem(problem))
    return Chem.RemoveHs(mol)


def _why_unreadable(smiles: str) -> str:
    mol = Chem.MolFromSmiles(smiles, sanitize=False)
    if mol is None:
        return UNREADABLE
    return _name_problem(Chem.SanitizeMol(mol, catchErrors=True))


def _name_problem(problem: Any) -> str:
    return NOT_KEKULISED if problem == Chem.SANITIZE_KEKULIZE else BAD_VALENCE


def skeleton(molecule: object, limit: int = LARGEST) -> Skeleton:
    """Return the labelled graph of a molecule, or raise `Refusal` with the reason.

    Arguments:
        molecule: a SMILES string or an rdkit Mol.
        limit: the largest number of heavy atoms.
    """
    mol = parse(molecule)
    if not mol.GetNumAtoms():
        raise Refusal(NO_ATOMS)
    if mol.GetNumAtoms() > limit:
        raise Refusal(f"more than {limit} heavy atoms")
    if len(Chem.GetMolFrags(mol)) > 1:
        raise Refusal(FRAGMENTS)
    try:
        Chem.Kekulize(mol, clearAromaticFlags=True)
    except Chem.KekulizeException as error:
        raise Refusal(NOT_KEKULISED) from error
    bonds = array("H")
    orders = [0] * mol.GetNumAtoms()
    for bond in mol.GetBonds():
        i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        label = _BOND_LABELS.get(bond.GetBondType())
        if label is None:
            raise Refusal(BAD_BOND)
        bonds.extend((i, j, label))
        orders[i] += label
        orders[j] += label
    return Skeleton(tuple(map(_kind_of, mol.GetAtoms(), orders)), bonds.tobytes())


def _kind_of(atom: Chem.Atom, order: int) -> str:
    hydrogens = atom.GetTotalNumHs()
    return _kind(atom.GetAtomicNum(), atom.GetFormalCharge(), hydrogens, order, atom.GetIsotope())


@cache
def _kind(number: int, charge: int, hydrogens: int, order: int, isotope: int) -> str:
    """Name the kind of an atom with the given hydrogens and sum of bond orders."""
    if isotope:
        raise Refusal(ISOTOPE)
    if number == 0:
        raise Refusal(WILDCARD)
    symbol = Chem.GetPeriodicTable().GetElementSymbol(number)
    sign = {0: "", 1: "+", -1: "-"}.get(charge, f"{charge:+d}")
    if hydrogens == _implied_hydrogens(number, charge, order):
        return f"{symbol}{sign}"
    carried = {0: "", 1: "H"}.get(hydrogens, f"H{hydrogens}")
    return f"[{symbol}{carried}{sign}]"


def _implied_hydrogens(number: int, charge: int, order: int) -> int:
    """Ask rdkit how many hydrogens an atom gets beside bonds of a total order."""
    mol = Chem.RWMol()
    atom = Chem.Atom(number)
    atom.SetFormalCharge(charge)
    mol.AddAtom(atom)
    for _ in range(order):
        mol.AddBond(0, mol.AddAtom(Chem.Atom(0)), Chem.BondType.SINGLE)
    mol.UpdatePropertyCache(strict=False)
    hydrogens: int = mol.GetAtomWithIdx(0).GetTotalNumHs()
    return hydrogens


# Encoding ---------------------------------------------------------------------------------------


def encode_molecules(
    molecules: Sequence[Any],
    vocabulary: Vocabulary | None = None,
    *,
    largest: int | None = None,
    rarest: int = 1,
) -> Encoded:
    """Turn molecules into labelled graphs, learning the vocabulary unless one is given.

    Arguments:
        molecules: SMILES strings or rdkit Mols.
        vocabulary: what an earlier call returned; molecules that do not fit into it are skipped.
        largest: molecules of more heavy atoms are skipped; `LARGEST` if neither this nor a
            vocabulary is given.
        rarest: an atom kind must occur in at least this many of the molecules to enter a new
            vocabulary; molecules with rarer kinds are skipped.

    Returns:
        `GraphLabels` with nodes `(B, N)` and symmetric edges `(B, N, N)`, both uint8, 0 for
        nothing; atoms in the order of the SMILES string.  The vocabulary holds "nodes" (atom kinds,
        the commonest first), "edges" (of single, double, triple those that occur), "size" (N),
        "sizes" (how many molecules have 0, 1, ..., N heavy atoms), "node_counts", "edge_counts",
        and the attributes under which `wgankit_graphs.encoding.decode_graphs` writes the labels.
        The reasons in `skipped` are the constants of this module.

    Raises:
        DataError: no molecule is left.
    """
    limit = largest or LARGEST
    if vocabulary is not None:
        limit = min(largest or vocabulary["size"], vocabulary["size"])
    graphs, kept, skipped = _skeletons(molecules, limit)
    if vocabulary is None:
        vocabulary, fitting = _learn(graphs, rarest)
    else:
        fitting = _fitting(graphs, vocabulary["nodes"], vocabulary["edges"])
    skipped.update(reason for reason in fitting if reason)
    chosen = [place for place, reason in enumerate(fitting) if reason is None]
    if not chosen:
        raise DataError(_nothing_left(len(molecules), skipped))
    points = _pack([graphs[place] for place in chosen], vocabulary)
    return Encoded(points, vocabulary, [kept[place] for place in chosen], skipped)


def _skeletons(
    molecules: Iterable[Any], limit: int
) -> tuple[list[Skeleton], list[int], Counter[str]]:
    graphs: list[Skeleton] = []
    kept: list[int] = []
    skipped: Counter[str] = Counter()
    with BlockLogs():
        for index, molecule in enumerate(molecules):
            try:
                graph = skeleton(molecule, limit)
            except Refusal as refusal:
                skipped[str(refusal)] += 1
            else:
                graphs.append(graph)
                kept.append(index)
    return graphs, kept, skipped


def _learn(graphs: Sequence[Skeleton], rarest: int) -> tuple[Vocabulary, list[str | None]]:
    """Return the vocabulary, and for every graph why it is left out (None if it is not)."""
    spread = Counter(kind for graph in graphs for kind in set(graph.atoms))
    common = [kind for kind, count in spread.items() if count >= rarest]
    fitting = _fitting(graphs, common, BONDS)
    chosen = [graph for graph, reason in zip(graphs, fitting, strict=True) if reason is None]
    atoms = Counter(kind for graph in chosen for kind in graph.atoms)
    bonds = Counter(_bond_table(chosen)[:, 2].tolist())
    sizes = Counter(len(graph.atoms) for graph in chosen)
    nodes = sorted(atoms, key=lambda kind: (-atoms[kind], kind))
    if len(nodes) > LARGEST_LABEL:
        raise DataError(
            f"the molecules have {len(nodes)} kinds of atoms, and at most {LARGEST_LABEL} are "
            "possible; leave out the rare ones with rarest=..."
        )
    labels = sorted(bonds)
    size = max(sizes, default=0)
    return {
        "nodes": nodes,
        "edges": [BONDS[label - 1] for label in labels],
        "size": size,
        "sizes": [sizes[number] for number in range(size + 1)],
        "node_counts": [atoms[kind] for kind in nodes],
        "edge_counts": [bonds[label] for label in labels],
        "node_attribute": "atom",
        "edge_attribute": "bond",
    }, fitting


def _fitting(
    graphs: Iterable[Skeleton], kinds: Iterable[str], bonds: Iterable[str]
) -> list[str | None]:
    known_atoms, known_bonds = set(kinds), {BONDS.index(bond) + 1 for bond in bonds}

    def reason(graph: Skeleton) -> str | None:
        if not known_atoms.issuperset(graph.atoms):
            return UNKNOWN_ATOM
        labels = memoryview(graph.bonds).cast("H")[2::3].tolist()
        return None if known_bonds.issuperset(labels) else UNKNOWN_BOND

    return [reason(graph) for graph in graphs]


def _bond_table(graphs: Iterable[Skeleton]) -> NDArray[np.uint16]:
    """Return the bonds of all graphs, one after another, as rows (atom, atom, label)."""
    return np.frombuffer(b"".join(graph.bonds for graph in graphs), np.uint16).reshape(-1, 3)


def _nothing_left(given: int, skipped: Mapping[str, int]) -> str:
    reasons = "; ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()))
    return (
        f"none of the {given} molecules can be used ({reasons or 'the list is empty'}); "
        "give SMILES strings of single, neutral or charged molecules, one string each"
    )


def _pack(graphs: Sequence[Skeleton], vocabulary: Vocabulary) -> GraphLabels:
    """Lay graphs that fit a vocabulary out as arrays."""
    size = vocabulary["size"]
    node_label = {kind: label for label, kind in enumerate(vocabulary["nodes"], start=1)}
    edge_label = np.zeros(len(BONDS) + 1, dtype=np.uint8)
    for label, bond in enumerate(vocabulary["edges"], start=1):
        edge_label[BONDS.index(bond) + 1] = label
    nodes = np.zeros((len(graphs), size), dtype=np.uint8)
    edges = np.zeros((len(graphs), size, size), dtype=np.uint8)
    for row, graph in enumerate(graphs):
        nodes[row, : len(graph.atoms)] = [node_label[kind] for kind in graph.atoms]
    bonds = _bond_table(graphs)
    i, j = bonds[:, 0], bonds[:, 1]
    owner = np.repeat(np.arange(len(graphs)), [len(graph.bonds) // 6 for graph in graphs])
    edges[owner, i, j] = edges[owner, j, i] = edge_label[bonds[:, 2]]
    return GraphLabels(torch.from_numpy(nodes), torch.from_numpy(edges))


# Decoding ---------------------------------------------------------------------------------------


def decode_molecules(points: tuple[Tensor, Tensor], vocabulary: Vocabulary) -> list[str]:
    """Turn labelled graphs into SMILES strings, without any correction.

    Arguments:
        points: labels, nodes `(B, N)` and edges `(B, N, N)`; or their relaxation, nodes
            `(B, N, 1 + atoms)` and edges `(B, N, N, 1 + bonds)`, of which the largest entry counts
            (edges after averaging both directions).  An edge at an absent node is no edge.
        vocabulary: what `encode_molecules` learnt.

    Returns:
        B strings.  A graph that rdkit accepts as it stands gives its canonical SMILES, with '.'
        between fragments.  Any other gives a string that rdkit's parser refuses: its own SMILES,
        or `NOT_A_MOLECULE` where that cannot be written, or would be read as another molecule, or
        where there is no atom.

    Raises:
        ShapeError: the tensors do not fit together or the vocabulary.
    """
    nodes, edges = _labels(points)
    _check_labels(nodes, edges, vocabulary)
    prototypes = [_prototype(kind) for kind in vocabulary["nodes"]]
    types = [_BOND_TYPES[BONDS.index(bond)] for bond in vocabulary["edges"]]
    smiles: list[str] = []
    with BlockLogs():
        for start in range(0, len(nodes), _BLOCK):
            some = slice(start, start + _BLOCK)
            smiles += map(_write, _assemble(nodes[some], edges[some], prototypes, types))
    return smiles


def _labels(points: tuple[Tensor, Tensor]) -> tuple[Labels, Labels]:
    nodes, edges = (part.detach() for part in points)
    if nodes.dim() == 3 and edges.dim() == 4:
        nodes = nodes.float().argmax(2)
        edges = edges.float()
        edges = (edges + edges.transpose(1, 2)).argmax(3)
    if nodes.dim() != 2 or edges.shape != (*nodes.shape, nodes.shape[1]):
        raise ShapeError(
            "nodes (B, N) with edges (B, N, N), or one-hot nodes (B, N, 1 + atoms) with edges "
            f"(B, N, N, 1 + bonds), are wanted; got {tuple(points[0].shape)} and "
            f"{tuple(points[1].shape)}"
        )
    return nodes.cpu().numpy(), edges.cpu().numpy()


def _check_labels(nodes: Labels, edges: Labels, vocabulary: Vocabulary) -> None:
    for part, what in ((nodes, "nodes"), (edges, "edges")):
        if part.size and not 0 <= part.min() <= part.max() <= len(vocabulary[what]):
            raise ShapeError(
                f"labels of {what} lie between {part.min()} and {part.max()}, but the vocabulary "
                f"knows {len(vocabulary[what])}; decode with the vocabulary of the same data"
            )


@cache
def _prototype(kind: str) -> Chem.Atom:
    """Return an atom of a kind, to be copied into molecules."""
    if kind.startswith("["):
        atom = Chem.AtomFromSmiles(kind)
        if atom is not None:
            return atom
    match = _CHARGED.fullmatch(kind)
    if match is None:
        raise DataError(
            f"the vocabulary's node label {kind!r} is no atom; "
            "atoms read like 'C', 'N+', 'O-', 'Fe+2' or '[CH3]'"
        )
    atom = Chem.Atom(match["element"])
    sign = match["charge"] or "+0"
    atom.SetFormalCharge(int(sign if sign[1:] else sign + "1"))
    return atom


def _assemble(
    nodes: Labels, edges: Labels, prototypes: Sequence[Chem.Atom], types: Sequence[Chem.BondType]
) -> Iterator[Chem.RWMol]:
    """Yield a molecule for each graph, without asking whether it is one."""
    present = nodes > 0
    edges = np.triu(edges, 1) * (present[:, :, None] & present[:, None, :])
    graph, i, j = np.nonzero(edges)
    # Bonds refer to atoms by their place among the atoms that are present.
    place = np.cumsum(present, axis=1) - 1
    columns = (place[graph, i], place[graph, j], edges[graph, i, j])
    bonds = list(zip(*(column.tolist() for column in columns), strict=True))
    ends = np.searchsorted(graph, np.arange(len(nodes) + 1)).tolist()
    for index, labels in enumerate(nodes.tolist()):
        mol = Chem.RWMol()
        for label in filter(None, labels):
            mol.AddAtom(prototypes[label - 1])
        for first, second, label in bonds[ends[index] : ends[index + 1]]:
            mol.AddBond(first, second, types[label - 1])
        yield mol


def _write(mol: Chem.RWMol) -> str:
    if not mol.GetNumAtoms():
        return NOT_A_MOLECULE
    if Chem.SanitizeMol(mol, _SANITISE, catchErrors=True) == Chem.SANITIZE_NONE:
        canonical_form: str = Chem.MolToSmiles(mol)
        return canonical_form
    try:
        mol.UpdatePropertyCache(strict=False)
        smiles: str = Chem.MolToSmiles(mol)
    except (RuntimeError, ValueError):
        return NOT_A_MOLECULE
    return smiles if Chem.MolFromSmiles(smiles) is None else NOT_A_MOLECULE


def as_smiles(molecule: object) -> str:
    """Return a SMILES string as it is, the canonical SMILES of an rdkit Mol, "" of all else."""
    if isinstance(molecule, Chem.Mol):
        return str(Chem.MolToSmiles(molecule))
    return molecule if isinstance(molecule, str) else ""


# Round trip -------------------------------------------------------------------------------------


def canonical(molecule: object) -> str:
    """Return the canonical SMILES of a molecule without stereo, or raise `Refusal`."""
    flat: str = Chem.MolToSmiles(parse(molecule), isomericSmiles=False)
    return flat


def round_trip(molecules: Sequence[Any]) -> dict[str, int]:
    """Count what survives the way from SMILES to graphs and back.

    Arguments:
        molecules: SMILES strings or rdkit Mols.

    Returns:
        "given"; "kept", whose canonical SMILES without stereo comes back equal; "changed", whose
        does not; "stereo dropped", how many of the kept or changed had stereo (or atom-map
        numbers) to lose; and "refused: REASON" for every reason of `encode_molecules`.
    """
    encoded = encode_molecules(molecules)
    counts = Counter(
        {"given": len(molecules), "kept": 0, "changed": 0, "stereo dropped": 0}
        | {f"refused: {reason}": count for reason, count in encoded.skipped.items()}
    )
    back = decode_molecules(cast("tuple[Tensor, Tensor]", encoded.points), encoded.vocabulary)
    with BlockLogs():
        for index, smiles in zip(encoded.kept, back, strict=True):
            flat = canonical(molecules[index])
            counts["kept" if smiles == flat else "changed"] += 1
            counts["stereo dropped"] += Chem.MolToSmiles(parse(molecules[index])) != flat
    return dict(counts)
