# SPDX-License-Identifier: Apache-2.0
# What `make bench` measures with (README.md in this folder).
LOAD := $(addprefix bench/,load.c calls.c fanout.c subscribe.c sends.c caller.c ws.c http.c measure.c)
# The floor server belongs to nobody's tree; where it is not, rows are not compared with it.
FLOOR ?= ../shared/floor/floor.c

# The generator stands on base alone, so that it builds whatever state the rest is in.
$(BUILD)/bench/load: $(LOAD:%.c=$(BUILD)/%.o) $(patsubst %.c,$(BUILD)/%.o,$(wildcard src/base/*.c))
	@mkdir -p $(@D)
	$(call SAY,LD,$@)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lxxhash -lcrypto -lm
# What drives a database without sockets, and counts every allocation of the process.
DRIVER := bench/driver.c bench/heap.c
$(BUILD)/bench/inproc: $(BUILD)/bench/inproc.o $(DRIVER:%.c=$(BUILD)/%.o) $(BUILD)/libworldline.a
	$(call SAY,LD,$@)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)
# One room alone.
$(BUILD)/bench/store_bench $(BUILD)/bench/query_bench $(BUILD)/bench/guest_alone: %: %.o $(BUILD)/libworldline.a
	$(call SAY,LD,$@)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)
# The guest boundary alone, and the guest for it.
$(BUILD)/bench/guest_bench: $(BUILD)/bench/guest_bench.o $(DRIVER:%.c=$(BUILD)/%.o) $(BUILD)/libworldline.a
	$(call SAY,LD,$@)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) $(shell pkg-config --libs check)
$(BUILD)/bench/guest_bench.o: CFLAGS += -Itests
$(BUILD)/bench/guest.wasm: bench/guest.c tests/unit/data/runtime/abi.h
	@mkdir -p $(@D)
	$(call SAY,WASM,$@)clang --target=wasm32 -O2 -nostdlib -ffreestanding -Wno-int-to-pointer-cast \
		-Wno-pointer-to-int-cast -Wno-unused-function -Wl,--no-entry -Wl,-z,stack-size=16384 -Wl,--stack-first \
		-Wl,--strip-all -o $@ $<
PARTS := $(DRIVER) bench/caller.c bench/ws.c bench/http.c bench/measure.c
$(BUILD)/budget/%: tests/budget/%.c $(PARTS:%.c=$(BUILD)/%.o) $(BUILD)/libworldline.a
	@mkdir -p $(@D)
	$(call SAY,LD,$@)$(CC) $(CFLAGS) -Wno-missing-prototypes -Ibench -Itests $(LDFLAGS) -o $@ $^ $(LIBS) \
		$(shell pkg-config --libs check)
$(BUILD)/bench/floor: $(FLOOR)
	@mkdir -p $(@D)
	$(call SAY,CC,$@)$(CC) -O2 -o $@ $< -lcrypto
-include $(LOAD:%.c=$(BUILD)/%.d) $(DRIVER:%.c=$(BUILD)/%.d) \
	$(patsubst %,$(BUILD)/bench/%.d,inproc store_bench query_bench guest_bench guest_alone)
