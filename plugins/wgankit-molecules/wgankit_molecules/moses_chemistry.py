"""What the MOSES metrics need to know of each molecule, with rdkit alone.

Worker processes import this module, so it imports no torch.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import QED as quantitative
from rdkit.Chem import AllChem, Crippen, Descriptors, RDConfig, rdMolDescriptors
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
from rdkit.Chem.Scaffolds import MurckoScaffold as murcko
from rdkit.rdBase import BlockLogs

from wgankit.errors import MissingPackageError

BITS = 1_024
"""Bits of the Morgan fingerprints (radius 2) of the protocol."""

PROPERTIES = ("logP", "SA", "QED", "weight")
"""The properties whose distances the protocol names, in its order."""

ALLOWED = frozenset((1, 6, 7, 8, 9, 16, 17, 35))
"""Atomic numbers that pass the filters: H, C, N, O, F, S, Cl, Br."""

LARGEST_RING = 7
_BLOCK = 256  # molecules that go through one step before any goes through the next

MIN_RINGS = 2
"""Scaffolds of fewer rings do not count."""

Kind: TypeAlias = tuple[int, bool]
"""An atom as patterns see it: atomic number (0 for one that no pattern names), aromatic or not."""

Part: TypeAlias = tuple[int, ...]
"""A kind of atom, a bond (`_bond`) or a bend (`_bend`), told apart by their lengths."""

_HYDROGEN, _SINGLE = 1, 1
_lipophilicity: Any = Crippen
_descriptors: Any = Descriptors
_all_chem: Any = AllChem
_murcko: Any = murcko
_qed: Any = quantitative


@final
@dataclass(frozen=True)
class Described:
    """Molecules as the metrics see them, in the order given.

    Arguments:
        given: how many strings were given.
        smiles: canonical SMILES of the valid ones.
        prints: their Morgan fingerprints, packed, `(n, 128)` uint8.
        fragments: how often each BRICS fragment occurs in them.
        scaffolds: their Murcko scaffolds of at least two rings, "" where there is none.
        passed: how many pass the filters.
        properties: for each of `PROPERTIES` the values, `(n,)`.
    """

    given: int
    smiles: list[str]
    prints: NDArray[np.uint8]
    fragments: Counter[str]
    scaffolds: list[str]
    passed: int
    properties: dict[str, NDArray[np.float64]]


def join(parts: Sequence[Described]) -> Described:
    """Return parts that were described one by one as a whole."""
    fragments = Counter[str]()
    for part in parts:
        fragments.update(part.fragments)
    return Described(
        sum(part.given for part in parts),
        [text for part in parts for text in part.smiles],
        np.concatenate([part.prints for part in parts]),
        fragments,
        [text for part in parts for text in part.scaffolds],
        sum(part.passed for part in parts),
        {name: np.concatenate([part.properties[name] for part in parts]) for name in PROPERTIES},
    )


def describe(smiles: Sequence[str], unwanted: Sequence[str]) -> Described:
    """Describe molecules.

    Arguments:
        smiles: SMILES strings, invalid ones included.
        unwanted: SMARTS of the substructures that the filters refuse, hydrogens being atoms.
    """
    refused = screen(tuple(unwanted))
    starts = range(0, max(len(smiles), 1), _BLOCK)
    with BlockLogs():
        return join([_describe(smiles[start : start + _BLOCK], refused) for start in starts])


def _describe(smiles: Sequence[str], refused: Screen) -> Described:
    """Describe a few molecules, one thing after the other: rdkit's patterns stay in the caches."""
    pairs = list(readable(smiles))
    texts, mols = [text for text, _ in pairs], [mol for _, mol in pairs]
    generator = GetMorganGenerator(radius=2, fpSize=BITS)
    bits = np.zeros((len(mols), BITS), np.uint8)
    for row, mol in zip(bits, mols, strict=True):
        row[:] = generator.GetFingerprintAsNumPy(mol)
    fragments = Counter(piece for mol in mols for piece in brics_fragments(mol))
    scaffolds = [scaffold(mol) for mol in mols]
    contents = [Content(mol, text.count(".") + 1) for text, mol in pairs]
    passed = sum(
        passes(mol, text, content, refused)
        for mol, text, content in zip(mols, texts, contents, strict=True)
    )
    packed = np.packbits(bits, axis=1)
    values = _measured(mols, contents)
    return Described(len(smiles), texts, packed, fragments, scaffolds, passed, values)


def readable(smiles: Iterable[str]) -> Iterator[tuple[str, Chem.Mol]]:
    """Yield canonical SMILES and molecule of each valid string.

    The protocol reads a string, writes it canonically, and works on what it reads from that; twice
    canonical is not always once canonical.
    """
    for text in smiles:
        mol = Chem.MolFromSmiles(text) if text else None
        if mol is None:
            continue
        once = Chem.MolToSmiles(mol)
        if once == text:
            yield once, mol
            continue
        again = Chem.MolFromSmiles(once) if once else None
        if again is not None:
            yield Chem.MolToSmiles(again), again


