# Grapnel.  `make help` lists what can be made.
#
# Variables: SANITIZE=1 builds with ASan and UBSan into build/sanitize;
# CC=clang B=build/clang builds with clang; CFLAGS adds to ours.  Other flags
# than the last time rebuild everything.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := all

OVS := .deps/openvswitch
B   := build$(if $(SANITIZE),/sanitize)

# What each folder is made of, in the order of the dependencies.

parse_OBJS := $(addprefix encap/,complete-csum.o crc32c.o csum.o parse.o \
	parse-icmp.o parse-ipv6.o quic-id.o)
encap_OBJS := encap/context.o encap/drop.o encap/hint.o $(parse_OBJS) \
	encap/provoke.o encap/reply.o encap/tunnel.o

# One file for each way of picking, and what they share.
pick_OBJS := $(addprefix anycast/,pick.o pick-by-tier.o \
	pick-least-connections.o pick-lowest-response-time.o pick-nearest.o \
	pick-round-robin.o)
# The flow table.
flow_OBJS := $(addprefix anycast/,flow-insert.o flow-memory.o flow-room.o \
	flow-table.o)
engine_OBJS := $(addprefix anycast/,engine.o engine-begin.o engine-choose.o \
	engine-examine.o engine-explain.o engine-forward.o engine-hint.o \
	engine-line.o engine-receive.o engine-send.o engine-track.o)
anycast_OBJS := $(engine_OBJS) anycast/flow-hash.o $(flow_OBJS) \
	anycast/group.o anycast/anycast-table.o \
	anycast/fragments.o anycast/source-table.o \
	anycast/handshake.o anycast/load.o $(pick_OBJS)

# Records: for mapd and the switch.
record_OBJS := $(addprefix mapping/,record.o record-check.o record-field.o \
	record-gateway.o record-health.o record-iface.o record-json.o \
	record-kind.o record-pool.o record-service.o record-workload.o \
	vni-set.o)
mapping_OBJS := $(addprefix mapping/,base64.o claims.o diagnosis.o \
	json-members.o metrics-address.o relay.o remote.o report.o \
	slot-codec.o tls.o) $(record_OBJS)

# What monitoring and systemd ask of both daemons.
service_OBJS := $(addprefix mapping/,metrics.o metrics-server.o \
	service-notify.o)

# A host's copy of the mapping; mapd's catalog, store and server; the CLI.
replica_OBJS := $(addprefix mapping/replica/,replica.o replica-contents.o \
	replica-group.o replica-index.o replica-json.o replica-previous.o \
	replica-record.o replica-txn.o) mapping/catalog/slot-history.o
catalog_OBJS := $(addprefix mapping/catalog/,catalog.o catalog-check.o \
	catalog-few.o catalog-health.o catalog-iface.o catalog-index.o \
	catalog-install.o catalog-lease.o catalog-liveness.o catalog-missing.o \
	catalog-numbers.o catalog-prepare.o catalog-record.o \
	catalog-record-check.o catalog-record-txn.o catalog-state.o \
	catalog-txn.o catalog-unique.o slot-dues.o slot-history.o slots.o)
# The client of etcd; what of it does no I/O.
etcd_pure_OBJS := $(addprefix mapping/etcd/,etcd-answer.o etcd-request.o \
	etcd-stream.o) mapping/base64.o mapping/diagnosis.o
etcd_OBJS := $(addprefix mapping/etcd/,etcd.o etcd-ask.o etcd-failure.o \
	etcd-http.o etcd-kv.o etcd-lease.o etcd-login.o etcd-members.o \
	etcd-watch.o) $(etcd_pure_OBJS)
store_OBJS := $(addprefix mapping/mapd/,directory.o store.o store-backup.o \
	store-copy.o store-create.o store-digest.o store-load.o \
	store-refuse.o store-rows.o store-sqlite.o store-etcd.o \
	store-etcd-batch.o store-etcd-commit.o store-etcd-leader.o \
	store-etcd-seen.o store-etcd-writes.o) $(etcd_OBJS)
trust_OBJS := $(addprefix mapping/mapd/,audit.o refusals.o revoked.o roles.o \
	server-handshake.o server-trust.o server-vnis.o stations.o)
