"""The network and its training step."""

import torch
from torch import nn

NUMBERS = 13
SIZES = [4, 17, 512, 24, 7]  # of the codes: origin, carrier, destination, hour, weekday

# Threads that wait for each other cost more than they bring: the network is small, and workers share the machine.
torch.set_num_threads(1)


class Network(nn.Module):
    """A vector for each code beside the numbers, and one hidden layer; the same weights at each call."""

    def __init__(self, dimensions=8, hidden=32):
        super().__init__()
        torch.manual_seed(1)
        starts = torch.tensor([0, *SIZES[:-1]]).cumsum(0)
        self.register_buffer("starts", starts, persistent=False)
        self.vectors = nn.Embedding(sum(SIZES), dimensions)
        nn.init.normal_(self.vectors.weight, std=0.1)
        inputs = NUMBERS + len(SIZES) * dimensions
        self.layers = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, numbers, codes):
        """Logits (rows,) of float32 numbers (rows, 13) and float32 codes (rows, 5)."""
        vectors = self.vectors(codes.long() + self.starts)
        return self.layers(torch.cat([numbers, vectors.flatten(1)], 1)).squeeze(1)


def optimizer(network):
    return torch.optim.Adam(network.parameters(), lr=0.001)


def step(network, improve, numbers, codes, late):
    """Trains on one batch, in place; its mean log loss."""
    loss = nn.functional.binary_cross_entropy_with_logits(network(numbers, codes), late)
    improve.zero_grad()
    loss.backward()
    improve.step()
    return loss.item()


@torch.no_grad()
def score(network, numbers, codes):
    """Chances (rows,) of leaving late, 0 to 1."""
    return torch.sigmoid(network(numbers, codes))
