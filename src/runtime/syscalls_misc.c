/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Syscalls beside the tables: log and timers, identity, credentials, and the
 * transactions of procedures; and what all syscalls share: guest pointers and
 * traps.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "runtime/runtime_internal.h"

#include <stdarg.h>
#include <stdio.h>

int32_t syscall_trap(struct runtime_instance *in, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(in->trap_text, sizeof(in->trap_text), format, args);
	va_end(args);
	in->trap_len = n < 0 ? 0 : size_min((size_t)n, sizeof(in->trap_text) - 1);
	return SYSCALL_TRAP;
}

int32_t syscall_trap_pointer(struct runtime_instance *in, uint32_t pointer)
{
	return syscall_trap(in, pointer == 0 ? "null pointer passed to a spacetime function"
		: "out of bounds pointer passed to a spacetime function");
}

/* The memory may have grown since we last looked. */
uint8_t *guest_slice_slow(struct runtime_instance *in, uint32_t pointer, uint32_t len)
{
	if (pointer == 0)
		return NULL;
	in->memory_size = in->ops->memory_size(in);
	return (uint64_t)pointer + len <= in->memory_size ? in->memory + pointer : NULL;
}

/* ---- log ---- */

static struct str function_name(const struct runtime_instance *in)
{
	return in->has_function ? buf_str(&in->function) : (struct str){ 0 };
}

/* An optional text of a record: NULL is absent, whatever its length. False: drop the record. */
static bool log_text(struct runtime_instance *in, uint32_t pointer, uint32_t len, struct buf *scratch,
	struct str *out)
{
	*out = (struct str){ 0 };
	if (pointer == 0)
		return true;
	const uint8_t *data = guest_slice(in, pointer, len);
	return data != NULL && len <= RUNTIME_LOG_BYTES_MAX && text_lossy((struct bytes){ data, len }, scratch, out);
}

void syscall_console_log(struct runtime_instance *in, const struct syscall_log *record)
{
	struct str target, filename, message;
	if (record->message == 0 || in->env->log == NULL
		|| !log_text(in, record->target, record->target_len, &in->scratch[0], &target)
		|| !log_text(in, record->filename, record->filename_len, &in->scratch[1], &filename)
		|| !log_text(in, record->message, record->message_len, &in->scratch[2], &message))
		return;
	struct str trace[RUNTIME_TRACE_MAX];
	struct runtime_log out = { .level = (uint8_t)record->level, .target = target, .filename = filename,
		.line = record->line, .function = function_name(in), .message = message, .micros = clock_wall_micros(),
		.trace = trace };
	if (out.level == RUNTIME_LEVEL_PANIC)
		out.trace_count = in->ops->trace(in, &in->scratch[3], trace, RUNTIME_TRACE_MAX);
	in->env->log(in->env->context, &out);
}

int32_t syscall_timer_start(struct runtime_instance *in, uint32_t name, uint32_t len)
{
	const uint8_t *data = guest_slice(in, name, len);
	if (data == NULL)
		return syscall_trap_pointer(in, name);
	struct str text;
	if (!text_lossy((struct bytes){ data, len }, &in->scratch[0], &text)
		|| text.len > RUNTIME_TIMER_BYTES_MAX - in->timer_bytes)
		return syscall_trap(in, "the names of running console timers take more than %d bytes",
			RUNTIME_TIMER_BYTES_MAX);
	struct timer *timer = mem_alloc(sizeof(*timer) + text.len);
	if (timer == NULL)
		return syscall_trap(in, "out of memory");
	uint32_t handle;
	if (!slab_put(&in->timers, timer, RUNTIME_TIMERS_MAX, &handle)) {
		mem_free(timer);
		return syscall_trap(in, "more than %d console timers are running", RUNTIME_TIMERS_MAX);
	}
	in->timer_bytes += text.len;
	timer->len = text.len;
	memcpy(timer->name, text.data, text.len);
	timer->start_nanos = clock_mono_nanos();
	return (int32_t)handle;
}

int32_t syscall_timer_end(struct runtime_instance *in, uint32_t handle)
{
	uint64_t now = clock_mono_nanos();
	struct timer *timer = slab_take(&in->timers, handle);
	if (timer == NULL)
		return ERRNO_NO_SUCH_CONSOLE_TIMER;
	struct buf *text = &in->scratch[0];
	buf_clear(text);
	buf_put_cstr(text, "Timing span ");
	text_put_debug_str(text, (struct str){ timer->name, timer->len });
	buf_put_cstr(text, ": ");
	text_put_debug_duration(text, now - timer->start_nanos);
	if (!text->failed && in->env->log != NULL)
		in->env->log(in->env->context, &(struct runtime_log){ .level = 2, .line = UINT32_MAX,
			.function = function_name(in), .message = buf_str(text), .micros = clock_wall_micros() });
	in->timer_bytes -= timer->len;
	mem_free(timer);
	return 0;
}

