/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Classes: clients that hold the same, so that a commit is encoded once for
 * all of them.
 *
 * Invariants: a class lives while it has members; each of its entries is
 * listed once under its query; a class with a ring keeps it to its end.
 */
#include "subs/subs_internal.h"

enum { HELD_BYTES_MAX = 64 << 20 }; /* of messages that wait for one reply */

static uint8_t class_protocol(const struct subs_client_options *o)
{
	return o->protocol == PROTOCOL_V3 ? PROTOCOL_V2 : o->protocol;
}

static uint64_t class_hash(const struct subs_client *client, const struct class_entry *entries, uint32_t count)
{
	const struct subs_client_options *o = &client->options;
	uint64_t hash = hash_u64((uint64_t)o->loop << 32 | (uint64_t)class_protocol(o) << 16 | (uint64_t)o->format << 8 |
		(uint64_t)o->is_full << 1 | o->confirmed) ^ hash_u64((uintptr_t)client->read);
	for (uint32_t i = 0; i < count; i++)
		hash = hash_u64(hash ^ hash_u64((uintptr_t)entries[i].query) ^ entries[i].set_id);
	return hash;
}

static struct class_entry *make_entries(const struct subs_client *client, uint32_t *out_count)
{
	struct class_entry *entries = mem_zalloc_array(size_max(client->query_count, 1), sizeof(*entries));
	if (entries == NULL)
		return NULL;
	uint32_t count = 0;
	for (uint32_t s = 0; s < client->set_count; s++) {
		const struct query_set *set = &client->sets[s];
		for (uint32_t q = 0; q < set->count; q++)
			entries[count++] = (struct class_entry){ .set_id = set->id, .query = set->queries[q] };
	}
	*out_count = count;
	return entries;
}

static bool same_class(const struct subs_class *class, const struct subs_client *client, uint64_t hash,
	const struct class_entry *entries, uint32_t count)
{
	const struct subs_client_options *o = &client->options;
	if (class->hash != hash || class->read != client->read || class->is_released ||
		class->loop != o->loop || class->format != o->format ||
		class->protocol != class_protocol(o) || class->is_full != o->is_full ||
		class->flags != subs_client_flags(client) || class->entry_count != count)
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (class->entries[i].query != entries[i].query || class->entries[i].set_id != entries[i].set_id)
			return false;
	return true;
}

static bool list_entry(struct subs_class *class, uint32_t index)
{
	struct class_entry *entry = &class->entries[index];
	struct live_query *query = entry->query;
	if (query->place_count == query->place_cap) {
		uint32_t cap = query->place_cap == 0 ? 2 : query->place_cap * 2;
		void *grown = mem_realloc(query->places, cap * sizeof(struct class_place));
		if (grown == NULL)
			return false;
		query->places = grown;
		query->place_cap = cap;
	}
	entry->place = query->place_count;
	query->places[query->place_count++] = (struct class_place){ class, index };
	return true;
}

static void unlist_entries(struct subs_class *class, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct class_entry *entry = &class->entries[i];
		struct live_query *query = entry->query;
		struct class_place last = query->places[--query->place_count];
		query->places[entry->place] = last;
		last.class->entries[last.entry].place = entry->place;
	}
}

/* Takes `entries`. */
static struct subs_class *class_make(struct subs *subs, const struct subs_client *client, uint64_t hash,
	struct class_entry *entries, uint32_t count)
{
	struct subs_class *class = mem_zalloc(sizeof(*class));
	if (class == NULL) {
		mem_free(entries);
		return NULL;
	}
	*class = (struct subs_class){ .id = ++subs->next_class, .hash = hash, .loop = client->options.loop,
		.format = client->options.format, .protocol = class_protocol(&client->options),
		.is_full = client->options.is_full, .flags = subs_client_flags(client), .entry_count = count,
		.entries = entries, .read = client->read, .held = BUF_INIT(HELD_BYTES_MAX) };
	for (uint32_t i = 0; i < count; i++) {
		if (list_entry(class, i))
			continue;
		unlist_entries(class, i);
		mem_free(entries);
		mem_free(class);
		return NULL;
	}
	struct subs_class **bucket = &subs->classes[hash % CLASS_BUCKETS];
	class->next_in_bucket = *bucket;
	*bucket = class;
	subs->stats.classes++;
	return class;
}

