"""QM9 and planar graphs in parts: files give back what they hold, and calls do not change a run."""

import json
import subprocess
import sys

import pytest
import torch

pytest.importorskip("rdkit")
pytest.importorskip("wgankit_molecules")

import wgankit
from benchmarks import graphs_h200 as h200
from benchmarks import parts
from wgankit import state as states
from wgankit.domain import LEARNT
from wgankit.sampling import generate
from wgankit_graphs.autoencoder import autoencoder_for, settings_from
from wgankit_graphs.latent import kinds_of
from wgankit_molecules.chemistry import canonical, decode_molecules
from wgankit_molecules.data import qm9_10k

CPU = torch.device("cpu")

WITHOUT_CHEMISTRY = """
import sys

for name in ("rdkit", "networkx", "scipy"):
    sys.modules[name] = None
from benchmarks import graphs_h200 as h200

folder, *common = sys.argv[1:]
for part in ("learn", "qm9-latent", "qm9", "planar", "sample"):
    assert h200.main([part, "--folder", folder, *common]) == h200.DONE
"""


def job_in(folder):
    return h200.Job(folder, h200.TINY, CPU, ends=0.0)


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    """A folder in which all sets are encoded, and the autoencoder of molecules is trained."""
    folder = tmp_path_factory.mktemp("encoded")
    assert h200.encode(job_in(folder)) == h200.DONE
    assert h200.learn(job_in(folder)) == h200.DONE
    return folder


@pytest.fixture
def folder(encoded, tmp_path):
    for path in encoded.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_encoded_molecules_are_those_of_the_source_each_in_one_split(encoded):
    known = job_in(encoded).vocabulary("qm9")
    strings = decode_molecules(h200.read_graphs(encoded / "qm9.npz"), known)
    skipped = 600 - len(strings)
    assert (known["train"], known["test"]) == (480, 60) if not skipped else skipped < 6
    wanted = {canonical(text) for text in qm9_10k()[:600]}
    assert len(set(strings)) == len(strings) > 590
    assert set(strings) <= wanted
    # Sizes and kinds are counted over training molecules alone.
    assert sum(known["sizes"]) == known["train"]
    nodes, _ = h200.read_graphs(encoded / "qm9.npz")
    counts = torch.bincount(nodes[: known["train"]].flatten().long(), minlength=10)[1:]
    assert counts[: len(known["node_counts"])].tolist() == known["node_counts"]


def test_encoded_planar_graphs_are_those_trained_on(encoded):
    from networkx.utils import graphs_equal

    job = job_in(encoded)
    domain, known = h200.DOMAINS["planar"](), job.vocabulary("planar")
    graphs = domain.decode(h200.read_graphs(encoded / "planar.npz"), known)
    wanted = h200.planar_graphs(job).train
    assert len(graphs) == len(wanted) == known["train"]
    assert all(sorted(a.edges) == sorted(b.edges) for a, b in zip(graphs, wanted, strict=True))
    assert not graphs_equal(graphs[0], graphs[1])


@pytest.mark.parametrize("name", ["qm9-latent", "qm9", "planar"])
def test_a_training_in_calls_of_one_step_is_the_training_in_one(folder, name, monkeypatch):
    monkeypatch.setattr(parts, "KEEP_EVERY", 1e9)
    steps = 4
    (folder / "plan.json").write_text(json.dumps({f"{name} steps": steps}))
    codes = [h200.train(job_in(folder), name) for _ in range(steps)]
    assert codes == [h200.GO_ON] * (steps - 1) + [h200.DONE]
    at_once = h200.training_of(job_in(folder), name, steps)
    begun = {key: one.clone() for key, one in at_once.average.state_dict().items()}
    for _ in at_once:
        pass
    kept = parts.read_parts(folder, f"{name}-generator")
    for key, one in at_once.average.state_dict().items():
        assert torch.equal(kept[key], one)
    assert any(not torch.equal(kept[key], one) for key, one in begun.items())
    assert not list(folder.glob("*-training-*"))


