"""What users ask of a compiled function: where its time goes, what memory it needs, what became of
its lines.

In: graphs and plans. Out: objects that print themselves in a terminal (`str`), in a notebook
(`_repr_html_`) and as data (`as_dict`). Nothing here is imported before it is asked for.
"""
