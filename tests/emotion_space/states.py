"""Generated states of six emotions on the grid that annotators' means lie on."""

import numpy as np


def generated_states(n, seed=0, emotions=6, copies=1):
    """[n * copies, emotions] multiples of 1/3 in [0, 3]: mostly one or two emotions at a time."""
    rng = np.random.default_rng(seed)
    strength = rng.gamma(0.6, 1.2, (n, emotions)) * (rng.random((n, emotions)) < 0.4)
    states = np.clip(np.round(strength * 3) / 3, 0, 3).astype(np.float32)
    return np.repeat(states, copies, axis=0)
