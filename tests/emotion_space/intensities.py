"""Generated intensities like those of a corpus (sparse, skewed, in thirds), and models of known worth."""

import numpy as np

EMOTIONS = ("happiness", "sadness", "anger", "surprise", "disgust", "fear")
RARITY = np.array([0.1, -0.7, -0.8, -1.3, -1.0, -1.4])
ALONG_HAPPINESS = np.array([0.6, -0.2, -0.15, -0.05, -0.1, -0.03])


def true_states(rows=600, seed=0):
    """[rows, 6] in 0..3."""
    latent = np.random.default_rng(seed).normal(size=(rows, 6))
    latent[:, 1] -= 0.4 * latent[:, 0]
    latent[:, 4] += 0.5 * latent[:, 2]
    return np.round(np.clip(latent + RARITY, 0, 3) * 3) / 3


def predictions(kind, truth, seed=0):
    """What a model of this kind would say of `truth`."""
    random = np.random.default_rng([seed, 1])
    noise = random.normal(size=truth.shape) * truth.std(axis=0)
    mean = truth.mean(axis=0)
    known = truth[:, 0] + 0.5 * random.normal(size=len(truth))
    axis = mean + np.outer(known, ALONG_HAPPINESS)
    two = np.where(np.arange(6) < 2, truth + 0.4 * noise, mean)

    def regression(explained):
        return mean + explained * (truth - mean) + np.sqrt(explained * (1 - explained)) * noise

    return {
        "train mean": np.tile(mean, (len(truth), 1)),
        "next to constant": mean + 0.01 * noise,
        "pure noise": mean + noise,
        "one axis": axis,
        "one axis, float32": axis.astype(np.float32),
        "one axis, noisy": axis + 0.3 * noise,
        "one axis, bent": np.log1p(np.exp(3 * axis)) / 3,
        "one axis, cut at zero": np.maximum(mean + np.outer(2 * known, ALONG_HAPPINESS) - 0.1, 0),
        "two emotions": two,
        "two emotions, noisy": two + 0.2 * noise * (np.arange(6) > 1),
        "one axis and a little": mean + np.outer(known, ALONG_HAPPINESS) + 0.05 * (truth - mean),
        "truth": truth,
        "truth and noise": truth + 0.5 * noise,
        "truth and much noise": truth + 2 * noise,
        "shrunk": mean + 0.1 * (truth - mean),
        "shrunk and noise": mean + 0.2 * (truth - mean) + 0.1 * noise,
        "regression, R2 = .3": regression(0.3),
        "regression, R2 = .15": regression(0.15),
        "regression, R2 = .4 and .1": regression(np.where(np.arange(6) == 0, 0.4, 0.1)),
    }[kind]
