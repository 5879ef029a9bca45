# SPDX-License-Identifier: Apache-2.0
# One build for everything. `make help` lists the targets.
#
#   make            the host and command line, build/dev/worldline
#   make run        installs what is needed, builds, starts a host with a sample module, runs a real client
#   make test       everything that must hold before a commit lands
#   make soak       more of it: 10,000 simulated lives, whole fault sweeps, 200 rounds of kill -9
#   make unit       unit tests only;  make kit: the conformance kit against a fresh host
#   make fuzz       every fuzz target for FUZZ_SECONDS (default 10)
#   make bench      the load generator's table, floor beside it
#   make tidy       rooms, arrows, banned calls, lengths
#   make release    the program that is shipped, build/release/worldline
#
# FLAVOR: dev (default: -O2, assertions on), release (LTO, stripped), asan, tsan, fuzz (clang).

FLAVOR ?= dev
CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
BUILD := build/$(FLAVOR)
NATIVE := build/native

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wno-missing-field-initializers
CFLAGS_COMMON := -std=gnu17 -g -fvisibility=hidden -fno-strict-aliasing -fno-omit-frame-pointer \
	-pthread -D_GNU_SOURCE $(WARN) \
	-Isrc -Inative -Iinclude -isystem $(NATIVE)/include -Wvla -Walloca
CFLAGS_dev := -O2
CFLAGS_release := -O3 -flto=auto -DNDEBUG
CFLAGS_asan := -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined
CFLAGS_tsan := -O1 -fsanitize=thread
CFLAGS_fuzz := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
# Whole-program analysis sees paths that no caller takes; the other flavors warn about the real ones.
LDFLAGS_release := -flto=auto -Wno-maybe-uninitialized
LDFLAGS_asan := -fsanitize=address,undefined
LDFLAGS_tsan := -fsanitize=thread
LDFLAGS_fuzz := -fsanitize=fuzzer,address,undefined
ifeq ($(FLAVOR),fuzz)
CC := clang
endif
AR_dev := ar
AR_release := gcc-ar
AR_asan := ar
AR_tsan := ar
AR_fuzz := ar

CFLAGS := $(CFLAGS_COMMON) $(CFLAGS_$(FLAVOR)) $(EXTRA_CFLAGS)
LIBS := $(NATIVE)/lib/libworldline_native.a -lssl -lcrypto -lz -lbrotlienc -lbrotlidec -lxxhash -lcurl -lpthread -ldl \
	-lm
LDFLAGS := -pthread $(LDFLAGS_$(FLAVOR))

SRC := $(sort $(wildcard src/*/*.c src/*/*/*.c))
OBJ := $(SRC:%.c=$(BUILD)/%.o)
LIB_OBJ := $(filter-out $(BUILD)/src/cli/main.o,$(OBJ))
UNIT := $(sort $(wildcard tests/unit/*_test.c))
UNIT_BIN := $(UNIT:tests/unit/%.c=$(BUILD)/unit/%)
SIM := $(sort $(wildcard tests/sim/*.c))
FUZZ := $(sort $(wildcard tests/fuzz/*_fuzz.c))
FUZZ_BIN := $(FUZZ:tests/fuzz/%.c=$(BUILD)/fuzz/%)

V ?= 0
Q := $(if $(filter 1,$(V)),,@)
SAY = $(if $(filter 1,$(V)),,@echo '  $(1) $(2)';)

.PHONY: all help native unit fuzz clean run test soak kit bench tidy release setup modules unit-bin fuzz-bin all-bin
all: $(BUILD)/worldline

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -n 14

# ---- the Rust crates behind C functions ----
$(NATIVE)/lib/libworldline_native.a: $(wildcard native/*.toml native/*.lock native/*.h native/src/*.rs native/*.sh)
	native/build.sh
native: $(NATIVE)/lib/libworldline_native.a

# ---- objects ----
$(BUILD)/%.o: %.c | $(NATIVE)/lib/libworldline_native.a
	@mkdir -p $(@D)
	$(call SAY,CC,$<)$(CC) $(CFLAGS) -MMD -MP -c $< -o $@
-include $(OBJ:.o=.d)
# It carries the SDK for modules in C.
$(BUILD)/src/cli/sdk.o: $(wildcard include/worldline/*)

$(BUILD)/libworldline.a: $(LIB_OBJ)
	@rm -f $@
	$(call SAY,AR,$@)$(AR_$(FLAVOR)) rcs $@ $(LIB_OBJ)

$(BUILD)/worldline: $(BUILD)/src/cli/main.o $(BUILD)/libworldline.a $(NATIVE)/lib/libworldline_native.a
	$(call SAY,LD,$@)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(BUILD)/src/cli/main.o $(BUILD)/libworldline.a $(LIBS)

# ---- tests ----
$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/libworldline.a
	@mkdir -p $(@D)
	$(call SAY,LD,$@)$(CC) $(CFLAGS) -MMD -MP -MF $@.d -Wno-missing-prototypes -Itests $(LDFLAGS) -o $@ $< \
		$(BUILD)/libworldline.a $(LIBS) $(shell pkg-config --libs check)
-include $(UNIT_BIN:=.d)
$(BUILD)/sim/worldline-sim: $(SIM:%.c=$(BUILD)/%.o) $(BUILD)/libworldline.a
	@mkdir -p $(@D)
	$(call SAY,LD,$@)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(SIM:%.c=$(BUILD)/%.o) $(BUILD)/libworldline.a $(LIBS)
$(SIM:%.c=$(BUILD)/%.o): CFLAGS += -Wno-missing-prototypes -Itests
-include $(SIM:%.c=$(BUILD)/%.d)
$(BUILD)/fuzz/%: tests/fuzz/%.c $(BUILD)/libworldline.a
	@mkdir -p $(@D)
	$(call SAY,LD,$@)$(CC) $(CFLAGS) -Wno-missing-prototypes -Itests $(LDFLAGS) -o $@ $< $(BUILD)/libworldline.a $(LIBS)

unit: $(UNIT_BIN)
	@for t in $(UNIT_BIN); do $$t || exit 1; done
unit-bin: $(UNIT_BIN)
fuzz-bin: $(FUZZ_BIN)
all-bin: $(BUILD)/worldline $(UNIT_BIN)

include bench/bench.mk

# ---- whole jobs ----
setup:
	@tools/setup.sh
modules:
	@tests/modules/build.sh quickstart transfer types283 types214
run: setup
	@tools/run-quickstart.sh
test: setup
	@python3 tests/run.py $(SUITES)
soak: setup
	@python3 tests/run.py soak
kit:
	@python3 tests/run.py kit
bench:
	@bench/run.sh
tidy:
	@python3 tools/tidy.py
release:
	@$(MAKE) --no-print-directory FLAVOR=release build/release/worldline
FUZZ_SECONDS ?= 10
fuzz:
	@FUZZ_SECONDS=$(FUZZ_SECONDS) python3 tests/run.py fuzz

clean:
	rm -rf build
