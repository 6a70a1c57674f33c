#!/usr/bin/python3
"""Runs a program under restrictions that a systemd unit asks for, as far as
they can be had without systemd:

    confined.py UNIT USER WRITABLE,... -- PROGRAM ARGUMENT...

as USER ("root" or a number), with no capability but those of
CapabilityBoundingSet=, without new privileges, and with no file to write but
below the WRITABLE directories, if ProtectSystem=strict.  A system call that
SystemCallFilter= does not allow, or a socket of another family than
RestrictAddressFamilies= has, ends the program with SIGSYS, so that no test can
overlook it."""

import sys
sys.dont_write_bytecode = True

import ctypes
import os
import re
import socket
import struct
import subprocess

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_ALLOW, _KILL = 0x7fff0000, 0x80000000
_LD, _JEQ, _RET = 0x20, 0x15, 0x06
_AUDIT_ARCH_X86_64 = 0xc000003e
_NR, _ARCH, _ARG0 = 0, 4, 16    # Offsets in struct seccomp_data.
UNISTD = '/usr/include/x86_64-linux-gnu/asm/unistd_64.h'


def read_unit(path):
    """{key: [value]}, of all sections."""
    with open(path) as unit:
        text = unit.read().replace('\\\n', ' ')
    keys = {}
    for line in text.splitlines():
        if re.match(r'[A-Z]\w*=', line):
            key, value = line.split('=', 1)
            keys.setdefault(key, []).append(value.strip())
    return keys


def _expand(name):
    """The system calls of a set, or the call itself."""
    if not name.startswith('@'):
        return {name}
    text = subprocess.run(['systemd-analyze', '--no-pager', 'syscall-filter',
                           name], check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    names = re.findall(r'^    ([@\w-]+)$', text, re.M)
    return set().union(*map(_expand, names))


def _allowed_calls(unit):
    allowed = set()
    for value in unit['SystemCallFilter']:
        names = set().union(*map(_expand, value.lstrip('~').split()))
        allowed = (allowed - names if value.startswith('~')
                   else allowed | names)
    # systemd always allows what a program needs to begin.
    return allowed | {'execve', 'exit', 'exit_group', 'rt_sigreturn'}


def _filter(unit):
    """A program for seccomp(2)."""
    with open(UNISTD) as header:
        numbers = dict(re.findall(r'#define __NR_(\w+) (\d+)', header.read()))
    calls = sorted(int(numbers[name]) for name in _allowed_calls(unit)
                   if name in numbers and name != 'socket')
    families = [getattr(socket, name, 44)       # AF_XDP
                for name in unit['RestrictAddressFamilies'][0].split()]

    def op(code, k, yes=0, no=0):
        return struct.pack('HBBI', code, yes, no, k)

    program = [op(_LD, _ARCH), op(_JEQ, _AUDIT_ARCH_X86_64, 1, 0),
               op(_RET, _KILL), op(_LD, _NR)]
    for call in calls:
        program += [op(_JEQ, call, 0, 1), op(_RET, _ALLOW)]
    program += [op(_JEQ, int(numbers['socket']), 1, 0), op(_RET, _KILL),
                op(_LD, _ARG0)]
    for family in families:
        program += [op(_JEQ, family, 0, 1), op(_RET, _ALLOW)]
    return program + [op(_RET, _KILL)]


def _confine(unit):
    program = _filter(unit)
    code = ctypes.create_string_buffer(b''.join(program))
    prog = ctypes.create_string_buffer(
        struct.pack('HxxxxxxP', len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, prog, 0, 0):
        raise OSError(ctypes.get_errno(), 'seccomp')


def main(argv):
    path, user, writable = argv[1:4]
    unit = read_unit(path)
    if user == 'confined':
        _confine(unit)
        os.execv(argv[5], argv[5:])

    caps = ','.join('+' + name[4:].lower() for name in
                    unit['CapabilityBoundingSet'][0].split())
    setpriv = ['setpriv', '--bounding-set=-all' + (',' + caps if caps else ''),
               '--inh-caps=-all', '--no-new-privs']
    if user != 'root':
        setpriv += ['--reuid', user, '--regid', user, '--clear-groups']
    mounts = ['mount --bind "%s" "%s"' % (directory, directory)
              for directory in writable.split(',')]
    if unit['ProtectSystem'] == ['strict']:
        mounts.append('mount -o remount,ro,bind /')
    with open(__file__) as this:
        source = this.read()    # USER may not be able to read it.
    os.execvp('unshare', [
        'unshare', '--mount', 'bash', '-ec', '\n'.join(mounts) + '\nexec "$@"',
        'bash', *setpriv, sys.executable, '-c', source, path, 'confined', '-',
        *argv[4:]])


if __name__ == '__main__':
    main(sys.argv)
