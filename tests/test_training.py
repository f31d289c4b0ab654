"""The loop: exact resume, no host reads, and what every update must depend on."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

import wgankit
from wgankit import (
    DataError,
    Normal,
    Normed,
    OneHot,
    Penalty,
    Perceptron,
    Product,
    RunError,
    SettingError,
    ShapeError,
    Uniform,
    exact,
    train,
)
from wgankit.batches import Batches
from wgankit.crossings import Crossings
from wgankit.separate import check_separate
from wgankit.state import load, save


def make(data=None, steps=None, **settings):
    torch.manual_seed(0)
    data = torch.randn(100, 2) + 3 if data is None else data
    settings = {"batch": 16, "n_critic": 2, "space": Normed(), "latent": Normal(3), **settings}
    return train(
        Perceptron(3, 2, width=16),
        Perceptron(2, width=16),
        data,
        device="cpu",
        steps=steps,
        **settings,
    )


def rows(training, count):
    return [next(training).estimate.row() for _ in range(count)]


def test_resume_continues_bit_for_bit(tmp_path):
    """N + M steps equal N steps, save, load, M steps: to the last digit, epoch ends included."""
    whole = rows(make(), 17)
    first = make()
    begun = rows(first, 8)
    first.save(tmp_path / "state.pt")
    again = make(data=torch.randn(100, 2) * 0 + first.batches.points)
    again.load(tmp_path / "state.pt")
    assert begun + rows(again, 9) == whole
    unbroken = make()
    rows(unbroken, 17)
    for a, b in zip(unbroken.average.parameters(), again.average.parameters()):
        assert torch.equal(a, b)


def test_training_does_not_depend_on_its_callers_random_numbers():
    quiet = rows(make(), 5)
    noisy_training = make()
    noisy = []
    for _ in range(5):
        torch.randn(7)
        noisy += rows(noisy_training, 1)
    assert noisy == quiet


def test_caller_keeps_its_own_random_numbers():
    training = make()
    torch.manual_seed(5)
    wanted = torch.rand(2)
    torch.manual_seed(5)
    first = torch.rand(1)
    next(training)
    assert torch.equal(torch.cat([first, torch.rand(1)]), wanted)


def test_every_step_draws_anew():
    """The stream goes on from step to step: no latent vector comes twice."""
    drawn = []

    class Watched(wgankit.Latent):
        def sample(self, count, device):
            points = torch.randn(count, 3, device=device)
            drawn.append(points)
            return points

    rows(make(latent=Watched()), 4)
    vectors = torch.cat(drawn)
    assert len(vectors.unique(dim=0)) == len(vectors)


def test_seed_decides_the_run():
    assert rows(make(seed=1), 3) == rows(make(seed=1), 3)
    assert rows(make(seed=1), 3) != rows(make(seed=2), 3)


@pytest.mark.parametrize("relative", [True, False])
def test_no_number_is_read_from_the_device_inside_a_step(relative):
    training = make(penalty=Penalty(relative=relative))
    next(training)
    with Crossings(torch.device("cpu")) as reads:
        for _ in range(8):
            next(training)
    assert reads.seen == []
    with Crossings(torch.device("cpu")) as reads:
        _ = next(training).w1.item()
    assert reads.seen, "the counter must see a read that is there"


def test_critic_sees_every_real_and_every_generated_point():
    """The critic's loss moves with each point of the batch (DeepChem: only with two of them)."""
    real, fake = torch.randn(2, 6, 2)
    critic = Perceptron(2, width=8)
    objective = wgankit.Wasserstein()
    for side, points in (("real", real), ("fake", fake)):
        points.requires_grad_()
        loss = objective.critic(critic(real), critic(fake))
        (gradient,) = torch.autograd.grad(loss, points)
        assert (gradient.abs().sum(1) > 0).all(), side


