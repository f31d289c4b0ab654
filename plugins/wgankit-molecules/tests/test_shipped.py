"""The trained run that travels with the package."""

import socket

import pytest
from typer.testing import CliRunner

import wgankit
from wgankit import DataError, cli
from wgankit_molecules import shipped
from wgankit_molecules.autoencoder import decode_points, encode_rows
from wgankit_molecules.latent import canonical_strings
from wgankit_molecules.metrics import shares
from wgankit_molecules.tokens import decode_tokens, encode_tokens


@pytest.fixture(scope="module")
def run():
    return wgankit.load("molecules:moses")


def test_its_samples_are_molecules_and_need_no_network(run, monkeypatch):
    def refuse(*arguments, **more):
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    drawn = run.sample(500, seed=0, device="cpu")
    found = shares(drawn, [])
    assert found["valid"] > 0.8
    assert found["unique"] > 0.99
    assert run.sample(500, seed=0, device="cpu", batch=33) == drawn


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


def test_its_molecules_are_canonical_and_in_its_vocabulary(run):
    held_out = run.held_out_objects
    assert canonical_strings(held_out[:100])[0] == held_out[:100]
    encoded = encode_tokens(held_out[:100], run.vocabulary)
    assert decode_tokens(encoded.points, run.vocabulary) == held_out[:100]


def test_the_command_samples_it(run):
    done = CliRunner().invoke(cli.app, ["sample", "molecules:moses", "-n", "5", "--seed", "3"])
    assert done.output.split("\n")[:5] == run.sample(5, seed=3)


def test_it_is_small_and_has_a_card():
    files = {path.name: path.stat().st_size for path in shipped.moses().iterdir()}
    assert set(files) == {"config.json", "data.pt", "best.pt", "MODEL_CARD.md"}
    assert sum(files.values()) < 20e6


def test_a_model_that_is_not_there_is_said():
    with pytest.raises(DataError, match="no trained model 'qm7'"):
        shipped.folder("qm7")
