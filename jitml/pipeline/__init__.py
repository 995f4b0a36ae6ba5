"""From a graph to something that runs: the order of the passes, compilation, caches, eager
evaluation.
"""
