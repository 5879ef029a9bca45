/* SPDX-License-Identifier: Apache-2.0 */
/* The SDK for modules in C (include/worldline), inside the program: `build` needs nothing beside it. */
#include "cli/sdk.h"

#define FILES(F) \
	F(abi_h, "abi.h") F(each_h, "each.h") F(memory_h, "memory.h") F(types_h, "types.h") F(table_h, "table.h") \
	F(function_h, "function.h") F(http_h, "http.h") F(module_h, "module.h") F(runtime_h, "runtime.h") \
	F(runtime_c, "runtime.c") F(rows_c, "rows.c") F(http_c, "http.c") F(describe_c, "describe.c")

#define EMBED(symbol, file) \
	__asm__(".pushsection .rodata\n" \
		".global sdk_" #symbol ", sdk_end_" #symbol "\n" \
		"sdk_" #symbol ":\n" \
		".incbin \"include/worldline/" file "\"\n" \
		"sdk_end_" #symbol ":\n" \
		".popsection\n"); \
	extern const char sdk_##symbol[], sdk_end_##symbol[];
FILES(EMBED)

#define ENTRY(symbol, file) { file, sdk_##symbol, sdk_end_##symbol },
const struct cli_sdk_file cli_sdk_files[] = { FILES(ENTRY) { NULL, NULL, NULL } };
