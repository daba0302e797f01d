"""Where attention lies, held against when each word was really spoken."""

import numpy as np


def with_neighbours(spans: np.ndarray) -> np.ndarray:
    """[words, 2] from the beginning of the word before to the end of the word after; the first
    and the last word have one neighbour only."""
    start = np.concatenate([spans[:1, 0], spans[:-1, 0]])
    end = np.concatenate([spans[1:, 1], spans[-1:, 1]])
    return np.stack([np.minimum(start, spans[:, 0]), np.maximum(end, spans[:, 1])], axis=1)


def shares(weights: np.ndarray) -> np.ndarray:
    """[words, keys] each word's weights divided by their sum; NaN where a word has none.

    local-p's weights do not sum to 1 (Luong, Pham and Manning 2015, equation 10), those of a
    word without keys are 0.
    """
    total = weights.sum(axis=1, keepdims=True, dtype=np.float64)
    return np.divide(weights, total, out=np.full(weights.shape, np.nan), where=total > 0)


def mass_within(weights: np.ndarray, positions: np.ndarray, spans: np.ndarray, rate: float) -> np.ndarray:
    """[words] share of each word's attention that lies within its span.

        M_t = sum_s a_t(s) |[s, s + 1) / rate  n  [b_t, e_t)| rate / sum_s a_t(s)

    frame s lasting from s / rate to (s + 1) / rate; one that lies half inside counts half.

    weights: a_t(s), [words, keys], not negative.
    positions: the frame s of each weight, -1 where there is none.
    spans: b_t and e_t in seconds, [words, 2]. rate: frames (what is attended to) per second.
    """
    start = np.maximum(positions / rate, spans[:, :1])
    end = np.minimum((positions + 1) / rate, spans[:, 1:])
    inside = np.clip((end - start) * rate, 0, 1)
    return (shares(np.where(positions >= 0, weights, 0)) * inside).sum(axis=1)


def entropy(weights: np.ndarray) -> np.ndarray:
    """[words] -sum_s p_t(s) log p_t(s) in nats, of the weights divided by their sum."""
    p = shares(weights)
    return -(p * np.log(np.where(p > 0, p, 1))).sum(axis=1)


def width(nats: np.ndarray, rate: float) -> np.ndarray:
    """[words] seconds: exp(H_t) / rate, of an entropy H_t in nats.

    exp(H_t) is the distribution's perplexity (Jelinek, Mercer, Bahl and Baker 1977), the
    effective number of attended frames: n where the attention is even over n of them.
    rate: frames per second.
    """
    return np.exp(nats) / rate
