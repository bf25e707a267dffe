"""The demo's model learns, diverges when it must, and is served with true counts."""

from __future__ import annotations

import json
import math
import random
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest

from wattlake_agents.demo.process import script
from wattlake_agents.demo.workload.ask import call
from wattlake_agents.demo.workload.corpus import DATASETS, text
from wattlake_agents.demo.workload.model import ALPHABET, SIZE, DivergedError, Model, decode, encode
from wattlake_agents.demo.workload.prepare import clean, fetch
from wattlake_agents.demo.workload.serve import Service
from wattlake_agents.demo.workload.train import DIVERGED


def sample(dataset: str, length: int, seed: int = 1) -> str:
    return "".join(text(dataset, length, seed))


def test_the_text_is_seeded_and_its_letters_are_the_models() -> None:
    for dataset in DATASETS:
        made = sample(dataset, 10_000)
        assert made == sample(dataset, 10_000)
        assert made != sample(dataset, 10_000, seed=2)
        assert len(made) >= 10_000
        assert set(made) <= set(ALPHABET)
    assert set(sample("general", 1).split()) != set(sample("service", 1).split())


def test_encoding_is_undone_by_decoding_and_unknown_letters_are_spaces() -> None:
    assert decode(encode("The node.\n42")) == "the node.\n42"
    assert decode(encode("a☃b")) == "a b"


def test_a_fresh_model_guesses_and_learning_beats_guessing() -> None:
    tokens = encode(sample("general", 20_000))
    model = Model.fresh()
    assert model.loss(tokens[:2_000]) == pytest.approx(math.log2(SIZE))
    model.learn(tokens[2_000:8_000], 0.1)
    assert model.loss(tokens[:2_000]) < 3.0
    assert model.params == sum(map(len, (model.bias, *model.last, *model.before)))


def test_fine_tuning_lowers_the_loss_on_the_new_text() -> None:
    base = Model.fresh()
    base.learn(encode(sample("general", 1)[:6_000]), 0.1)
    new = encode(sample("service", 1))
    before = base.loss(new[:2_000])
    base.learn(new[2_000:8_000], 0.05)
    assert base.loss(new[:2_000]) < before - 0.3


def test_a_rate_far_too_high_diverges() -> None:
    with pytest.raises(DivergedError, match="bits per character"):
        Model.fresh().learn(encode(sample("general", 1)[:2_000]), 30.0)


def test_weights_survive_the_file(tmp_path: Path) -> None:
    model = Model.fresh()
    model.learn(encode(sample("general", 1)[:500]), 0.1)
    model.save(tmp_path / "m.json")
    assert Model.load(tmp_path / "m.json") == model


def test_generated_text_is_as_long_as_asked_and_seeded() -> None:
    model = Model.fresh()
    assert [len(model.continue_text(prompt, 30, random.Random(1))) for prompt in ([], [1], [1, 2, 3])] == [30, 30, 30]
    assert model.continue_text([1], 30, random.Random(1)) == model.continue_text([1], 30, random.Random(1))


@pytest.mark.parametrize(("rate", "code"), [("0.1", 0), ("30", DIVERGED)])
def test_the_training_script_says_by_its_exit_code_how_it_went(tmp_path: Path, rate: str, code: int) -> None:
    (tmp_path / "data.txt").write_text(sample("general", 60_000))
    done = subprocess.run(script("train", data=tmp_path / "data.txt", model=tmp_path / "m.json", rate=rate, seconds=0.2),
                          capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, done.stderr
    assert (tmp_path / "m.json").is_file() == (code == 0)


def test_every_byte_moved_is_counted_and_arrives(tmp_path: Path) -> None:
    store, data = tmp_path / "store", tmp_path / "data"
    store.mkdir()
    data.mkdir()
    sent = {dataset: sample(dataset, 2_500_000) for dataset in DATASETS}
    for dataset, content in sent.items():
        (store / f"{dataset}.txt").write_text(content)
    assert fetch(store, data) == sum(map(len, sent.values()))
    assert {d: (data / f"{d}.txt").read_text() for d in DATASETS} == sent
    assert not store.exists()


def test_repeated_lines_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("b\na\nb\nb\nc\n")
    assert clean(tmp_path / "a.txt") == 3
    assert (tmp_path / "a.txt").read_text() == "b\na\nc\n"


@pytest.fixture
def port() -> Iterator[int]:
    with Service(Model.fresh()) as service:
        thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield service.server_port
        service.shutdown()
        thread.join()


def test_what_is_answered_is_counted_and_what_is_refused_is_not(port: int) -> None:
    epoch = call(port, "/counters")["epoch"]
    assert len(str(call(port, "/generate", {"prompt": "the node", "tokens": 25})["text"])) == 25
    assert len(str(call(port, "/generate", {"prompt": "", "tokens": 5})["text"])) == 5
    for body in ({"prompt": "x"}, {"prompt": "x", "tokens": "many"}):
        with pytest.raises(HTTPError, match="400"):
            call(port, "/generate", body)
    for path in ("/nothing", "/generate"):
        with pytest.raises(HTTPError, match="404"):
            call(port, path)
    assert call(port, "/counters") == {"epoch": epoch, "requests": 2, "tokens_in": 8, "tokens_out": 30}


def test_who_asks_counts_what_the_service_counts(port: int, tmp_path: Path) -> None:
    subprocess.run(script("ask", port=port, seconds=0.3, result=tmp_path / "asked.json"), check=True, capture_output=True, timeout=60)
    asked = json.loads((tmp_path / "asked.json").read_text())
    assert asked["requests"] > 0
    assert {k: v for k, v in call(port, "/counters").items() if k != "epoch"} == asked
