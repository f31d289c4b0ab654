"""The optimiser of critics: its update has the singular values it promises, and it fits."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from wgankit import Perceptron, SettingError
from wgankit.muon import Muon, orthogonalised


@settings(deadline=None, max_examples=30)
@given(
    rows=st.integers(2, 20),
    columns=st.integers(2, 20),
    size=st.floats(1e-6, 1e6),
    seed=st.integers(0, 99),
)
def test_orthogonalised_keeps_directions_and_evens_sizes(rows, columns, size, seed):
    """Against the singular value decomposition: the same U and V, singular values near 1."""
    torch.manual_seed(seed)
    left, _ = torch.linalg.qr(torch.randn(rows, rows, dtype=torch.float64))
    right, _ = torch.linalg.qr(torch.randn(columns, columns, dtype=torch.float64))
    rank = min(rows, columns)
    values = torch.logspace(0, -1, rank, dtype=torch.float64) * size
    matrix = left[:, :rank] * values @ right[:, :rank].T
    turned = left[:, :rank].T @ orthogonalised(matrix) @ right[:, :rank]
    sizes = turned.diagonal()
    assert torch.allclose(turned, sizes.diag(), atol=1e-8)
    assert sizes.min() > 0.6
    assert sizes.max() < 1.3


def test_a_gradient_of_zero_moves_no_matrix():
    assert torch.equal(orthogonalised(torch.zeros(3, 4)), torch.zeros(3, 4))


def test_vectors_are_moved_as_adam_moves_them():
    """Biases and one-row matrices agree with torch's Adam to rounding."""
    torch.manual_seed(0)
    ours, theirs = nn.Linear(5, 1), nn.Linear(5, 1)
    theirs.load_state_dict(ours.state_dict())
    pair = (
        Muon(ours, plain_rate=0.01, betas=(0.8, 0.95)),
        torch.optim.Adam(theirs.parameters(), lr=0.01, betas=(0.8, 0.95)),
    )
    for _ in range(20):
        x = torch.randn(16, 5)
        for network, optimizer in zip((ours, theirs), pair):
            optimizer.zero_grad()
            (network(x) - x.sum(1, keepdim=True)).square().mean().backward()
            optimizer.step()
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-6)
    assert torch.allclose(ours.bias, theirs.bias, atol=1e-6)


def test_the_first_update_of_a_matrix_has_the_size_of_the_rate():
    torch.manual_seed(0)
    layer = nn.Linear(6, 6, bias=False)
    before = layer.weight.detach().clone()
    optimizer = Muon(layer, rate=0.5)
    layer(torch.randn(8, 6)).square().mean().backward()
    optimizer.step()
    sizes = torch.linalg.svdvals(layer.weight.detach() - before)
    assert sizes.max() < 0.65
    assert sizes.min() > 0.3


def test_it_continues_from_its_state_as_if_never_stopped():
    torch.manual_seed(0)
    x = torch.randn(32, 4)

    def advance(network, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            (network(x) - x.norm(dim=1)).square().mean().backward()
            optimizer.step()

    whole = Perceptron(4, width=8, depth=2)
    halves = Perceptron(4, width=8, depth=2)
    halves.load_state_dict(whole.state_dict())
    advance(whole, Muon(whole), 6)
    first = Muon(halves)
    advance(halves, first, 3)
    second = Muon(halves)
    second.load_state_dict(first.state_dict())
    advance(halves, second, 3)
    for one, other in zip(whole.parameters(), halves.parameters()):
        assert torch.equal(one, other)


def test_settings_without_meaning_are_refused():
    with pytest.raises(SettingError):
        Muon(nn.Linear(2, 2), rate=0.0)
    with pytest.raises(SettingError):
        Muon(nn.ReLU())
