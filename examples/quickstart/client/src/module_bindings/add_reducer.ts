// SPDX-License-Identifier: Apache-2.0
import { t as __t } from "spacetimedb";

export default {
  name: __t.string(),
};
