"""Files of orbas' own: written whole or not at all, with a digest, read within bounds.

``door`` opens what is read, ``outputs`` looks at what will be written before any work, ``replacing`` gives a file its
name when it is complete, ``locks`` lets one process at a time. ``container`` holds a JSON document and named arrays,
for the contents of ``kinds``; ``encoding`` walks from objects to these and back; ``archive`` has NumPy's format,
``toml`` settings, ``trajectory`` runs. Nothing here knows a class of the other folders.
"""
