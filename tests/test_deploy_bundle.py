"""Goal: what is handed to Elastic Beanstalk and CloudFormation is right as far as that can be known
without an account.

Method: bundles are made in both variants, with the switches as they are and with all of them on.
Every option is looked up in options.tsv, resources go through cfn-lint (those of the bundle wrapped
in the ones the platform makes), the Compose file through the Compose specification's model, scripts
through shellcheck, the configuration through `inlet check`. Each check is shown a fault as well."""

import copy
import itertools
import json
import pathlib
import re
import subprocess
import sys
import tomllib
import zipfile

import cfnlint.api
import compose_pydantic
import pydantic
import pytest
import yaml

import inlet

sys.path.insert(0, str(inlet.ROOT / "deploy"))
import bundle  # noqa: E402

HERE = bundle.HERE
IMAGE = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/inlet@sha256:" + "ab" * 32
CUSTOM = "aws:elasticbeanstalk:customoption"
FREE = {CUSTOM, bundle.PROPERTIES}  # Any name, any value.
CONFIG_KEYS = {"option_settings", "Resources"}  # All that our .config files use.
PROPERTIES_BYTES_MAX = 4096
ACTIONS_WITHOUT_NAMES = {  # These can be granted on "*" only.
    "ecr:GetAuthorizationToken", "autoscaling:DescribeAutoScalingInstances",
    "autoscaling:DescribeLifecycleHooks", "autoscaling:DescribePolicies", "ec2:DescribeVolumes",
    "cloudwatch:DescribeAlarms"}

# What the platform makes itself and ours refers to.
PLATFORM = {
    "AWSEBEC2LaunchTemplate": {"Type": "AWS::EC2::LaunchTemplate", "Properties": {
        "LaunchTemplateData": {"ImageId": "ami-00000000000000000", "InstanceType": "m7i.large"}}},
    "AWSEBAutoScalingGroup": {"Type": "AWS::AutoScaling::AutoScalingGroup", "Properties": {
        "MinSize": "2", "MaxSize": "8", "VPCZoneIdentifier": ["subnet-00000000"],
        "LaunchTemplate": {"LaunchTemplateId": {"Ref": "AWSEBEC2LaunchTemplate"}, "Version": {
            "Fn::GetAtt": ["AWSEBEC2LaunchTemplate", "LatestVersionNumber"]}}}},
    "AWSEBV2LoadBalancer": {"Type": "AWS::ElasticLoadBalancingV2::LoadBalancer", "Properties": {
        "Type": "application", "Subnets": ["subnet-00000000", "subnet-11111111"]}},
    "AWSEBV2LoadBalancerTargetGroup": {
        "Type": "AWS::ElasticLoadBalancingV2::TargetGroup",
        "Properties": {"Port": 80, "Protocol": "HTTP", "VpcId": "vpc-00000000"}},
    **{f"AWSEBCloudwatchAlarm{side}": {"Type": "AWS::CloudWatch::Alarm", "Properties": {
        "Namespace": "AWS/EC2", "MetricName": "NetworkOut", "Statistic": "Average",
        "Period": 300, "EvaluationPeriods": 1, "Threshold": 1,
        "ComparisonOperator": operator}}
       for side, operator in (("High", "GreaterThanThreshold"), ("Low", "LessThanThreshold"))},
}


# ---- Reading.

class Strict(yaml.SafeLoader):
    """YAML without doubled keys, and without the short tags that the platform does not know."""


class Template(Strict):
    """CloudFormation's YAML: !Ref X becomes {"Ref": X}."""


def no_doubles(loader, node):
    names = [loader.construct_object(key, deep=True) for key, _ in node.value]
    doubled = [n for n in names if names.count(n) > 1]
    assert not doubled, f"line {node.start_mark.line + 1}: {doubled[0]} is there twice"
    return loader.construct_mapping(node, deep=True)


def short_tag(loader, suffix, node):
    kind = {yaml.ScalarNode: loader.construct_scalar, yaml.SequenceNode: loader.construct_sequence,
            yaml.MappingNode: loader.construct_mapping}[type(node)]
    value = kind(node) if isinstance(node, yaml.ScalarNode) else kind(node, deep=True)
    if suffix == "GetAtt":
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, no_doubles)
Template.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, no_doubles)
Template.add_multi_constructor("!", short_tag)