def test_a_training_begins_with_what_was_learnt(folder):
    job = job_in(folder)
    learnt = parts.read_parts(folder, "qm9-latent-learnt")
    training = h200.training_of(job, "qm9-latent", 4)
    weights = training.generator.state_dict()
    for name, one in learnt.items():
        if name.startswith("autoencoder."):
            assert torch.equal(weights[name], one)
    assert not list(folder.glob("planar-learnt*"))
    assert not list(folder.glob("*workshop*"))
    # The points are those of the molecules to train on, in their order.
    known = h200.whole(job, "qm9-latent")
    real = h200.cut(h200.read_graphs(folder / "qm9-latent.npz"), slice(known["train"]))
    encoded = h200.DOMAINS["qm9-latent"]().encode(decode_molecules(real, known), known)
    points = h200.points_of(job, "qm9-latent")
    assert torch.allclose(encoded.points[0], points, atol=1e-5)
    for path in folder.glob("qm9-latent-learnt*"):
        path.unlink()
    with pytest.raises(wgankit.RunError, match=r"nothing was learnt.*do that first: learn"):
        h200.training_of(job, "qm9-latent", 4)


def test_a_shipped_run_samples_as_the_one_that_was_trained_rounded_to_float16(folder, capsys):
    name, common = "qm9-latent", ["--folder", str(folder), "--tiny", "--device", "cpu"]
    (folder / "plan.json").write_text(json.dumps({f"{name} steps": 2}))
    while h200.main([name, *common]) != h200.DONE:
        pass
    assert h200.main(["ship", *common, "--only", "qm9", "--out", str(folder / "no")]) == h200.DONE
    assert not (folder / "no").exists()
    assert h200.main(["ship", *common, "--out", str(folder / "shipped")]) == h200.DONE
    known = job_in(folder).vocabulary(name)
    real = decode_molecules(h200.read_graphs(folder / f"{name}.npz"), known)
    rest = real[known["train"] : len(real) - known["test"]]
    assert f"% of {len(rest)} molecules nobody looked at come back" in capsys.readouterr().out
    job, shipped = job_in(folder), wgankit.load(folder / "shipped")
    assert shipped.name == "molecules:latent-graphs"
    assert shipped.config["settings"]["steps"] == 2
    data, best = (states.load(folder / "shipped" / file) for file in ("data.pt", "best.pt"))
    kept = {**data[LEARNT], **best["average"]}
    assert {one.dtype for one in kept.values()} == {torch.float16}
    # The autoencoder is kept once.
    assert not any(key.startswith("autoencoder.") for key in best["average"])
    model = h200.trained(job, name)
    model.generator.half().float()
    some = generate(model.generator, model.latent, count=30, batch=30, seed=1, numbers=8)
    assert torch.equal(shipped.sample_points(30, seed=1, device="cpu"), torch.cat(list(some)))
    # What travels along was neither trained on nor is it what is tested with.
    along = shipped.held_out_objects + shipped.training_objects
    assert [canonical(text) for text in along] == rest
    points = shipped.domain.encode(along, shipped.vocabulary).points[0]
    stored = torch.cat([shipped.points(part)[0] for part in ("held_out", "training")])
    assert torch.allclose(points, stored.float(), atol=1e-2)


def test_a_setting_that_is_given_takes_the_place_of_the_scales(folder, monkeypatch):
    seen = []

    def watch(job, name):
        seen.append(job)
        return h200.DONE

    monkeypatch.setattr(h200, "train", watch)
    common = ["--folder", str(folder), "--tiny", "--device", "cpu"]
    changes = ["--set", "n_critic=7", "--set", "model.width=24"]
    assert h200.main(["qm9", *common, *changes]) == h200.DONE
    assert h200.main(["planar", *common, "--only", "qm9"]) == h200.DONE
    (job,) = seen
    settings = job.settings("qm9")
    assert (settings["n_critic"], settings["batch"]) == (7, 8)
    assert settings["model"]["width"] == 24
    assert settings["model"]["layers"] == 1


def test_training_and_sampling_need_no_chemistry(folder):
    (folder / "plan.json").write_text(
        json.dumps({"qm9-latent steps": 3, "qm9 steps": 3, "planar steps": 2})
    )
    common = ["--tiny", "--device", "cpu", "-n", "300"]
    command = [sys.executable, "-c", WITHOUT_CHEMISTRY, str(folder), *common]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert len(h200.read_graphs(folder / "samples-planar.npz")[0]) == 300
    job = job_in(folder)
    for name in ("qm9-latent", "qm9"):
        points = h200.read_graphs(folder / f"samples-{name}.npz")
        again = h200.drawn(h200.trained(job, name), h200.whole(job, name), 300, seed=1)
        assert len(points[0]) == 300
        assert all(torch.equal(a, b) for a, b in zip(points, again, strict=True))