def scaffolds_of(smiles: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return canonical SMILES and scaffolds of the valid strings alone."""
    with BlockLogs():
        pairs = [(text, scaffold(mol)) for text, mol in readable(smiles)]
    return [text for text, _ in pairs], [frame for _, frame in pairs]


def brics_fragments(mol: Chem.Mol) -> list[str]:
    """Return SMILES of the pieces between the BRICS bonds."""
    return str(Chem.MolToSmiles(_all_chem.FragmentOnBRICSBonds(mol))).split(".")


def scaffold(mol: Chem.Mol) -> str:
    """Return the SMILES of the Murcko scaffold, "" if it has fewer than two rings."""
    try:
        frame = _murcko.GetScaffoldForMol(mol)
    except (ValueError, RuntimeError):
        return ""
    if frame.GetRingInfo().NumRings() < MIN_RINGS:
        return ""
    return str(Chem.MolToSmiles(frame))


# Filters and properties -------------------------------------------------------------------------


def passes(mol: Chem.Mol, smiles: str, content: Content, unwanted: Screen) -> bool:
    """Say whether a molecule passes the filters of MOSES.

    Arguments:
        mol: a molecule.
        smiles: its canonical SMILES.
        content: of what it consists.
        unwanted: what must not occur in it.

    Rings of at most seven atoms, no charged atom, only `ALLOWED` elements, none of the unwanted
    substructures, and a SMILES without stereo that can be read.  The cheap conditions come first.
    """
    if any(len(ring) > LARGEST_RING for ring in mol.GetRingInfo().AtomRings()):
        return False
    if content.charged or not ALLOWED.issuperset(content.numbers):
        return False
    if unwanted.occurs(Chem.AddHs(mol), content, hydrogens=True):
        return False
    flat = Chem.MolToSmiles(mol, isomericSmiles=False)
    return flat == smiles or (bool(flat) and Chem.MolFromSmiles(flat) is not None)


def _measured(
    mols: Sequence[Chem.Mol], contents: Sequence[Content]
) -> dict[str, NDArray[np.float64]]:
    """Return the properties of molecules."""
    accessible, alerts = accessibility().calculateScore, _alerts()
    logp = [_lipophilicity.MolLogP(mol) for mol in mols]
    weight = [_descriptors.MolWt(mol) for mol in mols]
    likeness = [
        drug_likeness(mol, content, alerts, *known)
        for mol, content, *known in zip(mols, contents, logp, weight, strict=True)
    ]
    columns = (logp, [accessible(mol) for mol in mols], likeness, weight)
    return {
        name: np.array(column, np.float64) for name, column in zip(PROPERTIES, columns, strict=True)
    }


def drug_likeness(
    mol: Chem.Mol, content: Content, alerts: Screen, logp: float, weight: float
) -> float:
    """Return the QED of a molecule, as `rdkit.Chem.QED.qed`, from properties that are known.

    Most of rdkit's time goes to structural alerts that cannot occur, which the screen leaves out.
    """
    rings = Chem.GetSSSR(Chem.DeleteSubstructs(Chem.Mol(mol), _qed.AliphaticRings))
    known = _qed.QEDproperties(
        MW=weight,
        ALOGP=logp,
        HBA=sum(len(mol.GetSubstructMatches(pattern)) for pattern in _qed.Acceptors),
        HBD=rdMolDescriptors.CalcNumHBD(mol),
        PSA=rdMolDescriptors.CalcTPSA(mol),
        ROTB=rdMolDescriptors.CalcNumRotatableBonds(
            mol, rdMolDescriptors.NumRotatableBondsOptions.Strict
        ),
        AROM=len(rings),
        ALERTS=alerts.count(mol, content),
    )
    return float(_qed.qed(mol, qedProperties=known))


@cache
def accessibility() -> ModuleType:
    """Load the scorer of synthetic accessibility that rdkit ships among its contributions."""
    path = Path(RDConfig.RDContribDir) / "SA_Score" / "sascorer.py"
    spec = importlib.util.spec_from_file_location("sascorer", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise MissingPackageError(
            f"this rdkit comes without SA_Score (looked for {path}); type: pip install rdkit"
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Which substructures can occur at all -----------------------------------------------------------


@final
class Content:
    """Of what a molecule consists: how often each kind of atom, bond and bend, and how many rings.

    Arguments:
        mol: a molecule.
        fragments: in how many it falls.

    Hydrogens that are no atoms of `mol` are counted apart, with the bonds and bends they make.
    """

    def __init__(self, mol: Chem.Mol, fragments: int) -> None:
        atoms = list(mol.GetAtoms())
        bonds = list(mol.GetBonds())
        self.numbers = [atom.GetAtomicNum() for atom in atoms]
        self.charged = any(atom.GetFormalCharge() for atom in atoms)
        self.rings = len(bonds) - len(atoms) + fragments
        kinds = zip(self.numbers, (atom.GetIsAromatic() for atom in atoms), strict=True)
        self.parts: Counter[Part] = Counter(kinds)
        neighbours: list[list[int]] = [[] for _ in atoms]
        for bond in bonds:
            i, j, order = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), int(bond.GetBondType())
            first, second = self.numbers[i], self.numbers[j]
            neighbours[i].append(second)
            neighbours[j].append(first)
            self.parts[_bond(first, second, 0)] += 1
            self.parts[_bond(first, second, order)] += 1
        self.hydrogens: Counter[Part] = Counter()
        for atom, number, around in zip(atoms, self.numbers, neighbours, strict=True):
            if len(around) > 1:
                for one, other in itertools.combinations(around, 2):
                    self.parts[_bend(one, number, other)] += 1
            count = atom.GetTotalNumHs()
            if count:
                self._add_hydrogens(number, count, around)

    def _add_hydrogens(self, number: int, count: int, around: Sequence[int]) -> None:
        """Count hydrogens of an atom as if they were atoms."""
        self.hydrogens[_HYDROGEN, False] += count
        for order in (0, _SINGLE):
            self.hydrogens[_bond(_HYDROGEN, number, order)] += count
        for other in around:
            self.hydrogens[_bend(_HYDROGEN, number, other)] += count
        self.hydrogens[_bend(_HYDROGEN, number, _HYDROGEN)] += count * (count - 1) // 2


def _bond(first: int, second: int, order: int) -> Part:
    """Name a bond by its elements and rdkit's bond type, 0 for any."""
    return (first, second, order) if first < second else (second, first, order)


def _bend(first: int, middle: int, second: int) -> Part:
    """Name two bonds at one atom by their elements."""
    return (first, middle, second, 0) if first < second else (second, middle, first, 0)


@final
class Screen:
    """Patterns, of which those that cannot occur in a molecule are never searched for.

    A pattern that occurs is a subgraph, so a molecule has at least as many atoms that one of its
    sets of kinds allows, bonds and bends of its elements, and independent rings.  Most patterns
    fail that for most molecules.

    Arguments:
        patterns: molecules made of SMARTS.
    """

    def __init__(self, patterns: Sequence[Chem.Mol]) -> None:
        self.patterns = list(patterns)
        queries = [[atom.DescribeQuery() for atom in one.GetAtoms()] for one in self.patterns]
        named = sorted({n for some in queries for text in some for n in _named(text)})
        kinds = [(number, flag) for number in (0, *named) for flag in (False, True)]
        everything = frozenset(kinds)
        allowed = [[allowed_kinds(text, everything) for text in some] for some in queries]
        self._sets = sorted({one for some in allowed for one in some}, key=sorted)
        parts = [_certain(one, some) for one, some in zip(self.patterns, allowed, strict=True)]
        columns: list[Part] = [*kinds, *sorted(set().union(*parts))]
        self._column = {part: place for place, part in enumerate(columns)}
        self._member = np.array(
            [[kind in one for kind in kinds] for one in self._sets], np.int64
        ).reshape(len(self._sets), len(kinds))
        self._needed = np.array(
            [self._need(*three) for three in zip(self.patterns, allowed, parts, strict=True)],
            np.int64,
        ).reshape(len(self.patterns), len(self._sets) + len(columns) - len(kinds) + 1)

    def _need(
        self, pattern: Chem.Mol, allowed: Sequence[frozenset[Kind]], parts: Counter[Part]
    ) -> list[int]:
        """Return how much of everything that is counted a pattern takes."""
        atoms = [sum(one <= some for one in allowed) for some in self._sets]
        others = [parts[part] for part in list(self._column)[self._member.shape[1] :]]
        fragments = len(Chem.GetMolFrags(pattern))
        return [*atoms, *others, pattern.GetNumBonds() - pattern.GetNumAtoms() + fragments]

    def possible(self, content: Content, *, hydrogens: bool = False) -> list[Chem.Mol]:
        """Return the patterns that the content leaves possible.

        Arguments:
            content: of the molecule.
            hydrogens: whether its hydrogens are atoms where the patterns are searched for.
        """
        counts = np.zeros(len(self._column), np.int64)
        self._count(content.parts, counts)
        if hydrogens:
            self._count(content.hydrogens, counts)
        kinds = self._member.shape[1]
        present = np.concatenate([self._member @ counts[:kinds], counts[kinds:], [content.rings]])
        places = np.flatnonzero((self._needed <= present).all(1))
        return [self.patterns[place] for place in places.tolist()]

    def _count(self, parts: Counter[Part], counts: NDArray[np.int64]) -> None:
        for part, count in parts.items():
            place = self._column.get(part)
            if place is None and len(part) == 2:  # an element that no pattern names
                place = self._column[0, bool(part[1])]
            if place is not None:
                counts[place] += count

    def occurs(self, mol: Chem.Mol, content: Content, *, hydrogens: bool = False) -> bool:
        """Say whether any pattern occurs in a molecule of that content."""
        return any(map(mol.HasSubstructMatch, self.possible(content, hydrogens=hydrogens)))

    def count(self, mol: Chem.Mol, content: Content) -> int:
        """Return how many of the patterns occur in a molecule of that content."""
        return sum(map(mol.HasSubstructMatch, self.possible(content)))


@cache
def screen(smarts: tuple[str, ...]) -> Screen:
    """Return the screen of SMARTS patterns."""
    return Screen([Chem.MolFromSmarts(text) for text in smarts])


@cache
def _alerts() -> Screen:
    return Screen(_qed.StructuralAlerts)


def _named(query: str) -> Iterator[int]:
    """Yield the atomic numbers that the description of a query names."""
    for line in query.splitlines():
        word, *rest = line.split()
        if word in ("AtomAtomicNum", "AtomType"):
            yield int(rest[0]) % 1_000


def allowed_kinds(query: str, everything: frozenset[Kind]) -> frozenset[Kind]:
    """Return the kinds of atoms that a query may match, from rdkit's description of it.

    Arguments:
        query: `DescribeQuery()` of an atom: a tree, one node a line, indented by two a level.
        everything: all kinds; also the answer for what this function does not know.
    """
    lines = [(len(line) - len(line.lstrip()), line.split()) for line in query.splitlines()]
    allowed, _ = _subtree(lines, 0, everything)
    return allowed


def _subtree(
    lines: Sequence[tuple[int, list[str]]], at: int, everything: frozenset[Kind]
) -> tuple[frozenset[Kind], int]:
    """Return what the node of a line allows, and the line after its subtree."""
    depth, words = lines[at]
    children, after = [], at + 1
    while after < len(lines) and lines[after][0] > depth:
        child, after = _subtree(lines, after, everything)
        children.append(child)
    if words == ["AtomAnd"]:
        return everything.intersection(*children), after
    if words == ["AtomOr"]:
        return frozenset().union(*children), after
    return _leaf(words, everything), after


def _leaf(words: Sequence[str], everything: frozenset[Kind]) -> frozenset[Kind]:
    match words:
        case ["AtomAtomicNum", number, sign, "val"]:
            found = {kind for kind in everything if kind[0] == int(number)}
        case ["AtomType", number, sign, "val"]:  # rdkit adds 1,000 where it means aromatic
            aromatic, plain = divmod(int(number), 1_000)
            found = {(plain, bool(aromatic))}
        case ["AtomIsAromatic", "1", sign, "val"]:
            found = {kind for kind in everything if kind[1]}
        case ["AtomIsAliphatic", "1", sign, "val"]:
            found = {kind for kind in everything if not kind[1]}
        case _:
            return everything
    return frozenset(found) if sign == "=" else everything - found


def _certain(pattern: Chem.Mol, allowed: Sequence[frozenset[Kind]]) -> Counter[Part]:
    """Count the bonds and bends of a pattern whose elements are certain, bonds also by order."""
    elements = [{number for number, _ in kinds} for kinds in allowed]
    number = [some.pop() if len(some) == 1 else 0 for some in elements]
    neighbours: list[list[int]] = [[] for _ in number]
    parts = Counter[Part]()
    for bond in pattern.GetBonds():
        i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        neighbours[i].append(number[j])
        neighbours[j].append(number[i])
        if number[i] and number[j]:
            orders = {0, _order(bond.DescribeQuery())}
            parts.update(_bond(number[i], number[j], order) for order in orders)
    for middle, around in zip(number, neighbours, strict=True):
        certain = [other for other in around if other]
        if middle:
            ends = itertools.combinations(certain, 2)
            parts.update(_bend(one, middle, other) for one, other in ends)
    return parts


def _order(query: str) -> int:
    """Return the bond type that a query demands, 0 where it leaves a choice."""
    lines = [line.split() for line in query.splitlines()]
    if lines[0] == ["BondAnd"]:
        lines = lines[1:]
        if any(words[0] in ("BondAnd", "BondOr") for words in lines):
            return 0
    elif len(lines) > 1:
        return 0
    orders = [words[1] for words in lines if words[0] == "BondOrder" and words[2:] == ["=", "val"]]
    return int(orders[0]) if orders else 0
