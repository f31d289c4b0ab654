"""What other toolkits do with labels by accident, and what it costs, in problems solved exactly.

Both ways are common: interpolates between a real point and a generated one of another class (which
loosens the bound on slopes by the number of classes), and labels that are interpolated and
differentiated along with the point (which lets mass change its class at a price nobody chose).
"""

import pytest
import torch
from torch import nn

import wgankit
from wgankit import Penalty
from wgankit_labels import Conditional, ConditionedCritic, EachCondition, conditional_w1

CLASSES, LAMBDA = 5, 10.0


class Table(nn.Module):
    """A number for each place under each label: every critic there is."""

    def __init__(self):
        super().__init__()
        self.heights = nn.Parameter(torch.zeros(2 * CLASSES, CLASSES, dtype=torch.float64))

    def forward(self, points):
        place, label = points
        return self.heights[place[:, 0], label[:, 0]]


class Pairs(wgankit.MetricSpace):
    """Class k has a real place k and a generated place CLASSES + k, 1 apart; classes are far."""

    def distance(self, x, y):
        same = x[:, 0] % CLASSES == y[:, 0] % CLASSES
        return torch.where(same, (x != y)[:, 0].double(), 1000.0)


def best_slopes(real_classes, fake_classes):
    """Slopes within each class of the critic that is best for these pairs of the penalty."""
    space, critic = EachCondition(Pairs(), price=1.0), Table()
    penalty = Penalty(LAMBDA, relative=False)
    classes = torch.arange(CLASSES)[:, None]
    k, j = torch.tensor(real_classes)[:, None], torch.tensor(fake_classes)[:, None]
    solver = torch.optim.LBFGS(critic.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def loss():
        solver.zero_grad()
        gap = (critic((classes, classes)) - critic((CLASSES + classes, classes))).mean()
        # At the label of the real point, as it is done.
        value = LAMBDA * penalty.value(space, critic, (k, k), (CLASSES + j, k)) - gap
        value.backward()
        return float(value.detach())

    solver.step(loss)
    with torch.no_grad():
        return critic((classes, classes)) - critic((CLASSES + classes, classes))


def test_interpolating_across_classes_loosens_the_bound_by_the_number_of_classes():
    """Slopes 1 + K / (2 lambda) instead of 1 + 1 / (2 lambda): only 1 pair in K is of one class."""
    everyone = range(CLASSES)
    ours = best_slopes([*everyone], [*everyone])
    mixed = best_slopes(
        [k for k in everyone for _ in everyone], [j for _ in everyone for j in everyone]
    )
    assert torch.allclose(ours, torch.full_like(ours, 1 + 1 / (2 * LAMBDA)), atol=1e-4)
    assert torch.allclose(mixed, torch.full_like(mixed, 1 + CLASSES / (2 * LAMBDA)), atol=1e-3)


def swapped(distance):
    """A generator that confuses two classes at that distance; labels one-hot."""
    c = torch.eye(2)
    x = torch.tensor([[0.0], [distance]])
    return (x, c), (x.flip(0), c)


@pytest.mark.parametrize("distance", [0.5, 10.0])
def test_differentiating_labels_lets_mass_change_its_class_for_a_fixed_price(distance):
    """Confused classes are then never more than sqrt(2) apart, the length of a changed one-hot."""
    real, fake = swapped(distance)
    theirs = wgankit.Product(wgankit.Normed(), wgankit.Normed(), p=2)  # |gradient| over both
    assert wgankit.exact.w1(theirs, real, fake) == pytest.approx(min(distance, 2**0.5), abs=1e-5)
    assert conditional_w1(wgankit.Normed(), real, fake) == pytest.approx(distance)


def trained(space, real, fake):
    torch.manual_seed(0)
    critic = ConditionedCritic(wgankit.Perceptron(1, width=32, depth=2), 2)

    def both(law):
        return lambda count: tuple(part[torch.arange(count) % 2] for part in law)

    report = wgankit.fit_critic(
        critic, both(real), both(fake), space=space, steps=400, pairs=64, rate=5e-3
    )
    return float(report.w1)


def test_a_trained_critic_sees_what_the_differentiated_label_hides():
    """At 10 between the classes, the critic that is held down in the label says a tenth of it."""
    real, fake = swapped(10.0)
    assert trained(EachCondition(wgankit.Normed()), real, fake) == pytest.approx(10.0, rel=0.03)
    theirs = trained(wgankit.Product(wgankit.Normed(), wgankit.Normed(), p=2), real, fake)
    assert theirs < 3.0


def test_the_price_of_a_label_is_chosen_where_conditions_are_part_of_the_space():
    """The same problem on a product says what its weight says, and 10 at a weight above 10."""
    real, fake = swapped(10.0)
    for weight, wanted in ((1.0, 2**0.5), (4.0, 4 * 2**0.5), (20.0, 10.0)):
        found = wgankit.exact.w1(Conditional(wgankit.Normed(), weight=weight), real, fake)
        assert found == pytest.approx(wanted, rel=1e-5)
