/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiling in a process of its own. What compiling takes cannot be foretold from a program: a few hundred kilobytes
 * may take gigabytes, or hours, and the engine can neither be interrupted nor fail for lack of memory without ending
 * its process. So that process is another one, with limits, and a host that stops does not wait for it.
 *
 *   parent                                child (this executable, run with RUNTIME_COMPILER_ARGUMENT)
 *   program in a memory file ── fd 0 ──▶  reads it whole
 *                            ◀─ fd 1 ───  compiled code, exit 0
 *                            ◀─ fd 2 ───  what is wrong with the program, exit 1
 *
 * Invariants
 * 1. Nobody else can write to the three files: they have no name.
 * 2. A child is waited for by the thread that started it, and dies with it.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "runtime/wasm/wasm.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	COMPILERS_MAX = 4,      /* at once; others wait for their turn */
	LOOK_MS = 100,          /* how soon a host that stops is noticed */
	PATIENCE_FACTOR = 5,    /* real time to processor time: the child has a low priority */
	REFUSAL_BYTES_MAX = 1 << 20,
};
enum { CHILD_DONE = 0, CHILD_REFUSED = 1, CHILD_FAILED = 2 };

/* ---- the child ---- */

static void limit(int what, uint64_t value)
{
	struct rlimit bound = { value, value };
	(void)setrlimit(what, &bound);
}

static bool write_whole(int fd, const void *data, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = write(fd, (const uint8_t *)data + at, len - at);
		if (n <= 0 && errno != EINTR)
			return false;
		at += n > 0 ? (size_t)n : 0;
	}
	return true;
}

static bool map_file(int fd, struct bytes *out)
{
	struct stat info;
	*out = (struct bytes){ (const uint8_t *)"", 0 };
	if (fstat(fd, &info) != 0)
		return false;
	if (info.st_size == 0)
		return true;
	void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		return false;
	*out = (struct bytes){ data, (size_t)info.st_size };
	return true;
}

static void unmap(struct bytes file)
{
	if (file.len > 0)
		munmap((void *)(uintptr_t)file.data, file.len);
}

int runtime_compiler_main(void)
{
	struct bytes program;
	wasmtime_module_t *module;
	wasm_byte_vec_t code;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_CPU, RUNTIME_COMPILE_SECONDS_MAX);
	if (!WASM_UNDER_SANITIZER) /* they map terabytes */
		limit(RLIMIT_AS, RUNTIME_COMPILE_BYTES_MAX);
	(void)!nice(10);
	wasm_engine_t *engine = wasm_engine_bare();
	if (engine == NULL || !map_file(STDIN_FILENO, &program))
		return CHILD_FAILED;
	wasmtime_error_t *failed = wasmtime_module_new(engine, program.data, program.len, &module);
	if (failed != NULL) {
		struct buf text = BUF_INIT(REFUSAL_BYTES_MAX);
		wasm_error_text(failed, true, &text);
		(void)write_whole(STDERR_FILENO, text.data, text.len);
		_exit(CHILD_REFUSED);
	}
	failed = wasmtime_module_serialize(module, &code);
	_exit(failed == NULL && write_whole(STDOUT_FILENO, code.data, code.size) ? CHILD_DONE : CHILD_FAILED);
}

/* ---- the parent ---- */

static enum wl_err stopping(struct buf *error)
{
	buf_put_cstr(error, "the host is stopping");
	return WL_ERR_UNAVAILABLE;
}

static bool turn_take(struct runtime *runtime)
{
	monitor_lock(&runtime->compilers.monitor);
	while (runtime->compilers.running == COMPILERS_MAX && !atomic_load(&runtime->compilers.stop))
		monitor_wait(&runtime->compilers.monitor);
	bool taken = !atomic_load(&runtime->compilers.stop);
	runtime->compilers.running += taken;
	monitor_unlock(&runtime->compilers.monitor);
	return taken;
}

static void turn_give(struct runtime *runtime)
{
	monitor_lock(&runtime->compilers.monitor);
	runtime->compilers.running--;
	monitor_wake_one(&runtime->compilers.monitor);
	monitor_unlock(&runtime->compilers.monitor);
}

void wasm_compilers_stop(struct runtime *runtime)
{
	monitor_lock(&runtime->compilers.monitor);
	atomic_store(&runtime->compilers.stop, true);
	monitor_wake_all(&runtime->compilers.monitor);
	monitor_unlock(&runtime->compilers.monitor);
}

