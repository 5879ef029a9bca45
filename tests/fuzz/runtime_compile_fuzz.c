/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile modules: whatever the bytes are, compiling, instantiating and calling end with an outcome, within the
 * limits, and nothing of the last module is left for the next.
 */
#include "base/mem.h"
#include "native.h"
#include "runtime/runtime.h"

static struct runtime *runtime;
static struct runtime_env env;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	struct runtime_options options = { .call_ms_max = 20, .guest_memory_max = 16 << 20 };
	runtime = mem_or_abort(runtime_create(&options, NULL));
	env.store = mem_or_abort(store_create());
	return 0;
}

static void call(struct runtime_program *program)
{
	struct buf error = BUF_INIT(1 << 20), description = BUF_INIT(1 << 20);
	struct runtime_instance *instance = NULL;
	enum wl_err err = runtime_instance_create(program, &env, &description, &instance, &error);
	ASSERT((err == WL_OK) == (instance != NULL));
	ASSERT(err == WL_OK || error.len > 0);
	if (instance != NULL) {
		struct runtime_call c = { .name = STR("fuzz"), .args = { (const uint8_t *)"args", 4 } };
		struct runtime_result result;
		store_tx_begin(env.store);
		enum runtime_outcome outcome = runtime_call_reducer(instance, &c, &result);
		store_tx_rollback(env.store);
		ASSERT(outcome != RUNTIME_TRAP || result.text.len > 0);
	}
	runtime_instance_destroy(instance);
	ASSERT(!store_tx_active(env.store));
	buf_deinit(&error);
	buf_deinit(&description);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf error = BUF_INIT(1 << 20);
	struct runtime_program *program = NULL;
	uint8_t hash[32];
	native_keccak256(data, size, hash);
	enum wl_err err = runtime_compile(runtime, RUNTIME_WASM, (struct bytes){ data, size }, hash, &program, &error);
	ASSERT((err == WL_OK) == (program != NULL));
	ASSERT(err == WL_OK || error.len > 0);
	if (program != NULL)
		call(program);
	runtime_program_release(program);
	buf_deinit(&error);
	return 0;
}
