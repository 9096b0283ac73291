"""Files of orbas' own: written whole or not at all, with a digest, read within bounds.

``replacing`` gives a file its name when it is complete, ``container`` holds one JSON document and named arrays,
``encoding`` walks from objects to these and back. Nothing here knows a class of the other folders.
"""
