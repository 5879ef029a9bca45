/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests that do something before their first call, or are wrong in some way;
 * the macros choose what. See build.sh.
 */
#include "abi.h"

#ifdef IMPORT_MODULE
__attribute__((import_module(IMPORT_MODULE), import_name(IMPORT_NAME))) u32 extra(u32, u32);
#endif
#ifdef IMPORT_MODULE_2
__attribute__((import_module(IMPORT_MODULE_2), import_name(IMPORT_NAME))) u32 extra_2(u32, u32);
#endif

#ifdef ORDER
EXPORT(__preinit__10_b) void preinit_b(void) { LOG("10_b"); }
EXPORT(__preinit__10_a) void preinit_a(void) { LOG("10_a"); }
EXPORT(__preinit__9_c) void preinit_c(void) { LOG("9_c"); }
EXPORT(__preinit__A) void preinit_upper(void) { LOG("A"); }
EXPORT(__preinit__) void preinit_empty(void) { LOG(""); }
EXPORT(_initialize) void initialize(void) { LOG("_initialize"); }
EXPORT(__setup__) i32 setup(u32 sink) { LOG("__setup__"); return 0; }
#endif
#ifdef PREINIT
EXPORT(__preinit__10_it) void preinit(void) { PREINIT; }
#endif
#ifdef SETUP
EXPORT(__setup__) i32 setup(u32 sink) { SETUP; }
#endif
#ifdef PREINIT_ARGUMENT
EXPORT(__preinit__10_it) void preinit(u32 a) { }
#endif
#ifdef HANDLER_WRONG
EXPORT(__call_http_handler__) i32 handler(u32 a) { return 0; }
#endif
#ifdef HANDLER_OLD
EXPORT(__call_http_handler__) i32 handler(u32 a, u64 b, u32 c, u32 d, u32 e, u32 f) { return 0; }
#endif
#ifdef HANDLER_NEW
EXPORT(__call_http_handler__)
i32 handler(u32 a, u64 b, u64 c, u64 d, u64 e, u32 f, u64 g, u32 h, u32 i, u32 j, u32 k) { return 0; }
#endif

#ifndef NO_REDUCER
#ifdef REDUCER_WRONG
EXPORT(__call_reducer__) i32 call_reducer(u32 id, float x) { return 0; }
#else
EXPORT(__call_reducer__)
i32 call_reducer(u32 id, u64 s0, u64 s1, u64 s2, u64 s3, u64 c0, u64 c1, u64 timestamp, u32 source, u32 sink)
{
#ifdef IMPORT_MODULE
	return (i32)extra(0, 0);
#elif defined(NO_IMPORTS)
	return 0;
#else
	return (i32)bytes_source_remaining_length(0, 0);
#endif
}
#endif
#endif

EXPORT(__describe_module__) void describe(u32 sink)
{
#ifdef IMPORT_MODULE_2
	extra_2(0, 0);
#endif
#ifdef DESCRIBE
	DESCRIBE;
#elif !defined(NO_IMPORTS) && !defined(IMPORT_MODULE)
	sink_put(sink, "described", 9);
#endif
}