static int spawn(const char *path, const int files[3], pid_t *pid)
{
	extern char **environ;
	char *argv[] = { (char *)(uintptr_t)"worldline", (char *)(uintptr_t)RUNTIME_COMPILER_ARGUMENT, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	sigemptyset(&none);
	int failed = posix_spawn_file_actions_init(&actions);
	if (failed != 0)
		return failed;
	failed = posix_spawnattr_init(&attributes);
	if (failed != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return failed;
	}
	for (int fd = 0; fd < 3 && failed == 0; fd++)
		failed = posix_spawn_file_actions_adddup2(&actions, files[fd], fd);
	if (failed == 0)
		failed = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	if (failed == 0)
		failed = posix_spawnattr_setsigmask(&attributes, &none);
	if (failed == 0)
		failed = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	if (failed == 0)
		failed = posix_spawn(pid, path, &actions, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return failed;
}

/* Its wait status. A host that stops, and one that has waited too long, ends it. */
static int wait_for(struct runtime *runtime, pid_t pid)
{
	uint64_t deadline = clock_mono_nanos() + (uint64_t)RUNTIME_COMPILE_SECONDS_MAX * PATIENCE_FACTOR * 1000000000u;
	struct pollfd ended = { .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };
	int status = 0;
	pid_t done;
	while ((done = waitpid(pid, &status, WNOHANG)) == 0 || (done < 0 && errno == EINTR)) {
		if (atomic_load(&runtime->compilers.stop) || clock_mono_nanos() > deadline)
			kill(pid, SIGKILL);
		(void)poll(&ended, ended.fd >= 0 ? 1 : 0, ended.fd >= 0 ? LOOK_MS : 1);
	}
	if (ended.fd >= 0)
		close(ended.fd);
	return status;
}

static enum wl_err put_refusal(int fd, struct buf *error)
{
	struct bytes text;
	if (map_file(fd, &text)) {
		buf_put(error, text.data, text.len);
		unmap(text);
	}
	return WL_ERR_INVALID;
}

static enum wl_err put_failure(int status, struct buf *error)
{
	int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	if (number == SIGXCPU || number == SIGKILL)
		buf_printf(error, "compiling the program took longer than %d seconds", RUNTIME_COMPILE_SECONDS_MAX);
	else
		buf_printf(error, "compiling the program failed, perhaps because it takes more than %llu MiB of memory",
			(unsigned long long)(RUNTIME_COMPILE_BYTES_MAX >> 20));
	return WL_ERR_LIMIT;
}

static enum wl_err take_module(struct runtime *runtime, int fd, wasmtime_module_t **module, struct buf *error)
{
	struct bytes code;
	if (!map_file(fd, &code))
		return WL_ERR_MEMORY;
	wasmtime_error_t *failed = wasmtime_module_deserialize(runtime->wasm->engine, code.data, code.len, module);
	unmap(code);
	if (failed == NULL)
		return WL_OK;
	wasm_error_text(failed, true, error);
	return WL_ERR_INVALID;
}

static enum wl_err compile(struct runtime *runtime, const int files[3], struct bytes code, wasmtime_module_t **module,
	struct buf *error)
{
	pid_t pid;
	if (files[0] < 0 || files[1] < 0 || files[2] < 0 || !write_whole(files[0], code.data, code.len))
		return WL_ERR_MEMORY;
	int failed = spawn(runtime->compilers.path, files, &pid);
	if (failed != 0) {
		buf_printf(error, "the compiler cannot be started: %s", strerror(failed));
		return WL_ERR_IO;
	}
	int status = wait_for(runtime, pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_DONE)
		return take_module(runtime, files[1], module, error);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_REFUSED)
		return put_refusal(files[2], error);
	return atomic_load(&runtime->compilers.stop) ? stopping(error) : put_failure(status, error);
}

enum wl_err wasm_compile_apart(struct runtime *runtime, struct bytes code, wasmtime_module_t **module,
	struct buf *error)
{
	if (!turn_take(runtime))
		return stopping(error);
	int files[3];
	for (int i = 0; i < 3; i++)
		files[i] = memfd_create("worldline compiler", MFD_CLOEXEC);
	enum wl_err err = compile(runtime, files, code, module, error);
	for (int i = 0; i < 3; i++)
		if (files[i] >= 0)
			close(files[i]);
	turn_give(runtime);
	return err;
}