def every_switch(variant):
    return {name for name, switch in bundle.settings()["switches"].items()
            if variant in switch["variants"]}


MADE = {}
for v in bundle.VARIANTS:
    MADE[v] = bundle.make(v, IMAGE)
    MADE[f"{v}, all on"] = bundle.make(v, IMAGE, every_switch(v))
each_bundle = pytest.mark.parametrize("files", MADE.values(), ids=MADE.keys())


def configs(files):
    return {name: yaml.load(data, Strict) for name, data in files.items()
            if name.startswith(".ebextensions/")}


def pairs(settings):
    """(namespace, option, value) of both spellings of option_settings."""
    if isinstance(settings, dict):
        return [(ns, name, value) for ns, options in settings.items()
                for name, value in options.items()]
    return [(one["namespace"], one["option_name"], one["value"]) for one in settings]


def options_of(files):
    return [pair for config in configs(files).values()
            for pair in pairs(config.get("option_settings", {}))]


def value_of(files, namespace, name):
    found = [v for ns, n, v in options_of(files) if (ns, n) == (namespace, name)]
    assert len(found) == 1, f"{namespace} {name} is set {len(found)} times"
    return found[0]


def stack():
    return yaml.load((HERE / "stack.yml").read_text(), Template)


def stack_options():
    """What the stack sets; the value of a function that cannot be known here is None."""
    template = stack()
    defaults = {n: p.get("Default") for n, p in template["Parameters"].items()}
    found = []
    for setting in template["Resources"]["Environment"]["Properties"]["OptionSettings"]:
        branches = setting["Fn::If"][1:] if "Fn::If" in setting else [setting]
        for one in branches:
            if "Ref" in one:  # AWS::NoValue
                continue
            values = one["Value"]
            values = values["Fn::If"][1:] if isinstance(values, dict) and "Fn::If" in values \
                else [values]
            for value in values:
                if isinstance(value, dict) and "Fn::Sub" in value:
                    value = re.sub(r"\$\{(\w+)\}", lambda m: str(defaults[m[1]]), value["Fn::Sub"])
                elif isinstance(value, dict):
                    value = defaults.get(value.get("Ref"))
                found.append((one["Namespace"], one["OptionName"], value))
    return found


# ---- Options.

def known_options():
    lines = [line for line in (HERE / "options.tsv").read_text().splitlines()
             if not line.startswith("#")]
    rows = [line.split("\t") for line in lines[1:]]
    table = {(namespace, name): (kind, allowed) for namespace, name, kind, allowed in rows}
    assert len(table) == len(rows), "an option has two rows"
    return table


def wrong_with(namespace, name, value, table):
    """A sentence, or None."""
    if namespace in FREE:
        return None
    if (namespace, name) not in table:
        return f"{namespace} has no option {name}"
    kind, allowed = table[namespace, name]
    if value is None or kind == "text":
        return None
    if kind == "json":
        return None if len(json.dumps(value)) <= int(allowed) else f"{name} is too long"
    text = str(value)
    if kind == "number":
        low, high = map(int, allowed.split(".."))
        good = text.isdigit() and low <= int(text) <= high
    elif kind == "pattern":
        good = re.fullmatch(allowed, text)
    else:
        good = text in ("true|false" if kind == "flag" else allowed).split("|")
    return None if good else f"{namespace} {name} = {text}: {kind} {allowed}"


@each_bundle
def test_every_option_of_a_bundle_exists_and_may_have_its_value(files):
    table = known_options()
    wrong = [w for pair in options_of(files) if (w := wrong_with(*pair, table))]
    assert not wrong


def test_every_option_of_the_stack_exists_and_may_have_its_value():
    table = known_options()
    wrong = [w for pair in stack_options() if (w := wrong_with(*pair, table))]
    assert not wrong


def test_every_row_of_the_table_is_used():
    used = {(ns, name) for files in MADE.values() for ns, name, _ in options_of(files)}
    used |= {(ns, name) for ns, name, _ in stack_options()}
    assert set(known_options()) <= used


