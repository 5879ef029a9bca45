/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exports of a module in C++: a reactor (`_initialize` runs the
 * constructors), one initialiser for every table, constraint, reducer and view,
 * numbered so that their order by name is the order in which they must run.
 * What its libc wants of WASI is answered inside, so nothing but the ABI is
 * imported. malloc and free are exported, too.
 */
#include "foreign.h"

#define PREINIT(name, letter) \
	EXPORT(__preinit__##name) void preinit_##name(void) \
	{ \
		step(letter); \
	}

/* In the source as a compiler meets them: not sorted. */
PREINIT(30_reducer_add, 'h')
PREINIT(20_register_table_Person_line_12, 'f')
PREINIT(21_field_constraint_person_id_line_13, 'g')
PREINIT(01_clear_global_state, 'a')
PREINIT(10_field_Person_name, 'c')
PREINIT(10_field_Person_id, 'b')
PREINIT(20_reducer_init, 'e')
PREINIT(19_autoinc_register_14, 'd')
PREINIT(40_view_people, 'i')
PREINIT(50_proc_count, 'j')
PREINIT(60_http_handler_echo, 'k')
PREINIT(61_http_router_routes, 'l')
PREINIT(99_validate_types, 'm')

EXPORT(_initialize) void initialize(void)
{
	step('<');
}

EXPORT(malloc) void *allocate(u32 size)
{
	return size > sizeof(row) ? 0 : row;
}

EXPORT(free) void release(void *memory)
{
	step(memory == 0 ? '0' : '1');
}
