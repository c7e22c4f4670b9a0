"""The network without state, as still images and videos use it.

``parts`` assembles it: from ``quick``, parts that are rewritten for speed, or from ``stock``, the
sam2 package's own modules. Both offer what ``interface`` says. The rest of the service uses
``image`` and ``video``.
"""
