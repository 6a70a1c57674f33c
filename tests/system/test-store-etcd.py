#!/usr/bin/python3
"""The tests that every store must pass (tests/unit/test-store-engines.c), on a
real etcd of three members.

    tests/system/test-store-etcd.py"""

import os
import re
import subprocess

from etcdcluster import ROOT, Cluster
from mapdworld import BUILD, check, check_equal, main

PROGRAM = os.path.join(ROOT, BUILD, "tests", "unit", "test-store-engines")
SECONDS = 200


def run(cluster):
    """Counts what the program passes and fails."""
    done = subprocess.run([PROGRAM, "etcd:" + cluster.urls], text=True,
                          timeout=SECONDS, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    names = re.findall(r"^\[ +OK \] (\w+)", done.stdout, re.M)
    check_equal(done.returncode, 0, "the tests: " + done.stdout[-1500:])
    for name in names:
        check(True, name)
    check(len(names) >= 6, "there are tests", names)


def test_cluster():
    print("what every store must do", flush=True)
    with Cluster() as cluster:
        cluster.start()
        run(cluster)
        check(b"/test-store" in cluster.etcdctl("get", "--prefix", "/",
                                                "--keys-only"),
              "it was in etcd")


if __name__ == "__main__":
    main(test_cluster, program=PROGRAM)