@pytest.mark.parametrize("namespace, name, value", [
    ("aws:autoscaling:asg", "MinimumSize", "2"),
    ("aws:autoscaling:group", "MinSize", "2"),
    ("aws:autoscaling:asg", "MinSize", "0"),
    ("aws:autoscaling:asg", "MinSize", "two"),
    ("aws:elasticbeanstalk:command", "DeploymentPolicy", "RollingWithExtraBatch"),
    ("aws:elbv2:loadbalancer", "IdleTimeout", "4000"),
    ("aws:elasticbeanstalk:managedactions", "PreferredStartTime", "Tuesday 9"),
    ("aws:elasticbeanstalk:hostmanager", "LogPublicationControl", "yes"),
    ("aws:autoscaling:launchconfiguration", "BlockDeviceMappings", "/dev/sdf=100:gp3"),
])
def test_a_wrong_option_is_found(namespace, name, value):
    assert wrong_with(namespace, name, value, known_options())


@each_bundle
def test_a_config_file_has_known_keys_and_sets_nothing_twice(files):
    for name, config in configs(files).items():
        assert name.endswith(".config") and set(config) <= CONFIG_KEYS, name
    names = [(ns, name) for ns, name, _ in options_of(files)]
    assert len(names) == len(set(names))


@each_bundle
def test_the_environment_properties_fit(files):
    ours = [(n, v) for ns, n, v in options_of(files) + stack_options() if ns == bundle.PROPERTIES]
    size = sum(len(n) + len(str(v or "x" * 200)) + 2 for n, v in ours)
    assert size <= PROPERTIES_BYTES_MAX
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]*", n) for n, _ in ours)


def test_doubled_keys_and_short_tags_are_found():
    with pytest.raises(AssertionError, match="twice"):
        yaml.load("Resources: {A: 1}\nResources: {B: 2}", Strict)
    with pytest.raises(yaml.YAMLError):
        yaml.load("Resources: !Ref X", Strict)


# ---- What the environment is.

def seconds(text):
    return int(text.removesuffix("s"))


@each_bundle
def test_the_load_balancer_never_meets_a_closed_connection(files):
    """Its idle timeout is shorter than ours, and what it drains ends before we stop."""
    server = tomllib.loads(files["inlet.toml"].decode())["server"]
    assert int(value_of(files, "aws:elbv2:loadbalancer", "IdleTimeout")) < \
        seconds(server["idle_timeout"])
    process = "aws:elasticbeanstalk:environment:process:default"
    assert value_of(files, process, "HealthCheckPath") == "/readyz"
    assert int(value_of(files, process, "DeregistrationDelay")) >= 30


@each_bundle
def test_nodes_are_in_two_zones_and_no_deployment_takes_capacity(files):
    assert value_of(files, "aws:autoscaling:asg", "Availability Zones") == "Any 2"
    assert int(value_of(files, "aws:autoscaling:asg", "MinSize")) >= 2
    command = "aws:elasticbeanstalk:command"
    assert value_of(files, command, "DeploymentPolicy") == "RollingWithAdditionalBatch"
    rolling = "aws:autoscaling:updatepolicy:rollingupdate"
    assert value_of(files, rolling, "RollingUpdateType") == "Health"
    assert int(value_of(files, rolling, "MinInstancesInService")) >= 2


@each_bundle
def test_updates_logs_and_metadata_are_managed(files):
    assert value_of(files, "aws:elasticbeanstalk:managedactions", "ManagedActionsEnabled") == "true"
    assert value_of(files, "aws:elasticbeanstalk:hostmanager", "LogPublicationControl") == "true"
    assert value_of(files, "aws:elasticbeanstalk:cloudwatch:logs", "StreamLogs") == "true"
    launch = "aws:autoscaling:launchconfiguration"
    assert value_of(files, launch, "DisableIMDSv1") == "true"
    assert value_of(files, launch, "MonitoringInterval") == "1 minute"
    assert ":gp3:" in value_of(files, launch, "BlockDeviceMappings")


@each_bundle
def test_a_node_with_a_full_journal_is_never_replaced_for_it(files):
    assert value_of(files, "aws:elasticbeanstalk:monitoring",
                    "Automatically Terminate Unhealthy Instances") == "false"
    group = resources(files).get("AWSEBAutoScalingGroup", {})
    assert "HealthCheckType" not in group.get("Properties", {})


