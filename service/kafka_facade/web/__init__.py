"""HTTP handling shared by REST and GraphQL: request heads, hosts, origins, content codings and timeouts.

Both faces share the HTTP protocol implementation (``protocol``) and the ASGI middleware in front of them
(``cross_origin``). This package does not import any face.
"""
