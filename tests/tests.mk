# Tests and benchmarks.  A test's list of objects is its coupling: it names the
# production objects that it needs, and no archive hides more.

# Unit tests of pure code (encap, anycast): cmocka, no Open vSwitch.
pure_TESTS := unit/test-csum unit/test-parse unit/test-complete-csum \
	unit/test-tunnel unit/test-context unit/test-hint unit/test-quic-id \
	unit/test-reply unit/test-provoke
unit/test-csum_OBJS := encap/csum.o tests/unit/frame.o
unit/test-parse_OBJS := $(parse_OBJS) encap/drop.o tests/unit/frame.o \
	tests/unit/parse-twin.o
unit/test-complete-csum_OBJS := $(parse_OBJS) tests/unit/frame.o
unit/test-tunnel_OBJS := encap/csum.o encap/tunnel.o tests/unit/frame.o
unit/test-context_OBJS := encap/context.o tests/unit/frame.o
unit/test-hint_OBJS := encap/hint.o tests/unit/frame.o
unit/test-quic-id_OBJS := $(parse_OBJS) tests/unit/frame.o
unit/test-reply_OBJS := $(parse_OBJS) encap/reply.o tests/unit/frame.o
unit/test-provoke_OBJS := encap/csum.o encap/provoke.o tests/unit/frame.o \
	tests/unit/provoked.o

pure_TESTS += unit/test-flow-hash unit/test-group unit/test-anycast-table \
	unit/test-flow-table unit/test-flow-adopt unit/test-flow-interleave \
	unit/test-flow-threads unit/test-engine unit/test-engine-frames
unit/test-flow-hash_OBJS := anycast/flow-hash.o anycast/group.o
unit/test-group_OBJS := anycast/flow-hash.o anycast/group.o
pure_TESTS += unit/test-handshake unit/test-load unit/test-pick \
	unit/test-pick-spread
unit/test-handshake_OBJS := anycast/handshake.o
unit/test-load_OBJS := anycast/load.o
unit/test-pick_OBJS := $(pick_OBJS) anycast/flow-hash.o anycast/group.o \
	anycast/load.o tests/unit/fleet.o
unit/test-pick-spread_OBJS := $(unit/test-pick_OBJS)
unit/test-anycast-table_OBJS := anycast/anycast-table.o anycast/flow-hash.o \
	anycast/group.o tests/unit/frame.o
pure_TESTS += unit/test-fragments unit/test-source-table
unit/test-fragments_OBJS := anycast/fragments.o tests/unit/frame.o
unit/test-source-table_OBJS := anycast/source-table.o
unit/test-flow-table_OBJS := $(flow_OBJS) anycast/flow-hash.o \
	tests/unit/flows.o
pure_TESTS += unit/test-flow-twin
unit/test-flow-twin_OBJS := $(unit/test-flow-table_OBJS)
unit/test-flow-adopt_OBJS := $(flow_OBJS) anycast/flow-hash.o
unit/test-flow-interleave_OBJS := anycast/flow-hash.o
unit/test-flow-threads_OBJS := $(flow_OBJS) anycast/flow-hash.o
unit/test-engine_OBJS := $(anycast_OBJS) $(encap_OBJS) tests/unit/frame.o \
	tests/unit/world.o
unit/test-engine-frames_OBJS := $(unit/test-engine_OBJS)
pure_TESTS += unit/test-engine-protocols unit/test-engine-refusals \
	unit/test-engine-loads unit/test-engine-explain \
	unit/test-engine-fragments unit/test-engine-handover \
	unit/test-engine-receive unit/test-engine-forward \
	unit/test-engine-hints
unit/test-engine-refusals_OBJS := $(unit/test-engine_OBJS)
unit/test-engine-protocols_OBJS := $(unit/test-engine_OBJS)
unit/test-engine-loads_OBJS := $(unit/test-engine_OBJS)
unit/test-engine-explain_OBJS := $(unit/test-engine_OBJS)
unit/test-engine-fragments_OBJS := $(unit/test-engine_OBJS)
unit/test-engine-handover_OBJS := $(unit/test-engine_OBJS)
unit/test-engine-receive_OBJS := $(unit/test-engine_OBJS) \
	tests/unit/cluster.o
