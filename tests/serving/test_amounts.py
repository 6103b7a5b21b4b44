"""Amounts and scores from a server, by the client and by REST, and from batch scoring."""

from __future__ import annotations

import json
import pathlib
import urllib.request
from collections.abc import Iterator

import numpy as np
import pytest
from amount_runs import COLUMNS, make_run
from scoring_jobs import job, mkdir, scores
from servers import LocalServer, answers

from tafe_tf.data.formats.write import write
from tafe_tf.export.publish import ExportConfig, publish
from tafe_tf.serving.batch import scoring
from tafe_tf.serving.batch.settings import JobError
from tafe_tf.serving.client import Client, ServingError

BID = np.linspace(0.0, 3.0, 500)


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    root = tmp_path_factory.mktemp("amounts")
    return publish(make_run(root).directory, root / "models", ExportConfig(version=1))


@pytest.fixture(scope="module")
def server(
    version: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalServer]:
    log = tmp_path_factory.mktemp("server") / "log"
    flags = (f"--model_base_path={version.parent}", "--model_name=shop")
    with LocalServer(log, *flags) as running:
        yield running


@pytest.mark.slow
def test_the_client_scores_with_bids(version: pathlib.Path, server: LocalServer) -> None:
    expected = answers(version, COLUMNS)
    wanted = expected["ctcvr"] * np.sqrt(expected["amount_given_conversion"]) * BID**2
    with Client(server.grpc, "shop", rows_per_request=200) as client:
        found = client.predict(COLUMNS)
        score = client.predict({**COLUMNS, "bid": BID.tolist()}, signature="score")["score"]
        user = {**COLUMNS, "field_0": COLUMNS["field_0"][:1], "bid": BID}
        ranked = client.predict(user, signature="rank_score")["score"]
        outputs = client.predict(user, signature="rank")
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5)
    np.testing.assert_allclose(score, wanted, rtol=1e-5)
    of_user = outputs["ctcvr"] * np.sqrt(outputs["amount_given_conversion"]) * BID**2
    np.testing.assert_allclose(ranked, of_user, rtol=1e-5)


@pytest.mark.parametrize(
    ("bid", "received"),
    [(None, "nan"), (float("nan"), "nan"), (-1, "-1.0"), (float("inf"), "inf"), ("", "nan")],
)
def test_the_client_names_the_row_of_a_bid_that_is_none(
    server: LocalServer, bid: object, received: str
) -> None:
    bids: list[object] = BID.tolist()
    if isinstance(bid, str):
        bids = [str(value) for value in bids]
    bids[6] = bid
    rule = rf"column 'bid', row 7: an input of the score must be .*Received: {received}$"
    with Client(server.grpc, "shop") as client, pytest.raises(ServingError, match=rule):
        client.predict({**COLUMNS, "bid": bids}, signature="score")


def test_rest_answers_amounts_and_scores(version: pathlib.Path, server: LocalServer) -> None:
    row = {name: values[:1].tolist()[0] for name, values in COLUMNS.items()}
    asked = {"signature_name": "score", "instances": [{**row, "bid": 2.0}]}
    request = urllib.request.Request(
        f"http://{server.rest}/v1/models/shop:predict", json.dumps(asked).encode()
    )
    with urllib.request.urlopen(request) as response:
        (score,) = json.load(response)["predictions"]
    first = answers(version, {name: values[:1] for name, values in COLUMNS.items()})
    wanted = first["ctcvr"] * np.sqrt(first["amount_given_conversion"]) * 4.0
    np.testing.assert_allclose(score, wanted[0], rtol=1e-5)


def test_batch_scoring_gives_amounts_in_the_funnels_order(
    version: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    file = mkdir(tmp_path / "in") / "rows.parquet"
    write(file, {name: values.tolist() for name, values in COLUMNS.items()})
    task = job(version, file)
    scoring.run(task)
    found = scores(task)
    assert list(found)[1:] == ["ctr", "ctcvr", "cvr", "amount_given_conversion", "expected_amount"]
    expected = answers(version, COLUMNS)
    np.testing.assert_allclose(found["expected_amount"], expected["expected_amount"], rtol=1e-5)
    with pytest.raises(JobError, match="signature 'score' scores no rows of columns"):
        job(version, file, output="other", signature="score")
