"""Logistic regression: a weight for each number, one for each value of each code, and a bias."""

import numpy as np

NUMBERS = 13
SIZES = [4, 17, 512, 24, 7]  # of the codes: origin, carrier, destination, hour, weekday
STARTS = NUMBERS + np.cumsum([0, *SIZES[:-1]])
RATE = 0.03


class Model:
    """`weights` (numbers, values of codes, bias) and `squares`, the sums of their squared gradients: both float64."""

    def __init__(self):
        self.weights = np.zeros(NUMBERS + sum(SIZES) + 1)
        self.squares = np.full_like(self.weights, 1e-6)

    def score(self, numbers, codes):
        """Chances (rows,) of leaving late, 0 to 1, of numbers (rows, 13) and codes (rows, 5)."""
        places = codes.astype("int64") + STARTS
        return 1 / (1 + np.exp(-(numbers @ self.weights[:NUMBERS] + self.weights[places].sum(1) + self.weights[-1])))

    def step(self, numbers, codes, late):
        """Trains on one batch (Adagrad), in place; its mean log loss."""
        scores = self.score(numbers, codes)
        errors = (scores - late) / len(late)
        gradient = np.zeros_like(self.weights)
        gradient[:NUMBERS] = errors @ numbers
        np.add.at(gradient, codes.astype("int64") + STARTS, errors[:, None])
        gradient[-1] = errors.sum()
        self.squares += gradient**2
        self.weights -= RATE * gradient / np.sqrt(self.squares)
        return -np.log(np.where(late > 0, scores, 1 - scores)).mean()
