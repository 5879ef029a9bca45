// SPDX-License-Identifier: Apache-2.0
import { t as __t } from "spacetimedb";

export default __t.row({
  id: __t.u64().primaryKey(),
  name: __t.string(),
});
