"""The intermediate representation: frozen graphs in SSA form, their types, text and verifier.

The lowest layer: it knows no tracer, no transform and no backend.
"""
