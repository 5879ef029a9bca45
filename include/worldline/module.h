/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORLDLINE_MODULE_H
#define WORLDLINE_MODULE_H
/*
 * A module for Worldline in C (C11 or C++17, clang, wasm32):
 *
 *   #include <worldline/module.h>
 *
 *   WL_TABLE(counter, PUBLIC,
 *       (str, name, PRIMARY_KEY),
 *       (i64, value))
 *
 *   WL_REDUCER(add, (str, name), (i64, by))
 *   {
 *       counter row;
 *       if (!counter_find_by_name(name, &row)) {
 *           row = (counter){ name, by };
 *           counter_insert(&row);
 *           return wl_ok();
 *       }
 *       row.value += by;
 *       counter_update_by_name(&row);
 *       return wl_ok();
 *   }
 *
 * `worldline build` makes a module of it. docs/c-modules.md begins at the beginning; each header here says what it has:
 * types.h, table.h, function.h, and http.h, which is
 * included where it is needed. A module may have any number of source files.
 */
#ifndef __wasm32__
#error "modules are compiled for WebAssembly: use `worldline build`, or clang --target=wasm32"
#endif
#include "worldline/function.h"
#endif
