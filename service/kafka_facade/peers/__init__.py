"""Workers that run each other's calls, since a consumer instance lives in one of them."""
