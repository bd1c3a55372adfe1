"""A document's gates as JUnit XML: one test case a gate."""

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from gencheck.report.json import Document, command_of
from gencheck.report.limits import would_pass_sentence


def to_junit(doc: Document) -> str:
    """One suite with a test case for each check of the gate; none where no gate was asked for."""
    name = f"gencheck.{command_of(doc)}"
    gate = doc.get("gate", {"checks": []})
    failures = sum(not check["passed"] for check in gate["checks"])
    counts = {"tests": str(len(gate["checks"])), "failures": str(failures), "errors": "0"}
    root = Element("testsuites", counts)
    suite = SubElement(root, "testsuite", {"name": name, **counts})
    for check in gate["checks"]:
        case = SubElement(suite, "testcase", {"classname": name, "name": check["name"]})
        value = "not available" if check["value"] is None else f"{check['value']:.10g}"
        if not check["passed"]:
            message = f"{check['name']} {check['limit']:.10g}, value {value}"
            failure = SubElement(case, "failure", {"message": message})
            failure.text = would_pass_sentence(gate) or message
        else:
            SubElement(case, "system-out").text = f"limit {check['limit']:.10g}, value {value}"
    indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(root, encoding="unicode")}\n'