mapd_OBJS := $(addprefix mapping/mapd/,mapd.o mapd-options.o barrier.o \
	lease-clock.o \
	ifaces.o link-row.o params.o presence.o server-fleet.o \
	server-lease.o server-link.o server-records.o verdicts.o \
	server.o server-batch.o server-change.o server-follow.o \
	server-forward.o server-iface.o server-incident.o server-listen.o \
	server-health.o server-liveness.o server-load.o server-notify.o \
	server-problems.o server-query.o server-metrics.o server-register.o \
	server-relay.o server-report.o server-warn.o \
	server-snapshot.o server-trace.o server-uplink.o subscription.o \
	unix-listener.o wait-capture.o waitset.o) \
	$(store_OBJS) $(service_OBJS) $(trust_OBJS)
ctl_OBJS := $(addprefix mapping/ctl/,grapnelctl.o ctl-bugreport.o ctl-call.o \
	ctl-change.o ctl-check.o ctl-client.o ctl-columns.o ctl-compare.o \
	ctl-complete.o \
	ctl-diff.o ctl-dump.o ctl-dump-file.o ctl-duration.o ctl-flow.o \
	ctl-help.o ctl-help-json.o ctl-list.o ctl-load.o ctl-loading.o \
	ctl-number.o ctl-options.o ctl-output.o ctl-record.o ctl-redact.o \
	ctl-repeated.o ctl-share.o ctl-show.o ctl-status.o ctl-trace.o \
	ctl-trust.o ctl-verbs.o ctl-wait.o ctl-watch.o)

vswitchd_OBJS := $(addprefix vswitchd-ext/,main.o grapnel.o config.o config-parse.o \
	netdev-anycast.o netdev-underlay.o virtual-port.o frame-ring.o \
	datapath.o underlay.o steering.o steering-rule.o steering-set.o \
	appctl.o appctl-show.o explain.o flow-file.o flow-maker.o handover.o \
	odd-options.o agent.o agent-config.o agent-moves.o iface-report.o \
	iface-set.o metrics-thread.o switch-metrics.o agent-report.o \
	mapd-session.o \
	table-builder.o table-file.o table-keeper.o health.o health-frame.o \
	health-probe.o health-report.o health-tap.o load-report.o \
	resolver.o rtnl.o)

PROGRAMS := grapnel-vswitchd grapnel-mapd grapnelctl

# Flags.  Each folder sees the folders below it and nothing else: its include
# path is a staged directory with links to just those.

SAN_CFLAGS  := -O1 -fsanitize=address,undefined \
	-fno-sanitize-recover=undefined -fno-omit-frame-pointer
OPT_CFLAGS  := $(if $(SANITIZE),$(SAN_CFLAGS),-O2)
ALL_CFLAGS  := -std=gnu11 -g $(OPT_CFLAGS) -Wall -Wextra -Werror -Wshadow \
	-Wmissing-prototypes -Wstrict-prototypes -Wpointer-arith \
	-D_GNU_SOURCE -pthread $(CFLAGS)
# clang objects to what the VLOG macros compare.
OVS_CPPFLAGS := -isystem $(OVS) -isystem $(OVS)/include -isystem $(OVS)/lib \
	-isystem $(OVS)/vswitchd $(if $(findstring clang,$(CC)),-Wno-sign-compare)
VERSION := 0.1.0
ALL_CPPFLAGS = -I$(B)/include/$(1) -DGRAPNEL_VERSION='"$(VERSION)"' -MMD -MP

encap_SEES        := encap
anycast_SEES      := encap anycast
mapping_SEES      := encap anycast mapping
vswitchd-ext_SEES := encap anycast mapping vswitchd-ext
tests_SEES        := encap anycast mapping vswitchd-ext tests
FOLDERS := encap anycast mapping vswitchd-ext tests

mapping_CPPFLAGS      := $(OVS_CPPFLAGS)
vswitchd-ext_CPPFLAGS := $(OVS_CPPFLAGS) -isystem $(OVS)/ofproto
tests_CPPFLAGS        := $(OVS_CPPFLAGS)
mapping_AFTER      := $(OVS)/.built
vswitchd-ext_AFTER := $(OVS)/.built
tests_AFTER        := $(OVS)/.built