unit/test-engine-forward_OBJS := $(unit/test-engine-receive_OBJS)
unit/test-engine-hints_OBJS := $(unit/test-engine-receive_OBJS)
pure_TESTS += unit/test-engine-plain
unit/test-engine-plain_OBJS := $(unit/test-engine_OBJS)
pure_TESTS += unit/test-engine-threads
unit/test-engine-threads_OBJS := $(unit/test-engine_OBJS) tests/unit/crew.o

# Unit tests of code that uses Open vSwitch's utilities: mapping.
ovs_TESTS := unit/test-record unit/test-record-refuse unit/test-catalog \
	unit/test-catalog-random unit/test-catalog-serving
unit/test-record_OBJS := mapping/diagnosis.o $(record_OBJS) \
	tests/unit/catalog-text.o $(catalog_OBJS)
unit/test-record-refuse_OBJS := $(unit/test-record_OBJS)
ovs_TESTS += unit/test-record-health unit/test-vni-set
unit/test-vni-set_OBJS := mapping/vni-set.o
unit/test-record-health_OBJS := $(unit/test-record_OBJS)
ovs_TESTS += unit/test-record-iface
unit/test-record-iface_OBJS := $(unit/test-record_OBJS)
unit/test-catalog_OBJS := $(unit/test-record_OBJS) tests/unit/txn.o
ovs_TESTS += unit/test-catalog-refuse
unit/test-catalog-refuse_OBJS := $(unit/test-catalog_OBJS)
unit/test-catalog-serving_OBJS := $(unit/test-record_OBJS)
unit/test-catalog-random_OBJS := $(unit/test-record_OBJS) \
	tests/unit/catalog-twin.o

# The records that gateways need.
ovs_TESTS += unit/test-record-gateway unit/test-catalog-record \
	unit/test-catalog-record-random unit/test-lease-clock
unit/test-record-gateway_OBJS := $(unit/test-record_OBJS)
unit/test-catalog-record_OBJS := $(unit/test-record_OBJS)
unit/test-catalog-record-random_OBJS := $(unit/test-record_OBJS) \
	tests/unit/record-twin.o
unit/test-lease-clock_OBJS := mapping/mapd/lease-clock.o

ovs_TESTS += unit/test-presence unit/test-link-row
unit/test-presence_OBJS := mapping/mapd/presence.o
unit/test-link-row_OBJS := mapping/mapd/link-row.o mapping/json-members.o \
	$(unit/test-record_OBJS)
ovs_TESTS += unit/test-catalog-follow
unit/test-catalog-follow_OBJS := $(unit/test-record_OBJS)

ovs_TESTS += unit/test-slots unit/test-slot-codec unit/test-replica \
	unit/test-replica-fuzz
unit/test-slots_OBJS := mapping/catalog/slots.o mapping/catalog/slot-dues.o
unit/test-slot-codec_OBJS := mapping/base64.o mapping/slot-codec.o
unit/test-replica_OBJS := $(mapping_OBJS) $(replica_OBJS) \
	tests/unit/replica-model.o tests/unit/replica-model-print.o
unit/test-replica-fuzz_OBJS := $(unit/test-replica_OBJS) \
	tests/unit/json-damage.o

ovs_TESTS += unit/test-report
unit/test-report_OBJS := $(mapping_OBJS) tests/unit/json-damage.o
ovs_TESTS += unit/test-claims unit/test-ifaces
unit/test-claims_OBJS := $(mapping_OBJS) tests/unit/json-damage.o
unit/test-ifaces_OBJS := mapping/mapd/ifaces.o $(mapping_OBJS)
ovs_TESTS += unit/test-relay
unit/test-relay_OBJS := $(mapping_OBJS) tests/unit/json-damage.o \
	tests/unit/relay-twin.o

ovs_TESTS += unit/test-etcd-answer unit/test-etcd-stream
unit/test-etcd-answer_OBJS := $(etcd_pure_OBJS) mapping/etcd/etcd-members.o
unit/test-etcd-stream_OBJS := $(etcd_pure_OBJS)

