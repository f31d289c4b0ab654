"""What passes between host and device is seen: where nothing may, and where something does."""

import pytest
import torch
from test_laws import SPACES, matrix, numbers

import wgankit
from wgankit import Normed, Penalty, SettingError
from wgankit.crossings import Crossings
from wgankit.space import leaves, on_leaves
from wgankit.spaces import Pullback
from wgankit.testing import check_steps

META = torch.device("meta")
"""A device that computes nothing, so that all that asks for a number fails there."""

CASES = {name: case for name, case in SPACES.items() if name != "linear decoder"} | {
    "linear decoder with a ridge": lambda: (
        Pullback(matrix(6, 3), ridge=1e-6),
        lambda n: numbers(n, 3),
    )
}


@pytest.mark.parametrize("case", CASES)
def test_penalties_of_every_space_stay_on_the_device(case):
    torch.manual_seed(0)
    space, draw = CASES[case]()
    points = draw(8)
    real, fake = (
        on_leaves(lambda part, rows=rows: part[rows].to(META), points)
        for rows in (slice(0, 4), slice(4, 8))
    )

    def critic(points):
        return sum(part.flatten(1).double().square().sum(1) for part in leaves(points))

    def look():
        return space.distance(real, fake), Penalty().value(space, critic, real, fake)

    look()  # what a space is made of is carried there once
    with Crossings(META) as crossings:
        distance, value = look()
    assert crossings.seen == []
    assert distance.device == value.device == META


def test_a_decoder_that_is_looked_at_for_flat_directions_asks():
    """As its page says; so that steps in its space are not captured."""
    space, points = Pullback(matrix(6, 3)), numbers(4, 3)
    with Crossings(torch.device("cpu")) as crossings:
        space.dual_norm(points, points)
    assert any("asks" in one for one in crossings.seen)
    with pytest.raises(SettingError, match="flattens a direction at 4 of 4"):
        Pullback(lambda z: z[:, :1].repeat(1, 3)).dual_norm(points, points)


def test_copies_between_both_are_crossings_and_constants_are_none():
    """On a device that computes nothing."""
    there, here = torch.zeros(2, device="meta"), torch.ones(2)
    for way, told in (
        (lambda: here.to("meta"), "aten._to_copy copies"),
        (lambda: there.copy_(here), "aten.copy_ copies"),
        (lambda: torch.ones(()).to("meta"), "aten._to_copy copies"),
        (lambda: there[torch.tensor([0, 1])], "aten.index copies"),
    ):
        with Crossings(torch.device("meta")) as crossings:
            way()
        assert [one for one in crossings.seen if one.startswith(told)]
    with Crossings(torch.device("meta")) as crossings:
        (there + 2.0).where(there > 0, 0.5).to(torch.float64) * torch.ones(())
        torch.as_tensor(there), torch.full((2,), 3.0, device="meta"), here + 1
        there[torch.zeros(1, dtype=torch.long, device="meta")]
    assert crossings.seen == []


TABLE = torch.randn(2)


def training_with(noise):
    return wgankit.train(
        wgankit.Perceptron(2, 2, width=4),
        wgankit.Perceptron(2, width=4),
        torch.randn(20, 2),
        space=Normed(),
        batch=4,
        n_critic=2,
        noise=noise,
        device="cpu",
        compile=False,
    )


def test_steps_that_stay_on_their_device_pass():
    check_steps(training_with(lambda points: points + points.new_full((2,), 0.5)))


@pytest.mark.parametrize(
    ("noise", "said"),
    [
        (lambda x: x + torch.tensor([0.5, 1.0], device=x.device), "torch.tensor copies between"),
        (lambda x: x + torch.as_tensor(0.5, device=x.device), "torch.as_tensor copies between"),
        (lambda x: x + TABLE.to(x.device), "_to_copy copies between"),
        (lambda x: x * x.detach().sum().item(), "cannot do without the numbers"),
        (lambda x: x + 0 * x[x > 0].sum(), "cannot do without the numbers"),
    ],
)
def test_steps_in_which_the_host_takes_part_are_found(noise, said):
    with pytest.raises(AssertionError, match=said):
        check_steps(training_with(noise))
