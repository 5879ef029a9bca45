/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERSION_H
#define VERSION_H
/* version: what this program calls itself, and the SpacetimeDB release whose surface it keeps. */
#define WORLDLINE_VERSION "0.1.0"
#define WORLDLINE_EDITION "worldline"
#define COMPATIBLE_VERSION "2.8.3"
#endif
