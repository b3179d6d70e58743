"""The cells of a cluster, of which open Kafka has none, on each face."""

import httpx
import pytest

from faces.conftest import FACES
from faces.generic import FaceError
from kafka_facade.core import errors
from kafka_facade.core.clusters.model import ListCells
from kafka_facade_devstack.gateway import Gateway

_IDENTIFIER = "api.v3.cells.list"


async def test_there_are_none(face_name: str, gateway: Gateway, cluster: str) -> None:
    face = FACES[face_name](gateway)
    found = await face.run(_IDENTIFIER, ListCells(cluster))
    assert (found["cells"], found["cells_enabled"]) == ([], False)
    await face.close()


async def test_another_cluster(face_name: str, gateway: Gateway) -> None:
    face = FACES[face_name](gateway)
    with pytest.raises(FaceError) as caught:
        await face.run(_IDENTIFIER, ListCells("nope"))
    assert caught.value.codes in (face.codes(errors.ClusterNotFound), face.codes(errors.NotFound))
    await face.close()


async def test_the_shape_on_rest(gateway: Gateway, cluster: str) -> None:
    url = f"{gateway.rest}/v3/clusters/{cluster}/cells"
    async with httpx.AsyncClient(timeout=30) as rest:
        answer = await rest.get(url)
    assert answer.json() == {
        "kind": "KafkaCells",
        "metadata": {"self": url, "resource_name": f"crn:///kafka={cluster}"},
        "cluster_id": cluster,
        "cells": [],
        "cells_enabled": False,
    }
