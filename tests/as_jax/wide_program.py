"""A module that `python -m jitml.as_jax -m wide_program` runs."""

import jax.numpy as jnp

print(jnp.ones(2).dtype)
