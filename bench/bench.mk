# SPDX-License-Identifier: Apache-2.0
# What `make bench` measures with (README.md in this folder).
LOAD := $(addprefix bench/,load.c calls.c fanout.c caller.c ws.c http.c measure.c)
# The floor server belongs to nobody's tree; where it is not, rows are not compared with it.
FLOOR ?= ../shared/floor/floor.c

# The generator stands on base alone, so that it builds whatever state the rest is in.
$(BUILD)/bench/load: $(LOAD:%.c=$(BUILD)/%.o) $(patsubst %.c,$(BUILD)/%.o,$(wildcard src/base/*.c))
	@mkdir -p $(@D)
	$(call SAY,LD,$@)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lxxhash -lcrypto -lm
$(BUILD)/bench/inproc: $(BUILD)/bench/inproc.o $(BUILD)/libworldline.a $(NATIVE)/lib/libworldline_native.a
	$(call SAY,LD,$@)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(BUILD)/bench/inproc.o $(BUILD)/libworldline.a $(LIBS)
$(BUILD)/bench/floor: $(FLOOR)
	@mkdir -p $(@D)
	$(call SAY,CC,$@)$(CC) -O2 -o $@ $< -lcrypto
-include $(LOAD:%.c=$(BUILD)/%.d) $(BUILD)/bench/inproc.d