def test_wasserstein_loss_ignores_constants():
    scores = torch.randn(2, 8)
    loss = wgankit.Wasserstein().critic(scores[0], scores[1])
    moved = wgankit.Wasserstein().critic(scores[0] + 100, scores[1] + 100)
    assert moved.item() == pytest.approx(loss.item(), abs=1e-4)
    assert loss.item() == pytest.approx((scores[1].mean() - scores[0].mean()).item())


class _TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(3, 2), nn.Linear(3, 4)

    def forward(self, z):
        return self.left(z), self.right(z).softmax(-1)


class _JointCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = Perceptron(6, width=8)

    def forward(self, points):
        return self.net(torch.cat(points, -1))


def test_every_head_of_the_generator_learns():
    """(DeepChem's MolGAN: the atom head gets no gradient, so atoms are never learnt.)"""
    torch.manual_seed(0)
    generator = _TwoHeads()
    before = [p.clone() for p in generator.parameters()]
    data = (torch.randn(40, 2), torch.eye(4)[torch.randint(4, (40,))])
    space = Product(Normed(), OneHot())
    training = train(
        generator, _JointCritic(), data, space=space, latent=Normal(3), batch=8, device="cpu"
    )
    next(training)
    for old, new in zip(before, generator.parameters()):
        assert not torch.equal(old, new)


def test_n_critic_counts_critic_updates():
    """torch's Adam counts its own steps."""
    training = make(n_critic=3)
    rows(training, 4)
    critic = training.critic_optimizer.state_dict()["state"][0]["step"]
    generator = training.generator_optimizer.state_dict()["state"][0]["step"]
    assert (int(critic), int(generator)) == (12, 4)


def test_batches_show_every_point_once_an_epoch():
    torch.manual_seed(0)
    batches = Batches(torch.arange(12), 4)
    for _ in range(3):
        epoch = torch.cat([batches.draw() for _ in range(3)])
        assert sorted(epoch.tolist()) == list(range(12))


def test_relative_weight_follows_the_units_of_the_data():
    """Data and generator times 100: the weight is 100 times as large, the slopes are the same."""

    class Scaled(nn.Module):
        def __init__(self, net, factor, inside):
            super().__init__()
            self.net, self.factor, self.inside = net, factor, inside

        def forward(self, x: Tensor):
            return self.net(x / self.factor if self.inside else x) * self.factor

    def run(factor):
        torch.manual_seed(0)
        data = (torch.randn(64, 2) + 3) * factor
        generator = Scaled(Perceptron(3, 2, width=8), factor, False)
        critic = Scaled(Perceptron(2, width=8), factor, True)
        training = train(
            generator, critic, data, space=Normed(), latent=Normal(3), batch=16, device="cpu"
        )
        return rows(training, 3)[-1]

    small, large = run(1.0), run(100.0)
    assert large["weight"] == pytest.approx(100 * small["weight"], rel=1e-3)
    assert large["w1"] == pytest.approx(100 * small["w1"], rel=1e-2, abs=1e-2)
    assert large["steepest"] == pytest.approx(small["steepest"], rel=1e-3)


@pytest.mark.timeout(120)
def test_translation_is_learnt():
    """A point cloud at distance 5: exact W1 falls to a tenth, and the estimate says so."""
    torch.manual_seed(0)
    data = torch.randn(2_000, 2) + torch.tensor([3.0, 4.0])
    space = Normed()
    training = train(
        Perceptron(2, 2, width=32),
        Perceptron(2, width=32),
        data,
        space=space,
        latent=Normal(2),
        batch=128,
        n_critic=3,
        generator_rate=1e-3,
        critic_rate=1e-3,
        ema=0.9,
        device="cpu",
        steps=300,
    )
    *_, last = training
    with torch.no_grad():
        fake = training.average(torch.randn(500, 2))
    assert exact.w1(space, data[:500], fake) < 0.6
    assert last.w1.item() < 0.8


def test_steps_count_from_the_beginning(tmp_path):
    training = make(steps=5)
    assert [step.index for step in training] == [1, 2, 3, 4, 5]
    training.save(tmp_path / "s.pt")
    assert [s.index for s in make(steps=7, resume=tmp_path / "s.pt")] == [6, 7]


