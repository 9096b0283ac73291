"""Fitting weights to labels, whatever the representation: from labels to a posterior.

``labels`` and ``baseline`` make targets, ``noise`` weighs them, ``design`` gives rows, ``triangle`` and ``streamed``
reduce them, ``ridge`` and ``regularization`` choose alpha, ``posterior`` and ``reach`` say what the data leave open.
"""
