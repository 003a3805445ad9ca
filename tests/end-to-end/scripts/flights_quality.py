"""What scikit-learn says of the scores in a CSV file: AUC and log loss, and the log loss of a constant. One JSON object."""

import csv
import json
import sys

from sklearn.metrics import log_loss, roc_auc_score

with open(sys.argv[1], newline="") as file:
    rows = [(int(row["id"]), int(float(row["late"])), float(row["score"])) for row in csv.DictReader(file)]
ids, late, score = zip(*rows)
share = float(sys.argv[2])
print(json.dumps({
    "rows": len(rows),
    "ids": len(set(ids)),
    "auc": roc_auc_score(late, score),
    "log_loss": log_loss(late, score),
    "constant": log_loss(late, [share] * len(late)),
}))
