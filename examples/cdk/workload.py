"""A workload of your own, in the Region that stands by, as Relight needs it: only what a failover must find so.

CloudFormation compares templates, not the world: what a failover has changed stays as long as the template says the
same as before. Three things break that, and this file keeps them from happening: sizes that are sent along with every
update, a change that replaces the database, and an entry of the network ACL where the fence's belong. A pipeline asks
first:

    relight may-deploy --env prod && cdk deploy
"""

from typing import Any

from aws_cdk import CfnAutoScalingScheduledAction, CfnUpdatePolicy, RemovalPolicy, Stack
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_rds as rds
from constructs import Construct


class StandbyWorkload(Stack):
    """The replica, the group and the network ACL."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        vpc: ec2.IVpc,
        launch_template: ec2.ILaunchTemplate,
        source_database_arn: str,
        **more: Any,
    ) -> None:
        super().__init__(scope, name, **more)
        self._replica(source_database_arn)
        self._group(vpc, launch_template)
        self._acl(vpc)

    def _replica(self, source_database_arn: str) -> None:
        replica = rds.CfnDBInstance(
            self,
            "Replica",
            db_instance_identifier="orders-dr",
            db_instance_class="db.t4g.medium",
            # PromoteReadReplica takes it away, and the template must not: never change or remove this line after a
            # failover. A replica that is written anew is a new instance.
            source_db_instance_identifier=source_database_arn,
            # The same as Relight's parameter BackupRetentionDays, which the promotion passes on.
            backup_retention_period=7,
            # dbcheck signs in with a token; it knows no password.
            enable_iam_database_authentication=True,
            deletion_protection=True,
            # ModifyDBInstance gives the promoted one the standby, the backups and the protection that the primary had.
            # Leave these lines as they are after a failover, too: an update that changes one of them resets it.
            # On the way home it renames the old instance (orders-dr-retired-3), and CreateDBInstanceReadReplica builds
            # one like it under the name above. CloudFormation knows an instance by its name: it owns the new one.
            multi_az=False,
        )
        # Both policies; beside them give the stack a stack policy that denies Update:Replace (stacks/policy.json).
        replica.apply_removal_policy(RemovalPolicy.RETAIN, apply_to_update_replace_policy=True)

    def _group(self, vpc: ec2.IVpc, launch_template: ec2.ILaunchTemplate) -> None:
        group = autoscaling.AutoScalingGroup(
            self,
            "Web",
            auto_scaling_group_name="web-dr",
            vpc=vpc,
            launch_template=launch_template,
            # No desired_capacity: CDK itself warns that every deployment would reset it.
            min_capacity=0,
            max_capacity=4,
            # Not ELB: an instance that waits for the promotion is not ready, and would be replaced for it.
            health_check=autoscaling.HealthCheck.ec2(),
        )
        resource = group.node.default_child
        assert isinstance(resource, autoscaling.CfnAutoScalingGroup)
        # UpdateAutoScalingGroup raises all three sizes, and takes the instances of a Region that another one has
        # superseded: an update that does not change them leaves them alone.
        # ResumeProcesses needs nothing here, because a template does not say what is suspended.
        resource.cfn_options.update_policy = CfnUpdatePolicy(
            auto_scaling_scheduled_action=CfnAutoScalingScheduledAction(ignore_unmodified_group_size_properties=True)
        )

    def _acl(self, vpc: ec2.IVpc) -> None:
        acl = ec2.NetworkAcl(
            self,
            "DatabaseAcl",
            vpc=vpc,
            subnet_selection=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
        )
        # Entries are resources of their own, so CreateNetworkAclEntry and DeleteNetworkAclEntry of others do not show
        # in a template. The numbers 1 to 99 are the fence's.
        for direction in (ec2.TrafficDirection.INGRESS, ec2.TrafficDirection.EGRESS):
            acl.add_entry(
                f"Allow{direction.name.title()}",
                rule_number=100,
                cidr=ec2.AclCidr.ipv4(vpc.vpc_cidr_block),
                traffic=ec2.AclTraffic.all_traffic(),
                direction=direction,
                rule_action=ec2.Action.ALLOW,
            )
