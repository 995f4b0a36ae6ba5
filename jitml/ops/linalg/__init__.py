"""Factorisations of matrices and what is solved with them, each op in one place."""