LATENCIES = {f"ApplicationLatencyP{p}" for p in ("10", "50", "75", "85", "90", "95", "99", "99.9")}
REQUESTS = {f"ApplicationRequests{n}" for n in ("Total", "2xx", "3xx", "4xx", "5xx")}
OF_ENVIRONMENT = LATENCIES | REQUESTS | {
    f"Instances{s}" for s in ("Severe", "Degraded", "Warning", "Info", "Ok", "Pending", "Unknown",
                              "NoData")}
OF_INSTANCE = LATENCIES | REQUESTS | {
    "InstanceHealth", "LoadAverage1min", "LoadAverage5min", "RootFilesystemUtil"} | {
    f"CPU{c}" for c in ("User", "Nice", "System", "Idle", "Iowait", "Irq", "Softirq")}


@each_bundle
def test_health_reports_the_whole_and_each_node(files):
    report = value_of(files, "aws:elasticbeanstalk:healthreporting:system", "ConfigDocument")
    whole, node = (report["CloudWatchMetrics"][n] for n in ("Environment", "Instance"))
    assert LATENCIES | REQUESTS <= set(whole) <= OF_ENVIRONMENT
    assert set(node) <= OF_INSTANCE
    assert {"ApplicationRequestsTotal", "ApplicationRequests5xx", "ApplicationLatencyP99",
            "LoadAverage1min", "CPUUser", "CPUIowait"} <= set(node)
    assert set(whole.values()) | set(node.values()) == {60}
    rules = report["Rules"]["Environment"]
    assert rules["Application"]["ApplicationRequests4xx"] == {"Enabled": False}
    assert rules["ELB"]["ELBRequests4xx"] == {"Enabled": False}


# ---- Resources.

def resources(files):
    found = {}
    for name, config in configs(files).items():
        for logical, resource in config.get("Resources", {}).items():
            assert logical not in found, f"{name}: {logical} is there twice"
            found[logical] = resource
    return found


def plain(node, options):
    """Without what only Elastic Beanstalk understands."""
    if isinstance(node, list):
        return [plain(one, options) for one in node]
    if not isinstance(node, dict):
        return node
    if set(node) == {"Fn::GetOptionSetting"}:
        asked = node["Fn::GetOptionSetting"]
        assert set(asked) <= {"Namespace", "OptionName", "DefaultValue"}
        name = (asked["Namespace"], asked["OptionName"])
        value = options.get(name, asked.get("DefaultValue"))
        assert value is not None, f"nothing sets {name}"
        return value
    if node == {"Ref": "AWSEBEnvironmentName"}:
        return {"Ref": "AWS::StackName"}
    return {key: plain(value, options) for key, value in node.items()}


def wrapped(files):
    """The bundle's resources laid over the platform's, as Elastic Beanstalk does."""
    options = {(CUSTOM, name): "arn:aws:sns:eu-west-1:111122223333:alarms"
               for ns, name, _ in stack_options() if ns == CUSTOM}
    made = copy.deepcopy(PLATFORM)
    for logical, resource in plain(resources(files), options).items():
        known = made.setdefault(logical, {"Type": resource["Type"], "Properties": {}})
        assert known["Type"] == resource["Type"]
        known["Properties"] |= resource["Properties"]
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": made}


def lint(text):
    return [str(match) for match in cfnlint.api.lint(text, regions=["eu-west-1", "us-east-1"])]


@each_bundle
def test_the_resources_of_a_bundle_are_right(files):
    assert lint(json.dumps(wrapped(files))) == []


def test_the_stack_is_right():
    assert lint((HERE / "stack.yml").read_text()) == []


def test_a_wrong_resource_is_found():
    template = wrapped(MADE["compose"])
    alarm = template["Resources"]["InletLatencyAlarm"]["Properties"]
    alarm["Dimensions"][0]["Value"] = {"Fn::GetAtt": ["AWSEBV2LoadBalancer", "FullName"]}
    alarm["ComparisonOperator"] = "MoreThan"
    found = "\n".join(lint(json.dumps(template)))
    assert "FullName" in found and "MoreThan" in found


@each_bundle
def test_functions_are_those_that_the_platform_knows(files):
    def names(node):
        if isinstance(node, dict):
            yield from (k for k in node if k == "Ref" or k.startswith("Fn::"))
        for one in node.values() if isinstance(node, dict) else node \
                if isinstance(node, list) else []:
            yield from names(one)
    assert set(names(resources(files))) <= {"Ref", "Fn::GetAtt", "Fn::Join",
                                            "Fn::GetOptionSetting"}