def test_training_molecules_in_place_of_samples_are_valid_and_not_new(folder):
    job = job_in(folder)
    known = job.vocabulary("qm9")
    real = h200.cut(h200.read_graphs(folder / "qm9.npz"), slice(known["train"]))
    h200.write_graphs(folder / "samples-qm9.npz", real)
    common = ["--folder", str(folder), "--tiny", "--device", "cpu", "--only", "qm9"]
    assert h200.main(["score", *common]) == h200.DONE
    figures = json.loads((folder / "scores.json").read_text())["qm9"]
    assert figures["valid"] == figures["unique"] == 1
    assert figures["novel"] == figures["vun"] == 0
    assert figures["fcd"] == pytest.approx(figures["fcd_floor"], abs=1e-3)


def test_training_graphs_in_place_of_planar_samples(folder):
    job = job_in(folder)
    known, points = h200.planar_graphs(job), h200.read_graphs(folder / "planar.npz")
    h200.write_graphs(folder / "samples-planar.npz", points)
    figures = h200.score_planar(job)
    assert figures["valid"] == figures["unique"] == 1
    assert figures["novel"] == figures["vun"] == 0
    assert figures["samples"] == len(known.train)
    assert figures["ratio"] == pytest.approx(1)


def test_graphs_come_back_from_their_file(tmp_path):
    torch.manual_seed(0)
    nodes = torch.randint(0, 5, (7, 6))
    half = torch.randint(0, 4, (7, 6, 6)).triu(1)
    h200.write_graphs(tmp_path / "some.npz", (nodes, half + half.mT))
    found = h200.read_graphs(tmp_path / "some.npz")
    assert torch.equal(found[0].long(), nodes)
    assert torch.equal(found[1].long(), half + half.mT)


def full_vocabulary(job, name):
    """Return a vocabulary with an autoencoder of the size that is trained on a GPU."""
    known = job.vocabulary(name)
    if name not in h200.LATENT:
        return known
    chosen = settings_from(job.settings(name)["model"]["autoencoder"])
    autoencoder = autoencoder_for(known["size"], kinds_of(known), chosen)
    state = {f"autoencoder.{key}": one for key, one in autoencoder.state_dict().items()}
    size = chosen["latent"]
    state |= {"law.centre": torch.zeros(size), "law.factor": torch.eye(size)}
    return {**known, "autoencoder": chosen, LEARNT: state}


@pytest.mark.parametrize("name", h200.DOMAINS)
def test_files_of_the_full_size_can_be_carried(folder, name):
    """A part leaves at most eight files of at most 15 MiB, all numbers in four bytes."""
    job = h200.Job(folder, h200.FULL, CPU, ends=0.0)
    model = h200.DOMAINS[name]().build(full_vocabulary(job, name), job.settings(name))
    numbers = 0
    # Both networks, two moments of what is trained, and the generator's average.
    for player, copies in ((model.generator, 2), (model.critic, 1)):
        numbers += sum(
            one.numel() * (copies + 2 * one.requires_grad) for one in player.parameters()
        )
    assert 4 * numbers / parts.LARGEST_FILE < 7


def test_state_in_parts_is_the_state(tmp_path):
    state = {"a": torch.randn(1_000), "b": {"c": 1}}
    parts.write_parts({"a": torch.zeros(9_000)}, tmp_path, "x", largest=1_000)
    parts.write_parts(state, tmp_path, "x", largest=1_000)
    assert max(path.stat().st_size for path in tmp_path.iterdir()) <= 1_000
    assert len(list(tmp_path.iterdir())) < 9
    found = parts.read_parts(tmp_path, "x")
    assert torch.equal(found["a"], state["a"])
    assert found["b"] == state["b"]
    assert parts.read_parts(tmp_path, "y") is None


def test_points_trained_on_are_the_first_rows(folder):
    job = job_in(folder)
    count = job.vocabulary("qm9")["train"]
    seen = h200.training_of(job, "qm9", 2).batches.points
    wanted = h200.cut(h200.read_graphs(folder / "qm9.npz"), slice(count))
    assert all(torch.equal(one, two) for one, two in zip(seen, wanted, strict=True))
