/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_H
#define API_H
/*
 * api: what the world sees: HTTP routes and WebSocket connections of one host.
 * Wires net, host, auth and the databases' deliveries together.
 *
 * Threading: api_start and api_stop from the main thread. Inside, requests run
 * on worker threads and may block; WebSocket traffic runs on the network loops
 * and never blocks.
 *
 * Source: http-api.md, client-protocol.md sections 1, 8, 9.
 */
#include "host/config.h"
#include "host/host.h"

struct api;
struct api_options {
	const char *listen_address;
	struct datadir *dir;                               /* held by the caller until api_stop has returned */
	const char *private_key_path, *public_key_path;
	const struct config *config;
	const char *compiler; /* runtime.h; NULL: programs are compiled in this process */
	bool in_memory;
};
enum wl_err api_start(const struct api_options *options, struct api **out, struct error *error);
uint16_t api_port(const struct api *api);
/* Stops accepting, closes clients (1001), waits for requests, closes databases. */
void api_stop(struct api *api);
#endif
