#!/usr/bin/python3
"""grapnelctl in a shell: terminals, files and sockets, help and completion.

    tests/system/test-grapnelctl-shell.py [PART-OF-A-TEST'S-NAME...]"""

import contextlib
import os
import pty
import re
import socket
import subprocess
import sys
import time

from ctlworld import CTL, answer_with, check, equal, main, test


@test
def mapd_on_tcp(w):
    listener = socket.socket()
    listener.bind(('127.0.0.1', 0))
    listener.listen()
    remote = 'tcp:127.0.0.1:%d' % listener.getsockname()[1]

    # Accepts nothing: the kernel connects, and nobody answers.
    start = time.monotonic()
    err = w.run('--mapd', remote, '--timeout', '0.3', 'status', status=4).err
    check(remote in err and '0.3 s' in err, 'it says %r', err)
    check(time.monotonic() - start < 3, 'that took long')
    listener.close()


def run_on_terminal(w, *argv, **env):
    master, slave = pty.openpty()
    process = subprocess.Popen([CTL, *argv], env={**w.env, **env},
                               stdout=slave, stderr=subprocess.PIPE)
    os.close(slave)
    data = b''
    with contextlib.suppress(OSError):      # EIO when the other end closes.
        while True:
            data += os.read(master, 65536)
    os.close(master)
    process.stderr.close()
    equal(process.wait(5), 0, 'exit status')
    return data.decode().replace('\r\n', '\n')


@test
def colour_only_on_a_terminal(w):
    for argv in ['endpoint', 'list'], ['status'], \
            ['endpoint', 'show', '5001/web/w1']:
        plain = w.run(*argv).out
        colored = run_on_terminal(w, *argv)
        check('\033[' not in plain, 'colour in a pipe')
        check('\033[' in colored, 'no colour on a terminal: %r', colored)
        quiet = run_on_terminal(w, *argv, NO_COLOR='1')
        check('\033[' not in quiet, 'colour in spite of NO_COLOR')
        if argv[0] == 'endpoint':
            equal(re.sub(r'\033\[[0-9;]*m', '', colored), plain)
            equal(quiet, plain)
    check('\033[' not in run_on_terminal(w, '--json', 'endpoint', 'list'),
          'colour in JSON')


@test
def output_that_cannot_be_written_exits_1(w):
    for argv in ['dump'], ['host', 'list'], ['help'], ['--version'], \
            ['--json', 'status'], ['watch']:
        with open('/dev/full', 'w') as full:
            process = subprocess.run([CTL, *argv], env=w.env, stdout=full,
                                     stderr=subprocess.PIPE, text=True,
                                     timeout=10)
        equal(process.returncode, 1, '%r to a full disk' % argv)
        check('No space left' in process.stderr, 'it says %r',
              process.stderr)

        process = subprocess.run(['sh', '-c', 'exec "$@" >&-', 'sh', CTL,
                                  *argv], env=w.env, stderr=subprocess.PIPE,
                                 text=True, timeout=10)
        equal(process.returncode, 1, '%r with stdout closed' % argv)
        check('standard output' in process.stderr, 'it says %r',
              process.stderr)

        reader, writer = os.pipe()
        os.close(reader)
        process = subprocess.run([CTL, *argv], env=w.env, stdout=writer,
                                 stderr=subprocess.PIPE, text=True,
                                     timeout=10)
        os.close(writer)
        equal((process.returncode, process.stderr), (1, ''),
              '%r with no reader' % argv)


@test
def help_covers_every_verb(w):
    text = w.run('help').out
    equal(w.run('--help').out, text, '--help')
    verbs = re.findall(
        r'^  ((?:host|group|endpoint|workload|gateway(?: pool| lease| vip)?) )'
        r'?([a-z]+)(?: |$)', text, re.M)
    equal(len(verbs), 15 + 26 + 11, 'number of verbs')
    for noun, verb in verbs:
        words = [*noun.split(), verb]
        one = w.run('help', *words).out
        check(one.startswith('usage: grapnelctl %s' % ' '.join(words)),
              'help %r says %r', words, one)
        equal(w.run(*words, '--help').out, one, '--help of %r' % words)
    for noun in ('host', 'group', 'endpoint', 'workload', 'gateway',
                 'gateway pool', 'gateway lease', 'gateway vip'):
        equal(w.run('help', *noun.split()).out,
              w.run(*noun.split(), '--help').out)
    check(all(len(line) < 80 for line in text.splitlines()), 'too wide')
    check(re.fullmatch(r'grapnelctl \d+\.\d+\.\d+\n',
                       w.run('--version').out), 'the version')