def test_schedule_scales_both_rates():
    training = make(schedule=lambda step: 0.5**step, generator_rate=1.0e-3, critic_rate=4.0e-3)
    rows(training, 3)
    assert training.generator_optimizer.param_groups[0]["lr"] == pytest.approx(0.25e-3)
    assert training.critic_optimizer.param_groups[0]["lr"] == pytest.approx(1.0e-3)


def falling(step):
    """Full rates for two steps, then a hundredth of them."""
    return 1.0 if step < 2 else 0.01


def on_a_gpu(optimizer):
    """Give an optimiser what it has on a GPU: a rate that a captured graph reads."""
    (group,) = optimizer.param_groups
    group.update(lr=torch.tensor(group["lr"], dtype=torch.float64), capturable=True)
    return group["lr"]


@pytest.mark.parametrize("to_gpu", [True, False])
def test_a_state_goes_on_where_the_device_keeps_its_rate_otherwise(tmp_path, to_gpu):
    """Rates stay numbers, or the tensors that were there, and follow the schedule."""
    wanted = rows(make(schedule=falling), 6)
    first, again = make(schedule=falling), make(schedule=falling)
    before, after = (again, first) if to_gpu else (first, again)
    optimizers = (before.generator_optimizer, before.critic_optimizer)
    rates = [on_a_gpu(one) for one in optimizers]
    begun = rows(first, 3)
    first.save(tmp_path / "state.pt")
    again.load(tmp_path / "state.pt")
    for optimizer, rate in zip(optimizers, rates):
        assert optimizer.param_groups[0]["lr"] is rate
        assert optimizer.param_groups[0]["capturable"]
        assert float(rate) == pytest.approx(1e-6)
    for optimizer in (after.generator_optimizer, after.critic_optimizer):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-6)
        assert not optimizer.param_groups[0]["capturable"]
    found = begun + rows(again, 3)
    for one, other in zip(found, wanted):
        assert one == pytest.approx(other, rel=1e-6, abs=1e-9)


def test_random_numbers_of_a_device_that_the_state_was_not_on_stay_ones_own():
    first, again = make(), make()
    rows(first, 1)
    first.randomness.state["elsewhere"], again.randomness.state["here"] = (
        torch.tensor([1]),
        torch.tensor([2]),
    )
    again.load_state_dict(first.state_dict())
    assert set(again.randomness.state) == {"cpu", "here"}
    assert torch.equal(again.randomness.state["cpu"], first.randomness.state["cpu"])


def test_a_longer_schedule_raises_the_rates_of_a_saved_state(tmp_path):
    short = make(schedule=falling)
    rows(short, 3)
    short.save(tmp_path / "state.pt")
    longer = make()
    longer.load(tmp_path / "state.pt")
    assert longer.critic_optimizer.param_groups[0]["lr"] == pytest.approx(1e-6)
    rows(longer, 1)
    assert longer.critic_optimizer.param_groups[0]["lr"] == 1e-4


def test_rates_that_somebody_else_sets_are_saved(tmp_path):
    """A scheduler of one's own is not undone where the schedule says nothing."""
    first = make()
    rows(first, 1)
    first.critic_optimizer.param_groups[0]["lr"] = 5e-5
    rows(first, 1)
    first.save(tmp_path / "state.pt")
    again = make()
    again.load(tmp_path / "state.pt")
    rows(again, 1)
    assert again.critic_optimizer.param_groups[0]["lr"] == 5e-5


def test_captured_steps_are_looked_at_when_their_number_has_doubled():
    """And others each thousand steps, too, since they take longer and a look is cheap beside."""
    training = make()

    def due():
        found = []
        for training.index in (3, 4, 1_000, 1_024, 3_000, 4_096):
            found += [training.index] if training._is_due() else []
        return found

    assert due() == [4, 1_000, 3_000]
    training.captured = SimpleNamespace(refused="")
    assert due() == [4, 1_024, 4_096]
    training.captured.refused = "a number is asked for"
    assert due() == [4, 1_000, 3_000]


