# SPDX-License-Identifier: Apache-2.0
# One build for everything. `make help` lists the targets.
#
#   make            the host and command line, build/dev/worldline
#   make run        installs, builds, starts a host with a sample module, runs a real client
#   make test       everything that must hold before a commit lands
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
CFLAGS_COMMON := -std=gnu17 -g -fvisibility=hidden -fno-strict-aliasing -fno-omit-frame-pointer -pthread -D_GNU_SOURCE $(WARN) \
	-Isrc -Inative -Iinclude -isystem $(NATIVE)/include -Wvla -Walloca
CFLAGS_dev := -O2
CFLAGS_release := -O3 -flto=auto -DNDEBUG
CFLAGS_asan := -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined
CFLAGS_tsan := -O1 -fsanitize=thread
CFLAGS_fuzz := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
LDFLAGS_release := -flto=auto
LDFLAGS_asan := -fsanitize=address,undefined
LDFLAGS_tsan := -fsanitize=thread
LDFLAGS_fuzz := -fsanitize=fuzzer,address,undefined
ifeq ($(FLAVOR),fuzz)
CC := clang
endif

CFLAGS := $(CFLAGS_COMMON) $(CFLAGS_$(FLAVOR)) $(EXTRA_CFLAGS)
LIBS := $(NATIVE)/lib/libworldline_native.a -lssl -lcrypto -lz -lzstd -lbrotlienc -lbrotlidec -lxxhash -lcurl -lpthread -ldl -lm
LDFLAGS := -pthread $(LDFLAGS_$(FLAVOR))

SRC := $(sort $(wildcard src/*/*.c src/*/*/*.c))
OBJ := $(SRC:%.c=$(BUILD)/%.o)
LIB_OBJ := $(filter-out $(BUILD)/src/cli/main.o,$(OBJ))
UNIT := $(sort $(wildcard tests/unit/*_test.c))
UNIT_BIN := $(UNIT:tests/unit/%.c=$(BUILD)/unit/%)
FUZZ := $(sort $(wildcard tests/fuzz/*_fuzz.c))
FUZZ_BIN := $(FUZZ:tests/fuzz/%.c=$(BUILD)/fuzz/%)
BENCH := $(sort $(wildcard bench/*.c))

.PHONY: all help native unit fuzz clean
all: $(BUILD)/worldline

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -n 10

# ---- the Rust crates behind C functions ----
$(NATIVE)/lib/libworldline_native.a: $(wildcard native/*.toml native/*.lock native/*.h native/src/*.rs native/*.sh)
	native/build.sh
native: $(NATIVE)/lib/libworldline_native.a

# ---- objects ----
$(BUILD)/%.o: %.c | $(NATIVE)/lib/libworldline_native.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -c $< -o $@
-include $(OBJ:.o=.d)

$(BUILD)/libworldline.a: $(LIB_OBJ)
	@rm -f $@
	ar rcs $@ $(LIB_OBJ)

$(BUILD)/worldline: $(BUILD)/src/cli/main.o $(BUILD)/libworldline.a $(NATIVE)/lib/libworldline_native.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(BUILD)/src/cli/main.o $(BUILD)/libworldline.a $(LIBS)

# ---- tests ----
$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/libworldline.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -Wno-missing-prototypes -Itests $(LDFLAGS) -o $@ $< $(BUILD)/libworldline.a $(LIBS) $(shell pkg-config --libs check)
$(BUILD)/fuzz/%: tests/fuzz/%.c $(BUILD)/libworldline.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -Wno-missing-prototypes -Itests $(LDFLAGS) -o $@ $< $(BUILD)/libworldline.a $(LIBS)

unit: $(UNIT_BIN)
	@for t in $(UNIT_BIN); do $$t || exit 1; done

clean:
	rm -rf build
