"""How things show themselves in a notebook: HTML in a page's own colours, and the same as text.

In: arrays, trees, jitted functions, training loops. Out: self-contained HTML (no script, nothing
fetched) and text. Arrays and jitted functions show themselves as the value of a cell; `tree` shows
any tree of arrays. `html` has the pieces of which all of it is made.
"""

from __future__ import annotations

from jitml.display.trees import Outline, tree

__all__ = ["Outline", "tree"]