OVS_LIBS     := $(OVS)/lib/.libs/libopenvswitch.a \
	$(OVS)/lib/.libs/libopenvswitchavx512.a -lssl -lcrypto -lcap-ng -lunbound \
	-lxdp -lbpf -lelf -lz -lnuma -latomic -lm -lpthread
OFPROTO_LIBS := $(OVS)/vswitchd/bridge.o $(OVS)/vswitchd/system-stats.o \
	$(OVS)/ofproto/.libs/libofproto.a $(OVS)/lib/.libs/libsflow.a
# Calls of Open vSwitch that come to vswitchd-ext/main.c and odd-options.c.
OVS_WRAPS    := -Wl,--wrap=daemonize_complete,--wrap=tnl_wc_init \
	-Wl,--wrap=tun_metadata_from_geneve_udpif \
	-Wl,--wrap=xlate_actions,--wrap=xlate_resume
# Calls of Open vSwitch that come to mapping/mapd/wait-capture.c.
WAIT_CAPTURE_WRAPS := -Wl,--wrap=poll_fd_wait_at,--wrap=poll_timer_wait_at \
	-Wl,--wrap=poll_timer_wait_until_at,--wrap=poll_immediate_wake_at
JEMALLOC     := $(if $(SANITIZE),,-ljemalloc)

.PHONY: all help
all: $(PROGRAMS:%=$(B)/%)

help:
	@echo 'make            build the programs into $(B)/'
	@echo 'make demo       four hosts on this machine serve an anycast address (root)'
	@echo 'make sim        the same, and leave the hosts running for you to explore'
	@echo 'make check      build everything and run every test (root)'
	@echo 'make cluster-long   a million flows and a thousand changes for each algorithm'
	@echo 'make fuzz       fuzz the parsers, FUZZ_SECONDS=60 each'
	@echo 'make bench      measure; JSON lines, also in build/bench.jsonl (root)'
	@echo 'make man        bring grapnelctl(8) up to date with its options'
	@echo 'make deps       install the Debian packages that all this needs (root)'
	@echo 'make test-ca    a CA and certificates for trying out TLS, in build/test-ca'
	@echo 'make install    [DESTDIR=] [PREFIX=/usr/local]'
	@echo 'make clean      remove build/; make distclean: .deps/ (Open vSwitch) too'

$(B)/grapnel-vswitchd: $(addprefix $(B)/,$(vswitchd_OBJS) $(replica_OBJS) $(mapping_OBJS) \
		$(service_OBJS) \
		$(anycast_OBJS) $(encap_OBJS)) $(OVS)/.built
	@echo '  LD      $@'
	@$(CC) $(ALL_CFLAGS) -o $@ $(filter %.o,$^) $(OVS_WRAPS) $(OFPROTO_LIBS) \
		$(OVS_LIBS) -lmnl -lmicrohttpd $(JEMALLOC)

$(B)/grapnel-mapd: $(addprefix $(B)/,$(mapd_OBJS) $(etcd_OBJS) $(catalog_OBJS) $(mapping_OBJS) \
		$(anycast_OBJS) $(encap_OBJS)) $(OVS)/.built
	@echo '  LD      $@'
	@$(CC) $(ALL_CFLAGS) -o $@ $(filter %.o,$^) $(WAIT_CAPTURE_WRAPS) \
		-lsqlite3 -lcurl -lmicrohttpd \
		$(OVS_LIBS) $(JEMALLOC)

$(B)/grapnelctl: $(addprefix $(B)/,$(ctl_OBJS) mapping/diagnosis.o mapping/remote.o mapping/tls.o) $(OVS)/.built
	@echo '  LD      $@'
	@$(CC) $(ALL_CFLAGS) -o $@ $(filter %.o,$^) -lsmartcols $(OVS_LIBS)

# Changes when the flags do.
FLAGS := $(CC) $(ALL_CFLAGS) $(OVS_CPPFLAGS) $(VERSION)
$(B)/.flags: always
	@mkdir -p $(@D)
	@echo '$(FLAGS)' | cmp -s - $@ || echo '$(FLAGS)' > $@
