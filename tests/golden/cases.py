"""The golden cases, all of them."""

import cases_answers
import cases_flows
import cases_protocols
import cases_switches
from casebook import CASES, Run

__all__ = ["CASES", "Run", "cases_answers", "cases_flows", "cases_protocols",
           "cases_switches"]
