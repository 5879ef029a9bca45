/* SPDX-License-Identifier: Apache-2.0 */
/*
 * env_get (since ABI 10.6): the value of a variable that the module declares.
 * The values are rows of st_env, which guests reach in no other way. The order
 * of checks is part of the contract.
 */
#include "runtime/runtime_internal.h"

enum { NAME_BYTES_MAX = 256, MODULE_HASH_AT = 32 + 32 + 1 };

static bool is_name(const uint8_t *name, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++) {
		bool letter = (name[i] | 32) >= 'a' && (name[i] | 32) <= 'z';
		bool digit = name[i] >= '0' && name[i] <= '9';
		if (!letter && name[i] != '_' && !(digit && i > 0))
			return false;
	}
	return true;
}

/* Is the guest in a function of the module itself? Those of submodules have dots in their names. */
static bool is_in_root_function(const struct runtime_instance *in)
{
	bool is_called = in->frame == FRAME_REDUCER || in->frame == FRAME_PROCEDURE || in->frame == FRAME_VIEW;
	return is_called && memchr(in->function.data, '.', in->function.len) == NULL;
}

static bool is_current_program(const struct runtime_instance *in)
{
	struct store_cursor cursor;
	struct store_row row;
	store_scan(store_table_by_id(in->store, ST_MODULE), &cursor);
	return store_cursor_next(&cursor, &row) && row.len >= MODULE_HASH_AT + sizeof(in->program->hash) &&
		memcmp(row.data + MODULE_HASH_AT, in->program->hash, sizeof(in->program->hash)) == 0;
}

/* The row of the variable, if it has a value. */
static bool find(struct runtime_instance *in, struct str name, struct store_row *row)
{
	uint8_t key[sizeof(uint32_t) + NAME_BYTES_MAX];
	struct store_cursor cursor;
	store_u32(key, (uint32_t)name.len);
	memcpy(key + sizeof(uint32_t), name.data, name.len);
	struct store_index *index = store_index_by_id(in->store, ST_ENV_KEY_INDEX);
	return store_scan_point(index, key, sizeof(uint32_t) + name.len, &cursor) == STORE_OK &&
		store_cursor_next(&cursor, row);
}

/* While nobody changes the tables. */
static int32_t read_variable(struct runtime_instance *in, struct str name, uint32_t *source)
{
	enum runtime_variable variable = in->env->variable != NULL ? in->env->variable(in->env->context, name)
		: RUNTIME_VARIABLE_UNDECLARED;
	struct store_row row;
	*source = 0;
	if (variable == RUNTIME_VARIABLE_UNDECLARED)
		return syscall_trap(in, "environment key is not declared");
	if (!is_current_program(in))
		return syscall_trap(in, "module was replaced while this function was running");
	if (in->reads != NULL)
		in->reads->table(in->reads->context, store_table_by_id(in->store, ST_ENV));
	if (!find(in, name, &row))
		return variable == RUNTIME_VARIABLE_OPTIONAL ? 0
			: syscall_trap(in, "required environment value is missing from the published configuration");
	if (in->source_count >= RUNTIME_VARIABLE_SOURCES_MAX)
		return ERRNO_NO_SPACE;
	struct reader reader = reader_of(row.data, row.len);
	(void)reader_bsatn_str(&reader);
	struct str value = reader_bsatn_str(&reader);
	if (!source_create_present(in, (struct bytes){ (const uint8_t *)value.data, value.len }, source))
		return syscall_trap(in, "not enough memory for an environment value");
	return 0;
}

int32_t syscall_env_get(struct runtime_instance *in, uint32_t key, uint32_t len, uint32_t out)
{
	if (len == 0 || len > NAME_BYTES_MAX)
		return ERRNO_HOST_CALL_FAILURE;
	const uint8_t *name = guest_slice(in, key, len);
	if (name == NULL)
		return syscall_trap_pointer(in, key);
	if (!utf8_valid(name, len))
		return syscall_trap(in, "invalid utf8 passed to a spacetime function");
	if (!is_name(name, len))
		return ERRNO_HOST_CALL_FAILURE;
	if (!is_in_root_function(in))
		return syscall_trap(in, "environment access requires a host-dispatched root module function");
	struct str text = { (const char *)name, len };
	uint32_t source;
	int32_t result;
	if (in->in_tx) {
		result = read_variable(in, text, &source);
	} else if (in->frame == FRAME_PROCEDURE && in->env->read_begin != NULL) {
		uint64_t begin = instance_pause(in);
		bool open = in->env->read_begin(in->env->context);
		instance_resume(in, begin);
		if (!open)
			return syscall_trap(in, "the database is closing");
		result = read_variable(in, text, &source);
		in->env->read_end(in->env->context);
	} else {
		return ERRNO_NOT_IN_TRANSACTION;
	}
	if (result != 0)
		return result;
	uint8_t *target = guest_slice(in, out, sizeof(source));
	if (target == NULL)
		return syscall_trap_pointer(in, out);
	store_u32(target, source);
	return 0;
}