/* ---- who ---- */

int32_t syscall_identity(struct runtime_instance *in, uint32_t out)
{
	uint8_t *target = guest_slice(in, out, sizeof(in->env->database_identity.le));
	if (target == NULL)
		return syscall_trap_pointer(in, out);
	memcpy(target, in->env->database_identity.le, sizeof(in->env->database_identity.le));
	return 0;
}

/* The payload of a connection's token, or an empty text. */
static struct bytes jwt_payload(struct runtime_instance *in, const uint8_t connection[16])
{
	static const uint16_t column = 0;
	struct store_table *table = store_table_by_id(in->store, ST_CONNECTION_CREDENTIALS);
	struct store_index *index = table != NULL ? store_table_index_on(table, &column, 1) : NULL;
	struct store_cursor cursor;
	struct store_row row;
	if (index == NULL || store_scan_point(index, connection, 16, &cursor) != STORE_OK
		|| !store_cursor_next(&cursor, &row))
		return (struct bytes){ 0 };
	struct reader reader = reader_of(row.data, row.len);
	reader_take(&reader, 16, "u128");
	return reader_bsatn_bytes(&reader);
}

int32_t syscall_get_jwt(struct runtime_instance *in, uint32_t connection, uint32_t out)
{
	const uint8_t *id = guest_slice(in, connection, sizeof(struct connection_id));
	if (id == NULL)
		return syscall_trap_pointer(in, connection);
	if (!in->in_tx)
		return ERRNO_NOT_IN_TRANSACTION;
	struct bytes payload = jwt_payload(in, id);
	uint8_t *target = guest_slice(in, out, sizeof(uint32_t));
	if (target == NULL)
		return syscall_trap_pointer(in, out);
	uint32_t source;
	if (!source_create(in, payload, true, &source))
		return syscall_trap(in, "no more than %d byte sources may be open", RUNTIME_SOURCES_MAX);
	store_u32(target, source);
	return 0;
}

int32_t syscall_schedule_immediate(struct runtime_instance *in, uint32_t name, uint32_t len, uint32_t args,
	uint32_t args_len)
{
	const uint8_t *text = guest_slice(in, name, len);
	if (text == NULL)
		return syscall_trap_pointer(in, name);
	if (!utf8_valid(text, len))
		return syscall_trap(in, "invalid utf8 passed to a spacetime function");
	const uint8_t *data = guest_slice(in, args, args_len);
	if (data == NULL)
		return syscall_trap_pointer(in, args);
	if (in->env->schedule_immediate != NULL)
		in->env->schedule_immediate(in->env->context, (struct str){ (const char *)text, len },
			(struct bytes){ data, args_len });
	return 0;
}

/* ---- procedures ---- */

/* Who opens and ends the guest's own transactions: the database where it serves them. */
static bool tx_served(const struct runtime_instance *in)
{
	return in->env->tx_begin != NULL;
}

int32_t syscall_start_tx(struct runtime_instance *in, uint32_t out)
{
	if (in->in_tx)
		return ERRNO_WOULD_BLOCK_TRANSACTION;
	int64_t micros = 0;
	if (tx_served(in)) {
		uint64_t begin = instance_pause(in);
		bool open = in->env->tx_begin(in->env->context, &micros);
		instance_resume(in, begin);
		if (!open)
			return syscall_trap(in, "the database is closing");
	} else if (in->frame == FRAME_INIT) {
		store_tx_begin(in->store);
		micros = clock_wall_micros();
	} else {
		return syscall_trap(in, "transactions are not served here");
	}
	in->in_tx = in->anonymous_tx = true;
	uint8_t *target = guest_slice(in, out, sizeof(micros));
	if (target == NULL)
		return syscall_trap_pointer(in, out);
	store_u64(target, (uint64_t)micros);
	return 0;
}

static void rollback(struct runtime_instance *in)
{
	iterators_settle(in);
	in->in_tx = in->anonymous_tx = false;
	if (tx_served(in))
		in->env->tx_rollback(in->env->context);
	else
		store_tx_rollback(in->store);
}

