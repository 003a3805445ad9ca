"""The same model in one process on the same samples in the same order: what the jobs are compared with."""

import data
import model

BATCH_SIZE = 256

samples, held_out = data.load("train.csv"), data.load("held-out.csv")
trained = model.Model()
for first in range(0, len(samples["id"]), BATCH_SIZE):
    rows = slice(first, first + BATCH_SIZE)
    trained.step(samples["numbers"][rows], samples["codes"][rows], samples["late"][rows])
data.write_scores(held_out["id"], trained.score(held_out["numbers"], held_out["codes"]))
print(f"trained on {len(samples['id']):,} samples, scored {len(held_out['id']):,} into out/single.csv")
