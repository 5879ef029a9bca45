/* SPDX-License-Identifier: Apache-2.0 */
/* The control file: any bytes either open or are refused; what opens can be changed, and opens again. */
#include "commitlog/storage_faulty.h"
#include "host/host_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct storage_faulty *disk = storage_faulty_create(1);
	struct storage *storage = storage_faulty_storage(disk);
	struct control *control;
	struct error error;
	storage->ops->make_dirs(storage, "/d");
	if (storage_faulty_set(disk, "/d/control.log", data, size) &&
		control_open(storage, "/d/control.log", &control, &error) == WL_OK) {
		struct identity id = { { 1 } };
		struct str name = STR("name");
		struct buf change = BUF_INIT(4096);
		control_put_names(&change, &id, &name, 1);
		ASSERT(control_commit(control, &change, &error) == WL_OK);
		buf_deinit(&change);
		control_close(control);
		ASSERT(control_open(storage, "/d/control.log", &control, &error) == WL_OK);
		ASSERT(control_name(control, name)->bound);
		control_close(control);
	}
	storage_faulty_destroy(disk);
	return 0;
}
