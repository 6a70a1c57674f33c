#!/usr/bin/python3
"""The manual pages: well-formed, as mandoc judges, and in step with the
programs: every option that --help names, and no other, every control command,
and grapnelctl's as its tables have them.

    tests/system/test-man-pages.py"""

import json
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get('GRAPNEL_BUILD',
                                       os.path.join(TOP, 'build')))
MAN = os.path.join(TOP, 'docs/man')
PAGES = ['grapnel-mapd', 'grapnel-vswitchd', 'grapnelctl']


def output(*argv, **options):
    return subprocess.run(argv, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60,
                          check=True, **options).stdout


def path(page):
    return os.path.join(MAN, page + '.8')


def text(page):
    """The page as people see it, without overstriking."""
    shown = output('mandoc', '-Tascii', '-Owidth=500', path(page))
    return re.sub('.\b', '', shown)


def described(page):
    """Options that begin an entry of a list."""
    entries = re.findall(r'^\s+(-\S.*)$', text(page), re.M)
    return {option for entry in entries
            for option in re.findall(r'(?:^|, )(--?[\w-]+)', entry)}


def helped(program, *argv):
    """Options that --help names, one or two to a line."""
    shown = output(os.path.join(BUILD, program), *argv, '--help')
    found = set()
    for line in shown.splitlines():
        entry = re.match(r'\s+(-.*?)(?:  |$)', line)
        if entry:
            found.update(re.findall(r'(?:^|[ ,])(--?[a-zA-Z][\w-]*)',
                                    entry[1]))
    return {'-v' if option == '-vSPEC' else option for option in found}


def commands(folder):
    """Control commands that the sources register, but for `exit`."""
    found = set()
    for name in os.listdir(os.path.join(TOP, folder)):
        if name.endswith('.c'):
            with open(os.path.join(TOP, folder, name)) as file:
                found.update(re.findall(
                    r'unixctl_command_register\(\s*"(\w+/[\w-]+)"',
                    file.read()))
    return found


def the_pages_are_well_formed():
    assert sorted(os.listdir(MAN)) == sorted(
        [page + '.8' for page in PAGES] + ['generate']), os.listdir(MAN)
    for page in PAGES:
        lint = output('mandoc', '-Tlint', '-Wwarning', path(page))
        assert not lint, lint


def verbs():
    """The verbs of grapnelctl with their operands, as people type them."""
    tables = json.loads(output(os.path.join(BUILD, 'grapnelctl'), '--json',
                               'help'))
    return [([*verb.get('noun', '').split(), verb['verb']],
             verb['operands']) for verb in tables['verbs']]


def each_option_is_in_help_and_in_the_page():
    for page in PAGES:
        want = helped(page)
        if page == 'grapnelctl':
            for words, _ in verbs():
                want |= helped(page, *words)
        got = described(page)
        assert want, page
        assert got == want, '%s: only in --help: %s; only in the page: %s' % (
            page, sorted(want - got), sorted(got - want))


def each_control_command_is_in_the_page():
    for page, folder in (('grapnel-mapd', 'mapping/mapd'),
                         ('grapnel-vswitchd', 'vswitchd-ext')):
        want = commands(folder)
        got = set(re.findall(r'^\s+(\w+/[\w-]+)(?: |$)', text(page), re.M))
        assert want and got == want, '%s: %s, not %s' % (page, got, want)


def the_page_of_grapnelctl_is_up_to_date():
    tables = output(os.path.join(BUILD, 'grapnelctl'), '--json', 'help')
    made = output(os.path.join(MAN, 'generate'), path('grapnelctl'),
                  input=tables)
    with open(path('grapnelctl')) as page:
        assert page.read() == made, 'grapnelctl(8) is stale: make man'


def each_verb_has_an_entry():
    page = text('grapnelctl')
    for words, operands in verbs():
        entry = ' '.join([*words, *operands.split()])
        assert re.search(r'^ +%s(  |$)' % re.escape(entry), page, re.M), \
            '"%s" is not in the page' % entry


def words_of(source, pattern):
    with open(os.path.join(TOP, source)) as file:
        return set(re.findall(pattern, file.read()))


def the_page_of_the_switch_has_all_keys_and_options():
    keys = words_of('vswitchd-ext/config-parse.c',
                    r'read_\w+\(ids, "(grapnel-[\w-]+)"')
    options = words_of('vswitchd-ext/netdev-anycast.c', r'"(vni|steer\w*)"')
    page = text('grapnel-vswitchd')
    section = page[page.index('CONFIGURATION'):page.index('CONTROL COMMANDS')]
    for want, start in (keys, 'grapnel-'), (options, '(?:vni|steer)'):
        entries = re.findall('^ +(%s.*)$' % start, section, re.M)
        got = {word for entry in entries
               for word in re.findall(r'[\w-]+', entry.split('  ')[0])}
        assert want and got == want, '%s, not %s' % (got, want)
    told = words_of('docs/architecture.md', r'`(grapnel-[a-z0-9-]+)`')
    assert keys <= told, 'docs/architecture.md lacks %s' % (keys - told)


def the_page_of_the_switch_has_port_types_and_lines_of_show():
    types = (words_of('vswitchd-ext/netdev-anycast.h', r'"(anycast\w*)"')
             | words_of('vswitchd-ext/netdev-underlay.h', r'"(anycast\w*)"'))
    lines = words_of('vswitchd-ext/appctl-show.c',
                     r'remark\(remarks, "(\w+)"')
    entries = {word for entry in re.findall(r'^ +(\S.*)$',
                                            text('grapnel-vswitchd'), re.M)
               for word in entry.split('  ')[0].split(', ')}
    want = types | {line.replace('_', ' ') for line in lines}
    assert len(types) == 4 and 'mapd_error' in lines, '%s, %s' % (types, lines)
    assert want <= entries, 'the page lacks %s' % (want - entries)


def main():
    failed = 0
    tests = [the_pages_are_well_formed,
             each_option_is_in_help_and_in_the_page,
             each_control_command_is_in_the_page,
             the_page_of_grapnelctl_is_up_to_date, each_verb_has_an_entry,
             the_page_of_the_switch_has_all_keys_and_options,
             the_page_of_the_switch_has_port_types_and_lines_of_show]
    for test in tests:
        name = test.__name__.replace('_', ' ')
        try:
            test()
            print('ok    ' + name)
        except (AssertionError, subprocess.SubprocessError) as failure:
            failed += 1
            print('FAIL  %s: %s %s' % (name, failure,
                                       getattr(failure, 'output', '') or ''))
    print('%d passed, %d failed' % (len(tests) - failed, failed))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
