"""Directory grammars: which entries of a folder are migrations, their versions, their order, their markers.

A layout is a module that has a function `read`, from a `Folder` to migrations in history order and to everything that
is wrong. It is imported when it is used.
"""