def test_a_captured_graph_is_left_when_a_state_is_loaded(tmp_path):
    """It would go on with the tensors of before."""

    class Graph:
        left = 0

        def look_again(self):
            self.left += 1

    training = make()
    rows(training, 1)
    training.save(tmp_path / "state.pt")
    training.captured = Graph()
    training.load(tmp_path / "state.pt")
    assert training.captured.left == 1


def test_state_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "state.pt"
    save({"step": 1}, path)

    def fail(*args, **kwargs):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(RuntimeError, match="disk is full"):
        save({"step": 2}, path)
    assert load(path) == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]


def test_unreadable_states_are_refused(tmp_path):
    with pytest.raises(RunError, match="no saved state"):
        load(tmp_path / "none.pt")
    (tmp_path / "noise.pt").write_bytes(b"not a state")
    with pytest.raises(RunError, match="not a state"):
        load(tmp_path / "noise.pt")
    with pytest.raises(RunError, match="cannot write"):
        save({}, tmp_path / "missing" / "state.pt")
    training = make()
    with pytest.raises(RunError, match="layout 99"):
        training.load_state_dict({"format": 99})


def test_state_of_other_networks_is_refused(tmp_path):
    torch.manual_seed(0)
    make().save(tmp_path / "s.pt")
    other = train(
        Perceptron(3, 2, width=8),
        Perceptron(2, width=8),
        torch.randn(50, 2),
        space=Normed(),
        latent=Normal(3),
        device="cpu",
        batch=8,
    )
    with pytest.raises(RunError, match="other networks"):
        other.load(tmp_path / "s.pt")


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"data": torch.randn(5, 2)}, DataError, "batch=5"),
        ({"data": torch.full((50, 2), float("nan"))}, ShapeError, "50 of 50 points hold NaN"),
        ({"data": torch.randn(50, 3)}, ShapeError, "generator must return points like"),
        ({"n_critic": 0}, SettingError, "at least 1"),
        ({"ema": 1.0}, SettingError, "decay"),
        ({"penalty": Penalty(weight=0)}, SettingError, "without any constraint"),
    ],
)
def test_misfits_are_named_before_training(settings, error, words):
    with pytest.raises(error, match=words):
        make(**settings)


def test_critic_with_a_trailing_axis_is_told_what_to_type():
    with pytest.raises(ShapeError, match=r"squeeze\(-1\)"):
        train(
            Perceptron(3, 2),
            nn.Linear(2, 1),
            torch.randn(50, 2),
            space=Normed(),
            latent=Normal(3),
            batch=8,
            device="cpu",
        )


def test_latent_is_read_off_the_generator():
    assert make(latent=None).latent.shape == (3,)
    with pytest.raises(SettingError, match=r"latent=wgankit.Normal"):
        train(nn.Flatten(), Perceptron(2), torch.randn(50, 2), space=Normed(), device="cpu")