int32_t syscall_commit_tx(struct runtime_instance *in)
{
	if (!in->anonymous_tx)
		return ERRNO_TRANSACTION_NOT_ANONYMOUS;
	if (in->frame == FRAME_INIT) {
		rollback(in);
		return syscall_trap(in, "a transaction of an initialiser cannot be committed");
	}
	iterators_settle(in);
	in->in_tx = in->anonymous_tx = false;
	buf_clear(&in->scratch[0]);
	if (!in->env->tx_commit(in->env->context, &in->scratch[0]))
		return syscall_trap(in, "%.*s", STR_FMT(buf_str(&in->scratch[0])));
	if (in->env->tx_confirm == NULL)
		return 0;
	uint64_t begin = instance_pause(in);
	bool durable = in->env->tx_confirm(in->env->context, &in->scratch[0]);
	instance_resume(in, begin);
	return durable ? 0 : syscall_trap(in, "%.*s", STR_FMT(buf_str(&in->scratch[0])));
}

int32_t syscall_abort_tx(struct runtime_instance *in)
{
	if (!in->anonymous_tx)
		return ERRNO_TRANSACTION_NOT_ANONYMOUS;
	rollback(in);
	return 0;
}

bool instance_end_dangling_tx(struct runtime_instance *in)
{
	if (LIKELY(!in->anonymous_tx))
		return false;
	rollback(in);
	return true;
}

int32_t syscall_sleep_until(struct runtime_instance *in, int64_t micros, int64_t *now)
{
	if (in->frame != FRAME_PROCEDURE || in->env->sleep_until == NULL)
		return syscall_trap(in, "procedure_sleep_until is only available in async instances");
	*now = clock_wall_micros();
	if (*now >= micros)
		return 0;
	if (in->in_tx) /* everybody else waits for its end */
		return syscall_trap(in, "procedure_sleep_until was called with a transaction open: commit or abort it first");
	uint64_t begin = instance_pause(in);
	bool open = in->env->sleep_until(in->env->context, micros, now);
	instance_resume(in, begin);
	return open ? 0 : syscall_trap(in, "the database is closing");
}

static int32_t http_failed(struct runtime_instance *in, uint8_t *out, struct str text)
{
	struct buf said = BUF_INIT(1 << 20);
	uint32_t id = 0;
	buf_put_bsatn_str(&said, text);
	bool ok = !said.failed && source_create(in, buf_bytes(&said), true, &id);
	buf_deinit(&said);
	if (!ok)
		return syscall_trap(in, "not enough memory for the error of a request");
	store_u32(out, id);
	return ERRNO_HTTP_ERROR;
}

int32_t syscall_http_request(struct runtime_instance *in, uint32_t request, uint32_t len, uint32_t body,
	uint32_t body_len, uint32_t out)
{
	if (in->frame != FRAME_PROCEDURE)
		return syscall_trap(in, "procedure_http_request is only available in async instances");
	const uint8_t *head = guest_slice(in, request, len), *sent = guest_slice(in, body, body_len);
	uint8_t *ids = guest_slice(in, out, 2 * sizeof(uint32_t));
	if (head == NULL || sent == NULL || ids == NULL)
		return syscall_trap_pointer(in, head == NULL ? request : sent == NULL ? body : out);
	if (in->env->http_request == NULL)
		return http_failed(in, ids, STR("module outbound HTTP requests are disabled"));
	bool malformed = false;
	if (in->in_tx) {
		in->env->http_request(in->env->context, (struct bytes){ head, len }, (struct bytes){ sent, body_len }, NULL,
			NULL, &malformed);
		return malformed ? ERRNO_BSATN_DECODE_ERROR : ERRNO_WOULD_BLOCK_TRANSACTION;
	}
	struct buf response = BUF_INIT(RUNTIME_HTTP_BYTES_MAX), received = BUF_INIT(RUNTIME_HTTP_BYTES_MAX);
	uint64_t begin = instance_pause(in);
	bool ok = in->env->http_request(in->env->context, (struct bytes){ head, len }, (struct bytes){ sent, body_len },
		&response, &received, &malformed);
	instance_resume(in, begin);
	int32_t result = 0;
	uint32_t answer = 0, content = 0;
	if (malformed)
		result = ERRNO_BSATN_DECODE_ERROR;
	else if (!ok)
		result = http_failed(in, ids, buf_str(&response));
	else if (response.failed || received.failed || !source_create(in, buf_bytes(&response), true, &answer) ||
		!source_create(in, buf_bytes(&received), true, &content))
		result = http_failed(in, ids, STR("not enough memory for the answer"));
	if (result == 0) {
		store_u32(ids, answer);
		store_u32(ids + 4, content);
	}
	buf_deinit(&response);
	buf_deinit(&received);
	return result;
}
