"""The CloudWatch dashboard of an environment, as the resource that the bundle adds to it.

A dashboard is one JSON text. The names of the load balancer and of the group of nodes are known
only inside the environment's own stack, so the text is cut where they belong and joined there."""

import json
import re

NAMES = {
    "@ENVIRONMENT@": {"Ref": "AWSEBEnvironmentName"},
    "@REGION@": {"Ref": "AWS::Region"},
    "@BALANCER@": {"Fn::GetAtt": ["AWSEBV2LoadBalancer", "LoadBalancerFullName"]},
    "@TARGETS@": {"Fn::GetAtt": ["AWSEBV2LoadBalancerTargetGroup", "TargetGroupFullName"]},
    "@GROUP@": {"Ref": "AWSEBAutoScalingGroup"},
}
COLUMNS, WIDTH, HEIGHT = 3, 8, 6
PERCENTILES = ("10", "50", "75", "85", "90", "95", "99", "99.9")


def balancer(metric, **more):
    return ["AWS/ApplicationELB", metric, "LoadBalancer", "@BALANCER@", more]


def targets(metric, **more):
    return ["AWS/ApplicationELB", metric, "TargetGroup", "@TARGETS@", "LoadBalancer", "@BALANCER@",
            more]


def environment(metric, **more):
    return ["AWS/ElasticBeanstalk", metric, "EnvironmentName", "@ENVIRONMENT@", more]


def group(metric, **more):
    return ["AWS/EC2", metric, "AutoScalingGroupName", "@GROUP@", more]


def own(metric, **more):
    return ["Inlet", metric, "Environment", "@ENVIRONMENT@", more]


def each_node(metric, stat):
    """One line a node, also for nodes that come later."""
    return [{"expression": "SEARCH('{AWS/ElasticBeanstalk,EnvironmentName,InstanceId} "
                           f'EnvironmentName="@ENVIRONMENT@" MetricName="{metric}"\', '
                           f"'{stat}', 60)"}]


def graphs(with_own):
    found = [
        ("Requests", [balancer("RequestCount")]
         + [balancer(f"HTTPCode_Target_{n}XX_Count") for n in (2, 3, 4, 5)]
         + [balancer("HTTPCode_ELB_5XX_Count")]),
        ("Latency at the load balancer (s)",
         [balancer("TargetResponseTime", stat=s) for s in ("p50", "p90", "p99", "p99.9")]),
        ("Nodes", [targets("HealthyHostCount", stat="Minimum"),
                   targets("UnHealthyHostCount", stat="Maximum"),
                   environment("EnvironmentHealth", stat="Maximum", yAxis="right")]),
        ("Requests, counted by the nodes",
         [environment(f"ApplicationRequests{n}") for n in ("Total", "2xx", "3xx", "4xx", "5xx")]),
        ("Latency, measured by the nodes (s)",
         [environment(f"ApplicationLatencyP{p}", stat="Average") for p in PERCENTILES]),
        ("Network, least, mean and most of the nodes (bytes a minute)",
         [group(m, stat=s) for m in ("NetworkIn", "NetworkOut")
          for s in ("Minimum", "Average", "Maximum")]),
        ("CPU (percent)", [group("CPUUtilization", stat=s) for s in ("Average", "Maximum")]),
        ("Load of each node", [each_node("LoadAverage1min", "Average")]),
        ("I/O wait of each node (percent)", [each_node("CPUIowait", "Average")]),
        ("Requests of each node", [each_node("ApplicationRequestsTotal", "Sum")]),
        ("5xx of each node", [each_node("ApplicationRequests5xx", "Sum")]),
        ("p99 of each node (s)", [each_node("ApplicationLatencyP99", "Average")]),
    ]
    if with_own:
        found += [
            ("Journal full in (s)", [own("JournalFullIn", stat="Minimum")]),
            ("Sinks behind (s)", [own("SinkLag", stat="Maximum")]),
            ("Journal used (percent)", [own("JournalUsed", stat="Maximum")]),
            ("Dead records, failed flushes", [own("DeadRecords"), own("CommitsFailed")]),
            ("Flushes (s)", [own("CommitLatency", stat=s) for s in ("p50", "p99", "p99.9")]),
            ("Bytes stored", [own("BytesStored")]),
        ]
    return found


def network_of_each_node(y):
    """EC2 does not know the environment's name; its tags do, and an explorer goes by tags."""
    return {"type": "explorer", "x": 0, "y": y, "width": COLUMNS * WIDTH, "height": 2 * HEIGHT,
            "properties": {
                "title": "Network of each node", "region": "@REGION@", "period": 60,
                "metrics": [{"metricName": m, "resourceType": "AWS::EC2::Instance", "stat": "Sum"}
                            for m in ("NetworkIn", "NetworkOut")],
                "labels": [{"key": "elasticbeanstalk:environment-name",
                            "value": "@ENVIRONMENT@"}],
                "widgetOptions": {"legend": {"position": "bottom"}, "view": "timeSeries",
                                  "rowsPerPage": 2, "widgetsPerRow": 2}}}


def body(with_own):
    widgets = []
    for i, (title, metrics) in enumerate(graphs(with_own)):
        widgets.append({
            "type": "metric", "x": i % COLUMNS * WIDTH, "y": i // COLUMNS * HEIGHT,
            "width": WIDTH, "height": HEIGHT,
            "properties": {"title": title, "region": "@REGION@", "period": 60, "stat": "Sum",
                           "view": "timeSeries", "metrics": metrics}})
    widgets.append(network_of_each_node(-(-len(widgets) // COLUMNS) * HEIGHT))
    return {"periodOverride": "inherit", "widgets": widgets}


def config(with_own):
    """The text of a .config file: a resource whose body is joined from pieces and names."""
    text = json.dumps(body(with_own))
    pieces = [NAMES.get(piece, piece) for piece in re.split(r"(@[A-Z]+@)", text) if piece]
    resource = {"Type": "AWS::CloudWatch::Dashboard",
                "Properties": {"DashboardName": {"Ref": "AWSEBEnvironmentName"},
                               "DashboardBody": {"Fn::Join": ["", pieces]}}}
    return json.dumps({"Resources": {"InletDashboard": resource}}, indent=1) + "\n"
