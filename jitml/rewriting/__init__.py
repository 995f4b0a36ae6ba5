"""Python's control flow on traced values: a function's source is rewritten so that `if`, `while`,
`for`, `break`, `continue`, `return`, conditional expressions, `and`, `or`, `not` and comparisons
decide by values that are not known while tracing.

`attempt` says when. `source` finds and checks what a function was compiled from; `names` tells
which variables statements read and write; `exits` turns early exits into flags; `blocks` and
`expressions` turn statements and expressions into calls of `runtime`. What is called there
(`conditions`, `operators`, `repetition`, `calls`) does what Python does where conditions are known,
and builds conditionals (`merging`) and loops (`loops`) where they are not; `state` takes variables
into these and out, `refusals` tells what cannot be. `functions` puts it together, and says how far
it reaches.
"""