def test_noise_passes_over_real_and_generated_points_alike():
    seen = []

    def noise(points):
        seen.append(len(points))
        return points + 1000.0

    class Watched(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = Perceptron(2, width=8)

        def forward(self, x):
            assert (x > 500).all(), "the critic met a point without noise"
            return self.net(x - 1000.0)

    torch.manual_seed(0)
    training = train(
        Perceptron(3, 2),
        Watched(),
        torch.randn(50, 2),
        space=Normed(),
        batch=8,
        n_critic=2,
        noise=noise,
        device="cpu",
    )
    seen.clear()
    next(training)
    assert sorted(seen) == [8, 16, 16]


def test_latents_follow_their_laws():
    torch.manual_seed(0)
    normal = Normal(4, 5).sample(5_000, "cpu")
    assert normal.shape == (5_000, 4, 5)
    assert abs(normal.mean().item()) < 0.02
    assert abs(normal.std().item() - 1) < 0.02
    uniform = Uniform(3).sample(20_000, "cpu")
    assert uniform.min() >= -1
    assert uniform.max() <= 1
    assert abs(uniform.square().mean().item() - 1 / 3) < 0.01
    with pytest.raises(SettingError):
        Normal()
    with pytest.raises(SettingError):
        Uniform(0)


# Critics that couple the samples of a batch ---------------------------------------------------


def refused(critic, **settings):
    return train(
        Perceptron(3, 2),
        critic,
        torch.randn(64, 2),
        space=Normed(),
        latent=Normal(3),
        device="cpu",
        batch=16,
        **settings,
    )


class _Deviation(nn.Module):
    """Appends the deviation over the batch, as some discriminators of pictures do."""

    def forward(self, x):
        return torch.cat([x, x.std(0).mean().expand(len(x), 1)], 1)


def critic_with(layer, after=16):
    return nn.Sequential(
        nn.Linear(2, 16), layer, nn.LeakyReLU(0.2), nn.Linear(after, 1), nn.Flatten(0)
    )


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(16), _Deviation()], ids=["norm", "deviation"])
def test_critics_that_couple_samples_are_refused_by_running_them(layer):
    torch.manual_seed(0)
    critic = critic_with(layer, 17 if isinstance(layer, _Deviation) else 16)
    with pytest.raises(SettingError, match="other points of the batch"):
        refused(critic)
    classical = {"objective": wgankit.JensenShannon(), "penalty": wgankit.Unconstrained()}
    assert next(refused(critic, **classical)).index == 1  # no slopes, nothing to forbid


@pytest.mark.parametrize(
    "layer", [nn.LayerNorm(16), nn.Dropout(0.5), nn.Identity()], ids=["layer", "dropout", "none"]
)
def test_critics_that_do_not_are_left_alone(layer):
    torch.manual_seed(0)
    critic = critic_with(layer)
    before = [buffer.clone() for buffer in critic.buffers()]
    refused(critic)
    assert all(torch.equal(a, b) for a, b in zip(before, critic.buffers()))


def test_the_detector_leaves_running_averages_where_they_were():
    critic = critic_with(nn.BatchNorm1d(16))
    with pytest.raises(SettingError):
        check_separate(critic, torch.randn(8, 2))
    assert torch.equal(critic[1].running_mean, torch.zeros(16))


# Latents with codes ---------------------------------------------------------------------------


def test_a_mixture_latent_puts_each_code_at_its_own_place():
    latent = wgankit.MixtureLatent(3, 2)
    generator = wgankit.MixtureGenerator(latent, nn.Identity(), apart=100.0)
    torch.manual_seed(0)
    drawn = latent.sample(6000, "cpu")
    counts = torch.bincount(drawn.codes, minlength=3)
    assert ((counts - 2000).abs() < 200).all()
    points = generator(drawn)
    for code in range(3):
        offset = points[drawn.codes == code] - 100.0 * generator.places.weight[code]
        assert offset.mean(0).abs().max() < 0.1
        assert offset.std(0).sub(1).abs().max() < 0.1


def test_codes_let_a_generator_reach_modes_that_a_connected_latent_bridges():
    """Data at -4 and 4, generator a line: only with codes does no sample stand in between."""
    torch.manual_seed(0)
    data = (torch.randint(2, (512, 1)) * 8.0 - 4.0) + 0.1 * torch.randn(512, 1)

    def between(generator, latent):
        training = train(
            generator, Perceptron(1, width=32, depth=2), data, space=Normed(), latent=latent,
            steps=400, batch=64, n_critic=3, generator_rate=2e-2, critic_rate=1e-2, ema=0.9,
            betas=(0.5, 0.9), penalty=Penalty(1.0), device="cpu",
        )  # fmt: skip
        for _ in training:
            pass
        with torch.no_grad():
            samples = training.average(latent.sample(1000, "cpu"))
        return (samples.abs() < 2).float().mean().item()

    mixture = wgankit.MixtureLatent(8, 1)
    coded = wgankit.MixtureGenerator(mixture, nn.Linear(1, 1), apart=2.0)
    assert between(coded, mixture) < 0.05
    assert between(nn.Linear(1, 1), Normal(1)) > 0.2


