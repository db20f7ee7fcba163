"""CloudWatch and its logs. moto keeps the definitions; the lab evaluates the alarms."""

from lab.resources.call import OneCall
from lab.resources.kind import Kind, Made, Properties, Request

_ALARM_ARN = "arn:aws:cloudwatch:{region}:{account}:alarm:{id}"


def _create_logs(request: Request) -> Made:
    own = request.properties
    name = str(own.get("LogGroupName") or request.name(512))
    tags = {tag["Key"]: tag["Value"] for tag in own.get("Tags", [])}
    given: Properties = {"kmsKeyId": own.get("KmsKeyId"), "logGroupClass": own.get("LogGroupClass")}
    request.call("logs", "create_log_group", logGroupName=name, tags=tags or None, **given)
    made = Made(name, {"Arn": request.arn("logs", f"log-group:{name}:*")})
    return _update_logs(request, made, frozenset({"RetentionInDays"} & own.keys()))


def _update_logs(request: Request, made: Made, changed: frozenset[str]) -> Made:
    if "RetentionInDays" in changed:
        days = request.properties.get("RetentionInDays")
        if days is None:
            request.call("logs", "delete_retention_policy", logGroupName=made.physical_id)
        else:
            request.call("logs", "put_retention_policy", logGroupName=made.physical_id, retentionInDays=days)
    return made


def _delete_logs(request: Request, made: Made) -> None:
    request.call("logs", "delete_log_group", logGroupName=made.physical_id)


KINDS = [
    OneCall(
        type="AWS::CloudWatch::Alarm",
        service="cloudwatch",
        create="put_metric_alarm",
        properties="ActionsEnabled AlarmActions AlarmDescription AlarmName ComparisonOperator DatapointsToAlarm"
        " Dimensions EvaluateLowSampleCountPercentile EvaluationPeriods ExtendedStatistic InsufficientDataActions"
        " MetricName Metrics Namespace OKActions Period Statistic Threshold ThresholdMetricId TreatMissingData Unit",
        name="AlarmName",
        name_limit=255,
        tags="list",
        physical_id="{given[AlarmName]}",
        attributes={"Arn": _ALARM_ARN},
        update="put_metric_alarm",
        fixed="AlarmName",
        delete="delete_alarms",
        delete_by={"AlarmNames": "{id}"},
    ).kind,
    OneCall(
        type="AWS::CloudWatch::CompositeAlarm",
        service="cloudwatch",
        create="put_composite_alarm",
        properties="ActionsEnabled ActionsSuppressor ActionsSuppressorExtensionPeriod ActionsSuppressorWaitPeriod"
        " AlarmActions AlarmDescription AlarmName AlarmRule InsufficientDataActions OKActions",
        name="AlarmName",
        name_limit=255,
        tags="list",
        physical_id="{given[AlarmName]}",
        attributes={"Arn": _ALARM_ARN},
        update="put_composite_alarm",
        fixed="AlarmName",
        delete="delete_alarms",
        delete_by={"AlarmNames": "{id}"},
    ).kind,
    OneCall(
        type="AWS::CloudWatch::Dashboard",
        service="cloudwatch",
        create="put_dashboard",
        properties="DashboardName DashboardBody",
        name="DashboardName",
        name_limit=255,
        physical_id="{given[DashboardName]}",
        update="put_dashboard",
        fixed="DashboardName",
        delete="delete_dashboards",
        delete_by={"DashboardNames": "{id}"},
    ).kind,
    Kind(
        type="AWS::Logs::LogGroup",
        properties=frozenset({"LogGroupName", "RetentionInDays", "KmsKeyId", "LogGroupClass", "Tags"}),
        create=_create_logs,
        update=_update_logs,
        delete=_delete_logs,
        fixed=frozenset({"LogGroupName", "LogGroupClass", "KmsKeyId"}),
        attributes=frozenset({"Arn"}),
        holds_data=True,
    ),
]
