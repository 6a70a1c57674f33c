# Tests and benchmarks.  A test's list of objects is its coupling: it names the
# production objects that it needs, and no archive hides more.

# Unit tests of pure code (encap, anycast): cmocka, no Open vSwitch.
pure_TESTS := unit/test-csum unit/test-parse unit/test-complete-csum \
	unit/test-tunnel unit/test-context unit/test-reply
unit/test-csum_OBJS := encap/csum.o tests/unit/frame.o
unit/test-parse_OBJS := encap/csum.o encap/drop.o encap/parse.o \
	tests/unit/frame.o
unit/test-complete-csum_OBJS := encap/csum.o encap/parse.o tests/unit/frame.o
unit/test-tunnel_OBJS := encap/csum.o encap/tunnel.o tests/unit/frame.o
unit/test-context_OBJS := encap/context.o tests/unit/frame.o
unit/test-reply_OBJS := encap/csum.o encap/parse.o encap/reply.o \
	tests/unit/frame.o

pure_TESTS += unit/test-flow-hash unit/test-group unit/test-anycast-table \
	unit/test-flow-table unit/test-flow-threads unit/test-engine \
	unit/test-engine-frames
unit/test-flow-hash_OBJS := anycast/flow-hash.o anycast/group.o
unit/test-group_OBJS := anycast/flow-hash.o anycast/group.o
unit/test-anycast-table_OBJS := anycast/anycast-table.o anycast/flow-hash.o \
	anycast/group.o tests/unit/frame.o
unit/test-flow-table_OBJS := anycast/flow-room.o anycast/flow-table.o \
	tests/unit/frame.o
unit/test-flow-threads_OBJS := anycast/flow-room.o anycast/flow-table.o
unit/test-engine_OBJS := $(anycast_OBJS) $(encap_OBJS) tests/unit/frame.o \
	tests/unit/world.o
unit/test-engine-frames_OBJS := $(unit/test-engine_OBJS)

# Unit tests of code that uses Open vSwitch's utilities: mapping.
ovs_TESTS := unit/test-record unit/test-catalog unit/test-catalog-random
unit/test-record_OBJS := mapping/diagnosis.o mapping/record.o \
	mapping/record-field.o mapping/record-json.o tests/unit/catalog-text.o \
	$(catalog_OBJS)
unit/test-catalog_OBJS := $(unit/test-record_OBJS)
unit/test-catalog-random_OBJS := $(unit/test-record_OBJS) \
	tests/unit/catalog-twin.o

ovs_TESTS += unit/test-slots unit/test-slot-codec unit/test-replica \
	unit/test-replica-fuzz
unit/test-slots_OBJS := mapping/catalog/slots.o mapping/catalog/slot-dues.o
unit/test-slot-codec_OBJS := mapping/base64.o mapping/slot-codec.o
unit/test-replica_OBJS := $(mapping_OBJS) $(replica_OBJS) \
	tests/unit/replica-model.o
unit/test-replica-fuzz_OBJS := $(unit/test-replica_OBJS)

ovs_TESTS += unit/test-store unit/test-subscription
unit/test-store_OBJS := $(store_OBJS) $(catalog_OBJS) $(mapping_OBJS) \
	anycast/flow-hash.o
unit/test-subscription_OBJS := mapping/mapd/subscription.o $(catalog_OBJS) \
	$(replica_OBJS) $(mapping_OBJS)

# The same: vswitchd-ext.
ovs_TESTS += unit/test-frame-ring unit/test-resolver \
	unit/test-table-builder unit/test-virtual-port
unit/test-frame-ring_OBJS := vswitchd-ext/frame-ring.o
unit/test-resolver_OBJS := vswitchd-ext/resolver.o
unit/test-table-builder_OBJS := vswitchd-ext/table-builder.o \
	$(replica_OBJS) $(mapping_OBJS) anycast/anycast-table.o \
	anycast/flow-hash.o anycast/group.o encap/csum.o encap/tunnel.o
unit/test-virtual-port_OBJS := vswitchd-ext/frame-ring.o \
	vswitchd-ext/virtual-port.o

# Benchmarks, run one after the other by `make bench`.
ovs_BENCHES := bench/engine
bench/engine_OBJS := $(anycast_OBJS) $(encap_OBJS) tests/bench/engine-path.o \
	tests/bench/ovs-conntrack-dnat.o tests/bench/traffic.o

ovs_BENCHES += bench/slots
bench/slots_OBJS := mapping/catalog/slots.o mapping/catalog/slot-dues.o

define test_rules
$(B)/tests/$(1): $(B)/tests/$(1).o $(addprefix $(B)/,$($(1)_OBJS))
	@echo '  LD      $$@'
	@$$(CC) $$(ALL_CFLAGS) -o $$@ $$(filter %.o,$$^) $($(1)_LIBS) $(2)
endef
$(foreach t,$(pure_TESTS),$(eval $(call test_rules,$(t),-lcmocka -lm)))
$(foreach t,$(ovs_TESTS) $(ovs_BENCHES),$(eval $(call test_rules,$(t),-lcmocka -lsqlite3 $(OVS_LIBS))))

# Golden packets: the whole engine, stored frames in and out.
golden/golden_OBJS := $(encap_OBJS) $(anycast_OBJS) tests/golden/pcap.o \
	tests/golden/world.o
$(eval $(call test_rules,golden/golden,))

UNIT_TESTS := $(addprefix $(B)/tests/,$(pure_TESTS) $(ovs_TESTS))

.PHONY: tests
tests: $(UNIT_TESTS) $(B)/tests/golden/golden

.PHONY: check check-unit check-golden check-sanitize bench
check: deps
	@$(MAKE) --no-print-directory $(JOBS) all
	@tests/run

check-unit: $(UNIT_TESTS)
	@for t in $(UNIT_TESTS); do echo "== $$t"; $$t || exit 1; done

check-golden: $(B)/tests/golden/golden
	@tests/golden/run $<

# Writes what the engine does now over the stored results.  Read the diff.
.PHONY: regenerate-golden
regenerate-golden: $(B)/tests/golden/golden
	@tests/golden/regenerate $<

check-sanitize:
	@$(MAKE) --no-print-directory SANITIZE=1 check-unit check-golden

# Nothing but JSON lines on standard output.
BENCHES := $(addprefix $(B)/tests/,$(ovs_BENCHES))
bench:
	@$(MAKE) --no-print-directory deps >&2
	@$(MAKE) --no-print-directory $(JOBS) $(BENCHES) >&2
	@tests/bench/run $(BENCHES)
