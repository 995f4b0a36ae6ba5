"""Inlining as transforms use it: replay a graph, or one equation, on other values."""

from jitml.trace.inline import inline, name_value, replay, rewritten

__all__ = ["inline", "name_value", "replay", "rewritten"]
