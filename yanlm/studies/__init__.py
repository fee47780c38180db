"""Studies: the paper's experiments on trained models, each a table, a figure and a JSON file from which it can be
continued.

A study is a function that takes plain arguments and a :class:`yanlm.studies.tools.study.Study`, the folder it works in;
``yanlm study NAME`` calls it.
"""
