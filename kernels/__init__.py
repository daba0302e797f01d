"""The ground: pure array functions, without Flax and without anything of mer_jax."""
