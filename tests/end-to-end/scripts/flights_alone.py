"""Scores the held-out rows of a flights example in this one process, with the model that its job has trained, and compares.

Usage, in the folder of the example: flights_alone.py FRAMEWORK. `out` has the model, `held-out.csv` and `scores.csv`. Prints one JSON object: `rows`
that both have scored, and the largest `difference` of two scores.
"""

import csv
import json
import sys

sys.path.insert(0, ".")
import numpy as np

import data


def by_tensorflow():
    import tensorflow as tf

    held_out = data.Samples("held-out.csv")
    predict = tf.saved_model.load("out/model").signatures["serving_default"]
    return held_out.ids, predict(features=tf.constant(held_out.features(slice(None))))["scores"].numpy()


def by_pytorch():
    import torch

    import model

    held_out = {name: torch.from_numpy(values) for name, values in data.load("held-out.csv").items()}
    network = model.Network()
    network.load_state_dict(torch.load("out/model.pt"))
    return held_out["id"].numpy(), model.score(network, held_out["numbers"], held_out["codes"]).detach().numpy()


def by_mxnet():
    import mxnet as mx

    import model

    held_out = data.load("held-out.csv")
    network = model.Network()
    network.load_parameters("out/model.params")
    return held_out["id"], model.score(network, mx.nd.array(held_out["numbers"]), mx.nd.array(held_out["codes"]))


def by_numpy():
    import model

    held_out = data.load("held-out.csv")
    trained = model.Model()
    trained.weights = np.load("out/weights.npy")
    return held_out["id"], trained.score(held_out["numbers"], held_out["codes"])


ids, alone = {"tensorflow": by_tensorflow, "pytorch": by_pytorch, "mxnet": by_mxnet, "numpy": by_numpy}[sys.argv[1]]()
with open("out/scores.csv", newline="") as file:
    by_job = {int(row["id"]): float(row["score"]) for row in csv.DictReader(file)}
assert set(by_job) == set(ids.astype(int).tolist()), "scores of other rows"
difference = np.abs(np.array([by_job[int(id)] for id in ids]) - alone).max()
print(json.dumps({"rows": len(ids), "difference": float(difference)}))
