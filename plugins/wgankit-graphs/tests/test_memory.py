"""Memory: estimates beside what torch counts, refusals before anything is allocated, blocks."""

import json
import re
from itertools import accumulate
from pathlib import Path

import networkx as nx
import pytest
import torch

import wgankit
from wgankit import DataError
from wgankit_graphs import GraphCritic, GraphGenerator, GraphLatent, LabelledGraphsDomain, memory
from wgankit_graphs.encoding import encode_graphs
from wgankit_graphs.memory import available_bytes, sizes_of, step_bytes, stored_bytes
from wgankit_graphs.recipe import MODEL

MIB = 2**20


def free(monkeypatch, mebibytes: float) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda device="cpu": int(mebibytes * MIB))


def largest_sum(act, path) -> int:
    """How many bytes of tensors an act holds at most, as torch's profiler counts them."""
    cpu = torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[cpu], profile_memory=True) as seen:
        act()
    seen.export_chrome_trace(str(path))
    events = json.loads(path.read_text())["traceEvents"]
    changes = [event["args"]["Bytes"] for event in events if event.get("name") == "[memory]"]
    return max(accumulate(changes, initial=0))


def vocabulary_of(size, numbers=(0, 0), labels=1):
    law = {"name": "number", "mean": 0.0, "deviation": 1.0}
    more = zip(("node_numbers", "edge_numbers"), numbers, strict=True)
    plain = {"nodes": [None], "edges": list(range(labels)), "size": size}
    return (
        plain | {"sizes": [0] * size + [9]} | {key: [law] * count for key, count in more if count}
    )


def points_of(count, size, numbers):
    edges = (torch.rand(count, size, size) < 0.05).triu(1).byte()
    edges = edges + edges.transpose(1, 2)
    parts = [torch.ones(count, size, dtype=torch.uint8), edges]
    if numbers[0]:
        parts.append(torch.randn(count, size, numbers[0]))
    if numbers[1]:
        parts.append(torch.randn(count, size, size, numbers[1]) * edges.unsqueeze(-1))
    return tuple(parts)


CASES = [
    (90, 2, {"n_critic": 5}, (0, 0), 1, None),
    (90, 4, {"width": 16}, (2, 1), 3, None),
    (140, 2, {"layers": 1, "steps": 3}, (1, 0), 1, None),
    (140, 2, {}, (0, 2), 1, 1 << 18),
    (140, 2, {}, (0, 0), 4, 1 << 18),
]


@pytest.mark.parametrize(("size", "batch", "model", "numbers", "labels", "block"), CASES)
def test_a_step_takes_what_was_foretold(
    monkeypatch, tmp_path, size, batch, model, numbers, labels, block
):
    """Sizes and settings that the factors were not fitted to; with blocks and without."""
    if block:
        monkeypatch.setattr(memory, "BLOCK", block)
    model = dict(model)
    n_critic = model.pop("n_critic", 2)
    vocabulary = vocabulary_of(size, numbers, labels)
    built = LabelledGraphsDomain().build(vocabulary, {"model": model})
    training = wgankit.train(
        built.generator,
        built.critic,
        points_of(n_critic * batch, size, numbers),
        space=built.space,
        latent=built.latent,
        prepare=built.prepare,
        noise=built.noise,
        batch=batch,
        n_critic=n_critic,
        device="cpu",
        compile=False,
    )
    next(training)
    seen = largest_sum(lambda: next(training), tmp_path / "trace.json")
    sizes = {"batch": batch, "n_critic": n_critic, "held_out": 0.0}
    settings = {**sizes, "model": {**MODEL, **model}}
    foretold = step_bytes(sizes_of(0, vocabulary, settings))
    assert 0.7 < foretold / seen < 1.4


@pytest.mark.parametrize("numbers", [(), ("x",)])
def test_stored_graphs_take_what_is_said(numbers):
    graphs = [nx.cycle_graph(size) for size in (3, 7, 12)]
    for graph in graphs:
        nx.set_node_attributes(graph, 1.0, "x")
        nx.set_edge_attributes(graph, 1.0, "x")
    points = encode_graphs(graphs, node_numbers=numbers, edge_numbers=numbers).points
    found = sum(part.numel() * part.element_size() for part in points)
    assert found == stored_bytes(3, 12, len(numbers), len(numbers))


def test_too_large_graphs_are_refused_before_arrays_are_made(monkeypatch):
    """Only 100 graphs of 10 nodes fit into 11 KiB; one of 2,000 nodes would take 3.8 MiB."""
    graphs = [*(nx.cycle_graph(10) for _ in range(100)), nx.empty_graph(2_000)]
    free(monkeypatch, 11 / 1024)
    with pytest.raises(DataError, match=r"101 graphs of up to 2,000 nodes take 385.\d MiB") as seen:
        encode_graphs(graphs)
    assert "11.0 KiB are free" in str(seen.value)
    assert "largest=10" in str(seen.value)
    assert len(encode_graphs(graphs, largest=10).kept) == 100


