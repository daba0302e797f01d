"""The emotion space: states of several emotions on a map of two dimensions, and what models say on it."""