ovs_TESTS += unit/test-store unit/test-store-faults unit/test-subscription
unit/test-store_OBJS := $(store_OBJS) $(catalog_OBJS) $(mapping_OBJS) \
	anycast/flow-hash.o tests/unit/opened.o
unit/test-store-faults_OBJS := $(unit/test-store_OBJS)
ovs_TESTS += unit/test-store-engines
unit/test-store-engines_OBJS := $(unit/test-store_OBJS)
unit/test-subscription_OBJS := mapping/mapd/subscription.o $(catalog_OBJS) \
	$(replica_OBJS) $(mapping_OBJS)
ovs_TESTS += unit/test-roles unit/test-revoked unit/test-stations
unit/test-revoked_OBJS := mapping/mapd/revoked.o mapping/mapd/roles.o \
	$(catalog_OBJS) $(mapping_OBJS)
unit/test-stations_OBJS := mapping/mapd/stations.o $(unit/test-record_OBJS)
unit/test-roles_OBJS := mapping/mapd/refusals.o mapping/mapd/roles.o \
	$(catalog_OBJS) $(mapping_OBJS)

ovs_TESTS += unit/test-waitset
unit/test-waitset_OBJS := mapping/mapd/wait-capture.o mapping/mapd/waitset.o
unit/test-waitset_LIBS := $(WAIT_CAPTURE_WRAPS)

ovs_TESTS += unit/test-metrics unit/test-service-notify
ovs_TESTS += unit/test-tls
unit/test-tls_OBJS := mapping/diagnosis.o mapping/tls.o
unit/test-metrics_OBJS := mapping/metrics.o
unit/test-service-notify_OBJS := mapping/service-notify.o

# The same: vswitchd-ext.
ovs_TESTS += unit/test-config-parse unit/test-flow-file \
	unit/test-frame-ring unit/test-handover unit/test-resolver unit/test-rtnl \
	unit/test-table-builder unit/test-virtual-port
unit/test-frame-ring_OBJS := vswitchd-ext/frame-ring.o
unit/test-config-parse_OBJS := vswitchd-ext/config-parse.o $(mapping_OBJS) \
	anycast/flow-hash.o
unit/test-flow-file_OBJS := vswitchd-ext/flow-file.o anycast/flow-hash.o
unit/test-handover_OBJS := vswitchd-ext/handover.o $(anycast_OBJS) \
	$(encap_OBJS) tests/unit/frame.o tests/unit/provoked.o \
	tests/unit/world.o
unit/test-resolver_OBJS := vswitchd-ext/resolver.o
unit/test-rtnl_OBJS := vswitchd-ext/rtnl.o
unit/test-table-builder_OBJS := vswitchd-ext/table-builder.o \
	$(replica_OBJS) $(mapping_OBJS) anycast/anycast-table.o \
	anycast/flow-hash.o anycast/group.o anycast/load.o encap/csum.o \
	encap/tunnel.o
unit/test-virtual-port_OBJS := vswitchd-ext/frame-ring.o \
	vswitchd-ext/virtual-port.o
ovs_TESTS += unit/test-iface-set unit/test-iface-report
unit/test-iface-set_OBJS := vswitchd-ext/iface-set.o $(mapping_OBJS)
unit/test-iface-report_OBJS := vswitchd-ext/iface-report.o \
	vswitchd-ext/iface-set.o $(mapping_OBJS)
ovs_TESTS += unit/test-health-frame
unit/test-health-frame_OBJS := vswitchd-ext/health-frame.o \
	vswitchd-ext/health-tap.o
ovs_TESTS += unit/test-mapd-session
unit/test-mapd-session_OBJS := vswitchd-ext/mapd-session.o $(replica_OBJS) \
	$(mapping_OBJS)
unit/test-mapd-session_LIBS := -Wl,--wrap=time_msec \
	-Wl,--wrap=poll_timer_wait_until_at
ovs_TESTS += unit/test-table-keeper
unit/test-table-keeper_OBJS := vswitchd-ext/table-keeper.o $(replica_OBJS) \
	$(mapping_OBJS)