def alarms(files):
    return {logical: r["Properties"] for logical, r in resources(files).items()
            if r["Type"] == "AWS::CloudWatch::Alarm" and not logical.startswith("AWSEB")}


@each_bundle
def test_every_alarm_reports_to_the_topic(files):
    topic = {"Fn::GetOptionSetting": {"Namespace": CUSTOM, "OptionName": "AlarmTopicArn"}}
    for name, alarm in alarms(files).items():
        assert alarm["AlarmActions"] == [topic] and alarm["OKActions"] == [topic], name
        assert alarm["TreatMissingData"] in ("missing", "breaching", "notBreaching"), name


def test_there_is_an_alarm_for_everything_that_wakes_somebody():
    aws = {"InletHealthAlarm", "InletErrorsAlarm", "InletLatencyAlarm", "InletUnhealthyHostsAlarm",
           "InletFewHostsAlarm", "InletNoRequestsAlarm"}
    own = {"InletJournalFullInAlarm", "InletJournalUsedAlarm", "InletLagAlarm", "InletDeadAlarm",
           "InletDiskAlarm", "InletLevelAlarm", "InletSilentAlarm"}
    for variant in bundle.VARIANTS:
        assert set(alarms(bundle.make(variant, IMAGE, []))) == aws
        assert set(alarms(bundle.make(variant, IMAGE, ["emf"]))) == aws | own
    silent = stack()["Resources"]["SilentAlarm"]["Properties"]
    assert silent["TreatMissingData"] == "breaching"


@each_bundle
def test_scaling_tracks_cpu_and_incoming_bytes_and_nothing_else(files):
    made = resources(files)
    tracked = {r["Properties"]["TargetTrackingConfiguration"]["PredefinedMetricSpecification"]
               ["PredefinedMetricType"] for r in made.values()
               if r["Type"] == "AWS::AutoScaling::ScalingPolicy"}
    assert tracked == {"ASGAverageCPUUtilization", "ASGAverageNetworkIn"}
    for side in ("High", "Low"):
        assert made[f"AWSEBCloudwatchAlarm{side}"]["Properties"] == {"AlarmActions": []}


