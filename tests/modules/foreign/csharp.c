/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exports of a module in C#. JIT-less Mono: `_start` is exported and never
 * called by the host, the first initialiser calls it; one more finds each
 * exported method. With NATIVE_AOT: a reactor without initialisers.
 * What the runtime wants of WASI is answered inside.
 */
#include "foreign.h"

#ifdef NATIVE_AOT

EXPORT(_initialize) void initialize(void)
{
	step('<');
}

#else

#ifdef WASI /* what happens if it is not */
__attribute__((import_module("wasi_snapshot_preview1"), import_name("proc_exit"))) void proc_exit(u32);
#else
static void proc_exit(u32 code)
{
}
#endif

EXPORT(_start) void start(void)
{
	step('s');
	if (trail_len > 200)
		proc_exit(1);
}

EXPORT(__preinit__20_find___describe_module__) void find_describe(void)
{
	step('e');
}

EXPORT(__preinit__20_find___call_view__) void find_view(void)
{
	step('c');
}

EXPORT(__preinit__20_find___call_view_anon__) void find_view_anon(void)
{
	step('d');
}

EXPORT(__preinit__20_find___call_reducer__) void find_reducer(void)
{
	step('b');
}

EXPORT(__preinit__10_startup) void startup(void)
{
	step('a');
	start();
}

#endif