unit/test-table-keeper_LIBS := -Wl,--wrap=time_msec \
	-Wl,--wrap=poll_timer_wait_until_at
ovs_TESTS += unit/test-load-report
unit/test-load-report_OBJS := vswitchd-ext/load-report.o $(mapping_OBJS)
unit/test-load-report_LIBS := -Wl,--wrap=time_msec
ovs_TESTS += unit/test-health-probe unit/test-health-report
unit/test-health-probe_OBJS := vswitchd-ext/health-frame.o \
	vswitchd-ext/health-probe.o
unit/test-health-report_OBJS := vswitchd-ext/health-report.o $(mapping_OBJS)
ovs_TESTS += unit/test-table-file
unit/test-table-file_OBJS := vswitchd-ext/table-file.o $(replica_OBJS) \
	$(mapping_OBJS) tests/unit/replica-model.o tests/unit/replica-model-print.o
ovs_TESTS += unit/test-datapath unit/test-netdev-anycast
unit/test-datapath_OBJS := vswitchd-ext/datapath.o vswitchd-ext/frame-ring.o \
	vswitchd-ext/virtual-port.o $(anycast_OBJS) $(encap_OBJS) \
	tests/unit/frame.o tests/unit/world.o
unit/test-netdev-anycast_OBJS := vswitchd-ext/datapath.o \
	vswitchd-ext/health-tap.o \
	vswitchd-ext/frame-ring.o vswitchd-ext/netdev-anycast.o \
	vswitchd-ext/virtual-port.o $(anycast_OBJS) $(encap_OBJS)

# Benchmarks, run one after the other by `make bench`.
ovs_BENCHES := bench/engine
bench/engine_OBJS := $(anycast_OBJS) $(encap_OBJS) tests/bench/engine-path.o \
	tests/bench/floor.o tests/bench/ovs-conntrack-dnat.o tests/bench/traffic.o

ovs_BENCHES += bench/slots
bench/slots_OBJS := mapping/catalog/slots.o mapping/catalog/slot-dues.o

ovs_BENCHES += bench/selection
bench/selection_OBJS := $(pick_OBJS) anycast/flow-hash.o anycast/group.o \
	anycast/load.o

ovs_BENCHES += bench/mapping
bench/mapping_OBJS := tests/bench/mapping-crowd.o \
	tests/bench/mapping-world.o $(replica_OBJS) $(mapping_OBJS)
bench/mapping_LIBS := $(JEMALLOC)

define test_rules
$(B)/tests/$(1): $(B)/tests/$(1).o $(addprefix $(B)/,$($(1)_OBJS))
	@echo '  LD      $$@'
	@$$(CC) $$(ALL_CFLAGS) -o $$@ $$(filter %.o,$$^) $($(1)_LIBS) $(2)
endef
$(foreach t,$(pure_TESTS),$(eval $(call test_rules,$(t),-lcmocka -lm)))
$(foreach t,$(ovs_TESTS) $(ovs_BENCHES),$(eval $(call test_rules,$(t),-lcmocka -lmnl -lsqlite3 -lcurl $(OVS_LIBS))))

# The switch as it is, with ports that make up packets and discard them.
bench_switch_OBJS := $(addprefix tests/bench/switch/,commands.o \
	engine-clock.o frame.o port.o sink.o source.o)
BENCH_SWITCH := $(B)/tests/bench/grapnel-vswitchd-bench

$(BENCH_SWITCH): $(addprefix $(B)/,$(bench_switch_OBJS) $(vswitchd_OBJS) \
		$(replica_OBJS) $(mapping_OBJS) $(service_OBJS) $(anycast_OBJS) \
		$(encap_OBJS))
	@echo '  LD      $@'
	@$(CC) $(ALL_CFLAGS) -Wl,--wrap=grapnel_init,--wrap=engine_process \
		$(OVS_WRAPS) -o $@ $(filter %.o,$^) $(OFPROTO_LIBS) $(OVS_LIBS) -lmnl -lmicrohttpd \
		$(JEMALLOC)