static void class_free(struct subs *subs, struct subs_class *class)
{
	struct subs_class **at = &subs->classes[class->hash % CLASS_BUCKETS];
	while (*at != class)
		at = &(*at)->next_in_bucket;
	*at = class->next_in_bucket;
	unlist_entries(class, class->entry_count);
	if (class->has_ring)
		(void)outbox_put(subs->outbox, class->loop, DELIVERY_CLASS_END, class->flags, class->id, 0, 0);
	mem_free(class->entries);
	buf_deinit(&class->held);
	mem_free(class);
	subs->stats.classes--;
}

static bool follow(struct subs *subs, const struct subs_client *client, uint64_t class)
{
	return outbox_put(subs->outbox, client->options.loop, DELIVERY_FOLLOW, subs_client_flags(client),
		client->options.conn, class, 0);
}

void subs_class_leave(struct subs *subs, struct subs_client *client, bool gone)
{
	struct subs_class *class = client->class;
	if (class == NULL)
		return;
	client->class = NULL;
	*client->link = client->next;
	if (client->next != NULL)
		client->next->link = client->link;
	class->member_count--;
	if (class->has_ring && !gone && !follow(subs, client, 0))
		subs_client_lost(subs, client);
	if (class->member_count == 0)
		class_free(subs, class);
}

/* The ring begins with the second member. */
static bool begin_ring(struct subs *subs, struct subs_class *class)
{
	if (!outbox_put(subs->outbox, class->loop, DELIVERY_CLASS_NEW, class->flags, class->id, 0, class->format))
		return false;
	class->has_ring = true;
	for (struct subs_client *member = class->members; member != NULL; member = member->next)
		if (!follow(subs, member, class->id))
			return false;
	return true;
}

static bool class_join(struct subs *subs, struct subs_class *class, struct subs_client *client)
{
	client->class = class;
	client->next = class->members;
	client->link = &class->members;
	if (client->next != NULL)
		client->next->link = &client->next;
	class->members = client;
	class->member_count++;
	if (class->has_ring)
		return follow(subs, client, class->id);
	return class->member_count == 1 || class->read != NULL || begin_ring(subs, class);
}

/* Sends what was held, and nothing is held from now on. The class gets no new members: they are of the class without
 * the read. */
bool subs_class_release(struct subs *subs, struct subs_class *class)
{
	struct reader r = reader_of(class->held.data, class->held.len);
	bool ok = class->member_count == 1 || class->held.len == 0 || begin_ring(subs, class);
	while (ok && reader_left(&r) > 0) {
		struct bytes message = reader_bsatn_bytes(&r);
		struct buf *out = outbox_begin(subs->outbox, class->loop, class->has_ring ? DELIVERY_CLASS : DELIVERY_MESSAGE,
			class->flags, class->has_ring ? class->id : class->members->options.conn, 0, 0);
		if (out != NULL)
			buf_put(out, message.data, message.len);
		ok = out != NULL && outbox_end(subs->outbox, class->loop);
	}
	buf_deinit(&class->held);
	class->is_released = true;
	return ok;
}

bool subs_class_assign(struct subs *subs, struct subs_client *client)
{
	uint32_t count = 0;
	struct class_entry *entries = client->query_count == 0 ? NULL : make_entries(client, &count);
	if (client->query_count > 0 && entries == NULL) {
		subs_class_leave(subs, client, false);
		return false;
	}
	if (count == 0) {
		subs_class_leave(subs, client, false);
		return true;
	}
	if (subs->classes == NULL)
		subs->classes = mem_zalloc_array(CLASS_BUCKETS, sizeof(struct subs_class *));
	if (subs->classes == NULL) {
		mem_free(entries);
		subs_class_leave(subs, client, false);
		return false;
	}
	uint64_t hash = class_hash(client, entries, count);
	struct subs_class *class = subs->classes[hash % CLASS_BUCKETS];
	while (class != NULL && !same_class(class, client, hash, entries, count))
		class = class->next_in_bucket;
	if (class != NULL)
		mem_free(entries);
	else
		class = class_make(subs, client, hash, entries, count);
	if (class == client->class)
		return class != NULL;
	subs_class_leave(subs, client, false);
	return class != NULL && class_join(subs, class, client);
}
