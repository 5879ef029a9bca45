/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration texts: no input may crash the reader, and what it accepts stays within the text. */
#include "host/config.h"
#include "host/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct toml toml;
	struct config config;
	struct error error;
	struct str text = { (const char *)data, size };
	if (toml_parse(text, &toml, &error) == WL_OK) {
		for (const struct toml_entry *entry = toml.first; entry != NULL; entry = entry->next) {
			ASSERT(entry->key.len <= size && entry->section.len <= size && entry->text.len <= size);
			ASSERT(entry->item_count <= size);
		}
		toml_deinit(&toml);
	}
	if (config_parse(text, "fuzz", &config, &error) == WL_OK)
		config_deinit(&config);
	return 0;
}
