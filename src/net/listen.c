/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listening socket: loop 0 accepts and hands sockets to the loops in turn,
 * so that a few connections spread evenly (SO_REUSEPORT spreads by hash, which
 * leaves loops idle when there are few).
 */
#include "net/net_internal.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024, ACCEPTS_PER_ROUND = 64 };

/* "host:port", "[v6]:port", ":port" */
static bool address_split(const char *address, char host[256], char port[8])
{
	const char *colon = strrchr(address, ':');
	if (colon == NULL || strlen(colon + 1) == 0 || strlen(colon + 1) > 5)
		return false;
	size_t len = (size_t)(colon - address);
	if (len >= 2 && address[0] == '[' && address[len - 1] == ']') {
		address++;
		len -= 2;
	}
	if (len >= 256)
		return false;
	memcpy(host, address, len);
	host[len] = '\0';
	snprintf(port, 8, "%s", colon + 1);
	for (const char *p = port; *p != '\0'; p++) {
		if (*p < '0' || *p > '9')
			return false;
	}
	return true;
}

static int listen_on(const struct addrinfo *info)
{
	int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	int on = 1;
	/* Accepted sockets inherit TCP_NODELAY, which saves a call for each. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0
		&& setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0
		&& bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	int saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

enum wl_err net_listen(const char *address, int *fd, uint16_t *port, struct error *error)
{
	char host[256], service[8];
	if (!address_split(address, host, service))
		return fail(error, WL_ERR_INVALID, "\"%s\" is not an address: expected host:port", address);
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV }, *list = NULL;
	int rc = getaddrinfo(host[0] != '\0' ? host : NULL, service, &hints, &list);
	if (rc != 0)
		return fail(error, WL_ERR_INVALID, "cannot resolve \"%s\": %s", address, gai_strerror(rc));
	int got = -1;
	for (const struct addrinfo *info = list; info != NULL && got < 0; info = info->ai_next)
		got = listen_on(info);
	enum wl_err err = got < 0 ? fail_errno(error, WL_ERR_IO, "cannot listen on %s", address) : WL_OK;
	freeaddrinfo(list);
	if (err != WL_OK)
		return err;
	struct sockaddr_storage bound;
	socklen_t bound_len = sizeof(bound);
	if (getsockname(got, (struct sockaddr *)&bound, &bound_len) != 0) {
		err = fail_errno(error, WL_ERR_IO, "cannot read the bound address");
		close(got);
		return err;
	}
	*port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
		: ((struct sockaddr_in *)&bound)->sin_port);
	*fd = got;
	return WL_OK;
}

void net_listen_arm(struct net_loop *loop, bool on)
{
	struct net *net = loop->net;
	if (net->listen_fd < 0)
		return;
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = NET_EVENT_LISTEN };
	epoll_ctl(loop->epoll_fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, net->listen_fd, &event);
	net->accept_off = !on;
}

struct handed {
	struct net_task task;
	int fd;
};

static void handed_run(struct net_loop *loop, struct net_task *task)
{
	struct handed *handed = (struct handed *)task;
	conn_open(loop, handed->fd);
	mem_free(handed);
}

static void hand_out(struct net_loop *loop, int fd)
{
	struct net *net = loop->net;
	struct net_loop *target = net->loops[net->accept_turn++ % net->loop_count];
	if (target == loop) {
		conn_open(loop, fd);
		return;
	}
	struct handed *handed = mem_alloc(sizeof(*handed));
	if (handed == NULL) {
		atomic_fetch_sub_explicit(&net->connection_count, 1, memory_order_relaxed);
		close(fd);
		return;
	}
	*handed = (struct handed){ .task.fn = handed_run, .fd = fd };
	net_loop_post(target, &handed->task);
}

/* The count is taken here, for all loops, and given back where a socket is closed. */
void net_accept(struct net_loop *loop)
{
	struct net *net = loop->net;
	for (int i = 0; i < ACCEPTS_PER_ROUND && net->listen_fd >= 0; i++) {
		int fd = accept4(net->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
				log_warn("cannot accept connections for now: %s", strerror(errno));
				net_listen_arm(loop, false); /* the tick tries again */
			}
			return;
		}
		uint32_t before = atomic_fetch_add_explicit(&net->connection_count, 1, memory_order_relaxed);
		if (before >= NET_CONNECTIONS_MAX || loop->stopping) {
			atomic_fetch_sub_explicit(&net->connection_count, 1, memory_order_relaxed);
			close(fd);
			continue;
		}
		hand_out(loop, fd);
	}
}
