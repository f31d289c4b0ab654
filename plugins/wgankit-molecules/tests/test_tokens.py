"""Strings of SMILES as rows of numbers."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from wgankit import DataError
from wgankit_molecules import tokens
from wgankit_molecules.data import qm9_10k
from wgankit_molecules.tokens import (
    decode_tokens,
    encode_tokens,
    lengths,
    packed,
    split,
    unpacked,
)

KNOWN = [
    *"CNOFSPIBcnosbp()=#-+123456789/\\.:@",
    "Cl",
    "Br",
    "[nH]",
    "[O-]",
    "[C@@H]",
    "%12",
    "[2H]",
]
MIXED = st.lists(st.sampled_from(KNOWN), min_size=1, max_size=30)


@settings(deadline=None, max_examples=60)
@given(MIXED)
def test_tokens_make_up_the_string(some):
    assert "".join(split("".join(some))) == "".join(some)


@settings(deadline=None, max_examples=60)
@given(st.lists(MIXED, min_size=1, max_size=8))
def test_rows_are_the_strings(many):
    strings = ["".join(some) for some in many]
    encoded = encode_tokens(strings)
    assert encoded.points.dtype == torch.uint8
    assert decode_tokens(encoded.points, encoded.vocabulary) == strings
    again = encode_tokens(strings, encoded.vocabulary)
    assert torch.equal(again.points, encoded.points)
    assert lengths(encoded.points).tolist() == [len(split(text)) for text in strings]
    assert torch.equal(unpacked(packed(encoded.points)), encoded.points)
    every = [token for text in strings for token in split(text)]
    counts = dict(zip(encoded.vocabulary["tokens"], encoded.vocabulary["counts"], strict=True))
    assert counts == {token: every.count(token) for token in set(every)}


def test_as_many_atom_tokens_as_rdkit_finds_atoms():
    for text in qm9_10k()[:300]:
        atoms = [token for token in split(text) if token[0].isalpha() or token[0] == "["]
        assert len(atoms) == Chem.MolFromSmiles(text).GetNumAtoms()


def test_what_is_refused_is_counted_with_its_reason():
    given_ = ["CCO", "C?O", "", 7, "C" * 20, "CBr"]
    encoded = encode_tokens(given_, largest=10)
    assert encoded.kept == [0, 5]
    assert encoded.skipped == {
        tokens.NOT_TOKENS: 1,
        tokens.EMPTY: 1,
        tokens.NOT_A_STRING: 1,
        "more than 10 tokens": 1,
    }
    again = encode_tokens(["CCN", "CO", "CCCCC"], encoded.vocabulary)
    assert again.kept == [1]
    assert again.skipped == {tokens.UNKNOWN_TOKEN: 1, "more than 3 tokens": 1}


def test_rare_tokens_stay_out():
    encoded = encode_tokens(["CCO", "CC", "CN"], rarest=2)
    assert encoded.vocabulary["tokens"] == ["C"]
    assert encoded.kept == [1]


def test_nothing_left_and_damaged_bytes_are_said():
    with pytest.raises(DataError, match="none of the 2 strings"):
        encode_tokens(["?", "!"])
    with pytest.raises(DataError, match="at most 254"):
        encode_tokens([f"[{number}C]" for number in range(1, 300)])
    with pytest.raises(DataError, match="no packed tokens"):
        unpacked(b"\0\5nonsense")


def test_tokens_and_autoencoder_work_where_there_is_no_rdkit():
    code = """
import sys
sys.modules["rdkit"] = None
import torch
from wgankit_molecules.tokens import encode_tokens
from wgankit_molecules.autoencoder import decode_points, encode_rows
from wgankit_molecules.autoencoder_training import train_autoencoder
from wgankit.latent_networks import LatentCritic, LatentGenerator
from wgankit_molecules.latent import LatentMolecules
encoded = encode_tokens(["CCO", "CCN"] * 4)
small = {"latent": 4, "encoder": 4, "decoder": 4, "epochs": 1, "batch": 4}
made = train_autoencoder(encoded.points, len(encoded.vocabulary["tokens"]), small)
rows = decode_points(made, encode_rows(made, encoded.points))
state = {f"autoencoder.{name}": one for name, one in made.state_dict().items()}
vocabulary = {**encoded.vocabulary, "learnt": state, "autoencoder": made.settings}
domain = LatentMolecules()
assert domain.decode((rows.float(), encoded.points), vocabulary)[:2] == ["CCO", "CCN"]
assert len(domain.decode(encode_rows(made, encoded.points), vocabulary)) == 8
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
