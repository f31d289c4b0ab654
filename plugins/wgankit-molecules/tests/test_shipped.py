"""The trained runs that travel with the package."""

import socket

import pytest
import torch
from typer.testing import CliRunner

import wgankit
from wgankit import DataError, cli
from wgankit import state as states
from wgankit.domain import LEARNT
from wgankit.space import leaves
from wgankit_graphs.latent import labels_of
from wgankit_molecules import shipped
from wgankit_molecules.autoencoder import decode_points, encode_rows
from wgankit_molecules.latent import canonical_strings
from wgankit_molecules.metrics import shares
from wgankit_molecules.tokens import decode_tokens, encode_tokens


@pytest.fixture(scope="module")
def run():
    return wgankit.load("molecules:moses")


@pytest.fixture(scope="module")
def small():
    return wgankit.load("molecules:qm9")


# Of 500 strings; valid is five standard deviations and more below what 10,000 and 30,000 have.
@pytest.mark.parametrize(("name", "valid", "unique"), [("run", 0.8, 0.99), ("small", 0.91, 0.96)])
def test_its_samples_are_molecules_and_need_no_network(name, valid, unique, request, monkeypatch):
    def refuse(*arguments, **more):
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    drawn = request.getfixturevalue(name).sample(500, seed=0, device="cpu")
    found = shares(drawn, [])
    assert found["valid"] > valid
    assert found["unique"] > unique
    again = request.getfixturevalue(name).sample(500, seed=0, device="cpu", batch=33)
    assert again == drawn


def test_it_gives_back_molecules_that_it_was_not_trained_on(run):
    stored, rows = run.points("held_out")
    autoencoder = run.domain._autoencoder(run.vocabulary)
    some = rows[:300]
    said = decode_points(autoencoder, encode_rows(autoencoder, some))
    share = float((said == some).all(1).float().mean())
    # Binomial, five standard deviations.
    told = run.vocabulary["reconstruction"]
    assert abs(share - told) <= 5 * (max(told * (1 - told), 1 / 300) / 300) ** 0.5
    assert len(stored) == len(rows)


def test_molecules_of_qm9_come_back_from_their_points(small):
    stored, *labels = leaves(small.points("held_out"))
    known = small.vocabulary
    nodes, edges = labels_of(stored, known)
    same = (nodes == labels[0]).all(1) & (edges == labels[1]).flatten(1).all(1)
    # Binomial, five standard deviations.
    told = known["given_back"]
    assert abs(float(same.float().mean()) - told) <= 5 * (told * (1 - told) / len(stored)) ** 0.5


def test_its_molecules_are_canonical_and_in_its_vocabulary(run):
    held_out = run.held_out_objects
    assert canonical_strings(held_out[:100])[0] == held_out[:100]
    encoded = encode_tokens(held_out[:100], run.vocabulary)
    assert decode_tokens(encoded.points, run.vocabulary) == held_out[:100]


def test_weights_of_qm9_are_kept_in_float16_and_computed_with_in_float32(small):
    folder = shipped.qm9()
    kept = states.load(folder / "data.pt")[LEARNT]
    average = states.load(folder / "best.pt")["average"]
    present = small.generator("cpu").state_dict()
    wanted = {name: one for name, one in kept.items() if name.startswith("autoencoder.")}
    wanted |= average
    assert set(present) == set(wanted)
    for name, one in wanted.items():
        assert one.dtype is torch.float16
        assert present[name].dtype is torch.float32
        assert torch.equal(present[name], one.float())


def test_molecules_of_qm9_have_at_most_nine_heavy_atoms(small):
    along = small.held_out_objects + small.training_objects
    assert len(set(along)) == len(along) == 2_000
    encoded = small.domain.encode(along, small.vocabulary)
    assert not encoded.skipped
    nodes = leaves(encoded.points)[1]
    assert nodes.shape[1] == small.vocabulary["size"] == 9


@pytest.mark.parametrize("name", ["moses", "qm9"])
def test_the_command_samples_it(name):
    full = f"molecules:{name}"
    done = CliRunner().invoke(cli.app, ["sample", full, "-n", "5", "--seed", "3"])
    assert done.output.split("\n")[:5] == wgankit.load(full).sample(5, seed=3)


@pytest.mark.parametrize("folder", [shipped.moses, shipped.qm9])
def test_it_is_small_and_has_a_card(folder):
    files = {path.name: path.stat().st_size for path in folder().iterdir()}
    assert set(files) == {"config.json", "data.pt", "best.pt", "MODEL_CARD.md"}
    assert sum(files.values()) < 20e6


def test_a_model_that_is_not_there_is_said():
    with pytest.raises(DataError, match="no trained model 'qm7'"):
        shipped.folder("qm7")
