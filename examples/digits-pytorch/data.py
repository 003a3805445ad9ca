"""scikit-learn's 1,797 images of digits, always split in the same way."""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

PIXELS = 64
CLASSES = 10


def load():
    """Training images and labels, then test images and labels: float32 (n, 64) between 0 and 1, int32 (n,)."""
    images, labels = load_digits(return_X_y=True)
    images, labels = (images / 16).astype("float32"), labels.astype("int32")
    train_images, test_images, train_labels, test_labels = train_test_split(
        images, labels, test_size=0.2, random_state=7, stratify=labels
    )
    return train_images, train_labels, test_images, test_labels


def shard(array, index, count):
    """The part of one of `count` workers; all parts are equally long, so that no worker waits for another's last batch."""
    return array[index::count][: len(array) // count]
