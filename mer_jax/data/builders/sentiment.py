"""The labels of CMU-MOSI and CMU-MOSEI as their feature files store them."""

from mer_jax.data.builders.mosei_labels import COLUMNS

SENTIMENT = "sentiment"
STORED = (SENTIMENT, "happy", "sad", "anger", "surprise", "disgust", "fear")  # the order of MOSEI's files
INTENSITIES = {stored: name for name, stored in COLUMNS.items()}
CLASSES = ("negative", "positive")
SIGN_NOTE = "The class is the sign of the sentiment; segments of exactly 0 have none."


def sentiment_class(sentiment: float) -> str:
    """Negative or positive; nothing where the sentiment is exactly 0."""
    return CLASSES[int(sentiment > 0)] if sentiment else ""
