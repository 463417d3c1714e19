"""Reviews: a held command, who decided it, and what became of it.

``machine`` is the state table and the rule of who may decide (pure); ``service`` moves reviews through it, one store
transaction a move with its audit record; ``preview`` makes text safe to look at (I10).
"""
