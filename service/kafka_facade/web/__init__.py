"""HTTP as every face that is reached over it needs it: heads, hosts, origins, content codings and time limits.

REST and GraphQL share one entry: the connection (``protocol``) and the ASGI application in front of both faces
(``cross_origin``). A rule that holds for both stands here. This room knows no face.
"""