# A cluster of engines under a virtual clock: its test, and a long run.
cluster_OBJS := $(addprefix tests/cluster/,changes.o cluster.o excuses.o \
	mapping-model.o node.o promises.o traffic.o wheel.o wire.o) \
	mapping/catalog/slots.o mapping/catalog/slot-dues.o \
	$(anycast_OBJS) $(encap_OBJS)
cluster_PROGRAMS := cluster/test-cluster cluster/long-run
cluster/test-cluster_OBJS := $(cluster_OBJS)
cluster/long-run_OBJS := $(cluster_OBJS)
$(foreach t,$(cluster_PROGRAMS),$(eval $(call test_rules,$(t),-lcmocka $(OVS_LIBS))))

# The etcd client, driven by test-etcd.py.
etcd/etcd-driver_OBJS := $(etcd_OBJS)
$(eval $(call test_rules,etcd/etcd-driver,-lcurl $(OVS_LIBS)))
ETCD_DRIVER := $(B)/tests/etcd/etcd-driver

# A clock that system tests set: for one process, which preloads it.
STEPPED_CLOCK := build/tests/system/stepped-clock.so
$(STEPPED_CLOCK): tests/system/stepped-clock.c
	@mkdir -p $(@D)
	@echo '  LD      $@'
	@$(CC) -std=gnu11 -g -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -fPIC -shared \
		-o $@ $<

# Golden packets: the whole engine, stored frames in and out.
golden/golden_OBJS := $(encap_OBJS) $(anycast_OBJS) tests/golden/pcap.o \
	tests/golden/world.o
$(eval $(call test_rules,golden/golden,))

# Fuzz targets (libFuzzer): a production file and twenty lines.
fuzz_TARGETS := fuzz/fuzz-parse fuzz/fuzz-context fuzz/fuzz-hint \
	fuzz/fuzz-engine fuzz/fuzz-record
fuzz/fuzz-parse_OBJS := $(parse_OBJS) encap/reply.o
fuzz/fuzz-context_OBJS := encap/context.o encap/csum.o encap/tunnel.o
fuzz/fuzz-hint_OBJS := encap/hint.o
fuzz/fuzz-engine_OBJS := $(anycast_OBJS) $(encap_OBJS) tests/unit/frame.o \
	tests/unit/world.o
fuzz/fuzz-record_OBJS := mapping/diagnosis.o $(record_OBJS)
fuzz/fuzz-record_LIBS := $(OVS_LIBS)
fuzz/seeds_OBJS := encap/hint.o tests/unit/frame.o
$(foreach t,$(fuzz_TARGETS),$(eval $(call test_rules,$(t),-fsanitize=fuzzer)))
fuzz_ovs_TARGETS := fuzz/fuzz-etcd fuzz/fuzz-mapd fuzz/fuzz-replica \
	fuzz/fuzz-state fuzz/fuzz-store fuzz/fuzz-table-file
fuzz/fuzz-etcd_OBJS := $(etcd_pure_OBJS)
fuzz/fuzz-state_OBJS := $(unit/test-record_OBJS)
fuzz/fuzz-store_OBJS := $(unit/test-record_OBJS) \
	mapping/mapd/store-etcd-batch.o mapping/mapd/store-etcd-writes.o
# All of mapd but its stores.
fuzz/fuzz-mapd_OBJS := $(filter-out mapping/mapd/mapd.o \
	mapping/mapd/mapd-options.o $(store_OBJS), \
	$(mapd_OBJS)) $(replica_OBJS) $(catalog_OBJS) $(mapping_OBJS) \
	anycast/flow-hash.o
fuzz/fuzz-mapd_LIBS := -lmicrohttpd $(WAIT_CAPTURE_WRAPS)
fuzz/fuzz-replica_OBJS := $(unit/test-replica_OBJS)
fuzz/fuzz-replica_LIBS := -lcmocka
fuzz/fuzz-table-file_OBJS := vswitchd-ext/table-file.o $(replica_OBJS) \
	$(mapping_OBJS)
$(foreach t,$(fuzz_ovs_TARGETS),$(eval $(call test_rules,$(t),-fsanitize=fuzzer $(OVS_LIBS))))
$(eval $(call test_rules,fuzz/seeds,))

