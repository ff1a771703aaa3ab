"""Directory grammars: which entries of a folder are migrations, their versions, their order, their markers.

A layout is a module with a function `read`: from the entries of a folder to a list of migrations in history order, and
a list of everything that is wrong. It is imported when it is used.
"""
