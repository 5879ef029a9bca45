/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor of delivering to many: what the kernel asks for one small message
 * to each of N sockets in turn. Another process reads them.
 */
#include "load.h"
#include "base/clock.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MESSAGE_BYTES = 72, EVENTS_MAX = 512, BACKLOG = 4096 };

static int listen_anywhere(uint16_t *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, BACKLOG) != 0 ||
		getsockname(fd, (struct sockaddr *)&address, &len) != 0)
		return -1;
	*port = ntohs(address.sin_port);
	return fd;
}

/* Takes connections and reads what comes, until it is ended. */
_Noreturn static void read_all(int listener)
{
	static struct epoll_event ready[EVENTS_MAX];
	static uint8_t bytes[64 << 10];
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN, .data.fd = listener };
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
	for (;;) {
		int count = epoll_wait(epoll, ready, EVENTS_MAX, -1);
		for (int i = 0; i < count; i++) {
			if (ready[i].data.fd != listener) {
				if (recv(ready[i].data.fd, bytes, sizeof(bytes), MSG_DONTWAIT) == 0)
					close(ready[i].data.fd);
				continue;
			}
			event.data.fd = accept(listener, NULL, NULL);
			epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
		}
	}
}

static void send_in_turn(const struct options *options, const int *sockets, const struct meter *meter)
{
	static const uint8_t message[MESSAGE_BYTES];
	struct sample begin, end;
	uint64_t sent = 0;
	meter_take(meter, &begin);
	uint64_t until = begin.wall_nanos + (uint64_t)(options->seconds * 1e9);
	while (clock_mono_nanos() < until)
		for (uint32_t i = 0; i < options->connections; i++)
			sent += send(sockets[i], message, sizeof(message), MSG_NOSIGNAL) == sizeof(message);
	meter_take(meter, &end);
	printf("sends %llu\ncpu_us_per_send %.4f\n", (unsigned long long)sent,
		(double)(end.own_cpu_nanos - begin.own_cpu_nanos) / 1e3 / (double)(sent > 0 ? sent : 1));
}

int run_sends(const struct options *options)
{
	struct target target = options->ws.target;
	struct meter meter;
	uint32_t connected = 0;
	int listener = listen_anywhere(&target.port), *sockets = mem_zalloc_array(options->connections, sizeof(int));
	pid_t reader = listener < 0 || sockets == NULL ? -1 : fork();
	if (reader == 0)
		read_all(listener);
	while (reader > 0 && connected < options->connections && (sockets[connected] = target_connect(&target)) >= 0)
		connected++;
	bool ok = reader > 0 && connected == options->connections && meter_open(&meter, 0, false);
	if (ok) {
		send_in_turn(options, sockets, &meter);
		meter_close(&meter);
	} else {
		perror("load: sends");
	}
	if (reader > 0) {
		kill(reader, SIGKILL);
		waitpid(reader, NULL, 0);
	}
	for (uint32_t i = 0; i < connected; i++)
		close(sockets[i]);
	mem_free(sockets);
	return !ok;
}
