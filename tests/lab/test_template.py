"""Reading templates: tags, the SAM transform, and one line for each thing that is wrong."""

from pathlib import Path

import pytest

from lab.errors import TemplateError
from lab.template import ARTEFACT_BUCKET, load, transform

SAM = """\
Transform: AWS::Serverless-2016-10-31
Globals:
  Function:
    Runtime: python3.13
    Handler: handler.handler
    Layers: [!Ref Core]
Resources:
  Core:
    Type: AWS::Serverless::LayerVersion
    Properties: { ContentUri: layer }
  Probe:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: code
      Events:
        EachMinute: { Type: ScheduleV2, Properties: { ScheduleExpression: rate(1 minute) } }
  Failover:
    Type: AWS::Serverless::StateMachine
    Properties:
      DefinitionUri: failover.asl.yaml
      DefinitionSubstitutions: { Probe: !GetAtt Probe.Arn }
      Role: arn:aws:iam::123456789012:role/any
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "template.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    (tmp_path / "layer").mkdir()
    (tmp_path / "code").mkdir()
    (tmp_path / "failover.asl.yaml").write_text("StartAt: A", encoding="utf-8")
    return tmp_path


def test_short_tags_become_long_forms(tmp_path: Path) -> None:
    text = """
Resources:
  A:
    Type: T
    Properties:
      Ref: !Ref B
      Attribute: !GetAtt B.Endpoint.Address
      Listed: !GetAtt [B, Arn]
      Sub: !Sub ["${X}", { X: !Select [0, !GetAZs ""] }]
      If: !If [C, 1, !Ref AWS::NoValue]
      Date: 2012-10-17
"""
    properties = load(write(tmp_path, text)).resources["A"]["Properties"]
    assert properties == {
        "Ref": {"Ref": "B"},
        "Attribute": {"Fn::GetAtt": ["B", "Endpoint.Address"]},
        "Listed": {"Fn::GetAtt": ["B", "Arn"]},
        "Sub": {"Fn::Sub": ["${X}", {"X": {"Fn::Select": [0, {"Fn::GetAZs": ""}]}}]},
        "If": {"Fn::If": ["C", 1, {"Ref": "AWS::NoValue"}]},
        "Date": "2012-10-17",
    }


def test_resources_know_their_lines(tmp_path: Path) -> None:
    template = load(write(tmp_path, "Resources:\n  A:\n    Type: T\n  B:\n    Type: T\n"))
    assert (template.where("A"), template.where("B"), template.where("C")) == (
        "template.yaml:2",
        "template.yaml:4",
        "template.yaml",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Resources: [", "the template does not parse: .*template.yaml:1, mend the YAML"),
        ("Resources:\n  A: { Type: T }\n  A: { Type: T }\n", "A is given twice, .*template.yaml:3, mend"),
        ("Resources:\n  A:\n   Type: T\n  \tB: 1\n", "cannot start any token, .*template.yaml:4, mend"),
        ("Description: nothing\n", "the template has no Resources, .*template.yaml, give it at least one"),
        ("- a\n", "the template has no Resources"),
        ("", "the template has no Resources"),
        ("Resources:\n  A: { Properties: {} }\n", "resource A has no Type, .*template.yaml:2, say which type"),
    ],
)
def test_what_does_not_parse_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(TemplateError, match=said) as refused:
        load(write(tmp_path, text))
    assert "\n" not in str(refused.value)


def test_a_template_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"cannot be read \(No such file or directory\), .*gone\.yaml, give"):
        load(tmp_path / "gone.yaml")


def test_sam_becomes_cloudformation_and_local_paths_are_remembered(beside: Path) -> None:
    template = transform(load(write(beside, SAM)), "eu-west-1", {})
    types = {name: resource["Type"] for name, resource in template.resources.items()}
    assert types["Probe"] == "AWS::Lambda::Function"
    assert types["ProbeEachMinute"] == "AWS::Scheduler::Schedule"
    assert types["Failover"] == "AWS::StepFunctions::StateMachine"
    location = template.resources["Failover"]["Properties"]["DefinitionS3Location"]
    assert template.artefacts == {
        f"s3://{ARTEFACT_BUCKET}/layer": beside / "layer",
        f"s3://{ARTEFACT_BUCKET}/code": beside / "code",
        f"s3://{ARTEFACT_BUCKET}/failover.asl.yaml": beside / "failover.asl.yaml",
    }
    assert location == {"Bucket": ARTEFACT_BUCKET, "Key": "failover.asl.yaml"}
    assert template.where("Probe") == "template.yaml:11"


def test_a_template_without_sam_stays_as_it_is(tmp_path: Path) -> None:
    template = load(write(tmp_path, "Resources:\n  A: { Type: T }\n"))
    assert transform(template, "eu-west-1", {}) is template


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("CodeUri: code", "CodeUri: gone", r"Probe.CodeUri names gone, which does not exist, template.yaml:11, name"),
        ("ContentUri: layer", "ContentUri: lair", "Core.ContentUri names lair, which does not exist"),
        ("failover.asl", "failback.asl", "Failover.DefinitionUri names failback.asl.yaml, which does not exist"),
        ("AWS::Serverless-2016-10-31", "AWS::LanguageExtensions", "Transform AWS::LanguageExtensions is unknown"),
        (
            "Transform: AWS::Serverless-2016-10-31\n",
            "",
            "resource Core is a AWS::Serverless::LayerVersion in a template",
        ),
        ("Type: ScheduleV2", "Type: Tomorrow", "SAM refuses the template: .*Probe.*"),
    ],
)
def test_what_sam_needs_is_said_in_one_line(beside: Path, before: str, after: str, said: str) -> None:
    template = load(write(beside, SAM.replace(before, after)))
    with pytest.raises(TemplateError, match=said) as refused:
        transform(template, "eu-west-1", {})
    assert "\n" not in str(refused.value)
