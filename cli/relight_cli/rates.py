"""How each type of resource is charged: by which prices and how much of each in a month, or free, with the reason.

A type that is in neither table is refused, so that nothing new comes in without anybody asking what it costs.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from relight_cli.exit_code import Exit, Refused
from relight_cli.inventory import Resource
from relight_cli.phases import UNKNOWN
from relight_cli.workings import HOURS, Workings


@dataclass(frozen=True)
class Use:
    """So much of something in a month, and how that number comes about."""

    key: str
    """In the price table."""
    quantity: Decimal
    because: str
    for_dr: bool = False
    """In the primary: only because there is a standby."""


Rate = Callable[[Resource, Workings], Iterator[Use]]

FREE: Mapping[str, str] = {
    "AWS::AutoScaling::LifecycleHook": "no charge",
    "AWS::CloudFormation::Stack": "CloudFormation charges nothing for AWS's own types",
    "AWS::EC2::InternetGateway": "no charge; traffic out is the workload's",
    "AWS::EC2::LaunchTemplate": "no charge",
    "AWS::EC2::NetworkAcl": "no charge",
    "AWS::EC2::NetworkAclEntry": "no charge",
    "AWS::EC2::Route": "no charge",
    "AWS::EC2::RouteTable": "no charge",
    "AWS::EC2::SecurityGroup": "no charge",
    "AWS::EC2::SecurityGroupEgress": "no charge",
    "AWS::EC2::SecurityGroupIngress": "no charge",
    "AWS::EC2::Subnet": "no charge",
    "AWS::EC2::SubnetNetworkAclAssociation": "no charge",
    "AWS::EC2::SubnetRouteTableAssociation": "no charge",
    "AWS::EC2::VPC": "no charge",
    "AWS::EC2::VPCGatewayAttachment": "no charge",
    "AWS::ElasticLoadBalancingV2::Listener": "in the price of the load balancer",
    "AWS::ElasticLoadBalancingV2::TargetGroup": "in the price of the load balancer",
    "AWS::Events::EventBusPolicy": "no charge",
    "AWS::IAM::InstanceProfile": "IAM charges nothing",
    "AWS::IAM::ManagedPolicy": "IAM charges nothing",
    "AWS::IAM::Policy": "IAM charges nothing",
    "AWS::IAM::Role": "IAM charges nothing",
    "AWS::KMS::Alias": "in the price of the key",
    "AWS::Lambda::EventInvokeConfig": "no charge",
    "AWS::Lambda::LayerVersion": "75 GB of code are in the price of Lambda; this is some MB",
    "AWS::Lambda::Permission": "no charge",
    "AWS::Logs::LogGroup": "what is written to it is counted with its writer",
    "AWS::RDS::DBParameterGroup": "no charge",
    "AWS::RDS::DBSubnetGroup": "no charge",
    "AWS::Route53::RecordSet": "records are in the price of the zone, which is yours, and queries for aliases are free",
    "AWS::S3::BucketPolicy": "no charge",
    "AWS::SNS::Subscription": "deliveries are counted with the topic",
    "AWS::SNS::TopicPolicy": "no charge",
    "AWS::SQS::QueuePolicy": "no charge",
    "AWS::SecretsManager::ResourcePolicy": "no charge",
    "AWS::StepFunctions::StateMachine": "charged by transition, so by the run: see one failover, and the drills",
}


def uses(resource: Resource, workings: Workings) -> Iterator[Use]:
    """What a month of that resource uses. Refused for a type without a rate."""
    if resource.kind in FREE:
        return
    rate = RATES.get(resource.kind)
    if rate is None:
        raise Refused(
            f"what a {resource.kind} costs is not known",
            where=f"{resource.where} {resource.name}",
            do="give it a rate in relight_cli/rates.py, or say there why it is free",
            code=Exit.CONFIGURATION,
        )
    yield from rate(resource, workings)


def _function(function: Resource, workings: Workings) -> Iterator[Use]:
    calls = workings.calls(function)
    if not calls:
        return
    name, seconds = workings.short(function), workings.seconds(function)
    memory = Decimal(function.value("MemorySize"))
    architecture = (function.value("Architectures") or ["x86_64"])[0]
    because = f"{name}: {calls:,} calls of {seconds:g} s at {memory:f} MB"
    yield Use(f"lambda-{architecture}", calls * seconds * memory / 1024, because)
    yield Use("lambda-request", calls, because)
    for key, each in workings.per_call(function).items():
        yield Use(key, calls * each, f"{name}: {each:g} a call")
    bytes_each = workings.log_bytes(function)
    yield Use("log-ingest", calls * bytes_each / 10**9, f"{name}: {bytes_each:,} bytes a call")
    kept = workings.log_months(function)
    yield Use("log-storage", calls * bytes_each * kept / 10**9, f"{name}: kept for {kept:g} months")
    metrics = workings.metrics(function)
    hourly = any(part < 1 for part in metrics.values())
    because = f"{name}: {', '.join(metrics)}{', in the hours in which they are told' if hourly else ''}"
    yield Use("metric", sum(metrics.values(), Decimal(0)), because)


def _schedule(schedule: Resource, workings: Workings) -> Iterator[Use]:
    yield Use("schedule", workings.firings(schedule), str(schedule.value("ScheduleExpression")))


def _rule(rule: Resource, workings: Workings) -> Iterator[Use]:
    targets = [str(target.get("Arn", "")) for target in rule.value("Targets") or []]
    buses = sum(":event-bus/" in target for target in targets)
    yield Use(
        "event", workings.assumed("events_forwarded") * buses, "events of AWS are free on the bus of their Region"
    )


def _table(table: Resource, workings: Workings) -> Iterator[Use]:
    yield Use("dynamodb-storage", workings.assumed("ledger_gb"), "a ledger is small")


def _alarm(alarm: Resource, _: Workings) -> Iterator[Use]:
    metrics = [entry for entry in alarm.value("Metrics") or [] if "MetricStat" in entry]
    yield Use("alarm", Decimal(max(1, len(metrics))), "one for each metric that it reads")


def _health_check(check: Resource, _: Workings) -> Iterator[Use]:
    config = check.value("HealthCheckConfig")
    kind = config["Type"]
    options = {
        "HTTPS": kind.startswith("HTTPS"),
        "string match": kind.endswith("STR_MATCH"),
        "every 10 s": int(config.get("RequestInterval", 30)) == 10,
        "latency": config.get("MeasureLatency") is True,
    }
    chosen = [name for name, is_chosen in options.items() if is_chosen]
    yield Use("health-check", Decimal(1), kind)
    yield Use("health-check-option", Decimal(len(chosen)), ", ".join(chosen) or "none")


def _topic(_: Resource, workings: Workings) -> Iterator[Use]:
    yield Use("sns-publish", workings.assumed("notifications"), "a quiet month")
    yield Use("sns-email", workings.assumed("notifications"), "one person")


def _queue(_: Resource, workings: Workings) -> Iterator[Use]:
    yield Use("sqs-request", workings.assumed("dead_letters"), "only what could not be delivered comes here")


def _key(_: Resource, workings: Workings) -> Iterator[Use]:
    yield Use("kms-key", Decimal(1), "one key")
    yield Use("kms-request", workings.assumed("key_requests"), "services keep data keys for minutes")


_IN_BUCKETS = {"ledger": "evidence_gb", "drill_site": "drill_gb"}


def _bucket(bucket: Resource, workings: Workings) -> Iterator[Use]:
    size = workings.assumed(_IN_BUCKETS.get(bucket.stack, "bucket_gb"))
    yield Use("s3-storage", size, f"{bucket.stack}: {size:g} GB")
    rules = (bucket.value("ReplicationConfiguration") or {}).get("Rules", [])
    if not rules or not workings.is_home(bucket):  # nobody writes in the standby
        return
    moved = workings.assumed("bucket_written_gb")
    yield Use("transfer-between", moved, f"{moved:g} GB written here and replicated", for_dr=True)
    yield Use("s3-put", workings.assumed("bucket_writes"), "each replica is a write", for_dr=True)
    if any(_timed(rule) for rule in rules):
        yield Use("s3-rtc", moved, "Replication Time Control", for_dr=True)


def _timed(rule: Mapping[str, Any]) -> bool:
    return bool(rule["Destination"].get("ReplicationTime", {}).get("Status") == "Enabled")


def _secret(secret: Resource, _: Workings) -> Iterator[Use]:
    yield Use("secret", Decimal(1), "one secret")
    copies = len(secret.value("ReplicaRegions") or [])
    yield Use("secret", Decimal(copies), "a replica is charged like a secret", for_dr=True)


def _database(database: Resource, workings: Workings) -> Iterator[Use]:
    zones = 2 if str(database.value("MultiAZ")).lower() == "true" else 1
    replica = database.value("SourceDBInstanceIdentifier")
    size = Decimal(str(database.value("AllocatedStorage") or workings.database_gb))
    yield Use(f"database {database.value('DBInstanceClass')}", HOURS * zones, f"{zones} zone")
    yield Use("database-storage", size * zones, f"{size:f} GB" + (", as its source" if replica else ""))
    if not replica:
        moved = workings.assumed("wal_gb")
        yield Use("transfer-between", moved, f"{moved:g} GB of changes stream to the replica", for_dr=True)
    if database.value("AutomaticBackupReplicationRegion"):
        yield Use("database-backup", size, "replicated backups, about the size of the database", for_dr=True)
        yield Use("transfer-between", workings.assumed("wal_gb"), "the changes once more, as backups", for_dr=True)
    if database.value("EnableCloudwatchLogsExports"):
        yield Use("log-ingest", workings.assumed("database_log_gb"), "its log in CloudWatch")


def _balancer(balancer: Resource, _: Workings) -> Iterator[Use]:
    yield Use("alb", HOURS, "idle: capacity units by traffic are not counted")
    zones = len(balancer.value("Subnets") or [])
    if balancer.value("Scheme") != "internal":
        yield Use("public-ipv4", HOURS * zones, f"{zones} zones")


def _nat(_: Resource, __: Workings) -> Iterator[Use]:
    yield Use("nat", HOURS, "its traffic is not counted")


def _address(_: Resource, __: Workings) -> Iterator[Use]:
    yield Use("public-ipv4", HOURS, "one address")


def _endpoint(endpoint: Resource, _: Workings) -> Iterator[Use]:
    if endpoint.value("VpcEndpointType") == "Interface":
        zones = len(endpoint.value("SubnetIds") or [])
        yield Use("interface-endpoint", HOURS * zones, f"{zones} zones")


def _flow_log(_: Resource, workings: Workings) -> Iterator[Use]:
    yield Use("log-ingest", workings.assumed("flow_log_gb"), "by traffic")


def _group(group: Resource, workings: Workings) -> Iterator[Use]:
    wanted = Decimal(str(group.value("DesiredCapacity") or group.value("MinSize") or 0))
    if wanted:
        yield Use(f"instance {workings.instance_type(group.slot)}", wanted * HOURS, f"{wanted:f} instances")
        yield Use("gp3", wanted * workings.volume_gb(group.slot), "their volumes")


def _warm_pool(pool: Resource, workings: Workings) -> Iterator[Use]:
    size = Decimal(str(pool.value("MinSize") or 0))
    yield Use("gp3", size * workings.volume_gb(pool.slot), f"volumes of {size:f} stopped instances")


def _reservation(reservation: Resource, _: Workings) -> Iterator[Use]:
    count = Decimal(str(reservation.value("InstanceCount") or 1))
    kind = reservation.value("InstanceType", UNKNOWN)
    yield Use(f"instance {kind}", count * HOURS, "reserved capacity costs as if it ran")


def _one(key: str, because: str) -> Rate:
    def rate(_: Resource, __: Workings) -> Iterator[Use]:
        yield Use(key, Decimal(1), because)

    return rate


RATES: Mapping[str, Rate] = {
    "AWS::AutoScaling::AutoScalingGroup": _group,
    "AWS::AutoScaling::WarmPool": _warm_pool,
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::CloudWatch::CompositeAlarm": _one("composite-alarm", "one alarm"),
    "AWS::CloudWatch::Dashboard": _one("dashboard", "one dashboard"),
    "AWS::DynamoDB::Table": _table,
    "AWS::EC2::CapacityReservation": _reservation,
    "AWS::EC2::EIP": _address,
    "AWS::EC2::FlowLog": _flow_log,
    "AWS::EC2::NatGateway": _nat,
    "AWS::EC2::VPCEndpoint": _endpoint,
    "AWS::ElasticLoadBalancingV2::LoadBalancer": _balancer,
    "AWS::Events::Rule": _rule,
    "AWS::KMS::Key": _key,
    "AWS::Lambda::Function": _function,
    "AWS::RDS::DBInstance": _database,
    "AWS::Route53::HealthCheck": _health_check,
    "AWS::S3::Bucket": _bucket,
    "AWS::SNS::Topic": _topic,
    "AWS::SQS::Queue": _queue,
    "AWS::Scheduler::Schedule": _schedule,
    "AWS::SecretsManager::Secret": _secret,
}
