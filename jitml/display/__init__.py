"""How things show themselves in a notebook: HTML in a page's own colours, and the same as text.

In: arrays, trees, reports. Out: self-contained HTML (no script, no network) and text. `html` has
the pieces of which all of it is made; it knows nothing of what it shows.
"""
