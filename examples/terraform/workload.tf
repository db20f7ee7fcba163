# A workload of your own, in the Region that stands by, as Relight needs it. Not a whole one: what matters is lifecycle.
#
# Terraform compares what you wrote with what is there. After a failover the two differ on purpose, and an apply would
# take it back: the promoted database would be replaced by a new replica of the dead one. So Terraform looks away from
# the attributes that a failover changes, and a pipeline asks first:
#
#   relight may-deploy --env prod && terraform apply
#
# In the primary Region the same blocks hold, because going home changes the same things there.
#
# A failback renames the old instance to <identifier>-retired-<epoch> and builds a new one under its name. From version
# 5.0 on the provider knows an instance by its resource id, so that its state follows the retired one. Afterwards, for
# each Region whose instance was rebuilt:
#
#   terraform state rm aws_db_instance.replica && terraform import aws_db_instance.replica orders-dr

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 5.0" }
  }
}

variable "source_database_arn" { type = string }
variable "database_key_arn" { type = string }
variable "database_subnet_group" { type = string }
variable "database_subnet_ids" { type = list(string) }
variable "app_subnet_ids" { type = list(string) }
variable "vpc_id" { type = string }
variable "vpc_cidr" { type = string }
variable "launch_template_id" { type = string }
variable "target_group_arn" { type = string }

resource "aws_db_instance" "replica" {
  identifier                = "orders-dr"
  instance_class            = "db.t4g.medium"
  replicate_source_db       = var.source_database_arn # the ARN, because the source is in another Region
  kms_key_id                = var.database_key_arn    # of this Region
  db_subnet_group_name      = var.database_subnet_group
  storage_encrypted         = true
  deletion_protection       = true
  skip_final_snapshot       = false
  final_snapshot_identifier = "orders-dr-final"
  # dbcheck signs in with a token; it knows no password.
  iam_database_authentication_enabled = true
  # The same as Relight's parameter BackupRetentionDays, which the promotion passes on.
  backup_retention_period = 7
  # A replica can do without a standby of its own; hardening gives the promoted one what the primary had.
  multi_az = false

  lifecycle {
    prevent_destroy = true
    ignore_changes = [
      replicate_source_db,     # PromoteReadReplica takes it away; written again, it would force a new instance
      backup_retention_period, # given with the promotion
      multi_az,                # ModifyDBInstance, once the Region serves: the standby that the primary had,
      deletion_protection,     # its protection and its backups
      identifier,              # ModifyDBInstance renames the old one, CreateDBInstanceReadReplica builds its successor
      instance_class,          # a person may make it larger in an emergency
    ]
  }
}

resource "aws_autoscaling_group" "web" {
  name                = "web-dr"
  min_size            = 0
  desired_capacity    = 0
  max_size            = 4
  vpc_zone_identifier = var.app_subnet_ids
  target_group_arns   = [var.target_group_arn]
  # Not ELB: an instance that waits for the promotion is not ready, and would be replaced for it, again and again.
  health_check_type = "EC2"

  launch_template {
    id      = var.launch_template_id
    version = "$Latest"
  }

  lifecycle {
    # UpdateAutoScalingGroup raises them, and puts them back after a false alarm; of a Region that another one has
    # superseded it takes the instances. ResumeProcesses ends a suspension.
    ignore_changes = [min_size, desired_capacity, max_size, suspended_processes]
  }
}

# Of the database's subnets only. Rules 1 to 99 are the fence's, which denies the application's subnets.
resource "aws_network_acl" "database" {
  vpc_id     = var.vpc_id
  subnet_ids = var.database_subnet_ids

  ingress {
    rule_no    = 100
    protocol   = "-1"
    action     = "allow"
    cidr_block = var.vpc_cidr
    from_port  = 0
    to_port    = 0
  }

  egress {
    rule_no    = 100
    protocol   = "-1"
    action     = "allow"
    cidr_block = var.vpc_cidr
    from_port  = 0
    to_port    = 0
  }

  lifecycle {
    # CreateNetworkAclEntry and DeleteNetworkAclEntry: an apply would lift the fence from a primary that has come back.
    ignore_changes = [ingress]
  }
}

# The site's own records are Relight's (stacks/global.yaml). Leave an aws_route53_record for the same name out of your
# code before the cut-over, with `terraform state rm`, or an apply puts the simple record back.

# What template.yaml asks for.
output "ExistingDatabaseId" { value = aws_db_instance.replica.identifier }
output "ExistingDatabaseHost" { value = aws_db_instance.replica.address }
output "ExistingGroupArns" { value = aws_autoscaling_group.web.arn }
output "ExistingNetworkAclId" { value = aws_network_acl.database.id }