SETTINGS = {
    "batch": 16,
    "steps": 1,
    "evaluate_on": 4,
    "compile": False,
    "device": "cpu",
    "progress": False,
}


def refused(tmp_path, graphs, **settings) -> str:
    with pytest.raises(DataError) as seen:
        wgankit.recipe("graphs").fit(graphs, out=tmp_path / "run", **{**SETTINGS, **settings})
    assert not (tmp_path / "run").exists()
    return str(seen.value)


def test_fit_says_nodes_batch_memory_and_what_to_type(monkeypatch, tmp_path):
    """Each piece of advice fits by itself, and a little more would not."""
    graphs = [nx.cycle_graph(20 + number) for number in range(60)]
    free(monkeypatch, 50)
    said = refused(tmp_path, graphs)
    assert "graphs of up to 79 nodes in batches of 16" in said
    assert "50.0 MiB are free on cpu" in said
    advice = dict(re.findall(r"(batch=|largest=|\"width\": )(\d+)", said))
    assert set(advice) == {"batch=", "largest=", '"width": '}
    vocabulary = encode_graphs(graphs).vocabulary
    plain = {**wgankit.recipe("graphs").defaults, **SETTINGS}

    def fits(graphs_known, **changed):
        settings = {**plain, **changed}
        settings["model"] = {**MODEL, **changed.get("model", {})}
        try:
            memory.check_training(sum(graphs_known["sizes"]), graphs_known, settings, "cpu")
        except DataError:
            return False
        return True

    batch, width, largest = (int(advice[key]) for key in ("batch=", '"width": ', "largest="))
    assert fits(vocabulary, batch=batch)
    assert not fits(vocabulary, batch=batch + 1)
    assert fits(vocabulary, model={"width": width})
    assert not fits(vocabulary, model={"width": width + 8})
    assert fits(encode_graphs(graphs, largest=largest).vocabulary)
    assert f"only the {largest - 19} graphs of up to {largest} nodes" in said


def test_traced_steps_count_for_more(monkeypatch, tmp_path):
    graphs = [nx.cycle_graph(40) for _ in range(30)]
    encoded = encode_graphs(graphs)
    settings = {**wgankit.recipe("graphs").defaults, **SETTINGS, "model": MODEL}
    needed = memory.training_bytes(sizes_of(30, encoded.vocabulary, settings))
    free(monkeypatch, 1.1 * needed / MIB)
    memory.check_training(30, encoded.vocabulary, settings, "cpu")
    with pytest.raises(DataError):
        memory.check_training(30, encoded.vocabulary, {**settings, "compile": "auto"}, "cpu")


def test_networks_are_built_where_training_would_not_fit(monkeypatch):
    """A run that was trained elsewhere is loaded and sampled from."""
    free(monkeypatch, 0.001)
    model = LabelledGraphsDomain().build(vocabulary_of(5), {"model": {}})
    assert model.generator(model.latent.sample(2, "cpu"))[0].shape == (2, 5, 2)


def test_what_is_free_is_what_the_kernel_says(tmp_path):
    free_bytes = available_bytes()
    if free_bytes is None:
        pytest.skip("no kernel tells")
    told = Path("/proc/meminfo").read_text()
    total = int(re.search(r"MemTotal:\s+(\d+)", told)[1]) * 1024
    assert 0 < free_bytes <= total
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("400\n")
    assert memory._of_group(tmp_path) == 600
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._of_group(tmp_path) is None
    assert memory._of_group(tmp_path / "nowhere") is None


@pytest.mark.parametrize("numbers", [(0, 0), (2, 1)])
def test_blocks_change_nothing(monkeypatch, numbers):
    """Points, scores and gradients are those of all pairs and all graphs at once."""
    torch.manual_seed(0)
    named = dict(zip(("node_numbers", "edge_numbers"), numbers, strict=True))
    latent = GraphLatent([0] * 8 + [1, 1], 9)
    generator = GraphGenerator(2, 3, 9, width=16, layers=1, **named)
    critic = GraphCritic(2, 3, width=16, layers=1, **named)
    drawn = latent.sample(5, "cpu")

    def all_of_it():
        with torch.no_grad():
            alone = critic(generator(drawn))
        scores = critic(generator(drawn))
        parameters = [*generator.parameters(), *critic.parameters()]
        return [alone, scores, *torch.autograd.grad(scores.square().sum(), parameters)]

    whole = all_of_it()
    monkeypatch.setattr(memory, "BLOCK", 1_000)
    for one, other in zip(whole, all_of_it(), strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)