.PHONY: always

# One compile rule and one staged include directory per folder.

define folder_rules
$(B)/include/$(1)/.staged: Makefile
	@rm -rf $$(@D) && mkdir -p $$(@D)
	@for f in $($(1)_SEES); do \
		ln -s "$$$$(realpath --relative-to=$$(@D) $$$$f)" $$(@D)/$$$$f; done
	@touch $$@

$(B)/$(1)/%.o: $(1)/%.c $(B)/include/$(1)/.staged $(B)/.flags | $($(1)_AFTER)
	@mkdir -p $$(@D)
	@echo '  CC      $$<'
	@$$(CC) $$(ALL_CFLAGS) $$(call ALL_CPPFLAGS,$(1)) $($(1)_CPPFLAGS) -c -o $$@ $$<
endef
$(foreach f,$(FOLDERS),$(eval $(call folder_rules,$(f))))

include tests/tests.mk

# Parallel, unless whoever called us has a say in it.
JOBS = $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))

# Packages, and Open vSwitch from its Debian source package.

PACKAGES := $(shell sed 's/\#.*//' .ci/packages)

.PHONY: deps packages etcd promtool
deps: packages etcd promtool

packages:
	@.ci/install-packages $(PACKAGES)

# For tests: unpacked, not installed.
etcd:
	@.ci/unpack etcd 'etcd-server etcd-client' usr/bin/etcd usr/bin/etcdctl

promtool:
	@.ci/unpack prometheus prometheus usr/bin/promtool

$(OVS)/.built: always
	@.ci/build-ovs $(OVS)

# Demo, installation, cleaning.

.PHONY: demo sim
demo: packages
	@$(MAKE) --no-print-directory $(JOBS) all
	@sim/demo

# The demo, and then its hosts are yours to explore, if there is somebody.
sim: packages
	@$(MAKE) --no-print-directory $(JOBS) all
	@sim/demo $(shell test -t 0 && echo --keep)

# The parts of grapnelctl(8) that say what its tables say.
.PHONY: man
man: $(B)/grapnelctl
	@$< --json help | docs/man/generate docs/man/grapnelctl.8 > $(B)/grapnelctl.8
	@cp $(B)/grapnelctl.8 docs/man/

# DIRECTORY is TEST_CA, which must be new; NAMES such as host:h1.
TEST_CA ?= build/test-ca
.PHONY: test-ca
test-ca:
	@tests/test-ca $(TEST_CA) $(NAMES)
	@echo 'made in $(TEST_CA); README.md, "Trust", says what goes where'

DESTDIR ?=
PREFIX  ?= /usr/local
SBINDIR := $(PREFIX)/sbin
UNITS   := grapnel-mapd.service grapnel-vswitchd.service
.PHONY: install
install: all
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,sbin bin lib/systemd/system \
		lib/sysusers.d lib/tmpfiles.d share/bash-completion/completions)
	install $(B)/grapnel-vswitchd $(B)/grapnel-mapd $(DESTDIR)$(SBINDIR)/
	install $(B)/grapnelctl $(DESTDIR)$(PREFIX)/bin/
	$(B)/grapnelctl completion bash | install -m 644 /dev/stdin \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/grapnelctl
	for u in $(UNITS); do sed 's,@SBINDIR@,$(SBINDIR),' systemd/$$u.in \
		| install -m 644 /dev/stdin \
			$(DESTDIR)$(PREFIX)/lib/systemd/system/$$u; done
	install -m 644 systemd/grapnel-sysusers.conf \
		$(DESTDIR)$(PREFIX)/lib/sysusers.d/grapnel.conf
	install -m 644 systemd/grapnel-tmpfiles.conf \
		$(DESTDIR)$(PREFIX)/lib/tmpfiles.d/grapnel.conf
	for m in $(wildcard docs/man/*.8); do \
		install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man8 $$m; done

.PHONY: clean distclean
clean:
	rm -rf build $(B)
distclean: clean
	rm -rf .deps

-include $(shell find $(FOLDERS:%=$(B)/%) -name '*.d' 2>/dev/null)
