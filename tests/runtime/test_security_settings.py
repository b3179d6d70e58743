"""Unsupported security settings prevent the start and are named; secrets are never shown."""

from pathlib import Path

import pytest

from kafka_facade.runtime.settings import load
from kafka_facade.runtime.sources import SettingsError


@pytest.mark.parametrize(
    "option",
    [
        "authentication.method=BASIC",
        "authentication.method=BEARER",
        "authentication.roles=admin",
        "authentication.basic.users.file=/etc/users",
        "authorization.roles.file=/etc/roles",
        "api.v3.produce.rate.limit.enabled=true",
        "authentication.enable=true",
        "confluent.audit.log.router.config=x",
        "confluent.authorizer.access.rule.providers=CONFLUENT",
        "confluent.basic.auth.user.info=canary",
        "confluent.bearer.auth.token=canary",
        "confluent.http.server.authorizer=x.Y",
        "confluent.rest.auth.propagate.method=SSL",
        "confluent.security.event.router.config=x",
        "connector.connection.limit=5",
        "csrf.prevention.enable=true",
        "dos.filter.enabled=true",
        "dos.filter.tenant.enabled=true",
        "enable.fips=true",
        "fips.enabled=true",
        "impersonation.enable=true",
        "java.security.auth.login.config=/etc/jaas.conf",
        "kafka.sasl.jaas.config=canary",
        "kafka.security.protocol=SASL_SSL",
        "kafka.principal=pass-through",
        "kafka.rest.resource.extension.class=io.confluent.kafkarest.security.KafkaRestSecurityResourceExtension",
        "listener.name.external.authentication.method=BASIC",
        "listener.name.external.ssl.keystore.location=/etc/canary",
        "listeners=https://0.0.0.0:8443",
        "grpc.listeners=grpcs://0.0.0.0:8443",
        "prefix.sni.check.enabled=true",
        "public.key.path=/etc/key",
        "resource.extension.classes=x.Y",
        "response.http.headers.config=add X-Frame-Options: DENY",
        "rest.servlet.initializor.classes=x.Y",
        "sasl.jaas.config=canary",
        "clients.security.protocol=SSL",
        "comsumer.sasl.jaas.config=canary",
        "schema_registry.ssl.truststore.location=/x",
        "security.protocol=SASL_SSL",
        "sni.check.enabled=true",
        "sni.mandatory=true",
        "ssl.bogus=canary",
        "ssl.cipher.suites=TLS_AES_128_GCM_SHA256",
        "ssl.client.auth=true",
        "ssl.client.authentication=REQUIRED",
        "ssl.client.authentication=REQUESTED",
        "ssl.enabled.protocols=TLSv1.3",
        "ssl.key.password=canary",
        "ssl.keystore.location=/etc/keystore",
        "ssl.keystore.password=canary",
        "ssl.spire.enabled=true",
        "ssl.truststore.location=/etc/truststore",
        "token.impersonation.validation=true",
        # Misspelled, in capitals, or with another prefix.
        "Authentication.method=BASIC",
        "SSL.client.auth=true",
        "SSL.keystore.location=/etc/keystore",
        "Client.security.protocol=SSL",
        "authentification.method=BASIC",
        "grpc.ssl.keystore.location=/etc/keystore",
        "jetty.login.config=/etc/jaas.conf",
        "kafka.rest.authentication.method=BASIC",
        "listener.name.external.Authentication.method=BASIC",
        "oidc.idp.issuer=https://issuer",
        "rest.authentication.method=BASIC",
        "tls.enabled=true",
        "api.v3.produce.rate.limit.enable=true",
        "api.v3.produce.request.size.limit.max.bytes=1000",
        "client_sasl.jaas.config=canary",
        "clientsecurity.protocol=SSL",
        "connector.connections.limit=5",
        "cors.allowed.origins=https://console.example.org",
        "csrf.enabled=true",
        "csrf.prevention.enabled=true",
        "csrf.prevention=true",
        "dos.filter.enable=true",
        "hsts.enabled=true",
        "nosniff.enable=true",
        "prefix.sni.check.enable=true",
        "rate.limit.enabled=true",
        "reject.options.requests=true",
        "resource.extension.class=x.Y",
        "response.headers.config=add X-Frame-Options: DENY",
        # The gateway's own.
        "kafka.rest.api.endpoints.blocklist=api.v3.acls.*",
        "API.endpoints.blocklist=api.v3.acls.*",
        "access.control.allow.origins=https://console.example.org",
        "api.endpoint.blocklist=api.v3.acls.*",
        "api.endpoints.allow.list=api.v3.topics.*",
        "api.endpoints.deny=api.v3.acls.*",
        "api.v2.enabled=false",
        "graphql.depth.limit=5",
        "graphql.graphiql.enabled=false",
        "graphql.introspection.enabled=false",
        "graphql.max.dept=5",
        "graphql.max.query.depth=5",
        "listener=http://127.0.0.1:8082",
        "listenres=http://127.0.0.1:8082",
        "Listeners=http://127.0.0.1:8082",
        "listener=",
        "listeners.http=http://127.0.0.1:8082",
        "grpc.listener=",
        "peer.listener=tcp://127.0.0.1",
        "rest.listeners=http://127.0.0.1:1",
        "authorizer=x.Y",
        "htpasswd.file=/etc/users",
        "ip.allowlist=10.0.0.0/8",
        "request.body.timeout=1",
        "response.write.timeouts.ms=1",
        "streaming.max.inflight.records=1",
        "api.v3.produce.batch.max.entries=1",
        "max.streaming.connection.durations.ms=1",
        "config.providers=vault",
        "jwt.issuer=https://issuer",
        "ldap.url=ldap://host",
        "value.encryption=on",
        "max.request.size=1000",
        "max_request_body_size=1000",
    ],
)
def test_an_unsupported_security_setting_prevents_the_start(option: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(None, [option], {})
    assert option.partition("=")[0] in str(caught.value)
    assert "canary" not in str(caught.value)


def test_security_settings_in_the_environment() -> None:
    with pytest.raises(SettingsError, match=r"authentication\.method"):
        load(None, [], {"KAFKA_REST_AUTHENTICATION_METHOD": "BASIC"})


@pytest.mark.parametrize(
    "option",
    [
        "api.v3.produce.rate.limit.enabled=false",
        "authentication.enable=false",
        "authentication.method=NONE",
        "authentication.realm=",
        "authentication.roles=*",
        "authentication.skip.paths=/health",
        "confluent.authorizer.access.rule.providers=",
        "confluent.license=x",
        "connector.connection.limit=0",
        "csrf.prevention.enable=false",
        "csrf.prevention.token.endpoint=/csrf",
        "dos.filter.enabled=false",
        "dos.filter.max.wait.ms=30000",
        "dos.filter.tenant.enabled=false",
        "enable.fips=false",
        "prefix.sni.check.enabled=false",
        "prefix.sni.prefix=x",
        "resource.extension.classes=",
        "ssl.client.auth=false",
        "ssl.client.authentication=NONE",
        "ssl.keystore.location=",
        "ssl.keystore.type=JKS",
        "ssl.keystore.reload=false",
        "ssl.protocol=TLS",
        "ssl.truststore.type=JKS",
        "sni.check.enabled=false",
        "sni.host.check.enabled=true",
        "token.impersonation.validation=false",
    ],
)
def test_values_without_effect_are_accepted(option: str) -> None:
    _, warnings = load(None, [option], {})
    assert len(warnings) == 1


_OFFICIAL = """
access.control.skip.options=true
api.v3.produce.rate.limit.cache.expiry.ms=3600000
api.v3.produce.rate.limit.max.bytes.global.per.sec=10000000
api.v3.produce.rate.limit.max.requests.per.sec=10000
api.v3.produce.request.size.limit.max.bytes=0
api.v3.produce.response.thread.pool.size=2
client.init.timeout.ms=60000
csrf.prevention.token.expiration.minutes=30
csrf.prevention.token.max.entries=10000
debug=false
disable.response.size.metrics.collection=false
dos.filter.ip.whitelist=
dos.filter.max.requests.per.connection.per.sec=25
http2.enabled=true
id=
jetty.legacy.uri.compliance=false
listener.protocol.map=
max.request.header.size=8192
max.response.header.size=8192
metric.reporters=
metrics.global.stats.request.tags.enable=false
metrics.jmx.prefix=kafka.rest
metrics.latency.slo.sla.enable=false
metrics.tag.map=
network.traffic.rate.limit.backend=guava
network.traffic.rate.limit.bytes.per.sec=20971520
null.request.body.always.publishes.empty.record=false
percentile.max.latency.ms=10000.0
port=8082
prefix.sni.prefix=
producer.threads=5
proxy.protocol.accepted.ip.range=
rate.limit.backend=guava
rate.limit.default.cost=1
rate.limit.per.cluster.permits.per.sec=50
request.logger.name=io.confluent.rest-utils.requests
request.queue.capacity=2147483647
request.queue.capacity.growby=64
response.mediatype.default=application/json
response.mediatype.preferred=application/json,application/vnd.kafka.v2+json
return.429.instead.of.500.for.jetty.response.errors=false
shutdown.graceful.ms=5000
simpleconsumer.pool.timeout.ms=1000
ssl.provider=
streaming.connection.max.duration.grace.period.ms=500
suppress.stack.trace.response=true
thread.pool.max=200
thread.pool.min=8
use.custom.request.logging=true
websocket.path.prefix=/ws
confluent.license.topic=_confluent-command
confluent.monitoring.interceptor.bootstrap.servers=kafka:9092
confluent.telemetry.enabled=false
zookeeper.connect=zookeeper:2181
consumer.threads=50
"""


@pytest.mark.parametrize("option", _OFFICIAL.split("\n")[1:-1])
def test_other_settings_of_the_official_proxy_start(option: str) -> None:
    load(None, [option], {})


def test_variables_of_container_platforms_are_ignored() -> None:
    environment = {
        "KAFKA_REST_SERVICE_HOST": "10.0.0.1",
        "KAFKA_REST_SERVICE_PORT": "8082",
        "KAFKA_REST_PORT": "tcp://10.0.0.1:8082",
        "KAFKA_REST_PORT_8082_TCP_ADDR": "10.0.0.1",
    }
    load(None, [], environment)


def test_a_file_in_utf_16_is_rejected(tmp_path: Path) -> None:
    file = tmp_path / "kafka-rest.properties"
    file.write_text("api.endpoints.blocklist=api.v3.acls.*\n", encoding="utf-16")
    with pytest.raises(SettingsError, match="null bytes"):
        load(file, [], {})


def test_kafka_settings_without_a_prefix_name_the_right_one() -> None:
    with pytest.raises(SettingsError, match=r"client\.sasl\.mechanism"):
        load(None, ["sasl.mechanism=PLAIN"], {})
    with pytest.raises(SettingsError, match=r"it is client\.sasl\.mechanism"):
        load(None, ["kafka.sasl.mechanism=PLAIN"], {})


@pytest.mark.parametrize(
    "options",
    [
        ["bootstrap.servers=http://user:canary@host"],
        ["listeners=http://user:canary@host"],
        ["listeners=http://user:canary@host:8082"],
        ["bootstrap.servers=user:canary@host:9092"],
        ["advertised.listeners=ftp://user:canary@host"],
        ["advertised.listeners=http://user:canary@host"],
        ["schema.registry.url=user:canary@host", "schema.registry.url=x://user:canary@host"],
        ["client.sasl.password:canary"],
        ["workers=" + "9" * 5000],
    ],
)
def test_values_in_messages(options: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load(None, options, {})
    assert "canary" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_the_repr_of_settings_has_no_secret() -> None:
    settings, _ = load(
        None,
        [
            "client.sasl.jaas.config=x.PlainLoginModule required username=ann password=canary-jaas;",
            "client.ssl.key.password=canary-key",
            "producer.sasl.password=canary-password",
            "schema.registry.url=http://ann:canary-url@registry",
            "schema.registry.proxy=http://ann:canary-proxy@proxy",
            "schema.registry.bearer.auth.token=canary-token",
        ],
        {},
    )
    assert "canary" not in repr(settings)
    assert {"canary-jaas", "canary-key", "canary-password", "canary-url", "canary-token"} <= settings.secrets()