UNIT_TESTS := $(addprefix $(B)/tests/,$(pure_TESTS) $(ovs_TESTS))

.PHONY: tests
tests: $(UNIT_TESTS) $(B)/tests/golden/golden $(ETCD_DRIVER) $(STEPPED_CLOCK) \
	$(cluster_PROGRAMS:%=$(B)/tests/%)

.PHONY: check check-unit check-golden check-sanitize bench
check: deps
	@$(MAKE) --no-print-directory $(JOBS) all
	@tests/run

# With -j, several at once, each one's output in one piece.
UNIT_RUNS := $(addprefix run/,$(pure_TESTS) $(ovs_TESTS))
.PHONY: $(UNIT_RUNS)
check-unit: $(UNIT_TESTS)
	@$(MAKE) --no-print-directory --keep-going \
		$(if $(filter -j%,$(MAKEFLAGS)),--output-sync) $(UNIT_RUNS)

$(UNIT_RUNS): run/%: $(B)/tests/%
	@echo "== $<"; $<

check-golden: $(B)/tests/golden/golden
	@tests/golden/run $<

# CLUSTER_PERCENT of the seeds.  The long run prints JSON lines.
CLUSTER_PERCENT ?= 100
.PHONY: check-cluster cluster-long
check-cluster: $(B)/tests/cluster/test-cluster
	@$< $(CLUSTER_PERCENT)

cluster-long: $(B)/tests/cluster/long-run
	@$<

# Writes what the engine does now over the stored results.  Read the diff.
.PHONY: regenerate-golden
regenerate-golden: $(B)/tests/golden/golden
	@tests/golden/regenerate $<

check-sanitize:
	@$(MAKE) --no-print-directory SANITIZE=1 check-unit check-golden

# Tests with threads, under ThreadSanitizer (which wants addresses that are not
# randomized too far).  The whole takes less than a minute.
tsan_TESTS := unit/test-flow-threads unit/test-engine-threads \
	unit/test-source-table unit/test-load
TSAN := $(B)/tsan
.PHONY: check-tsan
check-tsan:
	@$(MAKE) --no-print-directory B=$(TSAN) CFLAGS='$(CFLAGS) -fsanitize=thread' \
		$(tsan_TESTS:%=$(TSAN)/tests/%)
	@rc=0; for t in $(tsan_TESTS:%=$(TSAN)/tests/%); do echo "== $$t"; \
		TSAN_OPTIONS=halt_on_error=1 timeout 120 setarch -R $$t || rc=1; \
		done; exit $$rc

# FUZZ_SECONDS for each target.  What it learns is kept in build/fuzz/corpus.
FUZZ_CFLAGS := -O1 -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=undefined -fno-omit-frame-pointer
FUZZERS := $(addprefix $(B)/tests/,$(fuzz_TARGETS) $(fuzz_ovs_TARGETS))
FUZZ_SECONDS ?= 60
.PHONY: fuzz check-fuzz fuzz-run
fuzz:
	@$(MAKE) --no-print-directory CC=clang B=build/fuzz SANITIZE= \
		CFLAGS='$(FUZZ_CFLAGS)' FUZZ_SECONDS=$(FUZZ_SECONDS) fuzz-run

check-fuzz:
	@$(MAKE) --no-print-directory FUZZ_SECONDS=5 fuzz

fuzz-run: $(FUZZERS) $(B)/tests/fuzz/seeds
	@tests/fuzz/run $(B) $(FUZZ_SECONDS) $(FUZZERS)

# Nothing but JSON lines on standard output.  The last one needs root.
BENCHES := $(addprefix $(B)/tests/,$(ovs_BENCHES)) tests/bench/mapping-etcd \
	tests/bench/switch-path
bench:
	@$(MAKE) --no-print-directory deps >&2
	@$(MAKE) --no-print-directory $(JOBS) $(BENCHES) $(BENCH_SWITCH) \
		$(B)/grapnel-mapd $(B)/grapnelctl >&2
	@GRAPNEL_BUILD=$(abspath $(B)) tests/bench/run $(BENCHES)
