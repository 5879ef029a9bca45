/* SPDX-License-Identifier: Apache-2.0 */
/* `worldline version`. */
#include "cli/cli.h"
#include "host/version.h"

#include <stdio.h>

int cli_version(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	printf("worldline %s (compatible with SpacetimeDB %s)\n", WORLDLINE_VERSION, COMPATIBLE_VERSION);
	return 0;
}
