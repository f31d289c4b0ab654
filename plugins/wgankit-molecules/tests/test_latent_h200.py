"""The script in parts: each goes on from the files of the one before."""

import json

import pytest
import torch

import wgankit
from wgankit import state as states
from wgankit.run import RunFolder
from wgankit_molecules import shipped
from wgankit_molecules.tokens import packed

h200 = pytest.importorskip("benchmarks.latent_h200")


def test_all_parts_in_calls_of_one_step_each(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    monkeypatch.setattr(h200, "LARGEST_FILE", 100_000)
    common = ["--folder", str(folder), "--tiny", "--device", "cpu", "--minutes", "0"]
    assert h200.main(["tokens", *common]) == h200.DONE
    (folder / "plan.json").write_text(json.dumps({"lessons": 11, "steps": 3}))
    monkeypatch.setattr(h200, "LEVELS", (0.5,))
    monkeypatch.setattr(h200, "CHOSEN_BY", 100)
    for part, calls in (("autoencoder", 11), ("choose", 1), ("wgan", 3)):
        codes = [h200.main([part, *common]) for _ in range(calls)]
        assert codes == [h200.GO_ON] * (calls - 1) + [h200.DONE]
        assert max(path.stat().st_size for path in folder.iterdir()) <= 100_000
    assert h200.main(["sample", *common, "-n", "50"]) == h200.DONE
    assert len((folder / "samples.smi").read_text().split("\n")) == 51
    names = {path.name.split("-")[0] for path in folder.iterdir()}
    assert h200.main(["ship", *common]) == h200.DONE
    shipped = wgankit.load(folder / "run")
    known = json.loads((folder / "vocabulary.json").read_text())
    assert shipped.vocabulary["level"] == known["level"] == 0.5
    assert len(shipped.sample(20, seed=1)) == 20
    points = shipped.sample_points(20, seed=1)
    made = h200.autoencoder_of(h200.Job(folder, h200.TINY, torch.device("cpu"), 0.0, 0.0))
    how = {name: known[name] for name in ("level", "temperature")}
    rows = h200.decode_points(made, points, **how)
    assert h200.decode_tokens(rows, known) == shipped.sample(20, seed=1)
    monkeypatch.setattr(h200, "TEMPERATURES", (0.6,))
    monkeypatch.setattr(h200, "FINELY_BY", 40)
    monkeypatch.setattr(h200, "BESIDE", (0.1,))
    assert h200.main(["choose", *common, "--law", "generator"]) == h200.DONE
    tempered = json.loads((folder / "vocabulary.json").read_text())
    assert (tempered["level"], tempered["temperature"]) == (0.5, 0.7)
    for law in ("normal", "held-out"):
        assert h200.main(["sample", *common, "-n", "30", "--law", law]) == h200.DONE
        assert (folder / f"samples-{law}.smi").is_file()
    assert names == {
        "tokens.bin", "vocabulary.json", "plan.json", "autoencoder", "generator", "samples.smi"
    }  # fmt: skip
    assert "come back" in capsys.readouterr().out


def test_the_autoencoder_that_travels_along_can_be_trained_further(tmp_path, monkeypatch):
    run = RunFolder(shipped.moses())
    vocabulary, data = run.read_config()["vocabulary"], states.load(run.data)
    _, rows = data["points"]
    (tmp_path / "tokens.bin").write_bytes(packed(rows))
    ours = {"tokens": vocabulary["tokens"], "length": vocabulary["length"], "counts": [1]}
    (tmp_path / "vocabulary.json").write_text(json.dumps(ours))
    common = ["--folder", str(tmp_path), "--device", "cpu", "--precision", "32-true"]
    with pytest.raises(wgankit.RunError, match="add: --core"):
        h200.main(["adopt", *common])
    assert h200.main(["adopt", *common, "--core"]) == h200.DONE
    known, plan = (
        json.loads((tmp_path / name).read_text()) for name in ("vocabulary.json", "plan.json")
    )
    assert known == ours | {name: vocabulary[name] for name in ("autoencoder", "reconstruction")}
    each = len(rows) * 9 // 10 // 128
    assert plan == {"lessons": round(vocabulary["autoencoder"]["epochs"] * each)}
    made = h200.autoencoder_of(h200.Job(tmp_path, h200.CORE, torch.device("cpu"), 0.0, 0.0))
    cosines = (h200.encode_rows(made, rows[:50]) * data["points"][0][:50]).mean(1)
    assert float(cosines.min()) > 0.999
    monkeypatch.setattr(h200, "RETURNED", 200)
    had = plan["lessons"]
    (tmp_path / "plan.json").write_text(json.dumps(plan | {f"lessons after {had}": 2}))
    further = ["further", *common, "--core", "--minutes", "1", "--top", "0.5"]
    further += ["--rate", "1e-5"]
    assert h200.main(further) == h200.DONE
    known, plan = (
        json.loads((tmp_path / name).read_text()) for name in ("vocabulary.json", "plan.json")
    )
    assert plan["lessons"] == had + 2
    assert known["autoencoder"]["top"] == 0.5
    # Of a whole run, whose rate has fallen to the one asked for when its first steps are done.
    assert known["autoencoder"]["rate"] * (1 - had / (had + 2)) == pytest.approx(1e-5)
    # Two steps from nothing would give nothing back.
    assert known["reconstruction"] > 0.9


def test_the_autoencoder_that_travels_along_has_tokens_of_its_own(tmp_path):
    common = ["--folder", str(tmp_path), "--device", "cpu"]
    assert h200.main(["tokens", *common, "--tiny"]) == h200.DONE
    with pytest.raises(wgankit.RunError, match="make its own first, without --tiny: tokens"):
        h200.main(["adopt", *common, "--core"])


def test_a_state_in_parts_is_the_state(tmp_path, monkeypatch):
    monkeypatch.setattr(h200, "LARGEST_FILE", 1_000)
    network = torch.nn.Linear(30, 30)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.randn(5, 30)).sum().backward()
    optimizer.step()
    h200.write_parts({"n": network.state_dict(), "o": optimizer.state_dict()}, tmp_path, "x")
    assert len(list(tmp_path.iterdir())) > 3
    found = h200.read_parts(tmp_path, "x")
    assert torch.equal(found["n"]["weight"], network.weight)
    moment = optimizer.state_dict()["state"][0]["exp_avg"]
    kept = found["o"]["state"][0]["exp_avg"]
    assert kept.dtype == torch.bfloat16
    torch.testing.assert_close(kept.float(), moment, rtol=2**-8, atol=0)
    assert h200.read_parts(tmp_path, "y") is None


def test_files_of_the_full_size_can_be_carried():
    """At most eight new files of at most 16 MiB, both moments of the optimiser in two bytes."""
    scale = h200.FULL
    made = h200.Autoencoder(24, 54, {**scale.autoencoder, "epochs": 1})
    numbers = sum(one.numel() for one in made.parameters())
    assert 8 * numbers / h200.LARGEST_FILE < 6  # beside the plan
    latent, size = made.settings["latent"], {"width": scale.width, "depth": scale.depth}
    players = [
        h200.LatentGenerator(scale.inputs, latent, **size), h200.LatentCritic(latent, **size)
    ]  # fmt: skip
    makes, scores = (sum(one.numel() for one in player.parameters()) for player in players)
    # Generator, its average and critic, and the moments of two.
    game = 4 * (2 * makes + scores) + 4 * (makes + scores)
    assert game / h200.LARGEST_FILE < 5
    decoder = sum(one.numel() for one in made.decoder.parameters())
    assert 2 * (decoder + makes) < 20e6
