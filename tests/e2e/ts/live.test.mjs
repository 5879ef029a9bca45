// SPDX-License-Identifier: Apache-2.0
/*
 * Live queries through the official TypeScript SDK: tests/modules/live or live214 behind a host; host.mjs says which
 * variables name the host. Each of these files can be run by itself.
 */
import './live/queries.mjs';
import './live/subscriptions.mjs';
import './live/moments.mjs';
import './live/rules.mjs';
import './live/views.mjs';
import './live/connections.mjs';
import './live/random.mjs';
