/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of all sizes that come, change and go: what the tests of durability keep watch over. */
#include <worldline/module.h>

WL_TABLE(note, PUBLIC,
	(u64, id, PRIMARY_KEY, AUTO_INC),
	(u32, author, INDEX),
	(str, text))

WL_TABLE(total, PUBLIC,
	(u32, author, PRIMARY_KEY),
	(u64, notes),
	(u64, letters))

static char letters[4096];

static str text_of(u64 seed, u32 length)
{
	u32 len = length < sizeof(letters) ? length : sizeof(letters);
	for (u32 i = 0; i < len; i++)
		letters[i] = 'a' + (char)((seed + i * 7) % 26);
	return (str){ letters, len };
}

static void count(u32 author, i64 notes, i64 length)
{
	total sum = { .author = author };
	bool known = total_find_by_author(author, &sum);
	sum.notes += (u64)notes;
	sum.letters += (u64)length;
	if (known)
		total_update_by_author(&sum);
	else
		total_insert(&sum);
}

/* So many notes of about so many letters. */
WL_REDUCER(write, (u32, author), (u32, notes), (u32, length))
{
	for (u32 i = 0; i < notes; i++) {
		note row = { .author = author, .text = text_of(i, length + i % 10) };
		if (!note_insert(&row))
			return wl_fail("no note could be added");
		count(author, 1, (i64)row.text.len);
	}
	return wl_ok();
}

WL_REDUCER(edit, (u64, id), (u32, length))
{
	note row;
	if (!note_find_by_id(id, &row))
		return wl_fail("there is no note %llu", id);
	count(row.author, 0, (i64)length - (i64)row.text.len);
	row.text = text_of(id, length);
	note_update_by_id(&row);
	return wl_ok();
}

WL_REDUCER(forget, (u32, author))
{
	note_delete_by_author(author);
	total_delete_by_author(author);
	return wl_ok();
}

/* What the totals say is what is there. */
WL_REDUCER(audit)
{
	u64 notes = 0, length = 0;
	WL_EACH(note, row) {
		notes++;
		length += row.text.len;
	}
	WL_EACH(total, sum) {
		notes -= sum.notes;
		length -= sum.letters;
	}
	return notes == 0 && length == 0 ? wl_ok() : wl_fail("off by %lld notes, %lld letters", (i64)notes, (i64)length);
}
