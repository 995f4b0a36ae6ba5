"""Graph to graph: differentiation, batching and rewriting. Each pass is a pure function in a
file of its own name.
"""
