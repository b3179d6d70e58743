"""Settings that are meant to protect: what isn't honoured stops the start by name, and no secret is ever shown."""

import pytest

from kafka_facade.runtime.settings import SettingsError, load


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
    ],
)
def test_a_security_setting_that_is_not_honoured_stops_the_start(option: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(None, [option], {})
    assert option.partition("=")[0] in str(caught.value)
    assert "canary" not in str(caught.value)


def test_the_environment_counts_too() -> None:
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
def test_a_value_that_changes_nothing_passes(option: str) -> None:
    _, warnings = load(None, [option], {})
    assert len(warnings) == 1


def test_kafkas_settings_without_their_prefix_are_told_of() -> None:
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


def test_the_settings_show_no_secret() -> None:
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
