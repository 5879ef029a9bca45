/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORLDLINE_EACH_H
#define WORLDLINE_EACH_H
/*
 * The preprocessor's part: a macro for each of up to 255 arguments, and the
 * pieces of a tuple. Nothing here knows of modules.
 */
#pragma clang system_header

#define WL_PASTE(a, b) WL_PASTE_I(a, b)
#define WL_PASTE_I(a, b) a##b
#define WL_PASTE3(a, b, c) WL_PASTE3_I(a, b, c)
#define WL_PASTE3_I(a, b, c) a##b##c
#define WL_TEXT(a) WL_TEXT_I(a)
#define WL_TEXT_I(a) #a
#define WL_STRIP(...) __VA_ARGS__ /* WL_STRIP (a, b) is a, b */

#define WL_EXPAND(...) WL_EXPAND_4(WL_EXPAND_4(WL_EXPAND_4(WL_EXPAND_4(__VA_ARGS__))))
#define WL_EXPAND_4(...) WL_EXPAND_3(WL_EXPAND_3(WL_EXPAND_3(WL_EXPAND_3(__VA_ARGS__))))
#define WL_EXPAND_3(...) WL_EXPAND_2(WL_EXPAND_2(WL_EXPAND_2(WL_EXPAND_2(__VA_ARGS__))))
#define WL_EXPAND_2(...) WL_EXPAND_1(WL_EXPAND_1(WL_EXPAND_1(WL_EXPAND_1(__VA_ARGS__))))
#define WL_EXPAND_1(...) __VA_ARGS__
#define WL_PARENTHESES ()

/* WL_EACH_OF(m, context, a, b, c) is m(context, a) m(context, b) m(context, c). */
#define WL_EACH_OF(m, context, ...) __VA_OPT__(WL_EXPAND(WL_EACH_STEP(m, context, __VA_ARGS__)))
#define WL_EACH_STEP(m, context, one, ...) \
	m(context, one) __VA_OPT__(WL_EACH_AGAIN WL_PARENTHESES(m, context, __VA_ARGS__))
#define WL_EACH_AGAIN() WL_EACH_STEP

/* How many arguments: 0 to 6. */
#define WL_COUNT(...) WL_COUNT_I(__VA_ARGS__ __VA_OPT__(, ) 6, 5, 4, 3, 2, 1, 0)
#define WL_COUNT_I(a, b, c, d, e, f, count, ...) count

/* The same for up to four arguments; may stand inside WL_EACH_OF. */
#define WL_FEW(m, context, ...) WL_PASTE(WL_FEW_, WL_COUNT(__VA_ARGS__))(m, context, __VA_ARGS__)
#define WL_FEW_0(m, context, ...)
#define WL_FEW_1(m, context, a) m(context, a)
#define WL_FEW_2(m, context, a, b) m(context, a) m(context, b)
#define WL_FEW_3(m, context, a, b, c) m(context, a) m(context, b) m(context, c)
#define WL_FEW_4(m, context, a, b, c, d) WL_FEW_3(m, context, a, b, c) m(context, d)
#endif