@each_bundle
def test_termination_waits_for_the_drain_of_that_name(files):
    hook = resources(files)["InletDrainHook"]["Properties"]
    assert hook["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_TERMINATING"
    assert 30 <= hook["HeartbeatTimeout"] <= 7200  # No linter looks at it.
    script = files["host/inlet-drain.sh"].decode()
    assert f"hook={hook['LifecycleHookName']}\n" in script
    heartbeat_s = int(re.search(r"INLET_HEARTBEAT_S:-(\d+)", script)[1])
    assert 3 * heartbeat_s <= hook["HeartbeatTimeout"]


def dashboard_of(files):
    pieces = resources(files)["InletDashboard"]["Properties"]["DashboardBody"]["Fn::Join"]
    return json.loads(pieces[0].join(p if isinstance(p, str) else "some-name" for p in pieces[1]))


@each_bundle
def test_the_dashboard_shows_the_whole_and_each_node(files):
    body = dashboard_of(files)
    text = json.dumps(body)
    assert "@" not in text
    for metric in ("NetworkIn", "NetworkOut", "CPUUtilization", "RequestCount", "HealthyHostCount",
                   "TargetResponseTime", "HTTPCode_Target_5XX_Count", "LoadAverage1min"):
        assert f'"{metric}' in text or f'\\"{metric}' in text, metric
    for name in re.findall(r"Application(?:Requests|Latency)\w[\w.]*", text):
        assert name in LATENCIES | REQUESTS, name
    spots = [(w["x"] + i, w["y"] + j) for w in body["widgets"]
             for i in range(w["width"]) for j in range(w["height"])]
    assert len(spots) == len(set(spots)) and max(x for x, _ in spots) < 24


@each_bundle
def test_what_the_dashboard_and_alarms_look_at_is_reported(files):
    """Every figure of enhanced health that is shown is one that the nodes are told to send."""
    report = value_of(files, "aws:elasticbeanstalk:healthreporting:system", "ConfigDocument")
    sent = report["CloudWatchMetrics"]
    for widget in dashboard_of(files)["widgets"]:
        for metric in widget["properties"]["metrics"]:
            if isinstance(metric, list) and metric[0] == "AWS/ElasticBeanstalk":
                assert metric[1] in {*sent["Environment"], "EnvironmentHealth"}
            elif isinstance(metric, list) and isinstance(metric[0], dict):
                searched = re.search(r'MetricName="([^"]+)"', metric[0]["expression"])[1]
                assert searched in sent["Instance"]


OWN = re.compile(r'\{\{"(\w+)", "([\w/]+)", (!?)fleet, ')


def test_what_is_looked_at_of_inlets_own_is_what_inlet_reports():
    """Names and units as in the table of src/health; all of the scope without nodes."""
    table = (inlet.ROOT / "src/health/cloud_metrics.cc").read_text()
    reported = {name: unit for name, unit, only_nodes in OWN.findall(table) if not only_nodes}
    assert {"JournalFullIn", "SinkLag"} <= set(reported)
    files = bundle.make("compose", IMAGE, ["emf"])
    for name, alarm in alarms(files).items():
        if alarm.get("Namespace") == "Inlet":
            assert alarm["MetricName"] in reported, name
            assert alarm.get("Unit", reported[alarm["MetricName"]]) == \
                reported[alarm["MetricName"]], name
    shown = {m[1] for widget in dashboard_of(files)["widgets"]
             for m in widget["properties"]["metrics"] if isinstance(m, list) and m[0] == "Inlet"}
    assert shown and shown <= set(reported)


# ---- The stack.

def statements(node):
    if isinstance(node, dict):
        if "Effect" in node and "Action" in node:
            yield node
        for one in node.values():
            yield from statements(one)
    elif isinstance(node, list):
        for one in node:
            yield from statements(one)


def listed(value):
    return value if isinstance(value, list) else [value]


def too_wide(statement):
    """What a statement grants beyond names; a sentence, or None."""
    if statement["Effect"] != "Allow":
        return None
    actions = listed(statement["Action"])
    if any("*" in action for action in actions):
        return f"any action: {actions}"
    if "*" in listed(statement.get("Resource", [])) and not set(actions) <= ACTIONS_WITHOUT_NAMES:
        return f"any resource: {actions}"
    return None


def test_no_policy_grants_a_star_where_a_name_can_stand():
    roles = [r for r in stack()["Resources"].values()
             if r["Type"] in ("AWS::IAM::Role", "AWS::IAM::Policy", "AWS::S3::BucketPolicy")]
    found = list(statements(roles))
    assert len(found) > 15
    assert [w for s in found if (w := too_wide(s))] == []
    # Kinds of resources that get their names later are narrowed by a tag or by what made them.
    for one in found:
        text = json.dumps(one["Resource"]) if "Resource" in one else ""
        if "instance/*" in text or "autoScalingGroupName/awseb-e-*" in text and \
                one["Sid"] == "Drain":
            assert "elasticbeanstalk:environment-name" in json.dumps(one["Condition"])


@pytest.mark.parametrize("change", [{"Action": "s3:*"}, {"Action": "s3:Put*"}, {"Resource": "*"}])
def test_a_policy_that_is_too_wide_is_found(change):
    assert too_wide({"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:x"} | change)


def test_the_buckets_are_closed_kept_and_encrypted():
    buckets = {n: r for n, r in stack()["Resources"].items() if r["Type"] == "AWS::S3::Bucket"}
    assert set(buckets) == {"Lake", "Operations"}
    for bucket in buckets.values():
        assert bucket["DeletionPolicy"] == "RetainExceptOnCreate"
        properties = bucket["Properties"]
        assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
        assert "BucketEncryption" in properties


def test_the_stack_makes_everything():
    kinds = {r["Type"] for r in stack()["Resources"].values()}
    assert kinds >= {"AWS::ECR::Repository", "AWS::S3::Bucket", "AWS::SNS::Topic", "AWS::IAM::Role",
                     "AWS::IAM::InstanceProfile", "AWS::ElasticBeanstalk::Application",
                     "AWS::ElasticBeanstalk::Environment", "AWS::CloudWatch::Alarm",
                     "AWS::EC2::VPC"}


def test_what_the_nodes_write_is_what_they_may_write():
    """Prefix of the sink, name of the keys: the same in policy, configuration and scripts."""
    text = (HERE / "stack.yml").read_text()
    sink = tomllib.loads(MADE["compose"]["inlet.toml"].decode())["sinks"]["lake"]
    assert f"${{Lake.Arn}}/{sink['prefix']}/*" in text
    assert "${Operations.Arn}/keys" in text
    script = (HERE / "switched/keys/host/inlet-keys.sh").read_text()
    assert "--key keys " in script


# ---- The container.

def compose(files):
    return yaml.load(files["docker-compose.yml"], Strict)


def compose_is_valid(content):
    try:
        compose_pydantic.ComposeSpecification.model_validate(content)
    except pydantic.ValidationError:
        return False
    return True


def test_the_compose_file_is_valid():
    content = compose(MADE["compose"])
    assert compose_is_valid(content)
    content["services"]["inlet"]["restarts"] = "always"
    assert not compose_is_valid(content)


def test_the_container_has_no_rights_it_does_not_need():
    service = compose(MADE["compose"])["services"]["inlet"]
    assert service["image"] == IMAGE
    assert service["cap_drop"] == ["ALL"] and service["read_only"] is True
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service and "cap_add" not in service
    uid = re.search(r"INLET_CONTAINER_UID:-(\d+)", MADE["compose"]["host/instance.sh"].decode())[1]
    assert service["user"] == f"{uid}:{uid}" and int(uid) >= 10000


def test_the_container_is_given_time_to_drain():
    files = MADE["compose"]
    server = tomllib.loads(files["inlet.toml"].decode())["server"]
    drain_s = seconds(server["drain_delay"]) + seconds(server["flush_deadline"])
    service = compose(files)["services"]["inlet"]
    assert seconds(service["stop_grace_period"]) >= drain_s + 15
    stop_s = int(re.search(r"^stop_s=(\d+)", files["host/inlet-drain.sh"].decode(), re.M)[1])
    assert stop_s >= drain_s + 15


def test_the_single_container_is_the_same_image_with_the_same_directories():
    run = json.loads(MADE["single"]["Dockerrun.aws.json"])
    assert run["AWSEBDockerrunVersion"] == "1"
    assert run["Image"]["Name"] == IMAGE
    inside = {v["ContainerDirectory"] for v in run["Volumes"]}
    assert {"/etc/inlet", "/var/lib/inlet", "/var/log/inlet"} == inside
    port = run["Ports"][0]["ContainerPort"]
    assert bundle.properties("single", [])["INLET_SERVER_LISTEN"].endswith(f":{port}")
    assert "docker-compose.yml" not in MADE["single"]
    assert value_of(MADE["single"], "aws:elasticbeanstalk:environment:proxy",
                    "ProxyServer") == "nginx"


# ---- Putting it together.

def test_only_a_pinned_image_is_bundled():
    for image in ("inlet", "inlet:latest", "repository/inlet@sha256:12"):
        with pytest.raises(ValueError, match="not pinned"):
            bundle.make("compose", image)


@each_bundle
def test_a_change_of_settings_runs_what_a_deployment_runs(files):
    hooks = {n: d for n, d in files.items() if n.startswith(".platform/hooks/")}
    assert hooks
    for name, data in hooks.items():
        assert files[name.replace("hooks", "confighooks", 1)] == data
        assert re.fullmatch(r"\.platform/hooks/(prebuild|predeploy|postdeploy)/\d\d-\S+\.sh", name)


@each_bundle
def test_the_zip_has_its_modes_and_is_the_same_every_time(files, tmp_path):
    bundle.write(files, tmp_path / "a.zip")
    bundle.write(dict(reversed(files.items())), tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as made:
        assert sorted(made.namelist()) == sorted(files)
        for entry in made.infolist():
            runs = bool(entry.external_attr >> 16 & 0o111)
            assert runs == entry.filename.endswith(".sh"), entry.filename
            assert made.read(entry) == files[entry.filename]


def test_the_bundle_maker_works_from_the_command_line(tmp_path):
    maker = inlet.ROOT / "deploy/bundle.py"
    done = subprocess.run([sys.executable, maker, "--variant", "single", "--image", IMAGE,
                           tmp_path / "b.zip"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / "b.zip") as made:
        assert set(made.namelist()) == set(MADE["single"])
    done = subprocess.run([sys.executable, maker, "--image", "inlet:latest", tmp_path / "c.zip"],
                          check=False, capture_output=True, text=True)
    assert done.returncode == 1 and "not pinned" in done.stderr


def scripts(directory, files):
    for name, data in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return sorted(p for p in directory.rglob("*.sh") if "confighooks" not in str(p))


@each_bundle
def test_scripts_are_clean(files, tmp_path):
    found = scripts(tmp_path, files)
    done = subprocess.run(["shellcheck", "-x", "-P", tmp_path, "-P", tmp_path / "host", *found],
                          check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("variant", bundle.VARIANTS)
def test_a_switch_that_is_off_leaves_nothing_behind(variant):
    off = bundle.make(variant, IMAGE, [])
    for name in every_switch(variant):
        on = bundle.make(variant, IMAGE, [name])
        tree = {n for n in on if (HERE / "switched" / name / n).exists()}
        assert tree == set(on) - set(off) - {n for n in on if "/confighooks/" in n}
        assert bundle.properties(variant, [name]) != bundle.properties(variant, [])


def test_switches_work_in_every_combination():
    for variant in bundle.VARIANTS:
        names = sorted(every_switch(variant))
        for count in range(len(names) + 1):
            for chosen in itertools.combinations(names, count):
                bundle.make(variant, IMAGE, chosen)


def checked(here, variant, files):
    """`inlet check` of what a node would run with."""
    text = files["inlet.toml"].decode().replace("@INSTANCE_ID@", "i-0123456789abcdef0")
    (here / "inlet.toml").write_text(text)
    properties = bundle.properties(variant, bundle.switches_on(variant))
    given = {**{name: re.sub("`.*`", "inlet-prod", text) for name, text in properties.items()},
             "INLET_SINKS_LAKE_BUCKET": "lake", "AWS_REGION": "eu-west-1"}
    return inlet.run("check", "--config", here / "inlet.toml", "--data", here / "data",
                     environment_more=given)


@pytest.mark.parametrize("variant", bundle.VARIANTS)
def test_inlet_takes_the_configuration(here, variant):
    done = checked(here, variant, MADE[variant])
    assert done.returncode == 0, done.stderr
    assert re.search(r'sinks\.lake\.bucket +"lake"', done.stdout)
    known = {line.split()[0] for line in done.stdout.splitlines()}
    for name in bundle.switches_on(variant):
        lacking = set(bundle.settings()["switches"][name]["needs"]) - known
        assert not lacking, f"the switch {name} is on and inlet does not know {lacking}"


# ---- The page.

PAGE = inlet.ROOT / "docs/ELASTIC-BEANSTALK.md"


def test_every_file_and_check_that_the_page_names_exists():
    text = PAGE.read_text()
    named = set(re.findall(r"`((?:deploy|docs|tests)/[\w./-]+)`", text))
    assert len(named) > 5
    missing = [n for n in named if not (inlet.ROOT / n).exists()]
    inside = set(re.findall(r"`((?:common|compose|single|switched)/[\w./-]+)`", text))
    missing += [n for n in inside if not (HERE / n).exists()]
    tests = "".join(p.read_text() for p in pathlib.Path(__file__).parent.glob("test_deploy_*.py"))
    checks = set(re.findall(r"`(test_\w+)`", text))
    assert len(checks) > 5
    missing += [n for n in checks if f"def {n}(" not in tests]
    assert missing == []


def test_the_examples_for_other_places_are_right(here):
    text = PAGE.read_text()
    manifests = [one for block in re.findall(r"```yaml\n(.*?)```", text, re.S)
                 for one in yaml.safe_load_all(block)]
    kinds = {m["kind"] for m in manifests}
    assert {"StatefulSet", "Service"} <= kinds
    pod = next(m for m in manifests if m["kind"] == "StatefulSet")["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["terminationGracePeriodSeconds"] >= 45
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    given = {e["name"]: e["value"] for e in container["env"] if e["name"].startswith("INLET_")}
    done = inlet.run("check", "--data", here / "data", environment_more=given)
    assert done.returncode == 0, done.stderr
    unit = re.search(r"```ini\n(.*?)```", text, re.S)[1]
    assert "ExecStart=/usr/local/bin/inlet run " in unit and "NoNewPrivileges=yes" in unit
