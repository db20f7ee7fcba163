"""Two freshly created Regions on moto, as far as readiness looks at them; and every API call of a look, counted.

What moto does not have is answered here, as AWS would: the simulation of IAM, the quota of EC2, dbcheck behind Lambda.
"""

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from moto.backends import get_backend
from relight.checks.watch import EVIDENCE, SCHEDULES, STARTING, TENDING, alarm_names
from relight.inspection import OWN, PEERS, Inspection
from relight.inspection_orchestrator import FUNCTIONS
from relight.ledger import Ledger
from relight.settings import ReadinessSettings

from tests.unit.conftest import Clients
from tests.unit.loopback import NameServer, WebServer
from tests.unit.rds import Dbcheck
from tests.unit.standby import HERE, HOME, MACHINE, TABLE, Clock

ACCOUNT = "123456789012"
APPLICATION, DOMAIN, SECRET = "shop", "shop.example", "relight/shop/database"
BUCKET, PEER_BUCKET, KEY = "data-dr", "data-primary", "releases/current.tar.gz"
NAMESPACE = "Relight/Switches/shop"
REPLICA, PRIMARY = "shop-dr", "shop-primary"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)
OK = SimpleNamespace(status_code=200)


@dataclass
class Deployed:
    """Both Regions. `answers` are what stands in for moto, by event of botocore; `calls` are service and operation."""

    clients: Clients
    clock: Clock
    names: NameServer
    web: WebServer
    dbcheck: Dbcheck = field(default_factory=Dbcheck)
    quota: float = 32.0
    decision: str = "allowed"
    denied: str | None = None
    """An action that IAM denies."""
    calls: list[tuple[str, str]] = field(default_factory=list)
    health_checks: list[dict[str, Any]] = field(default_factory=list)
    topic: str = ""
    balancer: str = ""

    def build(self) -> None:
        """Everything, in an order that AWS would take."""
        self.dbcheck.last_replayed_at = self.clock() - 2
        self.dbcheck.heartbeat_at = self.clock() - 30
        self.dbcheck.receiver = {"status": "streaming", "last_message_at": self.clock()}
        self._databases()
        self._site()
        self._storage()
        self._names()
        self._watch()
        self._orchestrator()

    def settings(self, **changed: Any) -> ReadinessSettings:
        """Of the DR Region."""
        given: dict[str, Any] = {
            "aws_region": HERE,
            "home_region": HOME,
            "peer_region": HOME,
            "ledger_table": TABLE,
            "peer_connect_seconds": 2.0,
            "peer_read_seconds": 5.0,
            "application": APPLICATION,
            "peer_ledger_table": TABLE,
            "domain": DOMAIN,
            "name_servers": (self.names.at,),
            "control_targets": (f"http://127.0.0.1:{self.web.port}/ping",),
            "readiness_is_deep": True,
            "sample_timeout_seconds": 4.0,
            "replica_id": REPLICA,
            "peer_database_id": PRIMARY,
            "dbcheck_function": "relight-shop-dbcheck",
            "group_arns": (f"arn:aws:autoscaling:{HERE}:{ACCOUNT}:autoScalingGroup:*:autoScalingGroupName/shop-dr",),
            "peer_group_names": (PRIMARY,),
            "default_capacity": 2,
            "balancer_name": self.balancer,
            "certificate_arn": None,
            "database_secret": SECRET,
            "bucket": BUCKET,
            "peer_bucket": PEER_BUCKET,
            "release_key": KEY,
            "failover_machine": MACHINE,
            "probe_role": f"arn:aws:iam::{ACCOUNT}:role/probe",
            "topic_arn": self.topic,
            "switch_namespace": NAMESPACE,
            "max_data_loss_seconds": 300.0,
            "drill_days": 35.0,
        }
        return ReadinessSettings(**(given | changed))

    def inspection(self, ledger: Ledger, peer_ledger: Ledger, **changed: Any) -> Inspection:
        """What the function has, by default with every client."""
        given: dict[str, Any] = {
            "settings": self.settings(),
            "own": {service: self.clients(service, HERE) for service in OWN},
            "peer": {service: self.clients(service, HOME) for service in PEERS},
            "clock": self.clock,
        }
        return Inspection(ledger=ledger, peer_ledger=peer_ledger, **(given | changed))

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Count the calls of both Regions' clients, and stand in for what moto has not."""
        used = [self.clients(service, HERE) for service in (*OWN, "dynamodb")]
        used += [self.clients(service, HOME) for service in (*PEERS, "dynamodb")]
        stand_ins: Mapping[str, Callable[..., Any]] = {
            "before-call.iam.SimulatePrincipalPolicy": lambda params, **_: (OK, self._simulated(params["body"])),
            # moto drops of a health check which alarm it watches.
            "before-call.route53.ListHealthChecks": lambda **_: (
                OK,
                {"HealthChecks": self.health_checks, "IsTruncated": False},
            ),
            "before-call.service-quotas.GetServiceQuota": lambda **_: (OK, {"Quota": {"Value": self.quota}}),
            "before-call.lambda.Invoke": lambda **_: (
                OK,
                self.dbcheck.invoke(FunctionName="relight-shop-dbcheck", Payload=b'{"check": "state"}'),
            ),
        }
        for one in used:
            one.meta.events.register("provide-client-params", self._count, unique_id="counted")
            for event, answer in stand_ins.items():
                one.meta.events.register(event, answer, unique_id=event)
        try:
            yield
        finally:
            for one in used:
                one.meta.events.unregister("provide-client-params", unique_id="counted")
                for event in stand_ins:
                    one.meta.events.unregister(event, unique_id=event)

    def _simulated(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """Every action on every resource, as IAM judges them."""
        actions = [value for key, value in asked.items() if key.startswith("ActionNames.")]
        resources = [value for key, value in asked.items() if key.startswith("ResourceArns.")]
        return {
            "EvaluationResults": [
                {
                    "EvalActionName": action,
                    "EvalResourceName": resource,
                    "EvalDecision": self.decision if action != self.denied else "explicitDeny",
                }
                for action in actions
                for resource in resources
            ]
        }

    def _count(self, model: Any, **_: Any) -> None:
        self.calls.append((model.service_model.service_name, model.name))

    def _databases(self) -> None:
        for region, name, more in (
            (HOME, PRIMARY, {"MasterUsername": "shop", "MasterUserPassword": "not-a-secret"}),
            (HERE, REPLICA, {"SourceDBInstanceIdentifier": f"arn:aws:rds:{HOME}:{ACCOUNT}:db:{PRIMARY}"}),
        ):
            rds = self.clients("rds", region)
            family = {"DBParameterGroupFamily": "postgres18", "Description": "equal in both Regions"}
            rds.create_db_parameter_group(DBParameterGroupName=name, **family)
            force = {"ParameterName": "rds.force_ssl", "ParameterValue": "1", "ApplyMethod": "immediate"}
            rds.modify_db_parameter_group(DBParameterGroupName=name, Parameters=[force])
            same = {"DBInstanceIdentifier": name, "DBInstanceClass": "db.t4g.medium", "DBParameterGroupName": name}
            if region == HOME:
                key = self.clients("kms", HERE).create_key()["KeyMetadata"]["Arn"]
                rds.create_db_instance(
                    **same,
                    **more,
                    Engine="postgres",
                    AllocatedStorage=20,
                    StorageEncrypted=True,
                    KmsKeyId=key,
                    BackupRetentionPeriod=7,
                    DeletionProtection=True,
                )
            else:
                rds.create_db_instance_read_replica(**same, **more, SourceRegion=HOME)
                rds.modify_db_instance(DBInstanceIdentifier=name, BackupRetentionPeriod=0, ApplyImmediately=True)

    def _site(self) -> None:
        ec2, elb = self.clients("ec2", HERE), self.clients("elbv2", HERE)
        vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
        subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.20.{n}.0/24", AvailabilityZone=f"{HERE}{zone}")["Subnet"][
                "SubnetId"
            ]
            for n, zone in enumerate("ab")
        ]
        seed = ec2.register_image(Name="seed", RootDeviceName="/dev/xvda")["ImageId"]
        template = ec2.create_launch_template(
            LaunchTemplateName=REPLICA,
            LaunchTemplateData={
                "ImageId": seed,
                "InstanceType": "t4g.small",
                "CapacityReservationSpecification": {"CapacityReservationPreference": "none"},
            },
        )["LaunchTemplate"]["LaunchTemplateId"]
        group = elb.create_target_group(Name=REPLICA, Protocol="HTTP", Port=8000, VpcId=vpc)["TargetGroups"][0]
        balancer = elb.create_load_balancer(Name=REPLICA, Subnets=subnets)["LoadBalancers"][0]
        arn = group["TargetGroupArn"]
        elb.create_listener(
            LoadBalancerArn=balancer["LoadBalancerArn"],
            Protocol="HTTP",
            Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": arn}],
        )
        self.balancer = balancer["DNSName"]
        self.clients("autoscaling", HERE).create_auto_scaling_group(
            AutoScalingGroupName=REPLICA,
            LaunchTemplate={"LaunchTemplateId": template, "Version": "1"},
            MinSize=0,
            DesiredCapacity=0,
            MaxSize=4,
            VPCZoneIdentifier=",".join(subnets),
            TargetGroupARNs=[arn],
            HealthCheckType="EC2",
        )

    def _storage(self) -> None:
        self.clients("secretsmanager", HOME).create_secret(
            Name=SECRET, SecretString="not-a-secret", AddReplicaRegions=[{"Region": HERE}]
        )
        for region, mine in ((HERE, BUCKET), (HOME, PEER_BUCKET)):
            s3 = self.clients("s3", region)
            s3.create_bucket(Bucket=mine, CreateBucketConfiguration={"LocationConstraint": region})
            s3.put_bucket_versioning(Bucket=mine, VersioningConfiguration={"Status": "Enabled"})
        for region, mine, other in ((HERE, BUCKET, PEER_BUCKET), (HOME, PEER_BUCKET, BUCKET)):
            s3 = self.clients("s3", region)
            rule = {
                "ID": f"from-{region}",
                "Priority": 1,
                "Status": "Enabled",
                "Filter": {"Prefix": ""},
                "DeleteMarkerReplication": {"Status": "Enabled"},
                "Destination": {"Bucket": f"arn:aws:s3:::{other}"},
            }
            role = f"arn:aws:iam::{ACCOUNT}:role/replication"
            s3.put_bucket_replication(Bucket=mine, ReplicationConfiguration={"Role": role, "Rules": [rule]})
            s3.put_object(Bucket=mine, Key=KEY, Body=b"a release")

    def _names(self) -> None:
        self.names.records |= {(DOMAIN, "A"): ["127.0.0.1"], (f"dr.{DOMAIN}", "A"): ["127.0.0.1"]}
        self.web.pages["/ping"] = 200, "healthy"
        route53 = self.clients("route53", HERE)
        zone = route53.create_hosted_zone(Name="example", CallerReference="1")["HostedZone"]["Id"]
        for name, region in (("stop", HERE), ("no-go", HERE), ("hold", HOME)):
            self._switch_check(name, region)
        both = {"Type": "CALCULATED", "ChildHealthChecks": ["no-go", "hold"], "HealthThreshold": 2}
        endpoint = {"Type": "HTTPS", "FullyQualifiedDomainName": f"primary.{DOMAIN}", "Port": 443, "ResourcePath": "/"}
        self.health_checks += [
            {"Id": "both", "HealthCheckConfig": both},
            {"Id": "endpoint", "HealthCheckConfig": endpoint},
        ]
        for side, check in (("PRIMARY", "stop"), ("SECONDARY", "both")):
            record = {
                "Name": DOMAIN,
                "Type": "A",
                "SetIdentifier": side,
                "Failover": side,
                "HealthCheckId": check,
                "AliasTarget": {"DNSName": self.balancer, "HostedZoneId": "Z1", "EvaluateTargetHealth": True},
            }
            route53.change_resource_record_sets(
                HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
            )

    def _switch_check(self, name: str, region: str) -> None:
        config = {
            "Type": "CLOUDWATCH_METRIC",
            "AlarmIdentifier": {"Name": f"relight-{APPLICATION}-{name}", "Region": region},
            "InsufficientDataHealthStatus": "LastKnownStatus",
        }
        self.health_checks.append({"Id": name, "HealthCheckConfig": config})

    def _watch(self) -> None:
        self.topic = self.clients("sns", HERE).create_topic(Name="relight-shop")["TopicArn"]
        queue = self.clients("sqs", HERE).create_queue(QueueName="relight-shop-dead-letters")["QueueUrl"]
        arn = f"arn:aws:sqs:{HERE}:{ACCOUNT}:relight-shop-dead-letters"
        self.clients("sns", HERE).subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=arn)
        assert queue.endswith(f"/{ACCOUNT}/relight-shop-dead-letters")
        telling, switching = alarm_names(is_home=False)
        for end in (*telling, *switching):
            self.clients("cloudwatch", HERE).put_metric_alarm(
                AlarmName=f"relight-shop-{end}",
                MetricName=end,
                Namespace="Relight",
                Statistic="Maximum",
                Period=60,
                EvaluationPeriods=1,
                Threshold=1.0,
                ComparisonOperator="GreaterThanOrEqualToThreshold",
                ActionsEnabled=True,
                AlarmActions=[self.topic] if end in telling else [],
            )
        # moto takes a rule with a metric's alarm only, and then calls it a composite one.
        get_backend("cloudwatch")[ACCOUNT][HERE].alarms["relight-shop-attention"].rule = "ALARM(relight-shop-not-ready)"
        events = self.clients("events", HERE)
        for end in (*STARTING, *EVIDENCE):
            name = f"relight-shop-{end}"
            events.put_rule(Name=name, EventPattern='{"source": ["aws.health"]}', State="ENABLED")
            if end in STARTING:
                events.put_targets(Rule=name, Targets=[{"Id": "machine", "Arn": MACHINE}])
        for end in (*SCHEDULES, *TENDING):
            self.clients("scheduler", HERE).create_schedule(
                Name=f"relight-shop-{end}",
                ScheduleExpression="rate(1 minute)",
                FlexibleTimeWindow={"Mode": "OFF"},
                State="ENABLED",
                Target={"Arn": f"arn:aws:lambda:{HERE}:{ACCOUNT}:function:{end}", "RoleArn": "arn:aws:iam::1:role/r"},
            )
        self.publish(HERE, STOP=0.0, GO=0.0)
        self.publish(HOME, HOLD=0.0)

    def publish(self, region: str, **values: float) -> None:
        """As the guard of that Region does, a minute ago."""
        at = datetime.fromtimestamp(self.clock() - 60, UTC)
        self.clients("cloudwatch", region).put_metric_data(
            Namespace=NAMESPACE,
            MetricData=[{"MetricName": name, "Value": value, "Timestamp": at} for name, value in values.items()],
        )

    def _orchestrator(self) -> None:
        role = self.clients("iam", HERE).create_role(RoleName="failover", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
        self.clients("stepfunctions", HERE).create_state_machine(
            name="relight-shop-failover",
            definition='{"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}',
            roleArn=role,
        )
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("handler.py", "")
        for name in FUNCTIONS:
            self.clients("lambda", HERE).create_function(
                FunctionName=f"relight-shop-{name}",
                Runtime="python3.13",
                Role=role,
                Handler="handler.handler",
                Code={"ZipFile": packed.getvalue()},
            )