def complete(w, line):
    """What bash would make of the last word of 'line': it has the function
    complete only what follows the last of COMP_WORDBREAKS."""
    script = '''
        source <("$1" completion bash) || exit
        complete -p grapnelctl > /dev/null || exit
        COMP_LINE=$2 COMP_POINT=${#2}
        _grapnelctl "$1" "$3" || true
        printf '%s\\n' "${COMPREPLY[@]}"'''
    last = re.split('[ :=]', line)[-1]
    process = subprocess.run(['bash', '-c', script, 'bash', CTL, line, last],
                             env=w.env, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, cwd=w.dir)
    equal((process.returncode, process.stderr), (0, ''), 'completion')
    return sorted(process.stdout.split())


@test
def completion_knows_the_tables_and_the_names(w):
    for line, offers in (
            ('grapnelctl e', ['endpoint']),
            ('grapnelctl wa', ['wait', 'watch']),
            ('grapnelctl group ', ['add', 'list', 'remove', 'set', 'show']),
            ('grapnelctl --json group sh', ['show']),
            ('grapnelctl endpoint set --st', ['--state']),
            ('grapnelctl endpoint remove --st', []),
            ('grapnelctl endpoint set x --state d', ['down', 'draining']),
            ('grapnelctl endpoint set x --state=d', ['down', 'draining']),
            ('grapnelctl endpoint set x --state=',
             ['down', 'draining', 'up']),
            ('grapnelctl endpoint set --weight 3 5001/web/w',
             ['5001/web/w%d' % i for i in (1, 2, 3, 4)]),
            ('grapnelctl endpoint show ', ['5001/web/', '5002/web/']),
            ('grapnelctl endpoint show 5001/', ['5001/web/']),
            ('grapnelctl endpoint show 5001/w', ['5001/web/']),
            ('grapnelctl endpoint show x/w', []),
            ('grapnelctl group show 5001/', ['5001/web']),
            ('grapnelctl group set 5001/web --a',
             ['--affinity', '--affinity-timeout', '--algorithm']),
            ('grapnelctl group set 5001/web --algorithm le',
             ['least-connections', 'least-cost']),
            ('grapnelctl group set 5001/web --on-host-death=',
             ['keep', 'reset']),
            ('grapnelctl group set 5001/web --po', []),
            ('grapnelctl group add 5001/x --pro', ['--protocol']),
            ('grapnelctl group add 5001/x --protocol s', ['sctp']),
            ('grapnelctl endpoint set x --prio', ['--priority']),
            ('grapnelctl host set h1 --r', ['--rack', '--region']),
            ('grapnelctl trace 5001 ', ['icmp', 'sctp', 'tcp', 'udp']),
            ('grapnelctl trace 5001 tcp ', []),
            ('grapnelctl trace --host h', ['h1', 'h2']),
            ('grapnelctl --mapd unix:%s host show h' % w.socket,
             ['h1', 'h2']),
            ('grapnelctl --mapd=unix:%s host show h' % w.socket,
             ['h1', 'h2']),
            ('grapnelctl endpoint set x --mac 02:00:00:00:00:01 --sta',
             ['--state']),
            ('grapnelctl endpoint add x --host ', ['h1', 'h2']),
            ('grapnelctl endpoint add 5001', ['5001/web/']),
            ('grapnelctl endpoint list ', ['5001/web', '5002/web']),
            ('grapnelctl group show 5002', ['5002/web']),
            ('grapnelctl host remove ', ['h1', 'h2']),
            ('grapnelctl host remove h1 ', []),
            ('grapnelctl host add ', []),
            ('grapnelctl completion ', ['bash']),
            ('grapnelctl check 5001', ['5001/web']),
            ('grapnelctl check --host h', ['h1', 'h2']),
            ('grapnelctl help endp', ['endpoint']),
            ('grapnelctl help host sh', ['show']),
            ('grapnelctl --mapd unix:/none host show ', [])):
        equal(complete(w, line), sorted(offers), 'offers for %r' % line)
    w.path('a.dump', '')
    for verb in 'load', 'diff':
        equal(complete(w, 'grapnelctl %s a.d' % verb), ['a.dump'])


@test
def completion_asks_for_no_more_than_it_needs(w):
    answer = '{"id":ID,"error":null,"result":{"revision":1,"items":[]}}'
    for words, want in (
            ('endpoint show 5/', {'kind': 'group', 'vni': 5}),
            ('endpoint show 5/web/w', {'kind': 'endpoint', 'vni': 5,
                                       'group': 'web'}),
            ('endpoint list 5/w', {'kind': 'group', 'vni': 5}),
            ('group set 5/', {'kind': 'group', 'vni': 5}),
            ('host show h', {'kind': 'host'})):
        asked = []
        remote = answer_with(w, answer, requests=asked)
        w.run('__complete', '--mapd', remote, *words.split())
        equal([(a['method'], a['params']) for a in asked],
              [('list', [want])], 'what is asked for %r' % words)


if __name__ == '__main__':
    sys.exit(main())