def test_latents_without_codes_are_refused():
    with pytest.raises(SettingError, match="at least one code"):
        wgankit.MixtureLatent(0, 2)
    with pytest.raises(SettingError, match="apart"):
        wgankit.MixtureGenerator(wgankit.MixtureLatent(2, 2), nn.Identity(), apart=0)


def test_checks_before_training_draw_noise_once_so_that_seeds_keep_their_meaning():
    calls = []

    def noise(points):
        calls.append(len(points))
        return points + 0.01 * torch.randn_like(points)

    make(noise=noise)
    assert calls == [2, 2]  # two real points and two generated ones


class Sorts(wgankit.Conditioned):
    """Noise beside the second part of real points, which is a condition."""

    def sample(self, count, device):
        return torch.randn(count, 3, device=device), torch.randint(2, (count, 1)).float()

    def beside(self, real):
        return torch.randn(len(real[0]), 3), real[1]


class Given(nn.Module):
    """Latents with a condition -> points with the same condition."""

    def __init__(self):
        super().__init__()
        self.network = Perceptron(4, 2, width=8)

    def forward(self, latents):
        return self.network(torch.cat(latents, 1)), latents[1]


class Scores(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = Perceptron(3, width=8)

    def forward(self, points):
        return self.network(torch.cat(points, 1))


def test_conditioned_latents_share_the_condition_of_the_real_point_beside_them():
    """In every pair that the penalty sees, and in the generator's update."""
    torch.manual_seed(0)
    pairs = []

    def spy(real, fake):
        pairs.append((real[1], fake[1]))
        return wgankit.between(real, fake)

    training = train(
        Given(),
        Scores(),
        (torch.randn(50, 2), torch.randint(2, (50, 1)).float()),
        space=Product(Normed(), Normed()),
        latent=Sorts(),
        penalty=Penalty(where=spy),
        batch=20,
        n_critic=3,
        device="cpu",
    )
    next(training)
    assert len(pairs) == 3
    assert all(torch.equal(real, fake) for real, fake in pairs)
    assert any(len(real.unique()) == 2 for real, _ in pairs)


def test_content_is_added_to_the_generators_loss_at_the_points_beside():
    """Alone (an objective of 0), it teaches the generator what the condition says."""

    class Nothing(wgankit.Objective):
        def critic(self, real, fake):
            return 0 * fake.mean()

        def generator(self, fake, score_real):
            return 0 * fake.mean()

    def content(fake, real):
        assert torch.equal(fake[1], real[1])
        return (fake[0] - real[1]).square().mean()

    torch.manual_seed(0)
    training = train(
        Given(),
        Scores(),
        (torch.randn(50, 2), torch.randint(2, (50, 1)).float()),
        space=Product(Normed(), Normed()),
        latent=Sorts(),
        objective=Nothing(),
        content=content,
        generator_rate=1e-2,
        batch=20,
        n_critic=1,
        device="cpu",
    )
    losses = [float(next(training).generator_loss) for _ in range(200)]
    assert losses[0] > 0.1
    assert losses[-1] < 0.01


def test_fakes_that_no_path_leads_to_are_refused_before_training():
    """A penalty would have nowhere to look, and a relative weight would be infinite."""

    class Islands(wgankit.MetricSpace):
        def distance(self, x, y):
            apart = (x > 50).any(1) != (y > 50).any(1)
            return Normed().distance(x, y).masked_fill(apart, torch.inf)

    with pytest.raises(SettingError, match=r"\[inf, inf\] from the real ones beside them"):
        make(torch.randn(100, 2) + 100, space=Islands())
